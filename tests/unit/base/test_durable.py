# SPDX-License-Identifier: MIT
"""Old or new, whatever happens: every step is made to fail once, and what is there then is whole.

Real power cuts are in tests/vm; here the order of the steps is written down as the system calls that make it.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from powernode.base.durable import remove_durably, replace_symlink, write_durably
from powernode.base.errors import MachineError

STEPS = ("open", "ftruncate", "write", "fchmod", "fsync", "rename", "symlink", "unlink")


def content(folder: Path) -> dict[str, bytes | str]:
    return {entry.name: os.readlink(entry) if entry.is_symlink() else entry.read_bytes() for entry in folder.iterdir()}


def test_write_and_replace(tmp_path: Path) -> None:
    path = tmp_path / "name"
    old = os.umask(0o077)
    try:
        write_durably(str(path), b"old", mode=0o644)
        write_durably(str(path), b"", mode=0o640)
    finally:
        os.umask(old)
    assert content(tmp_path) == {"name": b""}
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_write_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_durably("name", b"x", mode=0o600)
    assert content(tmp_path) == {"name": b"x"}


def test_what_a_power_cut_left_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / ".name.tmp").write_bytes(b"half of something long")
    write_durably(str(tmp_path / "name"), b"new", mode=0o644)
    (tmp_path / ".link.tmp").symlink_to("nowhere")
    replace_symlink(str(tmp_path / "link"), "name")
    assert content(tmp_path) == {"name": b"new", "link": "name"}


def test_a_link_in_the_way_of_the_temporary_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / ".name.tmp").symlink_to("victim")
    with pytest.raises(MachineError) as refusal:
        write_durably(str(tmp_path / "name"), b"new", mode=0o644)
    assert refusal.value.code == "durable.failed"
    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_symlinks(tmp_path: Path) -> None:
    link = tmp_path / "good"
    replace_symlink(str(link), "a" * 64 + ".json")
    replace_symlink(str(link), "b" * 64 + ".json")
    assert content(tmp_path) == {"good": "b" * 64 + ".json"}
    write_durably(str(link), b"now a file", mode=0o600)
    replace_symlink(str(link), "c")
    assert content(tmp_path) == {"good": "c"}


def test_remove(tmp_path: Path) -> None:
    write_durably(str(tmp_path / "name"), b"x", mode=0o644)
    remove_durably(str(tmp_path / "name"))
    remove_durably(str(tmp_path / "name"))
    assert content(tmp_path) == {}


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "durable.no-space"),
        (errno.EROFS, "durable.read-only"),
        (errno.EACCES, "durable.permission"),
        (errno.EIO, "durable.damaged"),
        (errno.EMFILE, "durable.failed"),
    ],
)
@pytest.mark.parametrize("step", ["write", "fsync", "rename"])
def test_a_failing_step_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int, code: str
) -> None:
    path = tmp_path / "name"
    path.write_bytes(b"old")

    def fail(*_arguments: Any, **_named: Any) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(MachineError) as refusal:
        write_durably(str(path), b"new", mode=0o644)
    monkeypatch.undo()
    assert refusal.value.code == code
    assert content(tmp_path) == {"name": b"old"}


def test_no_folder(tmp_path: Path) -> None:
    for action in (
        lambda path: write_durably(path, b"", mode=0o644),
        lambda path: replace_symlink(path, "x"),
        remove_durably,
    ):
        with pytest.raises(MachineError) as refusal:
            action(str(tmp_path / "missing" / "name"))
        assert refusal.value.code == "durable.no-folder"


def steps_of(monkeypatch: pytest.MonkeyPatch, action: Callable[[], None]) -> list[str]:
    """The names of the system calls that `action` makes, and what each fsync is of."""
    seen: list[str] = []
    real = {name: getattr(os, name) for name in STEPS}

    def noted(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            is_folder = name == "fsync" and stat.S_ISDIR(os.fstat(arguments[0]).st_mode)
            seen.append("fsync folder" if is_folder else name)
            return real[name](*arguments, **named)

        return call

    for name in STEPS:
        monkeypatch.setattr(os, name, noted(name))
    action()
    monkeypatch.undo()
    return [step for step in seen if step != "open"]


def test_durable_before_named_and_named_before_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "name")
    steps = steps_of(monkeypatch, lambda: write_durably(path, b"x", mode=0o644))
    assert steps == ["ftruncate", "write", "fchmod", "fsync", "rename", "fsync folder"]
    steps = steps_of(monkeypatch, lambda: replace_symlink(path, "x"))
    assert steps == ["unlink", "symlink", "rename", "fsync folder"]
    steps = steps_of(monkeypatch, lambda: remove_durably(path))
    assert steps == ["unlink", "fsync folder"]


def test_writers_of_one_name_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "name"
    texts = [bytes([65 + number]) * 20_000 for number in range(4)]
    failures: list[BaseException] = []

    def work(text: bytes) -> None:
        try:
            for _ in range(20):
                write_durably(str(path), text, mode=0o644)
                assert path.read_bytes() in texts
                replace_symlink(str(tmp_path / "link"), text[:5].decode())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sorted(content(tmp_path)) == ["link", "name"]
