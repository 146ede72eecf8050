# SPDX-License-Identifier: MIT
"""The whole boot against a tree: what runs afterwards, what was refused and why, what is still mounted."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from powernode.base.digest import Digest
from powernode.base.errors import MachineError
from powernode.composefs.image import objects
from unit.agent._node import BIG, INSTANCE, Node

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
