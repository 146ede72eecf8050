# SPDX-License-Identifier: MIT
"""The command line for QEMU, and a guest's console: heard, expected, ended. The guests here are shell scripts."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from powernode.base.errors import MachineError, OperatorError
from powernode.image import board, guest, qemu
from powernode.image.guest import End

PI = board.read(board.FOLDER, "rpi4").target("arm64")
VIRT = board.read(board.FOLDER, "qemu").target("arm64")
PC = board.read(board.FOLDER, "qemu").target("amd64")


@pytest.fixture(autouse=True)
def _programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """QEMU need not be here to know how it would be called."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("qemu-system-x86_64", "qemu-system-aarch64"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def machine(target: board.Target = PC, **changes: object) -> qemu.Machine:
    plain = qemu.Machine(target=target, kernel=Path("vmlinuz"), initramfs=Path("initramfs"), cmdline="console=ttyS0")
    return replace(plain, **changes)  # type: ignore[arg-type]


def after(words: list[str], option: str) -> list[str]:
    return [value for name, value in pairwise(words) if name == option]


def test_the_same_machine_everywhere(tmp_path: Path) -> None:
    words = qemu.command(machine(), tmp_path)
    assert words[:3] == ["qemu-system-x86_64", "-accel", "tcg"]
    assert after(words, "-cpu") == ["qemu64,-cx16"]
    assert after(words, "-append") == ["console=ttyS0 cryptomgr.notests"]
    assert qemu.command(machine(VIRT), tmp_path)[0] == "qemu-system-aarch64"


def test_disks_are_numbered_and_thrown_away_as_asked(tmp_path: Path) -> None:
    disks = (qemu.Disk(path=Path("a,b.img"), throw_away=True), qemu.Disk(path=Path("c.img"), throw_away=False))
    words = qemu.command(machine(disks=disks), tmp_path)
    first, second = after(words, "-drive")
    assert first.startswith("file=a,,b.img,format=raw,if=none,id=disk0,snapshot=on")
    assert second.startswith("file=c.img,format=raw,if=none,id=disk1,snapshot=off")
    assert {"virtio-blk-pci,drive=disk0", "virtio-blk-pci,drive=disk1"} <= set(after(words, "-device"))


def test_identity_goes_through_fw_cfg(tmp_path: Path) -> None:
    words = qemu.command(machine(identity={"instance_uuid": "12,34", "ca": "a=b"}), tmp_path)
    assert after(words, "-fw_cfg") == [
        "name=opt/com.powernode/ca,string=a=b",
        "name=opt/com.powernode/instance_uuid,string=12,,34",
    ]


@pytest.mark.parametrize("identity", [{"a b": "x"}, {"": "x"}, {"key": ""}, {"k" * 38: "x"}, {"a,b": "x"}])
def test_an_identity_that_cannot_be_told_is_refused(tmp_path: Path, identity: dict[str, str]) -> None:
    with pytest.raises(OperatorError) as refused:
        qemu.command(machine(identity=identity), tmp_path)
    assert refused.value.code == "image.boot.identity"


def test_a_board_without_fw_cfg_says_so(tmp_path: Path) -> None:
    target = replace(PI, dtb=None)
    with pytest.raises(OperatorError) as refused:
        qemu.command(machine(target, identity={"a": "b"}), tmp_path)
    assert refused.value.code == "image.boot.identity"


def test_a_board_with_a_device_tree_needs_it(tmp_path: Path) -> None:
    with pytest.raises(OperatorError) as refused:
        qemu.command(machine(PI), tmp_path)
    assert refused.value.code == "image.boot.dtb"


def test_a_missing_emulator_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError) as refused:
        qemu.command(machine(), tmp_path)
    assert (refused.value.code, refused.value.hint) == ("image.boot.tool", "apt-get install qemu-system-x86")


