# SPDX-License-Identifier: MIT
"""Which archives a private apt asks: the machine's, its updates and its security fixes, or one that is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from powernode.base.errors import DataError, MachineError, OperatorError
from powernode.debian import apt
from powernode.debian.apt import PrivateApt
from powernode.debian.inputs import Inputs
from powernode.debian.lock import Lock, LockedPackage

SOURCES = """\
Types: deb
URIs: http://a.example/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://b.example/debian-security
Suites: bookworm-security
Components: main
"""
DEB = f"'%s/xz_5-1%%2bdeb13u2_amd64.deb' xz_5-1+deb13u2_amd64.deb 7 SHA256:{'ab' * 32}\n"


@pytest.fixture
def keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "keyring.gpg"
    path.touch()
    monkeypatch.setattr(apt, "_KEYRING", path)
    return path


def etc(folder: Path, text: str = SOURCES) -> Path:
    (folder / "etc/sources.list.d").mkdir(parents=True)
    (folder / "etc/sources.list.d/debian.sources").write_text(text)
    return folder / "etc"


def listed(folder: Path) -> list[str]:
    (path,) = (folder / "apt").glob("*/sources.list")
    return [line.partition("] ")[2] for line in path.read_text().splitlines()]


@pytest.mark.usefixtures("keyring")
def test_updates_and_security_come_along(tmp_path: Path) -> None:
    PrivateApt("trixie", "arm64", tmp_path / "apt", etc=etc(tmp_path))
    assert listed(tmp_path) == [
        "http://a.example/debian trixie main",
        "http://a.example/debian trixie-updates main",
        "http://b.example/debian-security trixie-security main",
    ]


@pytest.mark.usefixtures("keyring")
def test_an_apt_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/apt-cache").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "bin/apt-cache").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/bin")
    monkeypatch.setattr(apt, "_TIMEOUT_S", 0.05)
    with pytest.raises(MachineError) as caught:
        PrivateApt("trixie", "amd64", tmp_path / "apt", etc=etc(tmp_path)).newest("x")
    assert caught.value.code == "debian.apt.time"


@pytest.mark.usefixtures("keyring")
def test_words_that_are_read_again_are_not_translated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin/apt-cache"
    tool.write_text('#!/bin/sh\nif [ "$LC_ALL" = C ]; then echo " Depends: a"; else echo " Hängt ab von: a"; fi\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/bin")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert PrivateApt("trixie", "amd64", tmp_path / "apt", etc=etc(tmp_path)).depends("x") == ["a"]


@pytest.mark.usefixtures("keyring")
@pytest.mark.parametrize("suite", ["sid", "bookworm-backports"])
def test_not_of_suites_that_have_none(tmp_path: Path, suite: str) -> None:
    PrivateApt(suite, "amd64", tmp_path / "apt", etc=etc(tmp_path), components=("main", "non-free-firmware"))
    assert listed(tmp_path) == [f"http://a.example/debian {suite} main non-free-firmware"]


@pytest.mark.usefixtures("keyring")
def test_nor_where_the_machine_does_not_ask_for_them(tmp_path: Path) -> None:
    PrivateApt("trixie", "amd64", tmp_path / "apt", etc=etc(tmp_path, "deb http://a.example/debian bookworm main\n"))
    assert listed(tmp_path) == ["http://a.example/debian trixie main"]


@pytest.mark.usefixtures("keyring")
def test_an_archive_that_is_given_stands_alone(tmp_path: Path) -> None:
    PrivateApt("trixie", "amd64", tmp_path / "apt", "http://s.example/debian/2026/", etc=etc(tmp_path), sources=True)
    assert listed(tmp_path) == ["http://s.example/debian/2026 trixie main"] * 2


@pytest.mark.usefixtures("keyring")
def test_different_sources_have_lists_of_their_own(tmp_path: Path) -> None:
    for components in (("main",), ("main", "contrib")):
        PrivateApt("trixie", "amd64", tmp_path / "apt", "http://s.example/debian", components=components)
    assert len(list((tmp_path / "apt").iterdir())) == 2


def test_packages_of_both_archives_are_understood() -> None:
    archives = ("http://a.example/debian", "http://b.example/debian-security")
    (package,) = apt.parse_uris(DEB % f"{archives[1]}/pool/updates/main/x/xz", *archives)
    assert package.filename == "pool/updates/main/x/xz/xz_5-1%2bdeb13u2_amd64.deb"
    assert apt.is_security_fix(package.filename)
    (package,) = apt.parse_uris(DEB % f"{archives[0]}/pool/main/x/xz", *archives)
    assert not apt.is_security_fix(package.filename)
    with pytest.raises(DataError) as caught:
        apt.parse_uris(DEB % "http://b.example/debian-other/pool/main/x/xz", *archives)
    assert caught.value.code == "debian.apt.uris"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://h/debian", "http://h/debian-security"),
        ("http://h/archive/debian/20260415T000000Z/", "http://h/archive/debian-security/20260415T000000Z"),
        ("http://h/debian.mirror", None),
    ],
)
def test_where_security_fixes_are_beside_an_archive(given: str, expected: str | None) -> None:
    assert apt.security_archive(given) == expected


def test_where_security_fixes_are_for_this_machine(tmp_path: Path) -> None:
    assert apt.security_archive(None, etc(tmp_path)) == "http://b.example/debian-security"
    assert apt.security_archive(None, tmp_path) is None


def test_a_fix_that_nobody_serves(tmp_path: Path) -> None:
    filename = "pool/updates/main/x/xz/xz_5-1_amd64.deb"
    package = LockedPackage(name="xz", version="5-1", architecture="amd64", filename=filename, size=7, sha256="ab" * 32)
    lock = Lock(arch="amd64", suite="trixie", groups={"module": (package,)})
    with pytest.raises(OperatorError) as caught:
        Inputs(lock, tmp_path, "http://127.0.0.1:1/mirror").deb("xz")
    assert caught.value.code == "debian.input.security"
