# SPDX-License-Identifier: MIT
"""The lock: strict to read, one spelling, the same from the same archive; the committed ones hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from powernode.base.errors import DataError, OperatorError, PowernodeError
from powernode.debian import apt
from powernode.debian import lock as locks
from powernode.debian.lock import Lock, LockedPackage


def locked(name: str, version: str = "1:2.0-1+b1", **other: Any) -> LockedPackage:
    facts = {"name": name, "version": version, "architecture": "amd64", "size": 10, "sha256": "ab" * 32}
    return LockedPackage(**{**facts, "filename": f"pool/main/x/{name}_2.0-1%2bb1_amd64.deb", **other})


LOCK = Lock(
    arch="amd64",
    suite="trixie",
    groups={"initramfs": (locked("libc6"), locked("zlib1g", architecture="all")), "system-base": (locked("libc6"),)},
)


def edited(edit: Callable[[Any], object]) -> bytes:
    content = json.loads(locks.encode(LOCK))
    edit(content)
    return json.dumps(content).encode()


def package(**changed: Any) -> bytes:
    return edited(lambda content: content["groups"]["initramfs"][0].update(changed))


def test_round_trip_in_one_spelling() -> None:
    data = locks.encode(LOCK)
    assert locks.parse(data) == LOCK
    shuffled = Lock(
        arch="amd64",
        suite="trixie",
        groups={name: LOCK.groups[name][::-1] for name in sorted(LOCK.groups, reverse=True)},
    )
    assert locks.encode(shuffled) == data
    assert shuffled.digest == LOCK.digest
    assert len(LOCK.digest) == 64


def test_what_it_was_asked_for() -> None:
    asked = replace(LOCK, requests={"initramfs": ("libc6", "zlib1g")})
    assert locks.parse(locks.encode(asked)) == asked
    assert b"requests" not in locks.encode(LOCK)
    assert replace(asked, requests={"initramfs": ("zlib1g", "libc6")}).digest == asked.digest


def test_lookups() -> None:
    assert LOCK.package("zlib1g").architecture == "all"
    assert [each.name for each in LOCK.group("system-base")] == ["libc6"]
    with pytest.raises(OperatorError) as caught:
        LOCK.package("zlib")
    assert caught.value.code == "debian.lock.package"
    with pytest.raises(OperatorError) as caught:
        LOCK.group("kernel")
    assert caught.value.code == "debian.lock.group"


DEFECTS = {
    "not-json": ("json.syntax", b"{"),
    "too-large": ("json.size", b" " * (5 << 20)),
    "key-twice": ("json.duplicate-key", b'{"version":1,"version":1}'),
    "list": ("debian.lock.type", b"[]"),
    "version-2": ("debian.lock.value", edited(lambda content: content.update(version=2))),
    "unknown-key": ("debian.lock.unknown-key", edited(lambda content: content.update(archive="x"))),
    "no-suite": ("debian.lock.missing", edited(lambda content: content.pop("suite"))),
    "strange-suite": ("debian.lock.value", edited(lambda content: content.update(suite="a b"))),
    "strange-arch": ("debian.lock.value", edited(lambda content: content.update(arch="mips"))),
    "groups-a-list": ("debian.lock.type", edited(lambda content: content.update(groups=[]))),
    "group-name": ("debian.lock.value", edited(lambda content: content["groups"].update({"A/B": []}))),
    "group-no-list": ("debian.lock.type", edited(lambda content: content["groups"].update(x={}))),
    "unsorted": ("debian.lock.order", edited(lambda content: content["groups"]["initramfs"].reverse())),
    "package-twice": (
        "debian.lock.order",
        edited(lambda content: content["groups"]["initramfs"].append(content["groups"]["initramfs"][1])),
    ),
    "groups-disagree": ("debian.lock.conflict", package(sha256="cd" * 32)),
    "package-unknown-key": ("debian.lock.unknown-key", package(url="x")),
    "path-climbs": ("debian.lock.value", package(filename="pool/../../x.deb")),
    "path-absolute": ("debian.lock.value", package(filename="/pool/x.deb")),
    "path-is-an-address": ("debian.lock.value", package(filename="http://x/pool/x.deb")),
    "name-is-an-option": ("debian.lock.value", package(name="--rm")),
    "version-with-space": ("debian.lock.value", package(version="1 2")),
    "short-digest": ("debian.lock.value", package(sha256="ab")),
    "upper-case-digest": ("debian.lock.value", package(sha256="AB" * 32)),
    "size-zero": ("debian.lock.value", package(size=0)),
    "size-true": ("debian.lock.type", package(size=True)),
    "other-architecture": ("debian.lock.architecture", package(architecture="arm64")),
    "request-of-no-group": ("debian.lock.order", edited(lambda content: content.update(requests={"x": []}))),
    "request-unsorted": (
        "debian.lock.order",
        edited(lambda content: content.update(requests={"initramfs": ["b", "a"]})),
    ),
    "request-no-list": ("debian.lock.type", edited(lambda content: content.update(requests={"initramfs": "a"}))),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_refusals(defect: str) -> None:
    code, data = DEFECTS[defect]
    with pytest.raises(DataError) as caught:
        locks.parse(data)
    assert caught.value.code == code


def test_changes() -> None:
    new = Lock(
        arch="amd64",
        suite="trixie",
        groups={"initramfs": (locked("added"), locked("libc6", "3"), locked("zlib1g", sha256="cd" * 32))},
    )
    assert locks.changes(LOCK, LOCK) == []
    assert locks.changes(None, LOCK)[0] == ("libc6", None, "1:2.0-1+b1")
    assert locks.changes(LOCK, new) == [
        ("added", None, "1:2.0-1+b1"),
        ("libc6", "1:2.0-1+b1", "3"),
        ("zlib1g", "1:2.0-1+b1", "1:2.0-1+b1"),
    ]
    assert locks.changes(new, LOCK)[0] == ("added", "1:2.0-1+b1", None)


URIS = f"""Reading package lists...
'http://host/debian/pool/main/z/zlib/zlib1g_1.3%2bb1_amd64.deb' zlib1g_1%3a1.3+b1_amd64.deb 88 SHA256:{"ab" * 32}
'http://host/debian/pool/main/n/netbase/netbase_6.5_all.deb' netbase_6.5_all.deb 12 SHA256:{"cd" * 32}
"""


def test_what_apt_prints() -> None:
    netbase, zlib = apt.parse_uris(URIS, "http://host/debian/")
    assert (netbase.name, netbase.version, netbase.architecture, netbase.size) == ("netbase", "6.5", "all", 12)
    assert (zlib.name, zlib.version, zlib.sha256) == ("zlib1g", "1:1.3+b1", "ab" * 32)
    assert zlib.filename == "pool/main/z/zlib/zlib1g_1.3%2bb1_amd64.deb"


@pytest.mark.parametrize("text", [URIS.replace("SHA256", "MD5Sum"), URIS.replace("host", "elsewhere")])
def test_what_apt_does_not_print(text: str) -> None:
    with pytest.raises(DataError) as caught:
        apt.parse_uris(text, "http://host/debian")
    assert caught.value.code == "debian.apt.uris"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sources.list", "# deb http://no/debian x\ndeb [a=b] http://a.example/debian/ s main\n"),
        ("sources.list", "deb http://first/ubuntu s main\ndeb http://a.example/debian s main\n"),
        ("sources.list.d/d.sources", "Types: deb\nURIs: http://a.example/debian\n"),
    ],
)
def test_the_archive_of_this_machine(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    assert apt.machine_archive(tmp_path) == "http://a.example/debian"


def test_a_machine_of_another_distribution(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://a.example/ubuntu s main\n")
    with pytest.raises(OperatorError) as caught:
        apt.machine_archive(tmp_path)
    assert caught.value.code == "debian.apt.archive"


@pytest.mark.parametrize("url", ["file:///debian", "http://h/debian main\ndeb x", "http://h/d [trusted=yes]", "debian"])
def test_an_address_that_is_none(tmp_path: Path, url: str) -> None:
    with pytest.raises(PowernodeError) as caught:
        apt.PrivateApt("trixie", "amd64", tmp_path, url)
    assert caught.value.code in ("debian.apt.url", "debian.apt.keyring")
    assert not list(tmp_path.iterdir())
