# SPDX-License-Identifier: MIT
"""A directory as a tree, as `mkcomposefs DIR` sees it.

Files of 1 to 64 bytes are taken along, larger ones are named by their fs-verity digest, every extended attribute the
caller may read is kept, and the link count of leaves is 1. With `hardlinks` names of the same inode share one
node instead.

Invariants: names are resolved one at a time below the directory's own descriptor and symlinks are never followed;
siblings are visited in byte order; the number of open descriptors does not depend on the depth; a file that changes
while it is read is an error. Attributes of nodes that cannot be opened are read through `/proc/self/fd`, so `/proc`
must be mounted.
Out of scope: storing objects, parallel hashing (the native core), ignoring anything but devices.

    scan_directory("/srv/root", ScanOptions(hardlinks=True), digest_fd=verity_digest_of_fd)
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from powernode.base.errors import InternalError, MachineError
from powernode.composefs import _kinds
from powernode.composefs._object_names import object_path
from powernode.composefs._scan_options import ScanOptions, refuse_source
from powernode.composefs._show import shown
from powernode.composefs._tree_check import check_xattrs
from powernode.composefs.tree import Directory, Node, Xattrs

INLINE_MAX = 64
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def scan_directory(
    path: str | bytes | os.PathLike[str], options: ScanOptions | None = None, *, digest_fd: Callable[[int], bytes]
) -> Directory:
    """The tree below `path`.

    `digest_fd` gives the fs-verity SHA-256 digest (4096-byte blocks) of an open file at offset 0.
    """
    try:
        root_fd = os.open(path, _OPEN_DIRECTORY & ~os.O_NOFOLLOW)
    except OSError as error:
        raise refuse_source(error, path) from error
    return _Scanner(options or ScanOptions(), digest_fd).run(root_fd, os.fsencode(path))


@dataclass(slots=True)
class _Frame:
    """A directory that is being read; `names` in reverse order, so that the next one is at the end."""

    path: bytes
    identity: tuple[int, int]
    entries: dict[bytes, Node]
    names: list[bytes]


@dataclass(slots=True)
class _Linked:
    """An inode with several names and where they were met."""

    node: Node
    names: list[tuple[dict[bytes, Node], bytes]] = field(default_factory=list)


class _Scanner:
    """One scan: holds a single directory descriptor and finds its way back up through `..`."""

    def __init__(self, options: ScanOptions, digest_fd: Callable[[int], bytes]) -> None:
        self._options = options
        self._digest_fd = digest_fd
        self._fd = -1
        self._at = b""
        self._frames: list[_Frame] = []
        self._linked: dict[tuple[int, int], _Linked] = {}

    def run(self, root_fd: int, path: bytes) -> Directory:
        self._fd = root_fd
        try:
            root = self._enter(root_fd, path)
            while self._frames:
                frame = self._frames[-1]
                if frame.names:
                    self._visit(frame, frame.names.pop())
                else:
                    self._leave()
        except OSError as error:
            raise _failure(error, self._at) from error
        finally:
            os.close(self._fd)
        for linked in self._linked.values():
            if len(linked.names) > 1:
                node = replace(linked.node, nlink=len(linked.names))
                for entries, name in linked.names:
                    entries[name] = node
        return root

    def _enter(self, fd: int, path: bytes) -> Directory:
        """Read a directory's own attributes and names; `fd` becomes the current directory."""
        self._at = path
        status = os.fstat(fd)
        entries: dict[bytes, Node] = {}
        mtime_s, mtime_ns = self._mtime(status)
        directory = Directory(
            mode=status.st_mode & _kinds.PERMISSIONS,
            uid=status.st_uid,
            gid=status.st_gid,
            mtime_s=mtime_s,
            mtime_ns=mtime_ns,
            xattrs=self._xattrs(fd, path),
            entries=entries,
        )
        names = sorted((os.fsencode(name) for name in os.listdir(fd)), reverse=True)
        self._frames.append(_Frame(path, _identity(status), entries, names))
        return directory

    def _leave(self) -> None:
        done = self._frames.pop()
        self._at = done.path
        if not self._frames:
            return
        parent_fd = os.open("..", _OPEN_DIRECTORY, dir_fd=self._fd)
        os.close(self._fd)
        self._fd = parent_fd
        if _identity(os.fstat(parent_fd)) != self._frames[-1].identity:
            raise _changed(done.path)

    def _visit(self, frame: _Frame, name: bytes) -> None:
        path = self._at = frame.path + b"/" + name
        status = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            child_fd = os.open(name, _OPEN_DIRECTORY, dir_fd=self._fd)
            os.close(self._fd)
            self._fd = child_fd
            if _identity(os.fstat(child_fd)) != _identity(status):
                raise _changed(path)
            frame.entries[name] = self._enter(child_fd, path)
            return
        if not self._options.devices and (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
            return
        linked: _Linked | None = None
        # Overlayfs makes all its whiteouts links of one inode, but each must mark its own directory: no links for them.
        whiteout = stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
        if self._options.hardlinks and status.st_nlink > 1 and not whiteout:
            linked = self._linked.get(_identity(status))
            if linked is None:
                linked = self._linked[_identity(status)] = _Linked(self._leaf(name, status, path))
            linked.names.append((frame.entries, name))
        frame.entries[name] = linked.node if linked else self._leaf(name, status, path)

    def _leaf(self, name: bytes, status: os.stat_result, path: bytes) -> Node:
        content: bytes | None = None
        payload: bytes | None = None
        digest: bytes | None = None
        target = b""
        if stat.S_ISREG(status.st_mode) and status.st_size > 0:
            content, digest = self._read_file(name, status, path)
            if digest is not None:
                payload = object_path(digest).encode("ascii")
        elif stat.S_ISLNK(status.st_mode):
            try:
                target = os.readlink(name, dir_fd=self._fd)
            except OSError as error:
                # EINVAL: it is no symbolic link any more
                if error.errno == errno.EINVAL:
                    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE)) from error
                raise
        mtime_s, mtime_ns = self._mtime(status)
        return _kinds.make_leaf(
            status.st_mode,
            uid=status.st_uid,
            gid=status.st_gid,
            mtime_s=mtime_s,
            mtime_ns=mtime_ns,
            nlink=1,
            xattrs=self._xattrs(b"/proc/self/fd/%d/%s" % (self._fd, name), path),
            size=status.st_size,
            content=content,
            payload=payload,
            digest=digest,
            target=target,
            rdev=status.st_rdev & 0xFFFFFFFF,
        )

    def _read_file(self, name: bytes, status: os.stat_result, path: bytes) -> tuple[bytes | None, bytes | None]:
        """Content or digest of a file, provided that it is still the file of `status` afterwards."""
        fd = os.open(name, _OPEN_FILE, dir_fd=self._fd)
        try:
            content: bytes | None = None
            digest: bytes | None = None
            if _version(os.fstat(fd)) != _version(status):
                raise _changed(path)
            if status.st_size <= INLINE_MAX:
                content = os.read(fd, INLINE_MAX + 1)
            else:
                digest = self._digest_fd(fd)
            if _version(os.fstat(fd)) != _version(status) or (content is not None and len(content) != status.st_size):
                raise _changed(path)
        finally:
            os.close(fd)
        if digest is not None and len(digest) != 32:
            raise InternalError("composefs.digest", "digest_fd did not give 32 bytes", found=str(len(digest)))
        return content, digest

    def _mtime(self, status: os.stat_result) -> tuple[int, int]:
        return (0, 0) if self._options.epoch else divmod(status.st_mtime_ns, 1_000_000_000)

    def _xattrs(self, where: int | bytes, path: bytes) -> Xattrs:
        """All attributes of a descriptor, or of a path whose last part is not followed."""
        if self._options.xattrs == "none":
            return ()
        follow = isinstance(where, int)
        try:
            names = os.listxattr(where, follow_symlinks=follow)
            if self._options.xattrs == "user":
                names = [name for name in names if name.startswith("user.")]
            if not names:
                return ()
            pairs = ((os.fsencode(name), os.getxattr(where, name, follow_symlinks=follow)) for name in names)
            xattrs = tuple(sorted(pairs))
        except OSError as error:
            if error.errno == errno.ENOTSUP:  # the filesystem has none
                return ()
            raise
        check_xattrs(xattrs, shown(path))
        return xattrs


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _version(status: os.stat_result) -> tuple[int, int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns


def _changed(path: bytes) -> MachineError:
    return MachineError(
        "composefs.changed", f"{shown(path)} changed while it was read", hint="scan a tree that nobody writes to"
    )


def _failure(error: OSError, path: bytes) -> MachineError:
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE):  # it was listed a moment ago
        return _changed(path)
    return MachineError("composefs.read", f"cannot read {shown(path)}: {error.strerror}")
