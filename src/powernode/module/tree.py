# SPDX-License-Identifier: MIT
"""A tree under construction: filled from a tar archive and from plain folders, stripped, and then frozen.

Invariants: owners, modes and extended attributes are those of the archive, so nobody has to be root to make a tree that
belongs to root; what comes from a folder belongs to root, is 0644 or 0755 and has the time it is given, so neither the
builder nor his umask shows; no time is later than `latest_s`. Contents of up to 64 bytes stay in the tree, larger ones
go to the object store. Hard links become files of their own with one object between them.

The archive comes from a tool that we have just run, not from a stranger: sizes are not limited.

Out of scope: deciding what belongs into a tree (`systembase`).

    with store.batch() as batch:
        tree = TreeBuilder(batch, latest_s=1754697600)
        tree.add_tar(Path("base.tar"), leave_out=compile_globs(["/usr/share/man/**"]), keep=None)
        tree.add_folder(Path("rootfs"))
    image.from_tree(tree.freeze(), min_version=1)
"""

from __future__ import annotations

import os
import stat
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, Unpack

from powernode import verity
from powernode.base.errors import DataError
from powernode.composefs.store import Batch, object_path
from powernode.composefs.tree import Directory, Node, RegularFile, Symlink, Xattrs
from powernode.manifest.globs import GlobSet

__all__ = ["TreeBuilder"]

INLINE_MAX = 64
_XATTR = "SCHILY.xattr."


class _Attributes(TypedDict):
    mode: int
    uid: int
    gid: int
    mtime_s: int
    xattrs: Xattrs


@dataclass(slots=True, kw_only=True)
class _Folder:
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime_s: int = 0
    xattrs: Xattrs = ()
    entries: dict[bytes, _Folder | Node] = field(default_factory=dict)


class TreeBuilder:
    """One tree; later additions replace earlier ones of the same name."""

    def __init__(self, batch: Batch, *, latest_s: int) -> None:
        self._batch = batch
        self._latest_s = latest_s
        self._root = _Folder(mtime_s=latest_s)

    def add_tar(self, path: Path, *, leave_out: GlobSet, keep: GlobSet) -> None:
        """Everything in the archive but what `leave_out` matches, with all that is below, and `keep` does not."""
        left_out: set[bytes] = set()
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                place, is_directory = _place(member.name), member.isdir()
                if place.rpartition(b"/")[0] in left_out or leave_out.matches(place, is_directory=is_directory):
                    if is_directory:
                        left_out.add(place)
                    if not keep.matches(place, is_directory=is_directory):
                        continue
                self._put(place, self._member(archive, member))

    def add_folder(self, folder: Path) -> None:
        """A folder of the checkout: whoever owns it, in the tree it is root's."""
        for path in sorted(folder.rglob("*")):
            status = path.lstat()
            place = b"/" + os.fsencode(path.relative_to(folder))
            if stat.S_ISDIR(status.st_mode):
                self.add_directory(place)
            elif stat.S_ISLNK(status.st_mode):
                target = os.fsencode(os.readlink(path))
                self._put(place, Symlink(mode=0o777, mtime_s=self._latest_s, target=target))
            else:
                mode = 0o755 if status.st_mode & 0o111 else 0o644
                self._put(place, self._file(path.read_bytes(), **_root_owned(mode, self._latest_s)))

    def add_directory(self, place: bytes) -> None:
        """A directory of root's, unless one is there."""
        folder, name = self._parent(place)
        if not isinstance(folder.entries.get(name), _Folder):
            folder.entries[name] = _Folder(mtime_s=self._latest_s)

    def add_empty_file(self, place: bytes) -> None:
        self._put(place, RegularFile(mode=0o644, mtime_s=self._latest_s))

    def freeze(self) -> Directory:
        order = [self._root]
        for folder in order:  # grows while it is read
            order.extend(entry for entry in folder.entries.values() if isinstance(entry, _Folder))
        frozen: dict[int, Directory] = {}
        for folder in reversed(order):
            entries = {
                name: frozen[id(entry)] if isinstance(entry, _Folder) else entry
                for name, entry in folder.entries.items()
            }
            frozen[id(folder)] = Directory(
                mode=folder.mode,
                uid=folder.uid,
                gid=folder.gid,
                mtime_s=folder.mtime_s,
                nlink=2 + sum(isinstance(entry, Directory) for entry in entries.values()),
                xattrs=folder.xattrs,
                entries=entries,
            )
        return frozen[id(self._root)]

    def _member(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> _Folder | Node:
        xattrs = sorted(
            (os.fsencode(name.removeprefix(_XATTR)), value.encode("utf-8", "surrogateescape"))
            for name, value in member.pax_headers.items()
            if name.startswith(_XATTR)
        )
        attributes: _Attributes = {
            "mode": member.mode & 0o7777,
            "uid": member.uid,
            "gid": member.gid,
            "mtime_s": min(int(member.mtime), self._latest_s),
            "xattrs": tuple(xattrs),
        }
        if member.isfile() or member.islnk():
            content = archive.extractfile(member)  # of the first name, for a hard link
            assert content is not None
            return self._file(content.read(), **attributes)
        if member.isdir():
            return _Folder(**attributes)
        if member.issym():
            return Symlink(**attributes, target=os.fsencode(member.linkname))
        raise DataError(
            "module.tree.type",
            f"{member.name} is of a type that a root is not made of",
            expected="files, directories and links; device nodes are the kernel's to make",
        )

    def _file(self, data: bytes, **attributes: Unpack[_Attributes]) -> Node:
        size = len(data)
        if size == 0:
            return RegularFile(**attributes)
        if size <= INLINE_MAX:
            return RegularFile(**attributes, size=size, content=data)
        digest = self._batch.add_bytes(data, verity.digest_buffer(data).value, recompute=False)
        payload = object_path(digest).encode()
        return RegularFile(**attributes, size=size, payload=payload, digest=digest)

    def _put(self, place: bytes, entry: _Folder | Node) -> None:
        if place == b"/":
            assert isinstance(entry, _Folder)
            entry.entries = self._root.entries
            self._root = entry
            return
        folder, name = self._parent(place)
        known = folder.entries.get(name)
        if isinstance(entry, _Folder) and isinstance(known, _Folder):
            entry.entries = known.entries
        folder.entries[name] = entry

    def _parent(self, place: bytes) -> tuple[_Folder, bytes]:
        *parents, name = place[1:].split(b"/")
        folder = self._root
        for parent in parents:
            below = folder.entries.setdefault(parent, _Folder(mtime_s=self._latest_s))
            if not isinstance(below, _Folder):
                raise DataError("module.tree.through", f"{os.fsdecode(place)} would be below what is no directory")
            folder = below
        return folder, name


def _root_owned(mode: int, mtime_s: int) -> _Attributes:
    return {"mode": mode, "uid": 0, "gid": 0, "mtime_s": mtime_s, "xattrs": ()}


def _place(name: str) -> bytes:
    return b"/" + os.fsencode(name.removeprefix("./").strip("/").removeprefix("."))
