# SPDX-License-Identifier: MIT
"""What an update costs on the wire: 300 changed files in a module of 20,000, every byte counted between the sockets."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from powernode.module.pull import pull
from powernode.oci.documents import Manifest
from support._oci_modules import Made, client, make, own_registry, publish
from support._oci_wire import metered

FOLDERS, FILES = 200, 100
CHANGED = 300
TOC_POSITION = "io.github.containers.zstd-chunked.manifest-position"
TIME = 1_700_000_000


def write_file(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    os.utime(path, (TIME, TIME))


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, Made]:
    """Two versions of a module; the changes are all over the place, which is the worst case."""
    folder = tmp_path_factory.mktemp("update")
    chance = random.Random(20_000)
    files = []
    for number in range(FOLDERS):
        (folder / f"tree/usr/share/d{number}").mkdir(parents=True)
        for name in range(FILES):
            files.append(folder / f"tree/usr/share/d{number}/f{name}")
            write_file(files[-1], chance.randbytes(chance.randrange(65, 8192)))
    for path in (folder / "tree", *(folder / "tree").rglob("*")):
        os.utime(path, (TIME, TIME))
    (folder / "old").mkdir()
    (folder / "new").mkdir()
    old = make(folder / "old", folder / "tree")
    for path in chance.sample(files, CHANGED):
        write_file(path, chance.randbytes(path.stat().st_size))
    return old, make(folder / "new", folder / "tree")


@pytest.fixture(params=["docker-registry", "powernode"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "powernode":
        with own_registry(tmp_path / "storage") as address:
            yield address
    else:
        yield request.getfixturevalue("docker_registry")


def test_an_update_of_300_files_in_20_000_costs_under_two_percent(
    server: str, versions: tuple[Made, Made], tmp_path: Path
) -> None:
    old, new = versions
    publish(new, f"{server}/acme/big")
    shutil.copytree(old.module.objects, tmp_path / "objects", copy_function=os.link)
    (layer,) = manifest_of(new).layers
    toc_bytes = int(layer.annotations[TOC_POSITION].split(":")[1])
    with metered(server) as wire:
        registry = client(f"{wire.address}/acme/big")
        pulled = pull(registry, new.index, tmp_path / "module", arch="amd64", store=tmp_path / "objects")
        assert (pulled.module.digest, pulled.fetched_objects) == (new.module.digest, CHANGED)
        assert 0 < wire.sent_bytes + wire.received_bytes - toc_bytes < layer.size * 0.02

        wire.reset()
        assert pull(registry, new.index, tmp_path / "module", arch="amd64", store=tmp_path / "objects").is_unchanged
        assert wire.sent_bytes + wire.received_bytes < 10_000


def manifest_of(made: Made) -> Manifest:
    manifest = made.layout.document(made.manifests[0])
    assert isinstance(manifest, Manifest)
    return manifest
