# SPDX-License-Identifier: MIT
"""A tree under construction: from a tar archive and from plain folders, stripped, frozen, and at last stored.

Invariants: owners, modes and extended attributes are those of the archive, so nobody has to be root to make a tree that
belongs to root; what comes from a folder (`source.list_rootfs` says what that is) belongs to root, is 0644 or 0755 and
has the time it is given, so neither the builder nor his umask shows; no time is later than `latest_s`. What is of the
machine that made the archive (its name, its name servers, its security labels) is left out. Hard links become files of
their own.

A frozen tree knows where its files are and has read none of them, so it can be carved at the price of its names;
`store_files` reads what is left: contents of up to 64 bytes stay in the tree, larger ones go to the object store.

The archive comes from a tool that we have just run, not from a stranger: sizes are not limited. Nothing large is held
in memory.

Out of scope: deciding what belongs into a tree (`carve`).

    tree = TreeBuilder(latest_s=1754697600)
    tree.add_tar(Path("base.tar"), leave_out=compile_globs(["/usr/share/man/**"]), keep=compile_globs([]))
    tree.add_folder(Path("rootfs"))
    with store.batch() as batch:
        image.from_tree(store_files(tree.freeze(), batch).tree, min_version=1)
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TypedDict

from powernode import verity
from powernode.base.errors import DataError
from powernode.composefs.store import Batch, object_path
from powernode.composefs.tree import Directory, Node, RegularFile, Symlink, Xattrs
from powernode.linux.files import write_all
from powernode.manifest.globs import GlobSet, compile_globs
from powernode.module.source import list_rootfs, open_regular

__all__ = ["NOTHING", "RUNTIME", "Stored", "TreeBuilder", "digest_of", "paths_of", "place_of", "read_content"]
__all__ += ["store_files"]

INLINE_MAX = 64
_PIECE = 4 << 20
NOTHING = GlobSet(())
RUNTIME = compile_globs(["/dev/**", "/proc/**", "/run/**", "/sys/**", "/tmp/**"])
"""What a running system makes for itself; nobody ships it, and the device nodes are the kernel's to make."""
_OF_THE_MACHINE = compile_globs(
    (
        *("/etc/hostname", "/etc/resolv.conf", "/etc/apt/sources.list"),
        *("/etc/apt/apt.conf.d/99mmdebstrap", "/etc/dpkg/dpkg.cfg.d/99mmdebstrap"),
    )
)
"""What mmdebstrap and podman write into a root about the machine they run on."""
_LABELS = ("security.selinux", "security.ima", "security.evm")
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Waiting(RegularFile):
    """A file whose content is still where it was found: `size` bytes of `source` from `offset` on."""

    source: Path
    offset: int = 0

    def read(self) -> bytes:
        return b"".join(self.pieces())

    def pieces(self) -> Iterator[bytes]:
        return _pieces(self.source, self.offset, self.size)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stored:
    """A tree whose contents are in the store, and the SHA-256 of each of its files."""

    tree: Directory
    sha256: Mapping[bytes, bytes]


