# SPDX-License-Identifier: MIT
"""A tree from a tar archive and folders: whose files they are, what is left out, and which time they have."""

from __future__ import annotations

import io
import os
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

from powernode import verity
from powernode.base.errors import DataError
from powernode.composefs import image as images
from powernode.composefs.store import ObjectStore
from powernode.composefs.tree import Directory, RegularFile, Symlink, walk
from powernode.manifest.globs import compile_globs
from powernode.module.tree import NOTHING, TreeBuilder, digest_of, paths_of, read_content, store_files

LATEST = 1_700_000_000


def member(name: str, data: bytes = b"", **attributes: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = 0o644
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, data


def folder(name: str, mode: int = 0o755, **attributes: object) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, b"", type=tarfile.DIRTYPE, mode=mode, **attributes)


def archive(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return path


def build(
    tmp_path: Path, tar: Path | None, *folders: Path, leave_out: tuple[str, ...] = (), keep: tuple[str, ...] = ()
) -> Directory:
    store = ObjectStore.create(tmp_path / "objects", digest_fd=lambda fd: verity.digest_fd(fd).value)
    tree = TreeBuilder(latest_s=LATEST)
    if tar is not None:
        tree.add_tar(tar, leave_out=compile_globs(leave_out), keep=compile_globs(keep))
    for each in folders:
        tree.add_folder(each)
    with store.batch() as batch:
        stored = store_files(tree.freeze(), batch)
    assert store.missing(images.objects(images.from_tree(stored.tree, min_version=1))) == []
    return stored.tree


def at(tree: Directory, path: str) -> object:
    node: object = tree
    for name in path.strip("/").split("/"):
        assert isinstance(node, Directory)
        node = node.entries[name.encode()]
    return node


def paths(tree: Directory) -> set[str]:
    return {path.decode() for path, _ in walk(tree)}


def test_attributes_are_those_of_the_archive(tmp_path: Path) -> None:
    capability = b"\x01\x00\x00\x02\x00\x20\xff\x00"
    headers = {"SCHILY.xattr.security.capability": capability.decode("utf-8", "surrogateescape")}
    tar = archive(
        tmp_path / "a.tar",
        folder("./", mtime=5),
        folder("./usr/", uid=1, gid=2, mtime=6),
        member("./usr/ping", b"p" * 100, mode=0o4755, uid=3, gid=4, mtime=7, pax_headers=headers),
        member("./usr/small", b"tiny", mtime=8),
        member("./bin", type=tarfile.SYMTYPE, linkname="usr/bin", mode=0o777),
    )
    tree = build(tmp_path, tar)
    usr, ping, small, link = (at(tree, path) for path in ("usr", "usr/ping", "usr/small", "bin"))
    assert isinstance(usr, Directory)
    assert (tree.mtime_s, usr.uid, usr.gid, usr.mtime_s) == (5, 1, 2, 6)
    assert isinstance(ping, RegularFile)
    assert (ping.mode, ping.uid, ping.gid, ping.mtime_s) == (0o4755, 3, 4, 7)
    assert ping.xattrs == ((b"security.capability", capability),)
    assert ping.digest == verity.digest_buffer(b"p" * 100).value
    assert isinstance(small, RegularFile)
    assert (small.content, small.payload) == (b"tiny", None)
    assert isinstance(link, Symlink)
    assert link.target == b"usr/bin"


def test_hard_links_become_files_with_one_object(tmp_path: Path) -> None:
    tar = archive(
        tmp_path / "a.tar", member("perl5", b"p" * 100), member("perl", type=tarfile.LNKTYPE, linkname="perl5")
    )
    tree = build(tmp_path, tar, leave_out=("/perl5",))
    perl = at(tree, "perl")
    assert isinstance(perl, RegularFile)
    assert (perl.size, perl.nlink, perl.digest) == (100, 1, verity.digest_buffer(b"p" * 100).value)
    assert paths(tree) == {"/", "/perl"}


def test_a_hard_link_has_the_attributes_of_the_file(tmp_path: Path) -> None:
    """GNU tar writes them with the first name only."""
    headers = {"SCHILY.xattr.user.note": "text"}
    tar = archive(
        tmp_path / "a.tar",
        member("one", b"1", mode=0o4755, uid=3, pax_headers=headers),
        member("two", type=tarfile.LNKTYPE, linkname="one"),
    )
    two = at(build(tmp_path, tar), "two")
    assert isinstance(two, RegularFile)
    assert (two.mode, two.uid, two.xattrs) == (0o4755, 3, ((b"user.note", b"text"),))


def test_labels_of_the_machine_are_left_out(tmp_path: Path) -> None:
    headers = {f"SCHILY.xattr.{name}": "x" for name in ("security.selinux", "security.ima", "user.note")}
    file = at(build(tmp_path, archive(tmp_path / "a.tar", member("file", b"1", pax_headers=headers))), "file")
    assert isinstance(file, RegularFile)
    assert [name for name, _ in file.xattrs] == [b"user.note"]


def test_what_is_of_the_machine_that_installed_is_left_out(tmp_path: Path) -> None:
    """mmdebstrap copies its name and name servers into the root, and says where the packages were."""
    names = ("etc/hostname", "etc/resolv.conf", "etc/hosts", "etc/apt/sources.list", "work/etc/hostname")
    members = [folder("./etc"), folder("./etc/apt"), folder("./work")]
    tar = archive(tmp_path / "a.tar", *members, *(member(f"./{name}", b"x") for name in names))
    assert paths(frozen(tar)) == {"/", "/etc", "/etc/apt", "/etc/hosts", "/work", "/work/etc", "/work/etc/hostname"}
    assert paths(frozen(tar, top=b"/work")) == {"/", "/etc", "/etc/hostname"}  # an author's own
    (tmp_path / "rootfs/etc").mkdir(parents=True)
    (tmp_path / "rootfs/etc/hostname").write_text("ours\n")
    assert "/etc/hostname" in paths(build(tmp_path, tar, tmp_path / "rootfs"))


def test_names_in_an_archive_stay_as_they_are(tmp_path: Path) -> None:
    names = ("./.hidden", ".dockerenv", "./..x", "ä", "\udcff")
    tree = build(tmp_path, archive(tmp_path / "a.tar", folder("./"), *(member(name) for name in names)))
    assert {path for path, _ in walk(tree)} == {b"/", b"/.hidden", b"/.dockerenv", b"/..x", "/ä".encode(), b"/\xff"}


def test_no_time_is_later_than_the_latest(tmp_path: Path) -> None:
    tree = build(tmp_path, archive(tmp_path / "a.tar", member("new", mtime=LATEST + 1), member("old", mtime=3)))
    new, old = at(tree, "new"), at(tree, "old")
    assert isinstance(new, RegularFile)
    assert isinstance(old, RegularFile)
    assert (new.mtime_s, old.mtime_s) == (LATEST, 3)


def test_a_directory_left_out_takes_its_content_along_but_what_is_kept(tmp_path: Path) -> None:
    tar = archive(
        tmp_path / "a.tar",
        *(folder(name) for name in ("doc", "doc/a", "doc/a/more", "doc/b")),
        *(member(name, b"text") for name in ("doc/a/copyright", "doc/a/readme", "doc/a/more/x", "doc/b/readme", "x")),
    )
    assert paths(build(tmp_path, tar, leave_out=("/doc",), keep=("/doc/*/copyright",))) == {
        *("/", "/doc", "/doc/a", "/doc/a/copyright", "/x")
    }


def test_what_is_left_out_leaves_no_object(tmp_path: Path) -> None:
    build(tmp_path, archive(tmp_path / "a.tar", member("doc", b"d" * 100)), leave_out=("/doc",))
    assert list(ObjectStore(tmp_path / "objects").digests()) == []


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_folder_belongs_to_root_whoever_checked_it_out(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        top = tmp_path / "rootfs"
        (top / "etc").mkdir(parents=True)
        (top / "etc/tool").write_text("#!/bin/sh\n")
        (top / "etc/tool").chmod(0o700)
        (top / "etc/conf").write_text("")
        (top / "etc/link").symlink_to("/dev/null")
    finally:
        os.umask(before)
    dump = images.to_dump(build(tmp_path, None, top)).decode()
    kinds = {line.split()[0]: line.split()[2:6] + line.split()[7:8] for line in dump.splitlines()}
    assert kinds["/etc"] == ["40755", "2", "0", "0", f"{LATEST}.0"]
    assert kinds["/etc/tool"] == ["100755", "1", "0", "0", f"{LATEST}.0"]
    assert kinds["/etc/conf"] == ["100644", "1", "0", "0", f"{LATEST}.0"]
    assert kinds["/etc/link"] == ["120777", "1", "0", "0", f"{LATEST}.0"]


def test_a_folder_replaces_files_and_keeps_the_directories_of_the_archive(tmp_path: Path) -> None:
    tar = archive(
        tmp_path / "a.tar", folder("etc", mode=0o700, uid=9), member("etc/motd", b"old"), member("etc/host", b"h")
    )
    top = tmp_path / "rootfs/etc"
    top.mkdir(parents=True)
    (top / "motd").write_text("new")
    tree = build(tmp_path, tar, tmp_path / "rootfs")
    etc, motd = at(tree, "etc"), at(tree, "etc/motd")
    assert isinstance(etc, Directory)
    assert (etc.mode, etc.uid, sorted(etc.entries)) == (0o700, 9, [b"host", b"motd"])
    assert isinstance(motd, RegularFile)
    assert motd.content == b"new"


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ([member("null", type=tarfile.CHRTYPE)], "module.tree.type"),
        ([member("disk", type=tarfile.BLKTYPE)], "module.tree.type"),
        ([member("pipe", type=tarfile.FIFOTYPE)], "module.tree.type"),
        ([member("again", type=tarfile.LNKTYPE, linkname="pipe")], "module.tree.type"),
        ([member("file", b"x"), member("file/below", b"x")], "module.tree.through"),
    ],
)
def test_what_a_root_is_not_made_of_is_refused(
    tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]], code: str
) -> None:
    with pytest.raises(DataError) as refused:
        build(tmp_path, archive(tmp_path / "a.tar", *members))
    assert refused.value.code == code


