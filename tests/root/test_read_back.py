# SPDX-License-Identifier: MIT
"""What the running kernel shows of an image is what was scanned: every byte and every attribute.

Two ways: the image alone through a loop device (everything but what lives in the store), and the image as an overlay
over its store. Overlayfs takes off the escapes that the image puts on attributes of overlayfs; a whiteout of the source
comes back as the file an overlay on top understands as one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from interop._posix_trees import make_deep, make_tree, needs_everything, remove_deep
from powernode.base.errors import MachineError
from powernode.composefs.mount import mount_image
from powernode.composefs.scan import ScanOptions, image_of
from powernode.composefs.store import ObjectStore
from powernode.linux import loop
from powernode.linux.mount import ATTR_RDONLY, FsContext, move_mount, unmount
from powernode.verity import digest_fd
from root.conftest import Privately

SEEDS = range(20, 24)
STUBS = {b"%02x" % number for number in range(256)}
"""Names that hide the directories of the store from the overlay's root."""


class Node(NamedTuple):
    """All that can be asked of a name. Link counts of directories are the filesystem's own."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    rdev: int
    size: int
    target: bytes
    content: bytes
    xattrs: tuple[tuple[str, bytes], ...]


Snapshot = dict[bytes, Node]


def snapshot(top: Path, *, with_content: bool = True) -> Snapshot:
    """By descriptors, because paths may be longer than the kernel takes."""
    found: Snapshot = {}
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found[b"/"] = _node(fd, b".", with_content)
        _collect(fd, b"", found, with_content)
    finally:
        os.close(fd)
    return found


def _collect(fd: int, path: bytes, found: Snapshot, with_content: bool) -> None:
    for name in map(os.fsencode, os.listdir(fd)):
        node = found[path + b"/" + name] = _node(fd, name, with_content)
        if stat.S_ISDIR(node.mode):
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
            try:
                _collect(below, path + b"/" + name, found, with_content)
            finally:
                os.close(below)


def _node(fd: int, name: bytes, with_content: bool) -> Node:
    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
    content = b""
    if stat.S_ISREG(status.st_mode) and with_content:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd)
        with open(file, "rb") as reader:
            content = reader.read()
    way = b"/proc/self/fd/%d/%s" % (fd, name)
    names = sorted(os.listxattr(way, follow_symlinks=False))
    return Node(
        mode=status.st_mode,
        uid=status.st_uid,
        gid=status.st_gid,
        mtime_ns=status.st_mtime_ns,
        rdev=status.st_rdev,
        size=0 if stat.S_ISDIR(status.st_mode) else status.st_size,
        target=os.readlink(name, dir_fd=fd) if stat.S_ISLNK(status.st_mode) else b"",
        content=content,
        xattrs=tuple((each, os.getxattr(way, each, follow_symlinks=False)) for each in names),
    )


def with_whiteouts_for_the_next_overlay(source: Snapshot) -> Snapshot:
    """A whiteout becomes an empty file with a mark, and its directory is marked as one that has such files."""
    expected = dict(source)
    for path, node in source.items():
        if stat.S_ISCHR(node.mode) and node.rdev == 0:
            marks = {"trusted.overlay.whiteout": b"", "user.overlay.whiteout": b""}
            expected[path] = _marked(node._replace(mode=stat.S_IFREG | stat.S_IMODE(node.mode)), marks)
            parent = path[: path.rfind(b"/")] or b"/"
            marks = {"trusted.overlay.whiteouts": b"", "user.overlay.whiteouts": b""}
            marks |= {"trusted.overlay.opaque": b"x", "user.overlay.opaque": b"x"}
            expected[parent] = _marked(expected[parent], marks)
    return expected


def _marked(node: Node, marks: dict[str, bytes]) -> Node:
    return node._replace(xattrs=tuple(sorted((dict(node.xattrs) | marks).items())))


@pytest.fixture(params=SEEDS)
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    needs_everything(tmp_path)
    make_tree(tmp_path / "tree", seed=request.param)
    return tmp_path / "tree"


@contextmanager
def mounted(image: Path, target: Path) -> Iterator[None]:
    """The image alone, through a loop device."""
    target.mkdir(exist_ok=True)
    with open(image, "rb") as file:
        try:
            device = loop.attach(file.fileno(), name="image")
        except MachineError as error:
            pytest.skip(f"no loop devices here: {error}")
    try:
        with FsContext("erofs") as context:
            context.set_string("source", device.path)
            context.set_flag("ro")
            tree = context.mount(ATTR_RDONLY)
        move_mount(tree, target)
        os.close(tree)
        try:
            yield
        finally:
            unmount(target)
    finally:
        os.close(device.fd)


def overlay(image: Path, store: ObjectStore, target: Path) -> None:
    target.mkdir(exist_ok=True)
    mount_image(image, [store.path], target, verity="off", scratch=target.parent)


def put(tree: Path, options: ScanOptions | None = None) -> tuple[Path, ObjectStore]:
    store = ObjectStore.create(tree.parent / "objects", digest_fd=lambda fd: digest_fd(fd).value)
    image = tree.parent / "image"
    image.write_bytes(image_of(tree, options, min_version=1, store=store))
    return image, store


def compare(shown: Snapshot, expected: Snapshot) -> None:
    """Name by name, so that a difference can be read."""
    assert sorted(shown) == sorted(expected)
    for path, node in expected.items():
        for field, ours, theirs in zip(Node._fields, shown[path], node, strict=True):
            assert ours == theirs, f"{field} of {path!r}"


def test_everything_through_the_overlay(privately: Privately, tree: Path) -> None:
    image, store = put(tree)

    def body() -> None:
        overlay(image, store, tree.parent / "target")
        compare(snapshot(tree.parent / "target"), with_whiteouts_for_the_next_overlay(snapshot(tree)))

    privately(body)


def test_attributes_through_the_loop_device(privately: Privately, tree: Path) -> None:
    """Content of large files and marks of overlayfs are another layer's business."""
    image, _ = put(tree)

    def plain(nodes: Snapshot) -> Snapshot:
        return {
            path: node._replace(
                content=node.content if node.size <= 64 else b"",
                xattrs=tuple(pair for pair in node.xattrs if ".overlay." not in pair[0]),
            )
            for path, node in nodes.items()
        }

    def body() -> None:
        with mounted(image, tree.parent / "target"):
            shown = snapshot(tree.parent / "target", with_content=False)
            for path in list(shown):
                if path[1:] in STUBS and shown[path].rdev == 0 and stat.S_ISCHR(shown[path].mode):
                    del shown[path]
            for path, node in shown.items():
                if stat.S_ISREG(node.mode) and node.size <= 64:
                    file = os.fsencode(tree.parent / "target") + path
                    shown[path] = node._replace(content=Path(os.fsdecode(file)).read_bytes())
            compare(plain(shown), plain(with_whiteouts_for_the_next_overlay(snapshot(tree))))

    privately(body)


