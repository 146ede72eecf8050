# SPDX-License-Identifier: MIT
"""What is in a module: the same answers for a directory and a layout, and nothing of it believed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from powernode.base.errors import DataError, OperatorError
from powernode.composefs import image as images
from powernode.composefs.tree import Directory
from powernode.module import artifact, sbom
from powernode.module.directory import read
from powernode.module.inspect import Part, of_directory, of_source
from powernode.module.reach import LayoutSource
from powernode.module.shipped import Shipped, read_sbom
from powernode.module.sign import sign
from powernode.module.summary import counts, largest, licences, listing
from powernode.oci.documents import Descriptor, Index
from powernode.oci.layout import Layout
from powernode.signing import keys
from powernode.signing.artifact import Signer
from unit.module._described import REDIS, STDCXX, UNUSED
from unit.module._published import TIME, file, link, publish, tree, write

SERVER = b"\x7fELF" * 1000
STATUS = (
    "Package: redis-server\nStatus: install ok installed\nArchitecture: amd64\nSource: redis (5:8.0.2-3)\n"
    "Version: 5:8.0.2-3+b1\n"
)


def root() -> Directory:
    return tree(
        etc__motd=file(b"hello\n"),
        usr__bin__redis_server=file(SERVER, mode=0o755),
        usr__bin__copy=file(SERVER, mode=0o755),
        usr__bin__check=link(b"redis_server"),
    )


PACKAGES = (replace(REDIS, files=frozenset({b"/usr/bin/redis_server", b"/usr/bin/check"})), STDCXX, UNUSED)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout.create(tmp_path / "oci")


@pytest.fixture
def part(layout: Layout, tmp_path: Path) -> Part:
    publish(layout, tmp_path, root(), packages=PACKAGES, description="Redis")
    (found,) = of_source(LayoutSource(layout), "v0.1.0")
    return found


def test_an_artifact_in_a_layout(part: Part, tmp_path: Path) -> None:
    module = read(tmp_path / "amd64-0.1.0")
    assert (part.name, part.version, part.architecture) == ("my-redis", "0.1.0", "amd64")
    assert part.composefs == module.digest
    assert part.document["description"] == "Redis"
    assert images.to_dump(part.tree) == images.to_dump(images.to_tree(module.image.read_bytes()))
    assert [(each.kind, each.title) for each in part.attached] == [(sbom.MEDIA_TYPE, "sbom.cdx.json")]
    assert (part.signatures, part.unreadable) == ((), ())
    assert part.layer is not None
    assert 0 < sum(part.stored.values()) + part.overhead < part.layer.size


def test_the_packages_of_the_sbom(part: Part) -> None:
    assert part.packages == (
        Shipped(
            name="redis-server",
            version="5:8.0.2-3+b1",
            architecture="amd64",
            licence="BSD-3-Clause AND LicenseRef-Debian-public-domain",
            files=2,
        ),
    )


def test_a_module_directory_says_the_same(part: Part, tmp_path: Path) -> None:
    found = of_directory(tmp_path / "amd64-0.1.0")
    assert (found.name, found.version, found.architecture, found.composefs) == (
        part.name,
        part.version,
        part.architecture,
        part.composefs,
    )
    assert (found.digest, found.layer, found.packages) == (None, None, None)
    assert found.document["file_spec"] == ["/**"]


def test_a_module_directory_with_dpkg_says_its_packages(tmp_path: Path) -> None:
    base = tree(
        var__lib__dpkg__status=file(STATUS.encode()),
        usr__bin__redis=file(SERVER),
        var__lib__dpkg__info=Directory(
            mtime_s=TIME, entries={b"redis-server.list": file(b"/.\n/usr\n/usr/bin\n/usr/bin/redis\n/etc/gone\n")}
        ),
    )
    write(tmp_path / "base", base)
    (package,) = of_directory(tmp_path / "base").packages or ()
    assert (package.name, package.version, package.licence, package.files) == ("redis-server", "5:8.0.2-3+b1", None, 1)


def test_architectures(layout: Layout, tmp_path: Path) -> None:
    index = publish(layout, tmp_path, root(), arches=("amd64", "arm64"))
    source = LayoutSource(layout)
    parts = of_source(source, "v0.1.0")
    assert [part.architecture for part in parts] == ["amd64", "arm64"]
    assert {part.index for part in parts} == {index.digest}
    (one,) = of_source(source, "v0.1.0", arch="arm64")
    assert one.digest == parts[1].digest
    (again,) = of_source(source, one.digest or "")
    assert (again.architecture, again.index) == ("arm64", None)
    with pytest.raises(OperatorError) as refused:
        of_source(source, one.digest or "", arch="amd64")
    assert (refused.value.code, refused.value.found) == ("module.inspect.architecture", "arm64")


def test_what_is_not_there(layout: Layout) -> None:
    with pytest.raises(OperatorError) as refused:
        of_source(LayoutSource(layout), "v9")
    assert refused.value.code == "module.inspect.none"


def test_an_index_of_nothing(layout: Layout) -> None:
    index = Index(manifests=())
    layout.add(layout.put(index.encode(), index.media_type), "v1")
    with pytest.raises(DataError) as refused:
        of_source(LayoutSource(layout), "v1")
    assert refused.value.code == "module.inspect.empty"


def test_only_parts_of_the_layer_are_read(layout: Layout, tmp_path: Path) -> None:
    publish(layout, tmp_path, root())
    asked: list[tuple[int, int]] = []

    class Counting(LayoutSource):
        def read_range(self, descriptor: Descriptor, start: int, length: int) -> bytes:
            asked.append((start, length))
            return super().read_range(descriptor, start, length)

        def blob(self, descriptor: Descriptor, *, max_bytes: int) -> bytes:
            assert "layer" not in descriptor.media_type
            return super().blob(descriptor, max_bytes=max_bytes)

    (part,) = of_source(Counting(layout), "v0.1.0")
    assert [length for _, length in asked] == [part.overhead]


def test_a_layer_of_another_image_is_refused(layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others = write(tmp_path / "others", tree(etc__motd=file(b"another\n")))
    real = artifact.Part

    def lying(**values: object) -> artifact.Part:
        return real(**(values | {"composefs": others.digest}))  # type: ignore[arg-type]

    monkeypatch.setattr(artifact, "Part", lying)
    publish(layout, tmp_path, root())
    with pytest.raises(DataError) as refused:
        of_source(LayoutSource(layout), "v0.1.0")
    assert refused.value.code == "module.inspect.composefs"


def test_signatures_are_named_and_no_documents(layout: Layout, part: Part) -> None:
    store = LayoutSource(layout)
    signer = Signer(key=keys.new_key("ecdsa-p256"))
    done = list(sign(store, "v0.1.0", signer, name="x", cosign_tag=True, attest=True))
    (found,) = of_source(store, "v0.1.0")
    assert found.digest == part.digest
    assert found.attached == part.attached
    assert sorted((each.about, each.kind) for each in found.signatures) == [
        ("index", "bundle"),
        ("index", "simple"),
        ("manifest", "bundle"),
        ("manifest", "bundle"),  # of the SBOM
        ("manifest", "simple"),
    ]
    assert len([each for each in done if each.digest == part.digest]) == 3
    assert any(each.where.endswith(".sig") for each in found.signatures)
    assert found.unreadable == ()


@pytest.mark.parametrize("bad", [b"{", b'{"a":1,"a":2}', b"\xff", b"[" * 100 + b"]" * 100])
def test_an_sbom_that_cannot_be_read_hides_nothing_else(layout: Layout, tmp_path: Path, bad: bytes) -> None:
    publish(layout, tmp_path, root(), bill=bad)
    (part,) = of_source(LayoutSource(layout), "v0.1.0")
    assert (part.packages, part.bill) == (None, None)
    assert len(part.unreadable) == 1
    assert part.unreadable[0].startswith(f"{sbom.MEDIA_TYPE} sha256:")
    assert [each.title for each in part.attached] == ["sbom.cdx.json"]
    assert len(listing(part.tree)) == 7


def test_what_is_too_much_to_look_at_is_said(layout: Layout, part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("powernode.module.inspect._MAX_ATTACHED", 0)
    (found,) = of_source(LayoutSource(layout), "v0.1.0")
    assert (found.attached, found.unreadable) == ((), ("1 of 1 referrers: too many to look at",))


@pytest.mark.parametrize(
    "bill",
    [
        None,
        [],
        {"components": {}},
        {"components": [1, {"type": "library"}, {"type": "library", "name": 1, "version": "1"}]},
        {"components": [], "dependencies": [{"ref": [], "dependsOn": 1}]},
    ],
)
def test_what_is_no_sbom_of_ours_has_no_packages(bill: object) -> None:
    assert read_sbom(bill) == ()  # type: ignore[arg-type]


def test_an_sbom_of_somebody_else() -> None:
    bill = {
        "components": [
            {"type": "library", "name": "x", "version": "1", "licenses": [{"license": {"id": "MIT"}}], "bom-ref": "a"}
        ],
        "dependencies": [{"ref": "a", "dependsOn": ["b", "c"]}],
    }
    (package,) = read_sbom(bill)  # type: ignore[arg-type]
    assert (package.name, package.architecture, package.licence, package.files) == ("x", "", None, 2)


def test_figures(part: Part) -> None:
    assert counts(part.tree) == {"files": 3, "directories": 4, "links": 1, "objects": 1, "size_bytes": 4006}
    assert largest(part.tree, 2) == [(b"/usr/bin/copy", 4000), (b"/usr/bin/redis_server", 4000)]
    rows = {row.path: row for row in listing(part.tree)}
    assert b"/" not in rows
    assert (rows[b"/usr/bin/check"].kind, rows[b"/usr/bin/check"].target) == ("link", b"redis_server")
    assert (rows[b"/usr/bin/copy"].mode, rows[b"/usr/bin/copy"].size) == (0o755, 4000)
    assert rows[b"/etc/motd"].digest is None


def test_licences_are_counted_by_package() -> None:
    def package(licence: str | None) -> Shipped:
        return Shipped(name="x", version="1", architecture="all", licence=licence, files=1)

    found = licences(
        package(each)
        for each in ("MIT", "(MIT OR GPL-2.0-only WITH Linux-syscall-note) AND MIT", None, "MIT AND ORANGE", "ISC")
    )
    assert found == {"MIT": 3, "GPL-2.0-only WITH Linux-syscall-note": 1, "ISC": 1, "ORANGE": 1, "unstated": 1}