def frozen(tar: Path, **more: bytes) -> Directory:
    tree = TreeBuilder(latest_s=LATEST)
    tree.add_tar(tar, leave_out=NOTHING, keep=NOTHING, **more)
    return tree.freeze()


def test_a_frozen_tree_has_read_nothing_but_can(tmp_path: Path) -> None:
    tar = archive(tmp_path / "a.tar", member("large", b"l" * 5000), member("empty"))
    tree = frozen(tar)
    large = at(tree, "large")
    assert isinstance(large, RegularFile)
    assert (large.size, large.content, large.payload) == (5000, None, None)
    assert read_content(large) == b"l" * 5000


def test_what_shrinks_meanwhile_is_noticed(tmp_path: Path) -> None:
    top = tmp_path / "rootfs"
    top.mkdir()
    (top / "file").write_bytes(b"f" * 100)
    tree = TreeBuilder(latest_s=LATEST)
    tree.add_folder(top)
    (top / "file").write_bytes(b"f")
    store = ObjectStore.create(tmp_path / "objects", digest_fd=lambda fd: verity.digest_fd(fd).value)
    with pytest.raises(DataError) as refused, store.batch() as batch:
        store_files(tree.freeze(), batch)
    assert refused.value.code == "module.tree.changed"


def test_digests_of_all_files(tmp_path: Path) -> None:
    tar = archive(tmp_path / "a.tar", folder("etc"), member("etc/large", b"l" * 5000), member("etc/empty"))
    store = ObjectStore.create(tmp_path / "objects", digest_fd=lambda fd: verity.digest_fd(fd).value)
    with store.batch() as batch:
        stored = store_files(frozen(tar), batch)
    assert {path: digest.hex() for path, digest in stored.sha256.items()} == {
        b"/etc/large": sha256(b"l" * 5000).hexdigest(),
        b"/etc/empty": sha256(b"").hexdigest(),
    }