def test_hard_links_are_one_inode(privately: Privately, tree: Path) -> None:
    image, store = put(tree, ScanOptions(hardlinks=True))

    def names(top: Path) -> list[list[bytes]]:
        inodes: dict[int, list[bytes]] = {}
        start = os.fsencode(top)
        for folder, _, files in os.walk(start):
            for name in files:
                path = os.path.join(folder, name)
                status = os.lstat(path)
                whiteout = stat.S_ISCHR(status.st_mode) and status.st_rdev == 0  # these stay apart, see the scan
                if status.st_nlink > 1 and not whiteout:
                    inodes.setdefault(status.st_ino, []).append(path.removeprefix(start))
        return sorted(sorted(group) for group in inodes.values())

    def body() -> None:
        target = tree.parent / "target"
        overlay(image, store, target)
        compare(snapshot(target), with_whiteouts_for_the_next_overlay(snapshot(tree)))
        unmount(target)
        with mounted(image, target):
            assert names(target) == names(tree) != []

    privately(body)


def test_deeper_than_any_path(privately: Privately, tmp_path: Path) -> None:
    needs_everything(tmp_path)
    deep = tmp_path / "deep"
    make_deep(deep)
    try:
        image, store = put(deep)

        def body() -> None:
            overlay(image, store, tmp_path / "target")
            compare(snapshot(tmp_path / "target"), snapshot(deep))

        privately(body)
    finally:
        remove_deep(deep)
