# SPDX-License-Identifier: MIT
"""Reading a module's folder: nothing but its own, ordinary files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from powernode.base.errors import DataError, OperatorError
from powernode.module import lock
from powernode.module.containerfile import Containerfile
from powernode.module.document import MAX_BYTES
from powernode.module.source import list_rootfs, open_regular, read_manifest, read_source


@pytest.mark.parametrize("name", ["manifest.yaml", "packages.lock/amd64.json", "Containerfile"])
@pytest.mark.parametrize("what", ["link", "dangling", "pipe", "folder"])
def test_what_is_no_ordinary_file(tmp_path: Path, name: str, what: str) -> None:
    (tmp_path / "manifest.yaml").write_text("schema_version: 1\nname: x\nfile_spec: [/etc/a]\n")
    manifest = read_source(tmp_path).manifest
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to("/etc/passwd" if what == "link" else "nowhere")
    readers: dict[str, Callable[[], object]] = {
        "manifest.yaml": lambda: read_manifest(tmp_path),
        "packages.lock/amd64.json": lambda: lock.read(tmp_path, lock.Request.of(manifest), "amd64"),
        "Containerfile": lambda: Containerfile.of(tmp_path, manifest, arch="amd64", options=()),
    }
    with pytest.raises(DataError) as caught:
        readers[name]()
    assert caught.value.code == "module.source.type"


def test_no_more_is_read_than_is_looked_at(tmp_path: Path) -> None:
    os.truncate(os.open(tmp_path / "manifest.yaml", os.O_CREAT | os.O_WRONLY), 1 << 40)
    assert len(read_manifest(tmp_path)) == MAX_BYTES + 1


def test_the_other_spelling_is_seen(tmp_path: Path) -> None:
    (tmp_path / "manifest.yml").touch()
    with pytest.raises(OperatorError) as caught:
        read_manifest(tmp_path)
    assert caught.value.code == "module.source.missing"
    assert caught.value.hint == f"mv {tmp_path}/manifest.yml {tmp_path}/manifest.yaml"


def test_no_rootfs(tmp_path: Path) -> None:
    assert list_rootfs(tmp_path / "rootfs") == {}


def test_opening_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/passwd")
    for name in ("pipe", "link", "."):
        with pytest.raises(OSError, match=r"ordinary file|symbolic links"):
            open_regular(tmp_path / name)
