# SPDX-License-Identifier: MIT
"""Carving: what ships, what that leaves behind, and the same answer as the merge on a node."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.base.errors import DataError, OperatorError
from powernode.composefs import image as images
from powernode.composefs.merge import MergeInput, merge
from powernode.composefs.tree import Directory, Node, RegularFile, walk
from powernode.manifest.globs import compile_globs
from powernode.module.carve import Carved, Owners, Wanted, carve

ROOT_ONLY = 0o700


def tree(*paths: str) -> Directory:
    """Files by path, of as many bytes as the path has; a path that ends in / is an empty directory."""
    top: dict[bytes, object] = {}
    for path in paths:
        at = top
        *parents, name = path.strip("/").encode().split(b"/")
        for parent in parents:
            below = at.setdefault(parent, {})
            assert isinstance(below, dict)
            at = below
        at[name] = {} if path.endswith("/") else RegularFile(mode=0o644, size=len(path), content=path.encode())
    return directory(top, 0o755)


def directory(entries: Mapping[bytes, object], mode: int = ROOT_ONLY) -> Directory:
    made: dict[bytes, Node] = {
        name: entry if isinstance(entry, Node) else directory(entry)  # type: ignore[arg-type]
        for name, entry in entries.items()
    }
    return Directory(mode=mode, nlink=2 + sum(isinstance(each, Directory) for each in made.values()), entries=made)


def paths(carved: Carved) -> list[str]:
    return [path.decode() for path, node in walk(carved.tree) if not (isinstance(node, Directory) and node.entries)]


def owners(
    added: Mapping[str, set[bytes]] | None = None, base: set[bytes] | None = None, rootfs: set[bytes] | None = None
) -> Owners:
    return Owners(added=added or {}, base=base or set(), rootfs=rootfs or set())


def with_parents(*paths: bytes) -> set[bytes]:
    found = set(paths)
    for path in paths:
        while path := path.rpartition(b"/")[0]:
            found.add(path)
    return found


ETC = tree("/etc/redis/redis.conf", "/etc/redis/sentinel.conf", "/etc/other", "/usr/bin/redis", "/var/lib/redis/")
REDIS = with_parents(b"/etc/redis/redis.conf", b"/etc/redis/sentinel.conf", b"/usr/bin/redis", b"/var/lib/redis")
BASE = with_parents(b"/etc/other", b"/usr/bin/sh", b"/var/lib/dpkg")


def test_what_is_included_less_what_is_masked() -> None:
    wanted = Wanted(file_spec=("/etc/redis/**",), mask=("/etc/redis/sentinel.conf",))
    carved = carve(ETC, wanted, owners({"redis": REDIS}, BASE))
    assert paths(carved) == ["/etc/redis/redis.conf"]
    assert carved.file_spec == ("/etc/redis/**",)
    report = carved.report
    assert (report.files, report.entries, report.size_bytes) == (1, 4, len("/etc/redis/redis.conf"))
    assert report.unshipped == {"redis": (b"/usr/bin/redis", b"/var/lib/redis")}
    assert report.masked == (b"/etc/redis/sentinel.conf",)
    assert (report.idle_globs, report.idle_masks) == ((), ())


def test_waivers_silence_and_change_nothing_else() -> None:
    wanted = Wanted(file_spec=("/etc/redis/**",), waivers=("/usr/bin/**", "/var/lib/redis/"))
    carved = carve(ETC, wanted, owners({"redis": REDIS}, BASE))
    assert carved.report.unshipped == {}
    assert paths(carved) == ["/etc/redis/redis.conf", "/etc/redis/sentinel.conf"]


def test_left_out_file_spec_is_what_the_module_adds() -> None:
    rootfs = with_parents(b"/srv/site", b"/etc/other")
    built = tree("/etc/redis/redis.conf", "/etc/other", "/etc/base", "/usr/bin/redis", "/usr/bin/sh", "/srv/site")
    carved = carve(built, Wanted(file_spec=None), owners({"redis": REDIS}, BASE | {b"/etc/base"}, rootfs))
    assert paths(carved) == ["/etc/other", "/etc/redis/redis.conf", "/srv/site", "/usr/bin/redis"]
    assert carved.file_spec == ("/etc/other", "/etc/redis/", "/srv/", "/usr/bin/redis")
    assert carved.report.unshipped == {}


def test_what_nobody_owns_does_not_ship_by_itself() -> None:
    built = tree("/etc/redis/redis.conf", "/etc/redis/made-by-a-script", "/var/log/dpkg.log")
    carved = carve(built, Wanted(file_spec=None), owners({"redis": REDIS}, BASE))
    assert paths(carved) == ["/etc/redis/redis.conf"]


def test_written_out_globs_claim_no_directory_of_the_base() -> None:
    """On a node, mode and owner of /etc stay the base's, and those of /etc/redis are the module's."""
    carved = carve(ETC, Wanted(file_spec=None), owners({"redis": REDIS}, BASE))
    base = MergeInput(
        name="base", effective_priority=0, tree=tree("/etc/other", "/etc/redis/x"), file_spec=compile_globs(["/**"])
    )
    module = MergeInput(name="redis", effective_priority=1, tree=carved.tree, file_spec=compile_globs(carved.file_spec))
    result = merge([base, module])
    assert result.givers[b"/etc"] == "base"
    assert result.givers[b"/etc/redis"] == "redis"
    assert result.givers[b"/etc/redis/redis.conf"] == "redis"


def test_special_characters_of_names_are_taken_literally() -> None:
    odd = "/usr/[x]*?\\y"
    carved = carve(tree(odd, "/usr/xaby"), Wanted(file_spec=None), owners({"p": {odd.encode()}}))
    assert paths(carved) == [odd]
    assert compile_globs(carved.file_spec).matches(odd.encode())
    assert not compile_globs(carved.file_spec).matches(b"/usr/xaby")


def test_a_name_that_no_manifest_can_hold_is_refused() -> None:
    strange = Directory(entries={b"\xff": RegularFile(size=1, content=b"x")})
    with pytest.raises(DataError) as caught:
        carve(strange, Wanted(file_spec=None), owners({"p": {b"/\xff"}}))
    assert caught.value.code == "module.carve.name"


def test_globs_without_effect_are_told() -> None:
    wanted = Wanted(
        file_spec=("/etc/redis/**", "/opt/**", "/etc/redis/none", "/var/lib/redis/**"),
        mask=("/etc/redis/s*", "/usr/**", "/etc/redis/none"),
    )
    report = carve(ETC, wanted, owners({"redis": REDIS}, BASE)).report
    assert report.idle_globs == ("/opt/**", "/etc/redis/none", "/var/lib/redis/**")
    assert report.idle_masks == ("/usr/**", "/etc/redis/none")
    text = report.describe(set())
    assert "file_spec /opt/** matches nothing" in text
    assert "mask /usr/** takes nothing away" in text


def test_a_rootfs_that_file_spec_forgets_is_told() -> None:
    rootfs = with_parents(b"/etc/redis/redis.conf", b"/usr/bin/redis")
    report = carve(ETC, Wanted(file_spec=("/etc/redis/**",)), owners(rootfs=rootfs)).report
    assert report.rootfs_unshipped == (b"/usr/bin/redis",)
    assert "file_spec does not include all of rootfs/: /usr/bin/redis" in report.describe(set())


def test_what_was_removed_from_the_root_is_not_missed() -> None:
    report = carve(ETC, Wanted(file_spec=("/etc/",)), owners({"man": with_parents(b"/usr/share/man/x")})).report
    assert report.unshipped == {}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(file_spec=("/opt/**",)), "/opt/**"),
        (Wanted(file_spec=()), "an empty list"),
        (Wanted(file_spec=("/etc/**",), mask=("/etc/",)), "/etc/**"),
        (Wanted(file_spec=None, mask=("/**",)), "mask leaves nothing of them"),
    ],
)
def test_an_empty_module_is_refused(wanted: Wanted, found: str) -> None:
    with pytest.raises(OperatorError) as caught:
        carve(ETC, wanted, owners({"redis": REDIS}, BASE))
    assert (caught.value.code, caught.value.found) == ("module.carve.empty", found)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/home/user/.profile", "manifest.home"),
        ("/home/user/", "manifest.home"),
        ("/run/redis/redis.pid", "module.carve.runtime"),
        ("/tmp/x", "module.carve.runtime"),
        ("/dev/null", "module.carve.runtime"),
    ],
)
def test_what_is_no_modules_to_ship_is_refused(path: str, code: str) -> None:
    """Whether it is a package's, a script's or in rootfs/, and whatever glob took it."""
    for wanted in (Wanted(file_spec=("/**",)), Wanted(file_spec=("/[a-z]*/**",)), Wanted(file_spec=None)):
        with pytest.raises(OperatorError) as caught:
            carve(tree("/etc/x", path), wanted, owners({"p": {b"/etc/x", path.rstrip("/").encode()}}))
        assert caught.value.code == code
        assert path.rstrip("/") in str(caught.value.found)
        assert "mask" in str(caught.value.hint)
    top = path.split("/")[1]
    masked = carve(tree("/etc/x", path), Wanted(file_spec=("/**",), mask=(f"/{top}/**",)), owners())
    assert paths(masked) == sorted(["/etc/x", f"/{top}"])


def test_the_folders_themselves_may_ship() -> None:
    carved = carve(tree("/home/", "/run/", "/etc/x"), Wanted(file_spec=("/**",)), owners())
    assert paths(carved) == ["/etc/x", "/home", "/run"]


def test_more_globs_than_anybody_reads_are_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("powernode.module.carve.MAX_GLOBS", 2)
    own = {b"/usr/a", b"/usr/b", b"/usr/c"}
    with pytest.raises(OperatorError) as caught:
        carve(tree("/usr/a", "/usr/b", "/usr/c"), Wanted(file_spec=None), owners({"p": own}))
    assert (caught.value.code, caught.value.found) == ("module.carve.globs", "3")
    carve(tree("/usr/a", "/usr/b"), Wanted(file_spec=None), owners({"p": own}))


def test_a_module_that_adds_nothing_is_refused() -> None:
    with pytest.raises(OperatorError) as caught:
        carve(ETC, Wanted(file_spec=None), owners(base=BASE))
    assert (caught.value.code, caught.value.found) == ("module.carve.empty", "neither")


def test_long_lists_are_cut_for_people_only() -> None:
    names = {f"/usr/{number}".encode() for number in range(9)}
    built = tree("/etc/x", *(name.decode() for name in names))
    report = carve(built, Wanted(file_spec=("/etc/**",)), owners({"p": names})).report
    assert "9 paths of p do not ship: /usr/0, /usr/1, /usr/2, /usr/3, /usr/4, …" in report.describe({"p"})
    unshipped = report.as_dict()["unshipped"]
    assert isinstance(unshipped, dict)
    assert len(unshipped["p"]) == 9


NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda names: "/" + "/".join(names))


@given(leaves=st.sets(PATHS, min_size=1, max_size=8), own=st.sets(PATHS, max_size=8), base=st.sets(PATHS, max_size=4))
def test_what_is_written_out_includes_exactly_what_ships(leaves: set[str], own: set[str], base: set[str]) -> None:
    """The node has only the shipped tree and the globs: applied to it they change nothing and claim what is owned."""
    built = tree(*(leaf for leaf in leaves if not any(other.startswith(leaf + "/") for other in leaves)))
    theirs = {path.encode() for path in base}
    mine = {path.encode() for path in own}
    try:
        carved = carve(built, Wanted(file_spec=None), owners({"p": mine}, theirs))
    except OperatorError:
        there = {path for path, _ in walk(built)}
        assert not (mine - theirs) & there
        return
    again = merge(
        [MergeInput(name="m", effective_priority=0, tree=carved.tree, file_spec=compile_globs(carved.file_spec))]
    )
    assert images.to_dump(again.tree) == images.to_dump(carved.tree)
    globs = compile_globs(carved.file_spec)
    for path, node in walk(carved.tree):
        if path != b"/":
            assert globs.matches(path, is_directory=isinstance(node, Directory)) == (path in mine - theirs)


def test_packages_that_nobody_asked_for_are_counted() -> None:
    added = {"redis": {b"/usr/r"}, "libc": {b"/usr/a", b"/usr/b"}, "libm": {b"/usr/c"}}
    built = tree("/etc/x", "/usr/r", "/usr/a", "/usr/b", "/usr/c")
    report = carve(built, Wanted(file_spec=("/etc/**",)), owners(added)).report
    assert report.describe({"redis", "other"}).splitlines()[1:] == [
        "1 path of redis do not ship: /usr/r",
        "3 paths of 2 packages that package_spec does not name do not ship",
    ]
    assert sorted(report.unshipped) == ["libc", "libm", "redis"]
