# SPDX-License-Identifier: MIT
"""A place holds the old thing or the new one; what the dead leave is removed, and what is anybody's else stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from powernode.base.errors import MachineError, OperatorError
from powernode.linux import files
from powernode.module import place as places
from powernode.module.place import beside, put

HOLD = """
import sys, time
from pathlib import Path
from powernode.module.place import beside
with beside(Path(sys.argv[1])) as work:
    (work / "half").write_text("done")
    print(work, flush=True)
    time.sleep(60)
"""


def folder(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "content").write_text(content)
    return path


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path))


def test_the_first_and_the_next(tmp_path: Path) -> None:
    place = tmp_path / "deep/out"
    for content in ("one", "two"):
        with beside(place) as work:
            put(folder(work / "new", content), place)
        assert (place / "content").read_text() == content
        assert names(place.parent) == ["out"]


def test_what_was_there_is_where_the_new_one_was(tmp_path: Path) -> None:
    old, new = folder(tmp_path / "out", "old"), folder(tmp_path / "new", "new")
    put(new, old)
    assert ((old / "content").read_text(), (new / "content").read_text()) == ("new", "old")


def test_it_is_durable_before_it_has_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    exchange = files.exchange

    def recorded(one: str, other: str) -> None:
        done.append("exchange")
        exchange(one, other)

    monkeypatch.setattr(files, "syncfs", lambda fd: done.append(f"sync {os.readlink(f'/proc/self/fd/{fd}')}"))
    monkeypatch.setattr(files, "exchange", recorded)
    monkeypatch.setattr(places, "sync_folder", lambda path: done.append(f"name in {path}"))
    put(folder(tmp_path / "new", "new"), folder(tmp_path / "out", "old"))
    assert done == [f"sync {tmp_path}/new", "exchange", f"name in {tmp_path}"]


def test_many_at_once(tmp_path: Path) -> None:
    """Each sees another's whole thing come out, or nothing; none is lost or left."""
    out, failures = tmp_path / "out", list[BaseException]()
    start = threading.Barrier(8)

    def work(number: int) -> None:
        try:
            start.wait(30)
            for turn in range(20):
                with beside(out) as scratch:
                    put(folder(scratch / "new", f"{number}.{turn}"), out)
                    if (scratch / "new").exists():
                        assert names(scratch / "new") == ["content"]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert names(tmp_path) == ["out"]
    assert (out / "content").read_text().endswith(".19")


def test_a_filesystem_without_that_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_RENAME_EXCHANGE", 1 << 20)
    old, new = folder(tmp_path / "out", "old"), folder(tmp_path / "new", "new")
    with pytest.raises(MachineError) as refused:
        put(new, old)
    assert refused.value.code == "module.place.exchange"
    assert ((old / "content").read_text(), (new / "content").read_text()) == ("old", "new")


def test_what_the_dead_leave_is_removed_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    others = [
        folder(tmp_path / name, "mine") for name in ("out-old", ".out-x", ".outer.powernode-1", "out.powernode-2")
    ]
    (tmp_path / ".out.powernode-file").write_text("mine")
    (tmp_path / ".out.powernode-link").symlink_to(others[0])
    with subprocess.Popen([sys.executable, "-c", HOLD, str(out)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        held = Path(process.stdout.readline().strip())
        with beside(out):
            assert (held / "half").read_text() == "done"  # its process lives
        process.send_signal(signal.SIGKILL)
    assert held.exists()
    with beside(out) as work:
        assert not held.exists()
        assert work.exists()
    assert names(tmp_path) == sorted([*(path.name for path in others), ".out.powernode-file", ".out.powernode-link"])
    assert all((path / "content").exists() for path in others)


def test_it_is_gone_after_a_failure_too(tmp_path: Path) -> None:
    def fail() -> None:
        with beside(tmp_path / "out") as work:
            folder(work / "new", "x")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert names(tmp_path) == []


def test_only_a_folder_makes_room(tmp_path: Path) -> None:
    new, target = folder(tmp_path / "new", "new"), folder(tmp_path / "target", "old")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    before = names(tmp_path)
    for name in ("file", "link", "dangling"):
        with pytest.raises(OperatorError) as refused:
            put(new, tmp_path / name)
        assert refused.value.code == "module.place.no-folder"
    assert names(tmp_path) == before
    assert (tmp_path / "file").read_text() == "mine"
    assert (target / "content").read_text() == "old"