def test_a_copied_disk_keeps_its_holes_and_its_content(tmp_path: Path) -> None:
    source = tmp_path / "a.img"
    with open(source, "wb") as file:
        file.truncate(32 << 20)
        file.seek(8 << 20)
        file.write(b"data" * 4096)
    qemu.copy_disk(source, tmp_path / "b.img")
    assert (tmp_path / "b.img").read_bytes() == source.read_bytes()
    assert (tmp_path / "b.img").stat().st_blocks * 512 < 4 << 20
    (tmp_path / "b.img").write_text("changed")
    qemu.copy_disk(source, tmp_path / "b.img")
    assert (tmp_path / "b.img").read_text() == "changed"


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


def test_lines_are_plain_and_the_last_one_need_not_end() -> None:
    with guest.run(sh(r"printf '[\033[0;32m  OK  \033[0m] Reached\r\n\n\033]0;x\007login: '"), timeout_s=20) as running:
        assert list(running.lines()) == ["[  OK  ] Reached", "", "login: "]
    assert running.end is End.ENDED


def test_expected_text_is_seen_through_colours_in_a_line_that_does_not_end() -> None:
    shown: list[str] = []
    with guest.run(sh(r"printf 'Reached \033[1mmulti-user\033[0m now'; sleep 30"), timeout_s=20) as running:
        assert guest.watch(running, "Reached multi-user", shown.append) == (True, None)
    assert "".join(shown) == "Reached \x1b[1mmulti-user\x1b[0m now"


def test_text_that_spans_lines_is_not_expected_text() -> None:
    with guest.run(sh(r"printf 'Reached\nmulti-user\n'"), timeout_s=20) as running:
        assert guest.watch(running, "Reachedmulti", lambda _: None) == (False, End.ENDED)


def test_time_is_up() -> None:
    with guest.run(sh("echo waiting; exec sleep 30"), timeout_s=0.2) as running:
        assert list(running.lines()) == ["waiting"]
    assert running.end is End.TIMEOUT


def test_power_is_cut_at_an_instant() -> None:
    with guest.run(sh("echo one; sleep 0.1; echo two; exec sleep 30"), timeout_s=20) as running:
        for line in running.lines():
            if line == "one":
                running.cut_power(after_s=0.3)
            if line == "two":
                assert running.end is None
    assert running.end is End.CUT


def test_whatever_it_started_ends_with_it(tmp_path: Path) -> None:
    with guest.run(sh(f"sleep 30 & echo $! > {tmp_path}/pid; echo up; wait"), timeout_s=20) as running:
        assert next(running.lines()) == "up"
    child = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not _runs(child):
            break
        time.sleep(0.02)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_a_panic_ends_it_once_it_has_said_why() -> None:
    script = (
        "echo 'Kernel panic - not syncing: no init'; echo '---[ end Kernel panic - not syncing ]---'; exec sleep 30"
    )
    with guest.run(sh(script), timeout_s=20) as running:
        assert len(list(running.lines())) == 2
    assert running.end is End.CRASHED


def test_a_panic_that_says_no_more_ends_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "_LAST_WORDS_S", 0.1)
    with guest.run(sh("echo 'Kernel panic - not syncing: no init'; exec sleep 30"), timeout_s=20) as running:
        assert len(list(running.lines())) == 1
    assert running.end is End.CRASHED


def test_an_oops_is_a_crash_and_a_warning_is_none() -> None:
    warning = "echo '[1.0] WARNING: CPU: 0 PID: 1 at x.c'; echo '[1.0] ---[ end trace 0 ]---'"
    with guest.run(sh(f"{warning}; echo alive"), timeout_s=20) as running:
        assert list(running.lines())[-1] == "alive"
    assert running.end is End.ENDED
    with guest.run(
        sh(f"{warning}; echo 'BUG: x'; echo '---[ end trace 0 ]---'; exec sleep 30"), timeout_s=20
    ) as running:
        list(running.lines())
    assert running.end is End.CRASHED


def test_an_emulator_that_cannot_start_is_no_guest() -> None:
    with (
        guest.run(sh("echo 'no such machine' >&2; exit 1"), timeout_s=20) as running,
        pytest.raises(MachineError) as refused,
    ):
        list(running.lines())
    assert (refused.value.code, refused.value.found) == ("image.boot.qemu", "no such machine")
