# SPDX-License-Identifier: MIT
"""`powernode module lock`: what it writes and says; the archive is one that answers for the asking."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from powernode.base.errors import MachineError
from powernode.debian import apt
from powernode.debian import lock as locks
from powernode.debian.lock import LockedPackage
from powernode.module import lock
from unit.cli._command import Run

MANIFEST = "schema_version: 1\nname: web\npackage_spec:\n  - nginx\n"


class Archive:
    """Stands in for apt: every name is a package, `nginx` needs a library."""

    asked: ClassVar[list[tuple[object, ...]]] = []
    version = "1.0"

    def __init__(self, suite: str, arch: str, folder: Path, archive: str | None, *, components: Sequence[str]) -> None:
        self.asked.append((suite, arch, archive, tuple(components)))
        self._arch = arch

    def update(self) -> None:
        pass

    def closure(self, requests: Sequence[str]) -> list[LockedPackage]:
        names = {name for name in requests if name[0].isalnum()} | ({"libssl3"} if "nginx" in requests else set())
        return [self._package(name) for name in sorted(names)]

    def run(self, program: str, *_: str) -> str:
        return {"apt-cache": "nginx\nnginx-light\ncurl\n"}[program]

    def _package(self, name: str) -> LockedPackage:
        return LockedPackage(
            name=name,
            version=self.version if name == "nginx" else "1",
            architecture=self._arch,
            filename=f"pool/main/x/{name}_1_{self._arch}.deb",
            size=1,
            sha256="ab" * 32,
        )


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POWERNODE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(apt, "PrivateApt", Archive)
    monkeypatch.setattr(Archive, "asked", [])
    (tmp_path / "web").mkdir()
    (tmp_path / "web/manifest.yaml").write_text(MANIFEST)
    return tmp_path / "web"


def test_both_architectures(run: Run, module: Path) -> None:
    answer = run("module", "lock", module)
    assert answer.status == 0
    assert Archive.asked == [("trixie", arch, None, lock.COMPONENTS) for arch in ("amd64", "arm64")]
    assert answer.out.decode().splitlines() == [
        f"{lock.path_of(module, arch)}: 2 packages on top of the base system: libssl3, nginx"
        for arch in ("amd64", "arm64")
    ]


def test_what_changed(run: Run, module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("module", "lock", module, "--arch=amd64")
    monkeypatch.setattr(Archive, "version", "1.1")
    answer = run("module", "lock", module, "--arch=amd64", "--json")
    (listed,) = answer.json["locks"]
    assert listed["changed"] == [{"name": "nginx", "old": "1.0", "new": "1.1"}]
    assert (listed["arch"], listed["suite"], listed["added"]) == ("amd64", "trixie", ["libssl3", "nginx"])
    assert b"nginx 1.0 -> 1.1" not in answer.out


def test_a_stale_lock_is_renewed(run: Run, module: Path) -> None:
    run("module", "lock", module, "--arch=amd64")
    (module / "manifest.yaml").write_text(MANIFEST + "  - curl\n")
    answer = run("module", "lock", module, "--arch=amd64")
    assert answer.out.decode().splitlines()[0] == "curl (none) -> 1"


def test_a_lock_that_cannot_be_read_is_renewed(run: Run, module: Path) -> None:
    path = lock.path_of(module, "amd64")
    path.parent.mkdir()
    path.write_text("<<<<<<< ours\n")
    assert run("module", "lock", module, "--arch=amd64").status == 0
    assert {each.name for each in locks.parse(path.read_bytes()).group("module")} >= {"nginx"}


def test_the_pinned_archive(run: Run, module: Path) -> None:
    (module / "manifest.yaml").write_text(MANIFEST + "build:\n  apt_snapshot: 20260415T000000Z\n")
    assert run("module", "lock", module, "--arch=amd64", "--archive=http://h/debian").code == "module.lock.snapshot"
    assert run("module", "lock", module, "--arch=amd64").code == "module.lock.snapshot"
    kept = "--archive=http://h/archive/debian/20260415T000000Z"
    assert run("module", "lock", module, "--arch=amd64", kept).status == 0
    assert str(Archive.asked[-1][2]).endswith("/20260415T000000Z")


def test_a_name_that_the_archive_does_not_know(run: Run, module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closure(_: Archive, requests: Sequence[str]) -> list[LockedPackage]:
        if "ngnix" in requests:
            raise MachineError("debian.apt.failed", "no", found="E: Unable to locate package ngnix")
        return []

    monkeypatch.setattr(Archive, "closure", closure)
    (module / "manifest.yaml").write_text(MANIFEST.replace("nginx", "ngnix"))
    for verb in ("lock", "build"):
        answer = run("module", verb, module, "--arch=amd64", *(["--version=0.1.0"] if verb == "build" else []))
        assert (answer.status, answer.code) == (2, "module.lock.unresolved")
        assert "try: did you mean nginx by ngnix?" in answer.err
    (module / "manifest.yaml").write_text(MANIFEST.replace("- nginx", "- ngnix\n  - xyzzy"))
    assert "xyzzy?" not in run("module", "lock", module).err


def test_no_module(run: Run, tmp_path: Path) -> None:
    assert run("module", "lock", tmp_path).code == "module.source.missing"