class TreeBuilder:
    """One tree; later additions replace earlier ones of the same name."""

    def __init__(self, *, latest_s: int) -> None:
        self._latest_s = latest_s
        self._root = _Folder(mtime_s=latest_s)

    def add_tar(self, path: Path, *, leave_out: GlobSet, keep: GlobSet, top: bytes = b"") -> None:
        """Everything in the archive (below `top`) but what is the machine's, or RUNTIME's, or what `leave_out` matches,
        with all below it, and `keep` does not."""
        left_out: set[bytes] = set()
        regular: dict[str, tarfile.TarInfo] = {}
        with tarfile.open(path, "r:", encoding="utf-8", errors="surrogateescape") as archive:
            for member in archive:
                if member.isreg():
                    regular[member.name] = member
                place, is_directory = place_of(member), member.isdir()
                if not (place + b"/").startswith(top + b"/") or _OF_THE_MACHINE.matches(place):
                    continue
                place = place.removeprefix(top) or b"/"
                if RUNTIME.matches(place, is_directory=is_directory):
                    continue
                if place.rpartition(b"/")[0] in left_out or leave_out.matches(place, is_directory=is_directory):
                    if is_directory:
                        left_out.add(place)
                    if not keep.matches(place, is_directory=is_directory):
                        continue
                self._put(place, self._member(path, member, regular))

    def add_folder(self, folder: Path) -> None:
        """A folder of the checkout: whoever owns it, in the tree it is root's."""
        for place, path, status in _below(folder):
            if stat.S_ISDIR(status.st_mode):
                self.add_directory(place)
            elif stat.S_ISLNK(status.st_mode):
                target = os.fsencode(os.readlink(path))
                self._put(place, Symlink(mode=0o777, mtime_s=self._latest_s, target=target))
            else:
                owned = _root_owned(0o755 if status.st_mode & 0o111 else 0o644, self._latest_s)
                self._put(place, _Waiting(**owned, size=status.st_size, source=path))

    def add_directory(self, place: bytes) -> None:
        """A directory of root's, unless one is there."""
        folder, name = self._parent(place)
        if not isinstance(folder.entries.get(name), _Folder):
            folder.entries[name] = _Folder(mtime_s=self._latest_s)

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
            frozen[id(folder)] = _directory(folder, entries)
        return frozen[id(self._root)]

    def _member(self, path: Path, member: tarfile.TarInfo, regular: Mapping[str, tarfile.TarInfo]) -> _Folder | Node:
        if member.islnk():  # another name of a file that came before; its xattrs are there only
            first = regular.get(member.linkname)
            if first is None:
                raise _strange(member.name)
            member = first
        xattrs = sorted(
            (_bytes(name.removeprefix(_XATTR)), _bytes(value))
            for name, value in member.pax_headers.items()
            if name.startswith(_XATTR) and name.removeprefix(_XATTR) not in _LABELS
        )
        attributes: _Attributes = {
            "mode": member.mode & 0o7777,
            "uid": member.uid,
            "gid": member.gid,
            "mtime_s": min(int(member.mtime), self._latest_s),
            "xattrs": tuple(xattrs),
        }
        if member.isreg() and not member.issparse():
            return _Waiting(**attributes, size=member.size, source=path, offset=member.offset_data)
        if member.isdir():
            return _Folder(**attributes)
        if member.issym():
            return Symlink(**attributes, target=_bytes(member.linkname))
        raise _strange(member.name)

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
                raise DataError(
                    "module.tree.through",
                    f"{os.fsdecode(place)} would be below what is no directory",
                    hint="if that is a link, name the place where it leads: /usr/lib/… for /lib/…",
                )
            folder = below
        return folder, name


def paths_of(folder: Path) -> frozenset[bytes]:
    """Every path that `add_folder` would make, directories among them."""
    return frozenset(place for place, _, _ in _below(folder))


def digest_of(folder: Path) -> str:
    """One SHA-256, in hexadecimal digits, for all that `add_folder` would take from a folder."""
    total = sha256()
    for place, path, status in _below(folder):
        pieces: Iterable[bytes] = ()
        if stat.S_ISDIR(status.st_mode):
            kind, size = b"directory", 0
        elif stat.S_ISLNK(status.st_mode):
            pieces = (os.fsencode(os.readlink(path)),)
            kind, size = b"link", len(pieces[0])
        else:
            kind, size = b"program" if status.st_mode & 0o111 else b"file", status.st_size
            pieces = _pieces(path, 0, size)
        total.update(b"%s\0%s\0%d\0" % (place, kind, size))
        for piece in pieces:
            total.update(piece)
    return total.hexdigest()


def place_of(member: tarfile.TarInfo) -> bytes:
    """Where a member of an archive is in the tree."""
    name = member.name.removeprefix("./").strip("/")
    return b"/" if name == "." else b"/" + _bytes(name)


