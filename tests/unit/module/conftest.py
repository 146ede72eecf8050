# SPDX-License-Identifier: MIT
"""A registry in this process with two versions of a module."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from powernode.module.push import push
from powernode.oci.client import Registry
from support._oci_modules import Made, make
from support.registry import Direct, client, handler
from unit.module._pulls import small_tree


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry waits for the disk after every step; nobody pulls the plug here."""
    monkeypatch.setattr(os, "fsync", lambda fd: os.fstat(fd) and None)


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, Made]:
    """Two versions; in the second one, two files are different."""
    folder = tmp_path_factory.mktemp("versions")
    made = []
    for name, changed in (("old", 0), ("new", 2)):
        (folder / name).mkdir()
        made.append(make(folder / name, small_tree(folder / name / "tree", changed=changed)))
    return made[0], made[1]


@pytest.fixture
def direct(tmp_path: Path, versions: tuple[Made, Made]) -> Direct:
    direct = Direct(handler(tmp_path / "registry"))
    for name, made in zip(("v1", "v2"), versions, strict=True):
        push(made.layout, made.index, client(direct), tags=[name])
    direct.seen.clear()
    return direct


@pytest.fixture
def registry(direct: Direct) -> Registry:
    return client(direct)
