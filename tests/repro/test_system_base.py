# SPDX-License-Identifier: MIT
"""The base built twice from the lock, in different places and environments: one digest, and nothing of the builder.

A build takes from half a minute natively to some minutes under qemu-user, so this runs when POWERNODE_REPRO names the
architectures: POWERNODE_REPRO=amd64,arm64.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from powernode.base.errors import PowernodeError
from powernode.composefs import image as images
from powernode.composefs.tree import Directory, RegularFile, walk
from powernode.debian import lock
from powernode.debian.inputs import Inputs
from powernode.module import directory as modules
from powernode.module import systembase
from support.debian import CACHE, CHECKOUT

ARCHITECTURES = [arch for arch in os.environ.get("POWERNODE_REPRO", "").split(",") if arch]
MAX_OBJECT_BYTES = 90 << 20
MAX_ENTRIES = 3500


@pytest.mark.skipif(not ARCHITECTURES, reason="building a base takes long: POWERNODE_REPRO=amd64,arm64 asks for it")
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_base_is_the_same_wherever_it_is_built(arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("mmdebstrap") is None:
        pytest.skip("mmdebstrap is not here")
    locked = lock.parse((CHECKOUT / f"initramfs/lock/{arch}.json").read_bytes())
    inputs = Inputs(locked, CACHE)
    try:
        for package in locked.group(systembase.GROUP):
            inputs.deb(package.name)
    except PowernodeError as error:
        pytest.skip(f"the archive does not give the packages: {error}")
    tmp_path.chmod(0o755)
    built = []
    for number, (zone, umask) in enumerate((("UTC", 0o022), ("Asia/Tokyo", 0o077))):
        monkeypatch.setenv("TZ", zone)
        before = os.umask(umask)
        try:
            packages = locked.group(systembase.GROUP)[:: 1 if number else -1]
            module = systembase.build(
                CHECKOUT / "examples/modules/system-base",
                replace(locked, groups={systembase.GROUP: packages}),
                inputs.deb,
                arch=arch,
                directory=tmp_path / str(number),
                cache=tmp_path / f"cache{number}",
                report=lambda _: None,
            )
            built.append(module)
        finally:
            os.umask(before)
    first, second = (modules.read(module.directory) for module in built)
    assert first.digest == second.digest
    assert modules.merge_root([first]).digest == first.digest
    check_content(images.to_tree(first.image.read_bytes()), first.objects)


def check_content(tree: Directory, objects: Path) -> None:
    nodes = dict(walk(tree))
    assert len(nodes) <= MAX_ENTRIES
    assert sum(path.stat().st_size for path in objects.rglob("*") if path.is_file()) <= MAX_OBJECT_BYTES
    machine_id = nodes[b"/etc/machine-id"]
    assert isinstance(machine_id, RegularFile)
    assert machine_id.size == 0
    for path in (b"/etc/hostname", b"/etc/apt", b"/var/lib/apt", b"/usr/share/man", b"/usr/bin/apt"):
        assert path not in nodes
    for directory in (b"/proc", b"/sys", b"/dev", b"/run", b"/tmp", b"/persist", b"/var/cache", b"/var/tmp"):
        node = nodes[directory]
        assert isinstance(node, Directory)
        assert not node.entries
    assert b"/usr/share/doc/bash/copyright" in nodes
    assert b"/usr/lib/systemd/systemd" in nodes
