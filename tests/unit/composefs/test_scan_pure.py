# SPDX-License-Identifier: MIT
"""Real directories, the odder the better. Tests of what only root can make are skipped, with the reason, for others."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from powernode.base.errors import DataError, InternalError, MachineError, OperatorError
from powernode.composefs._image_pure import write_image
from powernode.composefs._scan_options import ScanOptions
from powernode.composefs._scan_pure import scan_directory
from powernode.composefs.tree import (
    BlockDevice,
    CharacterDevice,
    Directory,
    Fifo,
    RegularFile,
    Socket,
    Symlink,
)
from unit.composefs._pure_trees import mkcomposefs, verity_digest

# u::rwx u:5:rwx g::r-x m::rwx o::r-x
ACL = bytes.fromhex("02000000 01000700ffffffff 0200070005000000 04000500ffffffff 10000700ffffffff 20000500ffffffff")
OPTIONS = {
    "--use-epoch": ScanOptions(epoch=True),
    "--skip-xattrs": ScanOptions(xattrs="none"),
    "--user-xattrs": ScanOptions(xattrs="user"),
    "--skip-devices": ScanOptions(devices=False),
}


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A directory of everything an unprivileged user can make."""
    top = tmp_path / "odd"
    top.mkdir()
    for size in (0, 1, 64, 65, 4096, 4097, 600_000):
        (top / f"size-{size}").write_bytes(b"x" * size)
    for name in (b"two words", b"new\nline", b"back\\slash", b"\xff\xfe", b"=", b"-", b"n" * 255):
        (top / os.fsdecode(name)).write_bytes(name * 30)
    inner = top / "inner"
    (inner / "empty").mkdir(parents=True)
    os.mkfifo(inner / "fifo", 0o622)
    (inner / "short").symlink_to("nowhere")
    (inner / "long").symlink_to("t" * 4000)
    os.link(top / "size-65", inner / "again")
    os.utime(top / "size-1", ns=(0, -1_500_000_000))
    os.utime(top / "size-64", ns=(0, 1_700_000_000_123_456_789))
    (top / "size-0").chmod(0o4711)
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(top)  # a socket's path may be no longer than 107 bytes
        try:
            server.bind("socket")
        finally:
            os.chdir(here)
    return top


def _as_root(top: Path) -> None:
    """Add what needs privileges."""
    if os.geteuid() != 0:
        pytest.skip("only root can make devices and trusted attributes")
    os.mknod(top / "null", 0o20666, os.makedev(1, 3))
    os.mknod(top / "inner" / "whiteout", 0o20000, 0)
    os.mknod(top / "inner" / "disk", 0o60600, os.makedev(259, 70_000))
    os.chown(top / "size-64", 70_000, 3)
    for path in ("size-1", "size-65", "inner", "inner/fifo", "inner/whiteout", "inner/short"):
        for name in ("trusted.overlay.opaque", "trusted.zz", "security.odd"):
            try:
                os.setxattr(top / path, name, b"v", follow_symlinks=False)
            except OSError as error:
                pytest.skip(f"this filesystem does not take {name}: {error.strerror}")
    os.setxattr(top / "size-0", "user.empty", b"")
    os.setxattr(top / "inner" / "empty", "system.posix_acl_access", ACL)
    os.setxattr(top / "inner" / "empty", "system.posix_acl_default", ACL)


def _scan(top: Path, options: ScanOptions | None = None) -> Directory:
    return scan_directory(top, options, digest_fd=verity_digest)


def test_what_is_what(odd: Path) -> None:
    tree = _scan(odd)
    inner = tree.entries[b"inner"]
    assert isinstance(inner, Directory)
    kinds = {b"fifo": Fifo, b"short": Symlink, b"again": RegularFile, b"empty": Directory}
    assert {name: type(inner.entries[name]) for name in kinds} == kinds
    assert isinstance(tree.entries[b"socket"], Socket)
    assert isinstance(tree.entries[b"\xff\xfe"], RegularFile)
    assert all(node.nlink == 1 for node in tree.entries.values())
    assert tree.entries[b"size-65"] is not inner.entries[b"again"]


@pytest.mark.parametrize(
    ("size", "inside", "outside"), [(0, False, False), (1, True, False), (64, True, False), (65, False, True)]
)
def test_what_is_taken_along(odd: Path, size: int, inside: bool, outside: bool) -> None:
    node = _scan(odd).entries[b"size-%d" % size]
    assert isinstance(node, RegularFile)
    assert node.size == size
    assert node.content == (b"x" * size if inside else None)
    assert (node.digest is not None) == outside
    if node.digest is not None:
        text = node.digest.hex().encode()
        assert node.payload == text[:2] + b"/" + text[2:]


def test_times_have_nanoseconds_and_may_be_before_the_epoch(odd: Path) -> None:
    tree = _scan(odd)
    times = [(tree.entries[name].mtime_s, tree.entries[name].mtime_ns) for name in (b"size-1", b"size-64")]
    assert times == [(-2, 500_000_000), (1_700_000_000, 123_456_789)]
    epoch = _scan(odd, ScanOptions(epoch=True))
    assert {(node.mtime_s, node.mtime_ns) for node in (epoch, *epoch.entries.values())} == {(0, 0)}


def test_hardlinks_are_one_node_when_asked_for(odd: Path) -> None:
    (odd / "inner" / "third").hardlink_to(odd / "size-65")
    tree = _scan(odd, ScanOptions(hardlinks=True))
    inner = tree.entries[b"inner"]
    assert isinstance(inner, Directory)
    assert tree.entries[b"size-65"] is inner.entries[b"again"] is inner.entries[b"third"]
    assert inner.entries[b"again"].nlink == 3
    assert len(write_image(tree)) <= len(write_image(_scan(odd)))