def test_what_a_running_system_makes_is_nobodys(tmp_path: Path) -> None:
    names = ("dev", "dev/pts", "proc", "run", "run/lock", "tmp", "sys")
    devices = [member("dev/null", type=tarfile.CHRTYPE), member("run/lock/x", b"text")]
    tree = frozen(archive(tmp_path / "a.tar", *map(folder, names), *devices))
    assert paths(tree) == {"/", "/dev", "/proc", "/run", "/tmp", "/sys"}


def test_a_root_below_a_folder_of_the_archive(tmp_path: Path) -> None:
    members = (folder("work", mtime=7), folder("work/etc"), member("work/etc/motd", b"m"), member("worker", b"w"))
    tree = frozen(archive(tmp_path / "a.tar", *members, member("etc/other", b"o")), top=b"/work")
    assert paths(tree) == {"/", "/etc", "/etc/motd"}
    assert tree.mtime_s == 7


def test_the_mark_of_an_empty_folder_is_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "rootfs/var/lib/redis").mkdir(parents=True)
    (tmp_path / "rootfs/.gitkeep").touch()
    (tmp_path / "rootfs/var/lib/redis/.gitkeep").touch()
    tree = build(tmp_path, None, tmp_path / "rootfs")
    assert paths(tree) == {"/", "/var", "/var/lib", "/var/lib/redis", "/var/lib/redis/.gitkeep"}
    assert paths_of(tmp_path / "rootfs") == {path.encode() for path in paths(tree) - {"/"}}


