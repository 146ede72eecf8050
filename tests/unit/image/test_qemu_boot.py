# SPDX-License-Identifier: MIT
"""`powernode image boot`: exit statuses and disks. QEMU here is a script that says what it was called with."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from powernode.base.errors import OperatorError, PowernodeError
from powernode.cli.image import boot

_QEMU = """#!/bin/sh
echo "called: $*"
{script}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:{os.environ['PATH']}")
    (tmp_path / "programs").mkdir()
    guest_says(tmp_path, "")
    built = tmp_path / "amd64"
    built.mkdir()
    for name in ("vmlinuz", "initramfs.cpio.zst", "persist.img"):
        (built / name).write_bytes(b"data")
    (built / "cmdline").write_text("console=ttyS0 quiet\n")
    return built


def guest_says(tmp_path: Path, script: str) -> None:
    for name in ("qemu-system-x86_64", "qemu-system-aarch64"):
        program = tmp_path / "programs" / name
        program.write_text(_QEMU.format(script=script))
        program.chmod(0o755)


def run(*words: object) -> int:
    arguments = boot.COMMAND.parse([str(word) for word in words])
    assert arguments is not None
    return boot.run(arguments)


def test_the_built_disk_is_not_changed_unless_a_copy_is_kept(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(folder) == 0
    assert f"file={folder}/persist.img,format=raw,if=none,id=disk0,snapshot=on" in capfd.readouterr().out
    assert run(folder, f"--keep-disk={tmp_path / 'kept.img'}") == 0
    assert f"file={tmp_path}/kept.img,format=raw,if=none,id=disk0,snapshot=off" in capfd.readouterr().out
    assert (tmp_path / "kept.img").read_bytes() == b"data"
    assert run(folder, f"--disk={tmp_path / 'kept.img'}", "--snapshot") == 0
    assert f"file={tmp_path}/kept.img,format=raw,if=none,id=disk1,snapshot=on" in capfd.readouterr().out


def test_arguments_reach_the_guest(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "--append=a=1", "--append", "b", "--identity=instance_uuid=x=y", "--expect=called") == 0
    said = capfd.readouterr().out
    assert "console=ttyS0 quiet a=1 b cryptomgr.notests" in said
    assert "name=opt/com.powernode/instance_uuid,string=x=y" in said


@pytest.mark.parametrize(
    ("script", "words", "status", "said"),
    [
        ("printf 'login: '; exec sleep 30", ["--expect=login:"], 0, ""),
        ("echo done", ["--expect=login:"], boot.ENDED, "it ended by itself"),
        ("echo '---[ end Kernel panic ]---'; exec sleep 30", ["--expect=login:"], boot.CRASHED, "its kernel crashed"),
        ("echo '---[ end Kernel panic ]---'; exec sleep 30", [], boot.CRASHED, "its kernel crashed"),
        ("exec sleep 30", ["--timeout=1"], boot.TIMEOUT, "its time was up"),
    ],
)
def test_exit_statuses(
    folder: Path,
    tmp_path: Path,
    script: str,
    words: list[str],
    status: int,
    said: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    guest_says(tmp_path, script)
    assert run(folder, *words) == status
    assert said in capfd.readouterr().err


def test_the_build_says_which_machine_it_is_for(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "build-manifest.json").write_text(json.dumps({"plan": {"arch": "arm64", "board": "qemu"}}))
    assert run(folder) == 0
    assert "-machine virt" in capfd.readouterr().out
    assert run(folder, "--arch=amd64") == 0
    assert "-machine q35" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--board=toaster"], "image.board.unknown"),
        (["--board=rpi4"], "image.board.arch"),
        (["--board=rpi4", "--arch=arm64"], "image.boot.dtb"),
        (["--identity=nothing"], "cli.option"),
        (["--disk=/nowhere/x.img"], "image.boot.disk"),
    ],
)
def test_what_cannot_be_started_is_refused(folder: Path, words: list[str], code: str) -> None:
    with pytest.raises(PowernodeError) as refused:
        run(folder, *words)
    assert refused.value.code == code


def test_a_folder_without_an_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError) as refused:
        run(tmp_path)
    assert (refused.value.code, refused.value.expected) == ("image.boot.no-image", "vmlinuz")
