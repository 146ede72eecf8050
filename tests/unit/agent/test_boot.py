# SPDX-License-Identifier: MIT
"""The whole boot against a tree: what runs afterwards, what was refused and why, what is still mounted."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from powernode.base.digest import Digest
from powernode.base.errors import MachineError
from powernode.composefs.image import objects
from unit.agent._elf_files import elf
from unit.agent._node import BIG, INSTANCE, NOW, OTHER_PRIVATE, Node
from unit.linux._superblocks import ext4

ONLY_PERSIST = {"/persist": "ext4 /dev/vda2"}


def object_of(node: Node, image: Digest, number: int = 0) -> Path:
    """One of the objects an image needs."""
    data = Path(node.store.image(image.hex)).read_bytes()
    return Path(node.store.objects) / objects(data)[number].decode()


def test_good_set_boots(node: Node) -> None:
    root, module = node.root_image(), node.image("nginx", {"usr/sbin/nginx": b"x" * BIG})
    set_id = node.good(node.boot_set(root, modules={"nginx": module}, serial=7))
    assert node.boot().kind == "booted"
    assert node.running() == "root"
    short = root.hex[:8]
    assert node.mounted() == {
        "/sysroot": f"image {short}  ro",
        "/sysroot/var": f"image {short} var rw",
        "/sysroot/var/lib/powernode/modules": "tmpfs ro",
        "/sysroot/var/lib/powernode/modules/nginx": f"image {module.hex[:8]}  ro",
        "/run/powernode/persist": "ext4 /dev/vda2",
        "/sysroot/persist": "bind /persist",
        **{f"/sysroot{folder}": f"moved {folder}" for folder in ("/run", "/dev", "/sys", "/proc")},
    }
    assert f"powernode: root {root} kernel-verity policy=ro set={set_id[:12]} reason=good" in node.console
    document = json.loads(Path(node.paths.boot_report).read_text())
    assert document["outcome"] == "booted"
    assert document["refused"] == document["warnings"] == []
    assert document["root"] == {
        "digest": str(root),
        "enforcement": "kernel-verity",
        "kind": "good",
        "modules": [{"digest": module.hex, "enforcement": "kernel-verity", "name": "nginx", "version": "1"}],
        "policy": "ro",
        "reason": "the last known good set",
        "serial": 7,
        "set": set_id,
        "upper": "none",
        "var": "persist",
    }
    stages = [stage["name"] for stage in document["stages"]]
    assert stages == ["config", "persist", "identity", "choice", "verify", "seal", "mount", "preflight"]
    times = [stage["at_ms"] for stage in document["stages"]]
    assert times == sorted(times)
    assert times[0] >= 1500


def test_objects_are_sealed_once(node: Node) -> None:
    root = node.root_image()
    node.good(node.boot_set(root))
    node.boot()
    assert [line for line in node.kernel.log if line.startswith(("seal", "sync"))] == [
        "seal 1",
        "seal 3",
        "sync objects",
    ]
    assert str(object_of(node, root)) in node.kernel.sealed
    node.restart()
    node.kernel.log.clear()
    assert node.boot().kind == "booted"
    assert [line for line in node.kernel.log if line.startswith("seal")] == ["seal 1"]
    node.configure(preflight="full")
    node.restart()
    node.kernel.log.clear()
    assert node.boot().kind == "booted"
    assert [line for line in node.kernel.log if line.startswith("seal")] == ["seal 1", "seal 3"]


def test_a_stamp_of_other_modules_does_not_count(node: Node) -> None:
    root = node.root_image()
    node.good(node.boot_set(root))
    node.boot()
    node.restart()
    module = node.image("late", {"late": b"l" * BIG})
    node.good(node.boot_set(root, modules={"late": module}, serial=2))
    assert node.boot().kind == "booted"
    assert str(object_of(node, module)) in node.kernel.sealed


@pytest.mark.parametrize(
    ("policy", "persist", "upper", "var"),
    [
        ("ro", True, "none", "persist"),
        ("ephemeral", True, "memory", "persist"),
        ("persistent", True, "persist", "root"),
        ("ro", False, "none", "memory"),
        ("ephemeral", False, "memory", "memory"),
    ],
)
def test_policies(node: Node, policy: str, persist: bool, upper: str, var: str) -> None:
    root = node.root_image()
    node.good(node.boot_set(root, policy=policy))
    if not persist:  # in memory, but with the same content
        os.unlink(node.root / "dev/vda2")
        node.configure(persist={"tmpfs_fallback": True, "wait_s": 1})
    assert node.boot().kind == "booted"
    described = node.document["root"]
    assert (described["policy"], described["upper"], described["var"]) == (policy, upper, var)
    mounted = node.mounted()
    assert mounted["/sysroot"].endswith("ro" if policy == "ro" else "rw")
    assert ("/sysroot/var" in mounted) == (var != "root")
    assert ("/run/powernode/upper" in mounted) == ("memory" in (upper, var))
    assert os.path.isdir(node.root / f"persist/root/{root.hex}/upper") == (upper == "persist")
    assert os.path.isdir(node.root / "persist/var-upper/work") == (var == "persist")
    assert ("persist.tmpfs" in node.warnings()) == (not persist)


def test_the_configuration_overrides_the_policy(node: Node) -> None:
    node.good(node.boot_set(node.root_image()))
    node.configure(root={"policy": "ephemeral"})
    node.boot()
    assert node.document["root"]["policy"] == "ephemeral"


def test_persistent_without_persist_is_refused(node: Node) -> None:
    node.good(node.boot_set(node.root_image(), policy="persistent"))
    os.unlink(node.root / "dev/vda2")
    node.configure(persist={"tmpfs_fallback": True, "wait_s": 0})
    assert node.boot().kind == "nothing"
    assert node.codes() == [("good", "boot.policy")]


def test_pending_has_three_attempts_and_then_the_good_one_is_back(node: Node) -> None:
    node.good(node.boot_set(node.root_image("old")))
    new = node.pending(node.boot_set(node.root_image("new"), serial=2))
    for attempt in (1, 2, 3):
        assert node.boot().kind == "booted"
        assert node.running() == "new"
        assert node.sets.attempts(new) == attempt
        assert node.document["root"]["reason"] == f"a new set, attempt {attempt} of 3"
        node.restart()  # nobody confirmed: it panicked
    assert node.boot().kind == "booted"
    assert node.running() == "old"
    assert node.document["choice"]["left_out"] == [
        {"kind": "pending", "set": new, "reason": "all 3 attempts are used up"}
    ]


def test_an_attempt_that_cannot_be_written_is_not_made(node: Node) -> None:
    node.good(node.boot_set(node.root_image("old")))
    new = node.pending(node.boot_set(node.root_image("new"), serial=2))
    (Path(node.store.sets) / ".pending.attempts.tmp").mkdir()
    assert node.boot().kind == "booted"
    assert node.running() == "old"
    assert node.codes() == [("pending", "durable.failed")]
    assert node.sets.attempts(new) == 0


def damage_attempts(node: Node) -> None:
    (Path(node.store.sets) / "pending.attempts").write_text("many\n")


def damage_pointer(node: Node) -> None:
    os.unlink(f"{node.store.sets}/pending")
    os.symlink("../../../../etc/passwd", f"{node.store.sets}/pending")


def damage_envelope(node: Node) -> None:
    path = Path(node.store.sets) / os.readlink(f"{node.store.sets}/pending")
    path.write_bytes(path.read_bytes() + b" ")


def lose_envelope(node: Node) -> None:
    os.unlink(f"{node.store.sets}/{os.readlink(f'{node.store.sets}/pending')}")


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (damage_attempts, "agent.sets.attempts"),
        (damage_pointer, "agent.sets.pointer"),
        (damage_envelope, "agent.sets.content"),
        (lose_envelope, "agent.sets.missing"),
    ],
)
def test_damaged_pending_falls_back(node: Node, damage: Callable[[Node], None], code: str) -> None:
    node.good(node.boot_set(node.root_image("old")))
    node.pending(node.boot_set(node.root_image("new"), serial=2))
    damage(node)
    assert node.boot().kind == "booted"
    assert node.running() == "old"
    assert node.codes() == [("pending", code)]


def replace_object(node: Node, root: Digest) -> None:
    path = object_of(node, root)
    path.write_bytes(b"evil".ljust(path.stat().st_size, b"!"))


def lose_object(node: Node, root: Digest) -> None:
    object_of(node, root).unlink()


def change_image(node: Node, root: Digest) -> None:
    path = Path(node.store.image(root.hex))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def cut_image(node: Node, root: Digest) -> None:
    path = Path(node.store.image(root.hex))
    path.write_bytes(path.read_bytes()[:4096])


def lose_image(node: Node, root: Digest) -> None:
    os.unlink(node.store.image(root.hex))


DAMAGES = [
    (replace_object, "boot.object-digest"),
    (lose_object, "boot.object-missing"),
    (change_image, "boot.image-digest"),
    (cut_image, "boot.image-digest"),
    (lose_image, "boot.image-missing"),
]


@pytest.mark.parametrize(("damage", "code"), DAMAGES)
@pytest.mark.parametrize("floor", ["kernel-verity", "userspace"])
def test_tampered_sets_fall_back_to_the_good_one(
    node: Node, damage: Callable[[Node, Digest], None], code: str, floor: str
) -> None:
    if floor == "userspace":
        node.kernel.can_seal = False
        node.kernel.level = "userspace"
    node.configure(enforcement={"floor": floor})
    node.good(node.boot_set(node.root_image("old")))
    root = node.root_image("new")
    node.pending(node.boot_set(root, serial=2))
    damage(node, root)
    assert node.boot().kind == "booted"
    assert node.codes() == [("pending", code)]
    assert node.running() == "old"


@pytest.mark.parametrize(("damage", "code"), DAMAGES)
def test_with_nothing_else_nothing_is_mounted(node: Node, damage: Callable[[Node, Digest], None], code: str) -> None:
    root = node.root_image()
    node.good(node.boot_set(root))
    damage(node, root)
    assert node.boot().kind == "nothing"
    assert node.codes() == [("good", code)]
    assert node.mounted() == ONLY_PERSIST
    assert os.listdir(node.root / "sysroot") == []


def test_a_damaged_object_under_a_stamp_is_found_with_full_preflight(node: Node) -> None:
    root = node.root_image()
    node.good(node.boot_set(root))
    node.boot()
    node.restart()
    lose_object(node, root)
    assert node.boot().kind == "booted"  # reading that one file fails; the kernel sees to it
    node.restart()
    node.configure(preflight="full")
    assert node.boot().kind == "nothing"
    assert node.codes() == [("good", "boot.object-missing")]


def test_without_enforcement_everything_is_read_at_every_boot(node: Node) -> None:
    node.kernel.can_seal = False
    node.kernel.level = "userspace"
    node.configure(enforcement={"floor": "userspace"})
    root = node.root_image()
    node.good(node.boot_set(root))
    assert node.boot().kind == "booted"
    assert not os.path.exists(node.store.stamp(root.hex))
    node.restart()
    replace_object(node, root)
    assert node.boot().kind == "nothing"
    assert node.codes() == [("good", "boot.object-digest")]


def test_only_reading_finds_blocks_that_were_changed_under_a_seal(node: Node) -> None:
    root = node.root_image()
    node.good(node.boot_set(root))
    node.boot()
    node.restart()
    node.kernel.flip(object_of(node, root))
    assert node.boot().kind == "booted"  # the kernel refuses the reads
    node.restart()
    node.configure(preflight="full")
    assert node.boot().kind == "nothing"
    assert node.codes() == [("good", "boot.object-digest")]


@pytest.mark.parametrize(
    ("terms", "key", "code"),
    [
        ({}, OTHER_PRIVATE, "trust.dsse.signature"),
        ({"not_after": NOW - 1}, None, "trust.set.expired"),
        ({"instance": "00000000-0000-4000-8000-000000000000"}, None, "trust.set.other-instance"),
    ],
)
def test_sets_that_may_not_run_here(node: Node, terms: dict[str, Any], key: bytes | None, code: str) -> None:
    node.good(node.boot_set(node.root_image("old"), instance=INSTANCE, not_after=NOW + 1))
    boot_set = node.boot_set(node.root_image("new"), serial=2, **terms)
    node.pending(boot_set, key) if key else node.pending(boot_set)
    assert node.boot().kind == "booted"
    assert node.codes() == [("pending", code)]
    assert node.running() == "old"


def test_the_terms_of_the_base_count_too(node: Node) -> None:
    node.base(node.boot_set(node.root_image(), instance="00000000-0000-4000-8000-000000000000"))
    assert node.boot().kind == "nothing"
    assert node.codes() == [("base", "trust.set.other-instance")]


@pytest.mark.parametrize("written_s", [0, NOW + 1, 0xFFFFFFFF])
def test_no_date_on_the_disk_makes_an_expired_set_run(node: Node, written_s: int) -> None:
    node.good(node.boot_set(node.root_image(), not_after=NOW - 1))
    node.disk("vda2", ext4(written_s=written_s))
    assert node.boot().kind == "nothing"
    assert node.codes() == [("good", "trust.set.expired")]
    assert node.document["clock"] == {"now_s": NOW, "not_before_s": written_s, "pinned_root": None}


def test_a_set_that_was_over_when_the_disk_was_last_written_stays_over(node: Node) -> None:
    """With a clock that somebody, or an empty battery, has set back."""
    node.good(node.boot_set(node.root_image(), not_after=NOW + 1))
    node.disk("vda2", ext4(written_s=NOW + 2))
    assert node.boot().kind == "nothing"
    assert node.codes() == [("good", "trust.set.expired")]


def test_without_a_key_no_set_is_believed_but_the_base(node: Node) -> None:
    node.write("etc/powernode/fleet-root.pem", b"")
    root = node.root_image()
    node.good(node.boot_set(root))
    base = node.base(node.boot_set(root, serial=0))
    assert node.boot().kind == "booted"
    assert node.codes() == [("good", "trust.dsse.no-keys")]
    assert (node.document["root"]["kind"], node.document["root"]["set"]) == ("base", base)


def test_with_damaged_keys_too(node: Node) -> None:
    node.write("etc/powernode/fleet-root.pem", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    root = node.root_image()
    node.good(node.boot_set(root))
    node.base(node.boot_set(root, serial=0))
    assert node.boot().kind == "booted"
    assert [what for what, _ in node.codes()] == ["keys", "good"]
    assert node.codes()[0][1].startswith("trust.")
    assert node.document["root"]["kind"] == "base"


def test_the_digest_on_the_command_line_decides(node: Node) -> None:
    old, new = node.root_image("old"), node.root_image("new")
    node.good(node.boot_set(old))
    node.pending(node.boot_set(new, serial=2))
    node.cmdline(f"powernode.root_digest={old.hex}")
    assert node.boot().kind == "booted"
    assert node.codes() == [("pending", "boot.root-digest")]
    assert node.running() == "old"
    node.restart()
    node.cmdline(f"powernode.root_digest=sha256:{'0' * 64}")
    assert node.boot().kind == "nothing"
    assert node.codes() == [("pending", "boot.root-digest"), ("good", "boot.root-digest")]


@pytest.mark.parametrize(
    ("cmdline", "code"),
    [
        ("powernode.root_digest=zz", "digest.text"),
        (f"powernode.root_digest={'0' * 64} powernode.root_digest={'1' * 64}", "linux.cmdline.conflict"),
    ],
)
def test_a_digest_that_cannot_be_read_boots_nothing(node: Node, cmdline: str, code: str) -> None:
    node.good(node.boot_set(node.root_image()))
    node.cmdline(cmdline)
    assert node.boot().kind == "nothing"
    assert node.codes() == [("boot", code)]
    assert node.mounted() == ONLY_PERSIST


def test_enforcement_below_the_floor(node: Node) -> None:
    node.good(node.boot_set(node.root_image()))
    node.kernel.level = "none"
    assert node.boot().kind == "nothing"
    assert node.codes() == [("good", "boot.enforcement")]
    assert node.mounted() == ONLY_PERSIST


def test_a_filesystem_without_verity(node: Node) -> None:
    node.good(node.boot_set(node.root_image()))
    node.disk("vda2", ext4(verity=False))
    node.kernel.can_seal = False
    assert node.boot().kind == "nothing"
    assert node.warnings() == ["persist.no-verity"]
    assert node.codes() == [("good", "boot.enforcement")]
    node.restart()
    node.kernel.level = "userspace"
    node.configure(enforcement={"floor": "userspace"})
    assert node.boot().kind == "booted"
    assert node.document["root"]["enforcement"] == "userspace"


def no_init(node: Node, target: str) -> None:
    os.unlink(f"{target}/sbin/init")


def no_library(node: Node, target: str) -> None:
    os.unlink(f"{target}/lib/x86_64-linux-gnu/libc.so.6")


def other_machine(node: Node, target: str) -> None:
    Path(f"{target}/sbin/init").write_bytes(elf(machine=183))


def no_folder(node: Node, target: str) -> None:
    os.rmdir(f"{target}/proc")


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (no_init, "boot.preflight-missing"),
        (no_library, "boot.preflight-missing"),
        (other_machine, "boot.preflight-arch"),
        (no_folder, "boot.preflight-folder"),
    ],
)
def test_preflight_refuses_before_the_point_of_no_return(
    node: Node, spoil: Callable[[Node, str], None], code: str
) -> None:
    node.good(node.boot_set(node.root_image()))
    node.kernel.after_mount = lambda target: spoil(node, target) if target.endswith("/sysroot") else None
    assert node.boot().kind == "nothing"
    assert node.codes() == [("good", code)]
    assert node.mounted() == ONLY_PERSIST


def test_a_fault_of_the_agent_does_not_stop_the_next_candidate(node: Node) -> None:
    node.good(node.boot_set(node.root_image("old")))
    broken = node.root_image("new")
    node.pending(node.boot_set(broken, serial=2))
    del node.kernel.trees[broken.value]  # a KeyError in the middle of mounting
    assert node.boot().kind == "booted"
    assert node.codes() == [("pending", "boot.internal")]
    assert "KeyError" in node.document["refused"][0]["found"]
    assert node.running() == "old"


MOUNTS = (
    "mount_image /sysroot",
    "mount_image /sysroot/var",
    "mount_tmpfs /sysroot/var/lib/powernode/modules",
    "mount_image /sysroot/var/lib/powernode/modules/m",
    "bind /sysroot/persist",
    "move /persist",
    "move /run",
    "move /dev",
    "move /sys",
    "move /proc",
)


@pytest.mark.parametrize("step", MOUNTS)
def test_whatever_step_fails_everything_is_taken_back(node: Node, step: str) -> None:
    action, what = step.split()
    node.kernel.failures[action, node.paths.at(what)] = MachineError("test.fails", "as the test wants it")
    node.good(node.boot_set(node.root_image(), modules={"m": node.image("m", {"m": b"m" * BIG})}))
    assert node.boot().kind == "nothing"
    assert node.codes() == [("good", "test.fails")]
    after = {target: what for target, what in node.mounted().items() if not what.startswith("moved")}
    assert after == ONLY_PERSIST
    assert "root" not in node.document


def test_binds(node: Node) -> None:
    node.good(node.boot_set(node.root_image()))
    node.configure(
        binds=[
            {"type": "9p", "tag": "seed", "target": "/run/powernode/seed", "options": "ro"},
            {"type": "virtiofs", "tag": "data", "target": "/var/data"},
            {"type": "9p", "tag": "lost", "target": "/run/powernode/lost"},
        ]
    )
    node.kernel.failures["mount_host", "lost"] = MachineError("linux.mount.failed", "no such tag")
    assert node.boot().kind == "booted"
    mounted = node.mounted()
    assert (mounted["/run/powernode/seed"], mounted["/sysroot/var/data"]) == ("9p seed ro", "virtiofs data")
    assert node.warnings() == ["boot.bind"]
    assert [bind["tag"] for bind in node.document["binds"]] == ["seed", "data"]


def test_a_bind_does_not_follow_links_out(node: Node) -> None:
    node.good(node.boot_set(node.root_image()))
    node.configure(binds=[{"type": "9p", "tag": "evil", "target": "/var/data"}])
    node.kernel.after_mount = lambda target: (
        os.symlink("/etc", f"{target}/var/data") if target.endswith("/sysroot") else None
    )
    assert node.boot().kind == "booted"
    assert node.warnings() == ["boot.bind"]
    assert "mount_host evil" not in node.kernel.log


@pytest.mark.parametrize("memory", [False, True])
def test_no_disk_and_a_base_in_the_initramfs(node: Node, memory: bool) -> None:
    root = node.root_image()
    os.rename(node.store.root, node.root / "baked")
    (node.root / "var/lib").mkdir(parents=True)
    os.rename(node.root / "baked", node.paths.baked_store.root)
    os.unlink(node.root / "dev/vda2")
    node.base(node.boot_set(root))
    node.configure(persist={"wait_s": 1, "tmpfs_fallback": memory}, enforcement={"floor": "userspace"})
    node.kernel.can_seal = False
    node.kernel.level = "userspace"
    assert node.boot().kind == "booted"
    assert node.codes() == ([] if memory else [("persist", "persist.missing")])
    assert node.document["root"]["var"] == "memory"
    assert ("/run/powernode/persist" in node.mounted()) == memory


def test_dracut_moves_the_kernels_filesystems_itself(node: Node) -> None:
    node.good(node.boot_set(node.root_image()))
    boot, report = node.prepare(stay=True)
    assert boot.run().kind == "booted"
    assert not any(what.startswith("moved") for what in node.mounted().values())
    assert node.mounted()["/run/powernode/persist"] == "ext4 /dev/vda2"
    assert report.refusals == []


def test_nothing_at_all(node: Node) -> None:
    outcome = node.boot()
    assert (outcome.kind, outcome.recovery_s, outcome.shell) == ("nothing", 60, False)
    assert node.codes() == []
    assert "powernode: choice: there is no set at all" in node.console


@pytest.mark.parametrize(("text", "seconds"), [("5", 5), ("0", 0), ("999999999", 86400), ("soon", 40)])
def test_recovery_settings(node: Node, text: str, seconds: int) -> None:
    node.configure(recovery={"seconds": 40, "shell": True})
    node.cmdline(f"powernode.recovery_seconds={text}")
    outcome = node.boot()
    assert (outcome.recovery_s, outcome.shell) == (seconds, True)


def test_a_broken_configuration_boots_nothing(node: Node) -> None:
    node.good(node.boot_set(node.root_image()))
    node.configure(enforcment={"floor": "none"})
    assert node.boot().kind == "nothing"
    assert node.codes() == [("boot", "agent.config.unknown-key")]
    assert node.mounted() == {}


def test_no_configuration_means_the_strict_defaults(node: Node) -> None:
    os.unlink(node.paths.config)
    node.good(node.boot_set(node.root_image()))
    node.kernel.level = "userspace"
    assert node.boot().kind == "nothing"
    assert node.codes()[-1] == ("good", "boot.enforcement")


def test_left_to_others(node: Node) -> None:
    node.good(node.boot_set(node.root_image()))
    node.cmdline("powernode.boot=0")
    assert node.boot().kind == "disabled"
    assert node.mounted() == {}


def test_unknown_keys_are_told(node: Node) -> None:
    node.good(node.boot_set(node.root_image()))
    node.cmdline("powernode.boto=1 powernode.boot=1")
    assert node.boot().kind == "booted"
    assert node.warnings() == ["boot.cmdline", "boot.identity"]


def test_secrets_stay_out_of_report_and_console(node: Node) -> None:
    node.good(node.boot_set(node.root_image()))
    node.cmdline(
        f"powernode.instance_uuid={INSTANCE} powernode.platform_url=https://p.example "
        "powernode.bootstrap_token=s3cr3t-t0ken"
    )
    assert node.boot().kind == "booted"
    assert node.document["identity"]["identity"]["fields"]["instance_uuid"]["value"] == INSTANCE
    assert "s3cr3t" not in Path(node.paths.boot_report).read_text()
    assert "s3cr3t" not in "\n".join(node.console)
    assert os.stat(node.paths.boot_report).st_mode & 0o777 == 0o600


def test_a_fault_in_the_search_for_an_identity_does_not_stop_the_boot(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("powernode.agent.identity.cascade.resolve", broken)
    node.good(node.boot_set(node.root_image()))
    assert node.boot().kind == "booted"
    assert node.codes() == [("identity", "boot.internal")]
