# SPDX-License-Identifier: MIT
"""What is known of packages: names from a lock, files from packages in the cache, nothing from damaged ones."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from powernode.debian.lock import Lock, LockedPackage
from powernode.module.known import Known, of_lock
from unit.archive._debs import Item, deb, directories

TOOL = deb(*directories("./", "./bin", "./usr", "./usr/bin"), Item("./usr/bin/tool"), Item("./bin/old"))


def package(name: str, data: bytes = b"") -> LockedPackage:
    return LockedPackage(
        name=name,
        version="1",
        architecture="all",
        filename=f"pool/{name}.deb",
        size=len(data) or 1,
        sha256=sha256(data).hexdigest(),
    )


def lock(**groups: tuple[LockedPackage, ...]) -> Lock:
    return Lock(
        arch="amd64", suite="trixie", groups={name.replace("_", "-"): packages for name, packages in groups.items()}
    )


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    (tmp_path / "debs").mkdir()
    (tmp_path / "debs" / f"{sha256(TOOL).hexdigest()}.deb").write_bytes(TOOL)
    return tmp_path


def ask(locked: Lock, cache: Path | None) -> Known:
    return of_lock(locked, Path("packages.lock/amd64.json"), cache=cache)


def test_names_of_the_lock_and_files_of_what_is_added(cache: Path) -> None:
    base, tool = package("base", b"not in the cache"), package("tool", TOOL)
    known = ask(lock(base=(base,), module=(base, tool)), cache)
    assert known.where == "packages.lock/amd64.json"
    assert known.names == {"base", "tool"}
    assert known.files == {
        b"/": True,
        b"/usr": True,
        b"/usr/bin": True,
        b"/usr/bin/tool": False,
        b"/usr/bin/old": False,
    }


def test_one_package_that_the_cache_lacks_and_no_file_is_known(cache: Path) -> None:
    known = ask(lock(base=(), module=(package("other", b"x"), package("tool", TOOL))), cache)
    assert known.names == {"other", "tool"}
    assert known.files is None
    assert ask(lock(base=(), module=(package("tool", TOOL),)), None).files is None


def test_a_damaged_package_is_none(cache: Path) -> None:
    (path,) = (cache / "debs").iterdir()
    path.write_bytes(TOOL[:-1] + b"x")
    assert ask(lock(base=(), module=(package("tool", TOOL),)), cache).files is None


def test_options_count(cache: Path) -> None:
    known = ask(lock(base=(), module=(), module_ssh=(package("tool", TOOL),)), cache)
    assert known.names == {"tool"}
    assert known.files is not None
    assert b"/usr/bin/tool" in known.files


def test_nothing_is_added(cache: Path) -> None:
    base = package("base", b"x")
    assert ask(lock(base=(base,), module=(base,)), cache).files == {}
