# SPDX-License-Identifier: MIT
"""Making something of a cache once: alone, under another name, and named only when it is complete."""

from __future__ import annotations

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from powernode.base.errors import MachineError
from powernode.debian.claim import FILE, FOLDER, claim, empty


@pytest.mark.parametrize("kind", [FILE, FOLDER])
def test_one_makes_it_and_the_others_get_it(tmp_path: Path, kind: int) -> None:
    place = tmp_path / "cache/thing"
    inside = threading.Semaphore(1)
    made: list[Path] = []

    def make(_: int) -> None:
        with claim(place, kind) as part:
            assert inside.acquire(blocking=False), "two at once"
            if part is not None:
                made.append(part)
                part.rename(place)
            inside.release()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make, range(24)))
    assert made == [tmp_path / "cache/thing.part"]
    assert [path.name for path in place.parent.iterdir()] == ["thing"]


@pytest.mark.parametrize("kind", [FILE, FOLDER])
def test_who_fails_leaves_it_to_the_next(tmp_path: Path, kind: int) -> None:
    def fail() -> None:
        with claim(tmp_path / "thing", kind) as part:
            assert part is not None
            (part / "half" if kind == FOLDER else part).write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not (tmp_path / "thing").exists()
    with claim(tmp_path / "thing", kind) as part:
        assert part is not None
        assert list(part.iterdir()) if kind == FOLDER else part.read_text() == "half"


def test_a_link_in_the_place_of_a_part_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "thing.part").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"thing\.part"), claim(tmp_path / "thing", FILE):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_emptying_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "kept/inner").mkdir(parents=True)
    (tmp_path / "part/folder/inner").mkdir(parents=True)
    (tmp_path / "part/link").symlink_to(tmp_path / "kept")
    (tmp_path / "part/file").touch()
    empty(tmp_path / "part")
    assert list((tmp_path / "part").iterdir()) == []
    assert (tmp_path / "kept/inner").is_dir()


def test_nothing_is_removed_through_a_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount that a process of root's left: here its device number says so."""
    for name in ("work/a root/proc", "work/a root/proc/1", "work/a root/etc"):
        (tmp_path / "part" / name).mkdir(parents=True)
    (tmp_path / "part/work/file").touch()
    mounted = tmp_path / "part/work/a root/proc"
    real = os.lstat

    def lstat(path: str) -> os.stat_result:
        found = real(path)
        return os.stat_result((*found[:2], found.st_dev + 1, *found[3:10])) if Path(path) == mounted else found

    monkeypatch.setattr(os, "lstat", lstat)
    monkeypatch.setattr(shutil, "rmtree", lambda path: pytest.fail(f"removed {path}"))
    with pytest.raises(MachineError) as caught:
        empty(tmp_path / "part")
    assert (caught.value.code, caught.value.found) == ("debian.claim.mounted", str(mounted))
    assert f"umount --recursive '{mounted}'" in str(caught.value.hint)
    assert (tmp_path / "part/work/file").exists()
