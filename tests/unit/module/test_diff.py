# SPDX-License-Identifier: MIT
"""What differs between two modules, and what a node reads for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.base.errors import OperatorError
from powernode.composefs.tree import CharacterDevice, Directory, Node
from powernode.module.diff import Difference, PackageChange, compare
from powernode.module.inspect import Part, of_directory, of_source
from powernode.module.reach import LayoutSource
from powernode.module.shipped import Shipped
from powernode.oci.layout import Layout
from powernode.verity import digest_buffer
from unit.module._published import TIME, file, link, publish, tree, write

OLD, NEW, KEPT = b"old" * 1000, b"new" * 1001, b"kept" * 1000


def part(root: Directory, **changes: object) -> Part:
    plain = Part(
        name="my-redis",
        version="1",
        architecture="amd64",
        composefs=digest_buffer(repr(sorted(root.entries)).encode()),
        document={"name": "my-redis"},
        tree=root,
        packages=(),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def package(name: str, version: str, *, arch: str = "amd64", licence: str | None = "MIT") -> Shipped:
    return Shipped(name=name, version=version, architecture=arch, licence=licence, files=1)


def files(before: Directory, after: Directory) -> dict[bytes, tuple[str, dict[str, tuple[str, str]]]]:
    found = compare(part(before), part(after)).files
    return {each.path: (each.what, {aspect: (old, new) for aspect, old, new in each.details}) for each in found}


def test_nothing_differs() -> None:
    one = part(tree(etc__motd=file(OLD)))
    found = compare(one, one)
    assert (found.fields, found.packages, found.files, found.same_image) == ((), (), (), True)
    assert (found.transfer.objects, found.transfer.size, found.transfer.total) == (0, 0, len(OLD))


def test_paths_that_come_and_go() -> None:
    found = files(tree(etc__old=file(b"x"), etc__same=file(b"s")), tree(etc__new=file(b"x"), etc__same=file(b"s")))
    assert found == {b"/etc/new": ("added", {}), b"/etc/old": ("removed", {})}


@pytest.mark.parametrize(
    ("before", "after", "details"),
    [
        (file(b"a"), file(b"b"), {"content": ("a", "b")}),
        (file(b"a"), file(b"\xff\n"), {"size": ("1", "2"), "content": ("a", "\\xff\n")}),
        (file(b"a"), file(b"a", mode=0o755), {"mode": ("0644", "0755")}),
        (file(b"a"), file(b"a", uid=5), {"owner": ("0:0", "5:0")}),
        (file(b"a"), file(b"a", mtime_s=TIME + 1), {"time": (f"{TIME}.000000000", f"{TIME + 1}.000000000")}),
        (file(b"a"), file(b"a", xattrs=((b"user.x", b"1"),)), {"attributes": ("", "user.x=1")}),
        (link(b"a"), link(b"b"), {"target": ("a", "b")}),
        (file(b"a", mode=0o777), link(b"a"), {"type": ("file", "link")}),
        (
            CharacterDevice(mode=0o666, rdev=1, mtime_s=TIME),
            CharacterDevice(mode=0o666, rdev=2, mtime_s=TIME),
            {"device": ("1", "2")},
        ),
    ],
)
def test_what_changed_in_a_file(before: Node, after: Node, details: dict[str, tuple[str, str]]) -> None:
    assert files(tree(x=before), tree(x=after)) == {b"/x": ("changed", details)}
    assert files(tree(x=before), tree(x=before)) == {}


def test_large_contents_are_compared_by_digest() -> None:
    _, details = files(tree(x=file(OLD)), tree(x=file(NEW)))[b"/x"]
    assert details["size"] == ("3000", "3003")
    assert details["content"] == (digest_buffer(OLD).hex, digest_buffer(NEW).hex)


def test_times_alone_are_told_apart() -> None:
    old, new = tree(x=file(b"a"), y=file(b"a")), tree(x=file(b"a", mtime_s=1), y=file(b"b", mtime_s=1))
    found = compare(part(old), part(new)).files
    assert [each.time_only for each in found] == [True, False]


def test_the_manifest() -> None:
    before = part(tree(), document={"name": "x", "mask": ["/a"], "init": {"start": "a"}}, version="1")
    after = part(tree(), document={"name": "x", "init": {"start": "b", "stop": "c"}, "license": "MIT"}, version="2")
    found = {each.field: (each.before, each.after) for each in compare(before, after).fields}
    assert found == {
        "version": ("1", "2"),
        "init.start": ("a", "b"),
        "init.stop": (None, "c"),
        "license": (None, "MIT"),
        "mask": (["/a"], None),
    }


def packages(before: tuple[Shipped, ...], after: tuple[Shipped, ...]) -> tuple[PackageChange, ...] | None:
    return compare(part(tree(), packages=before), part(tree(), packages=after)).packages


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ((), (package("x", "1"),), "added"),
        ((package("x", "1"),), (), "removed"),
        ((package("x", "1.9"),), (package("x", "1.10"),), "upgraded"),
        ((package("x", "1:1"),), (package("x", "2"),), "downgraded"),
        ((package("x", "one thing"),), (package("x", "1"),), "changed"),
        ((package("x", "1"),), (package("x", "1", licence=None),), "licence"),
    ],
)
def test_packages(before: tuple[Shipped, ...], after: tuple[Shipped, ...], what: str) -> None:
    (change,) = packages(before, after) or ()
    assert (change.name, change.what) == ("x:amd64", what)


def test_packages_of_two_architectures_are_two() -> None:
    both = (package("x", "1"), package("x", "1", arch="i386"))
    (change,) = packages(both, (both[0], package("x", "2", arch="i386"))) or ()
    assert (change.name, change.before, change.after) == ("x:i386", "1", "2")


def test_packages_that_nobody_names_are_not_compared() -> None:
    assert compare(part(tree(), packages=None), part(tree())).packages is None


def test_two_architectures_are_refused() -> None:
    with pytest.raises(OperatorError) as refused:
        compare(part(tree()), part(tree(), architecture="arm64"))
    assert refused.value.code == "module.diff.architecture"


@pytest.fixture
def between(tmp_path: Path) -> Difference:
    layout = Layout.create(tmp_path / "oci")
    before = tree(a=file(KEPT), b=file(OLD), c=file(b"small"))
    after = tree(a=file(KEPT), b=file(NEW), again=file(NEW), c=file(b"other"))
    publish(layout, tmp_path, before)
    publish(layout, tmp_path, after, version="0.2.0", mask=["/x"])
    source = LayoutSource(layout)
    (old,), (new,) = of_source(source, "v0.1.0"), of_source(source, "v0.2.0")
    assert new.layer is not None
    found = compare(old, new)
    assert found.transfer.stored is not None
    assert new.overhead < found.transfer.stored < new.layer.size
    return found


def test_an_update_reads_each_new_object_once(between: Difference) -> None:
    assert (between.transfer.objects, between.transfer.size) == (1, len(NEW))
    assert between.transfer.total == len(KEPT) + len(NEW)
    assert [each.field for each in between.fields] == ["version", "mask"]
    assert [each.path for each in between.files] == [b"/again", b"/b", b"/c"]


def test_a_directory_and_a_layout_are_compared_alike(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path / "oci")
    root = tree(a=file(KEPT), b=file(OLD))
    publish(layout, tmp_path, root)
    write(tmp_path / "module", root)
    (published,) = of_source(LayoutSource(layout), "v0.1.0")
    found = compare(of_directory(tmp_path / "module"), published)
    assert (found.files, found.packages, found.same_image) == ((), None, True)
    assert (found.transfer.objects, found.transfer.stored) == (0, published.overhead)


NODES = st.one_of(
    st.builds(file, st.binary(max_size=3), mode=st.sampled_from([0o644, 0o755]), uid=st.integers(0, 1)),
    st.builds(link, st.binary(min_size=1, max_size=2)),
)
TREES = st.dictionaries(st.sampled_from(["a", "b", "c", "d__e", "d__f"]), NODES).map(lambda places: tree(**places))


@given(TREES, TREES)
def test_the_other_way_round(before: Directory, after: Directory) -> None:
    there, back = compare(part(before), part(after)).files, compare(part(after), part(before)).files
    swap = {"added": "removed", "removed": "added", "changed": "changed"}
    assert [(each.path, swap[each.what]) for each in there] == [(each.path, each.what) for each in back]
    assert compare(part(before), part(before)).files == ()
