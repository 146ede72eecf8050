# SPDX-License-Identifier: MIT
"""A root from packages: made once, kept whole, and never by anything but its packages."""

from __future__ import annotations

import os
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from powernode.base.errors import MachineError
from powernode.module import bootstrap
from powernode.module.bootstrap import Bootstrap
from unit.module._fake_root import BUILT_S, Debs, calls, fake_mmdebstrap

FILES = {"hello": {"/usr/bin/hello": b"#!/bin/sh\n"}, "base": {"/etc/motd": b"welcome\n"}}


@pytest.fixture
def debs(tmp_path: Path) -> Debs:
    return Debs(tmp_path / "debs", FILES)


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return on_path(tmp_path, monkeypatch)


def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str = "") -> Path:
    folder = fake_mmdebstrap(tmp_path / f"bin{len(before)}", before=before)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def make(debs: Debs, cache: Path, **changes: object) -> bootstrap.Root:
    wanted = Bootstrap(arch=debs.arch, packages=debs.packages)
    return bootstrap.make(replace(wanted, **changes), debs.deb, cache, report=lambda _: None)  # type: ignore[arg-type]


def test_the_packages_are_in_the_root(debs: Debs, tool: Path, tmp_path: Path) -> None:
    root = make(debs, tmp_path / "cache")
    with tarfile.open(root.archive) as archive:
        names = archive.getnames()
    assert {"./usr/bin/hello", "./etc/motd", "./var/lib/dpkg/status"} <= set(names)
    assert root.latest_s == BUILT_S
    arguments = (tool / "calls").read_text()
    assert "--include=base,hello" in arguments
    assert f"--architectures={debs.arch}" in arguments
    assert sorted(path.name for path in root.archive.parent.iterdir()) == ["latest", "log", "root.tar"]
    assert "installing" in (root.archive.parent / "log").read_text()


@pytest.mark.usefixtures("tool")
def test_a_cache_with_a_space_in_its_path(debs: Debs, tmp_path: Path) -> None:
    """What follows a space in a line of apt's sources would be the suite."""
    assert tarfile.is_tarfile(make(debs, tmp_path / "my cache").archive)


def test_made_once(debs: Debs, tool: Path, tmp_path: Path) -> None:
    first = make(debs, tmp_path / "cache")
    assert make(debs, tmp_path / "cache") == first
    assert calls(tool) == 1
    (tmp_path / "debs/hello.deb").unlink()  # nor are the packages needed again
    assert make(debs, tmp_path / "cache") == first


def test_it_is_told_what_is_done(debs: Debs, tool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("powernode.debian.binfmt.ensure", lambda arch: None)
    other = ({"amd64", "arm64"} - {debs.arch}).pop()
    for arch in (debs.arch, debs.arch, other):
        said.clear()
        wanted = Bootstrap(arch=arch, packages=debs.packages)
        bootstrap.make(wanted, debs.deb, tmp_path / "cache", report=said.append)
        if calls(tool) == 1:
            cached = said.copy()
    assert cached == [f"the root of 2 packages for {debs.arch} is in the cache"]
    assert said[0].startswith(f"install 2 packages for {other} ")
    assert f"{other} is emulated here: that takes minutes, some of them without a word" in said


def test_other_packages_are_another_root(debs: Debs, tool: Path, tmp_path: Path) -> None:
    first = make(debs, tmp_path / "cache")
    other = make(debs, tmp_path / "cache", packages=debs.packages[:1])
    assert first.archive != other.archive
    assert calls(tool) == 2


def test_the_digest_is_of_what_is_installed(debs: Debs) -> None:
    one = Bootstrap(arch="amd64", packages=debs.packages)
    assert one.digest == replace(one, packages=debs.packages[::-1]).digest
    renewed = replace(debs.packages[0], sha256="00" * 32)
    for other in (replace(one, arch="arm64"), replace(one, packages=(renewed, debs.packages[1]))):
        assert other.digest != one.digest
    assert "2 packages for amd64" in one.describe()


def test_many_at_once_make_one(debs: Debs, tool: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        roots = set(pool.map(lambda _: make(debs, tmp_path / "cache"), range(6)))
    assert len(roots) == 1
    assert calls(tool) == 1
    assert [path.name for path in (tmp_path / "cache/roots").iterdir()] == [roots.pop().archive.parent.name]


def test_a_failure_leaves_a_log_and_nothing_else(debs: Debs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "print('E: no such package', file=sys.stderr); sys.exit(1)"
    on_path(tmp_path, monkeypatch, said)
    with pytest.raises(MachineError) as caught:
        make(debs, tmp_path / "cache")
    assert caught.value.code == "module.bootstrap.mmdebstrap"
    assert "no such package" in str(caught.value.found)
    left = {path.name.partition(".")[2]: path for path in (tmp_path / "cache/roots").iterdir()}
    assert "no such package" in left["log"].read_text()
    assert list(left["part"].iterdir()) == []
    on_path(tmp_path, monkeypatch)
    make(debs, tmp_path / "cache")  # and the next one starts from nothing
    assert [path.suffix for path in (tmp_path / "cache/roots").iterdir()] == [""]


def test_what_a_crash_left_is_no_root(debs: Debs, tool: Path, tmp_path: Path) -> None:
    digest = Bootstrap(arch=debs.arch, packages=debs.packages).digest
    part = tmp_path / "cache/roots" / f"{digest}.part"
    (part / "work/mmdebstrap.x").mkdir(parents=True)
    (part / "root.tar").write_bytes(b"half")
    root = make(debs, tmp_path / "cache")
    assert tarfile.is_tarfile(root.archive)
    assert not part.exists()


def test_interrupted_in_the_middle(debs: Debs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("powernode.module._tools._GRACE_S", 0.2)
    on_path(tmp_path, monkeypatch, "time.sleep(60)")
    started: list[str] = []

    def interrupt(text: str) -> None:
        if text.startswith("installing"):
            started.append(text)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bootstrap.make(
            Bootstrap(arch=debs.arch, packages=debs.packages), debs.deb, tmp_path / "cache", report=interrupt
        )
    assert started
    assert not any(path.suffix == "" for path in (tmp_path / "cache/roots").iterdir())


def test_nothing_of_our_environment_gets_there(debs: Debs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = tmp_path / "environment"
    monkeypatch.setenv("LANG", "tr_TR.UTF-8")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    on_path(tmp_path, monkeypatch, f"open({str(probe)!r}, 'w').write(repr(dict(os.environ)) + oct(os.umask(0)))")
    before = os.umask(0o077)
    try:
        make(debs, tmp_path / "cache")
    finally:
        os.umask(before)
    said = probe.read_text()
    assert "tr_TR" not in said
    assert "'TZ': 'UTC'" in said
    assert f"'SOURCE_DATE_EPOCH': '{BUILT_S}'" in said
    assert said.endswith("0o22")


def test_a_missing_tool_is_named(debs: Debs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError) as caught:
        make(debs, tmp_path / "cache")
    assert (caught.value.code, caught.value.hint) == ("module.bootstrap.tool", "apt-get install mmdebstrap")
