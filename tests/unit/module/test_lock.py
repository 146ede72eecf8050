# SPDX-License-Identifier: MIT
"""A module's pins: what they are made of, when they no longer fit, and which archive they may come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from powernode.base.errors import DataError, MachineError, OperatorError
from powernode.debian import lock as locks
from powernode.debian.basesystem import SYSTEM_BASE
from powernode.debian.lock import Lock, LockedPackage
from powernode.manifest.model import from_document
from powernode.module import lock
from powernode.module.lock import Request

REQUEST = Request(suite="trixie", packages=("redis-server", "redis-tools"), options={"tls": ("stunnel4",)})


def package(name: str) -> LockedPackage:
    filename = f"pool/main/x/{name}_2.0_amd64.deb"
    return LockedPackage(name=name, version="2.0", architecture="amd64", size=10, sha256="ab" * 32, filename=filename)


class Archive:
    """An oracle in which every package needs one library."""

    def __init__(self, fails: str | None = None) -> None:
        self.asked: list[Sequence[str]] = []
        self._fails = fails

    def closure(self, requests: Sequence[str]) -> list[LockedPackage]:
        self.asked.append(requests)
        if self._fails in requests:
            raise MachineError("debian.apt.failed", "apt-get failed", found="E: Unable to locate package")
        names = {name for name in requests if name[0].isalnum()} | {
            f"lib{name}" for name in requests if "redis" in name
        }
        return [package(name) for name in sorted({*names, "bash"})]


def made() -> Lock:
    return lock.resolve(Archive(), REQUEST, "amd64")


def test_the_module_comes_on_top_of_the_base_system() -> None:
    archive = Archive()
    pinned = lock.resolve(archive, REQUEST, "amd64")
    base = {each.name for each in pinned.group("base")}
    assert base == {name for name in SYSTEM_BASE if name[0].isalnum()} | {"bash"}
    assert archive.asked[0] == SYSTEM_BASE
    assert base | {"redis-server", "redis-tools"} == set(archive.asked[1])
    assert lock.added(pinned) == {"redis-server", "redis-tools", "libredis-server", "libredis-tools"}
    assert {each.name for each in lock.packages(pinned)} == base | lock.added(pinned)
    assert lock.added(pinned, ["tls"]) == lock.added(pinned) | {"stunnel4"}
    assert pinned.requests == {
        "module": ("redis-server", "redis-tools"),
        "module-tls": ("redis-server", "redis-tools", "stunnel4"),
    }


def test_written_and_read(tmp_path: Path) -> None:
    assert lock.read(tmp_path, REQUEST, "amd64") is None
    path = lock.write(tmp_path, made())
    assert path == tmp_path / "packages.lock/amd64.json"
    assert lock.read(tmp_path, REQUEST, "amd64") == made()
    assert lock.read(tmp_path, REQUEST, "arm64") is None
    assert lock.read(tmp_path, replace(REQUEST, packages=REQUEST.packages[::-1]), "amd64") == made()


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        (replace(REQUEST, suite="forky"), "it is of trixie, build.suite is forky"),
        (replace(REQUEST, packages=("redis-server",)), "redis-tools is not asked for any more"),
        (replace(REQUEST, packages=(*REQUEST.packages, "ncat")), "ncat is not in it"),
        (replace(REQUEST, options={}), "module-tls is no option any more"),
        (replace(REQUEST, options={"tls": ("stunnel4",), "x": ("y",)}), "it has no module-x"),
    ],
)
def test_a_lock_of_another_request_is_refused(tmp_path: Path, changed: Request, found: str) -> None:
    lock.write(tmp_path, made())
    with pytest.raises(OperatorError) as caught:
        lock.read(tmp_path, changed, "amd64")
    assert caught.value.code == "module.lock.stale"
    assert found in str(caught.value.found)
    assert caught.value.hint == f"powernode module lock {tmp_path} --arch amd64"


def test_a_lock_that_is_no_modules_is_refused(tmp_path: Path) -> None:
    lock.write(tmp_path, made())
    path = lock.path_of(tmp_path, "arm64")
    path.write_bytes(lock.path_of(tmp_path, "amd64").read_bytes())
    with pytest.raises(DataError) as caught:
        lock.read(tmp_path, REQUEST, "arm64")
    assert caught.value.code == "module.lock.other"
    path.write_bytes(locks.encode(Lock(arch="arm64", suite="trixie", groups={"initramfs": ()})))
    with pytest.raises(DataError) as caught:
        lock.read(tmp_path, REQUEST, "arm64")
    assert caught.value.code == "module.lock.other"


def test_packages_that_do_not_go_together() -> None:
    with pytest.raises(OperatorError) as caught:
        lock.resolve(Archive(fails="stunnel4"), REQUEST, "amd64")
    assert caught.value.code == "module.lock.unresolved"
    assert "module-tls" in caught.value.message
    assert "Unable to locate package" in str(caught.value.found)


@pytest.mark.parametrize("name", ["python3.9", "nginx-"])
def test_what_apt_takes_for_a_pattern_or_an_order_is_refused(name: str) -> None:
    class Loose(Archive):
        def closure(self, requests: Sequence[str]) -> list[LockedPackage]:
            return super().closure([each for each in requests if each != name])

    with pytest.raises(OperatorError) as caught:
        lock.resolve(Loose(), replace(REQUEST, packages=("nginx", name)), "amd64")
    assert (caught.value.code, caught.value.found) == ("module.lock.unresolved", name)


def test_other_failures_stay_what_they_are() -> None:
    class Broken(Archive):
        def closure(self, requests: Sequence[str]) -> list[LockedPackage]:
            raise MachineError("debian.apt.tool", "apt-get is not here")

    with pytest.raises(MachineError) as caught:
        lock.resolve(Broken(), REQUEST, "amd64")
    assert caught.value.code == "debian.apt.tool"


def test_what_a_manifest_asks_for() -> None:
    manifest = from_document(
        {
            "schema_version": 1,
            "name": "m",
            "package_spec": ["nginx"],
            "build": {"suite": "forky", "options": [{"name": "ssh", "packages": ["openssh-server"]}]},
        }
    )
    expected = Request(suite="forky", packages=("nginx",), options={"ssh": ("openssh-server",)})
    assert Request.of(manifest) == expected


STATE = "20260415T000000Z"


def test_which_archive_a_lock_is_made_from() -> None:
    given = f"http://host/archive/debian/{STATE}/"
    assert lock.archive_for(None, None) is None
    assert lock.archive_for("none", "http://host/debian") == "http://host/debian"
    assert lock.archive_for(STATE, given) == given


@pytest.mark.parametrize("archive", ["http://host/debian", None])
def test_an_archive_of_another_time_is_refused(archive: str | None) -> None:
    with pytest.raises(OperatorError) as caught:
        lock.archive_for(STATE, archive)
    assert (caught.value.code, caught.value.found) == ("module.lock.snapshot", archive or "no --archive")
