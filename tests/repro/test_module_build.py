# SPDX-License-Identifier: MIT
"""The redis module of the examples, really built: what ships, that the artifact proves itself, and that it is the same
bytes wherever it is built.

Installing takes half a minute natively; the root and the pins are kept in the tests' cache, so it is once. Building
twice from nothing runs when POWERNODE_REPRO names the architectures: POWERNODE_REPRO=amd64,arm64.
"""

from __future__ import annotations

import locale
import os
import platform
import shutil
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from powernode.base.errors import PowernodeError
from powernode.composefs import image as images
from powernode.composefs.tree import Directory, RegularFile, walk
from powernode.debian.apt import PrivateApt
from powernode.debian.inputs import Inputs
from powernode.debian.lock import Lock, encode, parse
from powernode.module import directory as modules
from powernode.module import lock
from powernode.module.build import Outcome, Request, Sources, build
from powernode.module.check import check
from powernode.oci.layout import Layout
from support.debian import CACHE, CHECKOUT

HOST_ARCH = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
ARCHITECTURES = [arch for arch in os.environ.get("POWERNODE_REPRO", "").split(",") if arch]
REDIS = CHECKOUT / "examples/modules/redis"


def pinned(request: lock.Request, arch: str) -> Lock:
    """What the archive has, asked once a day's worth of tests: until the archive no longer serves it."""
    key = sha256(repr((request, arch)).encode()).hexdigest()[:16]
    place = CACHE / "module-locks" / f"{key}.json"
    if place.exists():
        known = parse(place.read_bytes())
        try:
            for package in lock.packages(known):
                Inputs(known, CACHE).deb(package.name)
            return known
        except PowernodeError as error:
            if error.code != "debian.input.gone":
                raise
    private = PrivateApt(request.suite, arch, CACHE / "apt", components=lock.COMPONENTS)
    private.update()
    made = lock.resolve(private, request, arch)
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(encode(made))
    return made


def made(folder: Path, arch: str, cache: Path, **more: int) -> Outcome:
    """A build of a fresh copy of the module."""
    if shutil.which("mmdebstrap") is None:
        pytest.skip("mmdebstrap is not here")
    if os.geteuid():
        pytest.skip("mmdebstrap without root needs subordinate ids and a cache that others may read")
    shutil.copytree(REDIS, folder)
    sources = Sources(cache=cache, obtain=pinned, inputs=lambda lock: Inputs(lock, CACHE))
    try:
        request = Request(folder=folder, version="1.0.0", arches=(arch,), **more)  # type: ignore[arg-type]
        return build(request, sources, folder / "build", report=lambda _: None)
    except PowernodeError as error:
        if not error.code.startswith(("debian.apt.", "debian.input.", "debian.binfmt.")):
            raise
        pytest.skip(f"the packages cannot be had or installed here: {error}")


def test_the_redis_module(tmp_path: Path) -> None:
    outcome = made(tmp_path / "redis", HOST_ARCH, CACHE)
    module = modules.read(outcome.out / HOST_ARCH)
    tree = dict(walk(images.to_tree(module.image.read_bytes())))
    assert {b"/usr/bin/redis-server", b"/etc/redis/redis.conf", b"/var/lib/redis/.gitkeep"} <= tree.keys()
    assert b"/etc/redis/sentinel.conf" not in tree
    ours, redis = tree[b"/etc/redis/redis.conf"], tree[b"/usr/bin/redis-check-rdb"]
    assert isinstance(ours, RegularFile)
    assert ours.size == (REDIS / "rootfs/etc/redis/redis.conf").stat().st_size
    assert isinstance(redis, RegularFile)
    assert redis.mtime_s <= ours.mtime_s
    assert not any(node.mtime_ns or node.nlink != 1 for node in tree.values() if not isinstance(node, Directory))
    layout = Layout(outcome.out / "oci")
    about = outcome.published.manifests[HOST_ARCH]
    checked = check(layout, about)
    assert (checked.described.name, checked.described.composefs) == ("my-redis", module.digest)
    assert len(layout.referrers(about.digest)) == 2


@pytest.fixture
def elsewhere() -> Iterator[None]:
    before = os.umask(0o022), locale.setlocale(locale.LC_ALL)
    yield
    os.umask(before[0])
    locale.setlocale(locale.LC_ALL, before[1])
    time.tzset()


@pytest.mark.skipif(not ARCHITECTURES, reason="installing twice takes long: POWERNODE_REPRO=amd64,arm64 asks for it")
@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_same_bytes_wherever_it_is_built(arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o755)
    digests = []
    for number, (zone, umask, language) in enumerate((("UTC", 0o022, "C"), ("Asia/Tokyo", 0o077, "C.UTF-8"))):
        monkeypatch.setenv("TZ", zone)
        monkeypatch.setenv("LC_ALL", language)
        time.tzset()
        locale.setlocale(locale.LC_ALL, language)
        os.umask(umask)
        outcome = made(tmp_path / f"{'x' * number}redis", arch, tmp_path / f"cache{number}", jobs=1 + number)
        layer = outcome.made[0].built.written.digest
        digests.append((outcome.published.index.digest, outcome.published.manifests[arch].digest, layer))
    assert digests[0] == digests[1]