def _below(folder: Path) -> Iterator[tuple[bytes, Path, os.stat_result]]:
    """Everything that a folder adds to a root, by path."""
    for place in list_rootfs(folder):
        path = folder / os.fsdecode(place[1:])
        status = path.lstat()
        if stat.S_IFMT(status.st_mode) not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            raise _strange(str(path))
        yield place, path, status


def _pieces(path: Path, offset: int, size: int) -> Iterator[bytes]:
    """`size` bytes of a file."""
    with open_regular(path) as file:
        file.seek(offset)
        while size:
            piece = file.read(min(size, _PIECE))
            if not piece:
                raise DataError("module.tree.changed", f"{path} became shorter while a tree was made of it")
            size -= len(piece)
            yield piece


def _strange(name: str) -> DataError:
    return DataError(
        "module.tree.type",
        f"{name} is of a type that a root is not made of",
        expected="files, directories and links; device nodes are the kernel's to make",
    )


def read_content(node: RegularFile) -> bytes:
    """The content of a file of a frozen tree."""
    return node.read() if isinstance(node, _Waiting) else node.content or b""


def store_files(tree: Directory, batch: Batch) -> Stored:
    """The contents of the files that a frozen tree has: into the tree, or into the store."""
    order: list[tuple[bytes, Directory]] = [(b"", tree)]
    digests: dict[bytes, bytes] = {}
    for path, folder in order:  # grows while it is read
        order.extend((path + b"/" + name, node) for name, node in _sorted(folder) if isinstance(node, Directory))
    stored: dict[int, Directory] = {}
    for path, folder in reversed(order):
        entries: dict[bytes, Node] = {}
        for name, node in _sorted(folder):
            if isinstance(node, Directory):
                entries[name] = stored[id(node)]
            elif isinstance(node, _Waiting):
                entries[name], digests[path + b"/" + name] = _file(node, batch)
            else:
                entries[name] = node
        stored[id(folder)] = _directory(folder, entries)
    return Stored(tree=stored[id(tree)], sha256=digests)


def _sorted(folder: Directory) -> list[tuple[bytes, Node]]:
    return sorted(folder.entries.items())


def _file(node: _Waiting, batch: Batch) -> tuple[RegularFile, bytes]:
    """The file in the store, and the SHA-256 of its content."""
    attributes = _attributes(node)
    if node.size > _PIECE:
        digest, content_sha256 = _add_large(node, batch)
    else:
        data = node.read()
        content_sha256 = sha256(data).digest()
        if len(data) <= INLINE_MAX:
            return RegularFile(**attributes, size=len(data), content=data or None), content_sha256
        # Knowing the digest first, the store need not write what it has.
        digest = batch.add_bytes(data, verity.digest_buffer(data).value, recompute=False)
    payload = object_path(digest).encode()
    return RegularFile(**attributes, size=node.size, payload=payload, digest=digest), content_sha256


def _add_large(node: _Waiting, batch: Batch) -> tuple[bytes, bytes]:
    """The fs-verity digest and the SHA-256 of what is too large to be held."""
    sha, hasher = sha256(), verity.Hasher()

    def write(fd: int) -> bytes:
        done = 0
        for piece in node.pieces():
            write_all(fd, piece, done)
            sha.update(piece)
            hasher.update(piece)
            done += len(piece)
        return hasher.digest().value

    return batch.add_written(write), sha.digest()


def _directory(like: _Folder | Directory, entries: Mapping[bytes, Node]) -> Directory:
    links = 2 + sum(isinstance(entry, Directory) for entry in entries.values())
    return Directory(**_attributes(like), nlink=links, entries=entries)


def _attributes(like: _Folder | Node) -> _Attributes:
    return {
        "mode": like.mode,
        "uid": like.uid,
        "gid": like.gid,
        "mtime_s": like.mtime_s,
        "xattrs": like.xattrs,
    }


def _root_owned(mode: int, mtime_s: int) -> _Attributes:
    return {"mode": mode, "uid": 0, "gid": 0, "mtime_s": mtime_s, "xattrs": ()}


def _bytes(text: str) -> bytes:
    """What an archive has, whatever this machine's locale is."""
    return text.encode("utf-8", "surrogateescape")
