# SPDX-License-Identifier: MIT
"""The table of packages becomes a lock, the same from the same archive; the committed locks are those of the table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from powernode.base.errors import DataError
from powernode.debian import lock as locks
from powernode.debian.lock import LockedPackage
from powernode.image import packages

COMMITTED = Path(__file__).resolve().parents[3] / "initramfs/lock"


def locked(name: str) -> LockedPackage:
    filename = f"pool/main/x/{name}_2.0_amd64.deb"
    return LockedPackage(name=name, version="2.0", architecture="amd64", size=10, sha256="ab" * 32, filename=filename)


@pytest.mark.parametrize("arch", locks.ARCHITECTURES)
def test_the_committed_locks(arch: str) -> None:
    data = (COMMITTED / f"{arch}.json").read_bytes()
    lock = locks.parse(data)
    assert locks.encode(lock) == data, "written by hand?"
    assert lock.arch == arch
    assert set(lock.groups) == set(packages.GROUPS), "the table was edited: run powernode image lock"
    for name, group in packages.GROUPS.items():
        found = {each.name for each in lock.groups[name]}
        if group.how is packages.How.EXACT:
            assert found == {each.format(arch=arch) for each in group.names}
        elif group.how is packages.How.CLOSURE:
            assert found >= {each for each in group.names if each[0].isalnum()}
        else:
            assert len(found) == 1
    assert b"://" not in data


class Archive:
    """An oracle with packages for the asking."""

    def __init__(self, depends: list[str] | None = None, lost: str = "") -> None:
        self._depends = depends
        self._lost = lost

    def exact(self, names: Sequence[str]) -> list[LockedPackage]:
        return [locked(name) for name in reversed(names) if name != self._lost]

    def closure(self, requests: Sequence[str]) -> list[LockedPackage]:
        return [locked("needed"), *(locked(name) for name in requests if name[0].isalnum())]

    def depends(self, name: str) -> list[str]:
        return self._depends if self._depends is not None else ["firmware", f"{name}-6.12"]


def test_resolving_is_by_the_table() -> None:
    lock = packages.resolve(Archive(), "trixie", "amd64")
    assert [each.name for each in lock.group("kernel-cloud")] == ["linux-image-cloud-amd64-6.12"]
    assert [each.name for each in lock.group("kernel-generic")] == ["linux-image-amd64-6.12"]
    assert lock.package("needed") in lock.group("system-base")
    assert locks.parse(locks.encode(lock)) == lock


@pytest.mark.parametrize(
    "archive", [Archive(lost="libc6"), Archive(depends=[]), Archive(depends=["linux-image-1", "linux-image-2"])]
)
def test_an_archive_that_has_it_not(archive: Archive) -> None:
    with pytest.raises(DataError) as caught:
        packages.resolve(archive, "trixie", "amd64")
    assert caught.value.code == "image.packages.unresolved"