def test_a_folder_that_cannot_be_read_is_not_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user's rootfs/ must not quietly make another module."""
    (tmp_path / "rootfs/secret").mkdir(parents=True)
    scandir = os.scandir

    def refuse(path: bytes) -> object:  # as it is for whoever is not root
        if os.fsencode(path).endswith(b"secret"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError):
        digest_of(tmp_path / "rootfs")


def test_a_pipe_in_a_folder_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError) as refused:
        paths_of(tmp_path)
    assert refused.value.code == "module.tree.type"


def test_the_digest_of_a_folder_is_of_what_the_tree_gets(tmp_path: Path) -> None:
    top = tmp_path / "rootfs"
    (top / "etc").mkdir(parents=True)
    (top / "etc/motd").write_text("hello\n")
    seen = [digest_of(top)]

    def changed() -> bool:
        seen.append(digest_of(top))
        return len(set(seen)) == len(seen)

    (top / "etc/motd").chmod(0o755)
    assert changed()
    (top / "etc/motd").write_text("hello!\n")
    assert changed()
    (top / "etc/link").symlink_to("motd")
    assert changed()
    (top / "empty").mkdir()
    assert changed()
    os.utime(top / "etc/motd", (0, 0))
    (top / "etc/motd").chmod(0o711)
    (top / ".gitkeep").touch()
    assert digest_of(top) == seen[-1]
    assert digest_of(tmp_path / "not there") == digest_of(top / "empty")


def test_large_files_are_stored_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is stored and how it is named does not depend on it."""
    (tmp_path / "files").mkdir()
    (tmp_path / "again").mkdir()
    (tmp_path / "files/big").write_bytes(bytes(range(256)) * 40)
    expected = build(tmp_path, None, tmp_path / "files"), digest_of(tmp_path / "files")
    monkeypatch.setattr("powernode.module.tree._PIECE", 1000)
    monkeypatch.setattr("powernode.module.tree._Waiting.read", None)
    found = build(tmp_path / "again", None, tmp_path / "files"), digest_of(tmp_path / "files")
    assert images.from_tree(found[0], min_version=1) == images.from_tree(expected[0], min_version=1)
    assert found[1] == expected[1]


def test_a_file_that_became_shorter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/big").write_bytes(b"x" * 5000)
    tree = TreeBuilder(latest_s=LATEST)
    tree.add_folder(tmp_path / "files")
    os.truncate(tmp_path / "files/big", 4000)
    monkeypatch.setattr("powernode.module.tree._PIECE", 1000)
    store = ObjectStore.create(tmp_path / "objects")
    with pytest.raises(DataError) as caught, store.batch() as batch:
        store_files(tree.freeze(), batch)
    assert caught.value.code == "module.tree.changed"
    assert list(store.digests()) == []
