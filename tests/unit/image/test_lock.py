# SPDX-License-Identifier: MIT
"""The lock: strict to read, one spelling, the same from the same archive; the committed ones hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from powernode.base.errors import DataError, OperatorError, PowernodeError
from powernode.image import apt, packages
from powernode.image import lock as locks
from powernode.image.lock import Lock, LockedPackage

COMMITTED = Path(__file__).resolve().parents[3] / "initramfs/lock"


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


def test_lookups() -> None:
    assert LOCK.package("zlib1g").architecture == "all"
    assert [each.name for each in LOCK.group("system-base")] == ["libc6"]
    with pytest.raises(OperatorError) as caught:
        LOCK.package("zlib")
    assert caught.value.code == "image.lock.package"
    with pytest.raises(OperatorError) as caught:
        LOCK.group("kernel")
    assert caught.value.code == "image.lock.group"


DEFECTS = {
    "not-json": ("json.syntax", b"{"),
    "too-large": ("json.size", b" " * (5 << 20)),
    "key-twice": ("json.duplicate-key", b'{"version":1,"version":1}'),
    "list": ("image.lock.type", b"[]"),
    "version-2": ("image.lock.value", edited(lambda content: content.update(version=2))),
    "unknown-key": ("image.lock.unknown-key", edited(lambda content: content.update(archive="x"))),
    "no-suite": ("image.lock.missing", edited(lambda content: content.pop("suite"))),
    "strange-suite": ("image.lock.value", edited(lambda content: content.update(suite="a b"))),
    "strange-arch": ("image.lock.value", edited(lambda content: content.update(arch="mips"))),
    "groups-a-list": ("image.lock.type", edited(lambda content: content.update(groups=[]))),
    "group-name": ("image.lock.value", edited(lambda content: content["groups"].update({"A/B": []}))),
    "group-no-list": ("image.lock.type", edited(lambda content: content["groups"].update(x={}))),
    "unsorted": ("image.lock.order", edited(lambda content: content["groups"]["initramfs"].reverse())),
    "package-twice": (
        "image.lock.order",
        edited(lambda content: content["groups"]["initramfs"].append(content["groups"]["initramfs"][1])),
    ),
    "groups-disagree": ("image.lock.conflict", package(sha256="cd" * 32)),
    "package-unknown-key": ("image.lock.unknown-key", package(url="x")),
    "path-climbs": ("image.lock.value", package(filename="pool/../../x.deb")),
    "path-absolute": ("image.lock.value", package(filename="/pool/x.deb")),
    "path-is-an-address": ("image.lock.value", package(filename="http://x/pool/x.deb")),
    "name-is-an-option": ("image.lock.value", package(name="--rm")),
    "version-with-space": ("image.lock.value", package(version="1 2")),
    "short-digest": ("image.lock.value", package(sha256="ab")),
    "upper-case-digest": ("image.lock.value", package(sha256="AB" * 32)),
    "size-zero": ("image.lock.value", package(size=0)),
    "size-true": ("image.lock.type", package(size=True)),
    "other-architecture": ("image.lock.architecture", package(architecture="arm64")),
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


@pytest.mark.parametrize("arch", locks.ARCHITECTURES)
def test_the_committed_locks(arch: str) -> None:
    data = (COMMITTED / f"{arch}.json").read_bytes()
    lock = locks.parse(data)
    assert locks.encode(lock) == data, "written by hand?"
    assert lock.arch == arch
    assert set(lock.groups) == set(packages.GROUPS), "the table was edited: run powernode image lock"
    for name, group in packages.GROUPS.items():
        found = {each.name for each in lock.groups[name]}
        if group.how is packages.How.EXACT:
            assert found == {each.format(arch=arch) for each in group.names}
        elif group.how is packages.How.CLOSURE:
            assert found >= {each for each in group.names if each[0].isalnum()}
        else:
            assert len(found) == 1
    assert b"://" not in data


class Archive:
    """An oracle with packages for the asking."""

    def __init__(self, depends: list[str] | None = None, lost: str = "") -> None:
        self._depends = depends
        self._lost = lost

    def exact(self, names: Sequence[str]) -> list[LockedPackage]:
        return [locked(name) for name in reversed(names) if name != self._lost]

    def closure(self, requests: Sequence[str]) -> list[LockedPackage]:
        return [locked("needed"), *(locked(name) for name in requests if name[0].isalnum())]

    def depends(self, name: str) -> list[str]:
        return self._depends if self._depends is not None else ["firmware", f"{name}-6.12"]


def test_resolving_is_by_the_table() -> None:
    lock = packages.resolve(Archive(), "trixie", "amd64")
    assert [each.name for each in lock.group("kernel-cloud")] == ["linux-image-cloud-amd64-6.12"]
    assert [each.name for each in lock.group("kernel-generic")] == ["linux-image-amd64-6.12"]
    assert lock.package("needed") in lock.group("system-base")
    assert locks.parse(locks.encode(lock)) == lock


@pytest.mark.parametrize(
    "archive", [Archive(lost="libc6"), Archive(depends=[]), Archive(depends=["linux-image-1", "linux-image-2"])]
)
def test_an_archive_that_has_it_not(archive: Archive) -> None:
    with pytest.raises(DataError) as caught:
        packages.resolve(archive, "trixie", "amd64")
    assert caught.value.code == "image.lock.unresolved"


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
    assert caught.value.code == "image.apt.uris"


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
    assert caught.value.code == "image.apt.archive"


@pytest.mark.parametrize("url", ["file:///debian", "http://h/debian main\ndeb x", "http://h/d [trusted=yes]", "debian"])
def test_an_address_that_is_none(tmp_path: Path, url: str) -> None:
    with pytest.raises(PowernodeError) as caught:
        apt.PrivateApt("trixie", "amd64", tmp_path, url)
    assert caught.value.code in ("image.apt.url", "image.apt.keyring")
    assert not list(tmp_path.iterdir())