def test_a_link_count_counts_names_in_the_tree(odd: Path) -> None:
    inner = _scan(odd / "inner", ScanOptions(hardlinks=True))
    assert inner.entries[b"again"].nlink == 1


def test_devices(odd: Path) -> None:
    _as_root(odd)
    tree = _scan(odd)
    inner = tree.entries[b"inner"]
    assert isinstance(inner, Directory)
    null, disk, whiteout = tree.entries[b"null"], inner.entries[b"disk"], inner.entries[b"whiteout"]
    assert isinstance(null, CharacterDevice)
    assert isinstance(disk, BlockDevice)
    assert isinstance(whiteout, CharacterDevice)
    assert (null.rdev, disk.rdev, whiteout.rdev) == (0x103, 0x11110370, 0)
    without = _scan(odd, ScanOptions(devices=False))
    assert b"null" not in without.entries


def test_attributes(odd: Path) -> None:
    _as_root(odd)
    (odd / "size-1").touch()
    os.setxattr(odd / "size-1", "user.a", b"1")
    names = [name for name, _ in _scan(odd).entries[b"size-1"].xattrs]
    assert names == sorted(names)
    assert {b"security.odd", b"trusted.overlay.opaque", b"trusted.zz", b"user.a"} <= set(names)
    assert _scan(odd, ScanOptions(xattrs="user")).entries[b"size-1"].xattrs == ((b"user.a", b"1"),)
    assert _scan(odd, ScanOptions(xattrs="none")).entries[b"size-1"].xattrs == ()
    inner = _scan(odd).entries[b"inner"]
    assert isinstance(inner, Directory)
    assert (b"trusted.zz", b"v") in inner.entries[b"short"].xattrs
    assert (b"system.posix_acl_default", ACL) in inner.entries[b"empty"].xattrs


@pytest.mark.parametrize("option", [None, *OPTIONS])
@pytest.mark.parametrize("privileged", [False, True])
def test_the_same_image_as_the_peer(odd: Path, tmp_path: Path, option: str | None, privileged: bool) -> None:
    if privileged:
        _as_root(odd)
    ours = write_image(_scan(odd, OPTIONS[option] if option else None))
    assert ours == mkcomposefs(odd, tmp_path, *([option] if option else []))


def test_depth_needs_no_descriptors(tmp_path: Path) -> None:
    """Deeper than the paths the kernel takes, and than the descriptors a process may have."""
    depth = 1500
    here = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for _ in range(depth):
            os.mkdir("deep", dir_fd=here)
            below = os.open("deep", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
            os.close(here)
            here = below
        node = _scan(tmp_path)
    finally:
        os.close(here)
        subprocess.run(["rm", "-rf", tmp_path / "deep"], check=True)  # pytest's own clean-up goes by paths
    for _ in range(depth):
        (child,) = node.entries.values()
        assert isinstance(child, Directory)
        node = child
    assert not node.entries


def test_no_descriptor_is_left_open(odd: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    _scan(odd)
    with pytest.raises(ZeroDivisionError):
        scan_directory(odd, digest_fd=lambda fd: bytes(1 // 0))
    assert set(os.listdir("/proc/self/fd")) == before


def test_symlinks_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"s")
    top = tmp_path / "top"
    top.mkdir()
    (top / "way").symlink_to(tmp_path / "outside")
    assert [type(node) for node in _scan(top).entries.values()] == [Symlink]


def test_a_file_that_changes_is_an_error(odd: Path) -> None:
    def digest_and_touch(fd: int) -> bytes:
        os.utime(fd, ns=(0, 12345))
        return bytes(32)

    with pytest.raises(MachineError) as caught:
        scan_directory(odd, digest_fd=digest_and_touch)
    assert caught.value.code == "composefs.changed"


def test_a_directory_that_moves_is_an_error(tmp_path: Path) -> None:
    """While `a` is read it is moved to another parent: `..` no longer leads where we came from."""
    top, elsewhere = tmp_path / "top", tmp_path / "elsewhere"
    (top / "a").mkdir(parents=True)
    elsewhere.mkdir()
    (top / "a" / "file").write_bytes(b"x" * 100)

    def digest_and_move(fd: int) -> bytes:
        (top / "a").rename(elsewhere / "a")
        return bytes(32)

    with pytest.raises(MachineError) as caught:
        scan_directory(top, digest_fd=digest_and_move)
    assert caught.value.code == "composefs.changed"


def test_a_digest_of_the_wrong_size_is_our_fault(odd: Path) -> None:
    with pytest.raises(InternalError):
        scan_directory(odd, digest_fd=lambda fd: b"short")


def test_attributes_too_large_for_an_image(odd: Path) -> None:
    for number in range(9):
        try:
            os.setxattr(odd / "size-0", f"user.{number}", bytes(4000))
        except OSError as error:
            pytest.skip(f"this filesystem takes no 36 KB of attributes: {error.strerror}")
    with pytest.raises(DataError) as caught:
        _scan(odd)
    assert caught.value.code == "composefs.xattr-size"


def test_a_source_that_is_no_directory(odd: Path) -> None:
    for path in (odd / "size-0", odd / "missing"):
        with pytest.raises(OperatorError) as caught:
            _scan(path)
        assert caught.value.code == "composefs.source"
