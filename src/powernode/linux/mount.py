# SPDX-License-Identifier: MIT
"""The mount API of Linux 5.2 and later: make a filesystem, get it as a descriptor, put it somewhere in one step.

Invariants: a mount is a descriptor until it is moved to a place, and closing it before that leaves nothing behind;
every refusal carries what the kernel wrote into the filesystem context's message log.

Out of scope: which filesystems and options (`composefs.mount`), loop devices (`loop`), mount namespaces.

    with FsContext("tmpfs") as context:
        context.set_string("size", "1M")
        tree = context.mount(ATTR_RDONLY | ATTR_NODEV)
    move_mount(tree, "/mnt")
    os.close(tree)
"""

from __future__ import annotations

import errno
import os
from ctypes import Structure, byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p, sizeof

from powernode.base.errors import MachineError
from powernode.linux import _syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]

__all__ = [
    "ATTR_NODEV",
    "ATTR_NOEXEC",
    "ATTR_NOSUID",
    "ATTR_RDONLY",
    "FsContext",
    "clone_tree",
    "move_mount",
    "open_tree",
    "set_attributes",
    "unmount",
]

ATTR_RDONLY = 0x1
ATTR_NOSUID = 0x2
ATTR_NODEV = 0x4
ATTR_NOEXEC = 0x8

MAX_STRING = 255
"""The longest value fsconfig takes as a string (the kernel's 256 with its NUL)."""

_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_FSOPEN_CLOEXEC = 1
_FSMOUNT_CLOEXEC = 1
_SET_FLAG, _SET_STRING, _SET_FD, _CREATE = 0, 1, 5, 6
_OPEN_TREE_CLONE = 1
_MOVE_FROM_EMPTY_PATH = 0x4
_MOVE_TO_SYMLINKS = 0x10
_MOVE_BENEATH = 0x200  # Linux 6.5
_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8

_CAUSES = {
    errno.EPERM: ("permission", "mounting needs CAP_SYS_ADMIN: run as root, outside a container that forbids it"),
    errno.EACCES: ("permission", "mounting needs CAP_SYS_ADMIN and access to every path"),
    errno.ENODEV: ("no-filesystem", "the kernel does not know this filesystem: modprobe it, or boot a kernel with it"),
    errno.ENOSYS: ("no-api", "the kernel is older than 5.2 (5.12 for changing attributes), or a sandbox filters it"),
    errno.ENOENT: ("no-target", "create the directory first"),
    errno.ENOTDIR: ("no-target", "the place of a directory tree must be a directory"),
    errno.EBUSY: ("busy", "something uses it or is mounted there already"),
    errno.EMFILE: ("limit", "too many open files: raise RLIMIT_NOFILE"),
    errno.ENOSPC: ("limit", "too many mounts: raise sysctl fs.mount-max"),
}


class MountAttr(Structure):
    """`struct mount_attr`, first published size."""

    _fields_ = [("attr_set", c_uint64), ("attr_clr", c_uint64), ("propagation", c_uint64), ("userns_fd", c_uint64)]


class FsContext:
    """A filesystem being configured; use as a context manager."""

    def __init__(self, filesystem: str) -> None:
        self.filesystem = filesystem
        try:
            self.fd = _syscall.call(_syscall.FSOPEN, c_char_p(filesystem.encode()), c_uint(_FSOPEN_CLOEXEC))
        except OSError as error:
            raise _refusal(error, f"open the filesystem {filesystem}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def set_flag(self, key: str) -> None:
        self._configure(_SET_FLAG, key, None, 0, key)

    def set_string(self, key: str, value: str | bytes) -> None:
        data = os.fsencode(value)
        self._configure(_SET_STRING, key, c_char_p(data), 0, f"{key}={os.fsdecode(data)}")

    def set_fd(self, key: str, fd: int) -> None:
        self._configure(_SET_FD, key, None, fd, f"{key}=descriptor {fd}")

    def mount(self, attributes: int = 0) -> int:
        """Create the filesystem and return it as a detached mount; the caller closes the descriptor."""
        try:
            _syscall.call(_syscall.FSCONFIG, c_int(self.fd), c_uint(_CREATE), c_char_p(None), c_void_p(None), c_int(0))
        except OSError as error:
            raise _refusal(error, f"create the {self.filesystem} filesystem", self.messages()) from error
        try:
            return _syscall.call(_syscall.FSMOUNT, c_int(self.fd), c_uint(_FSMOUNT_CLOEXEC), c_uint(attributes))
        except OSError as error:
            raise _refusal(error, f"mount the {self.filesystem} filesystem", self.messages()) from error

    def messages(self) -> list[str]:
        """What the kernel had to say since the last call, without its `e `, `w `, `i ` marks."""
        lines: list[str] = []
        while True:
            try:
                line = os.read(self.fd, 4096)
            except OSError:  # ENODATA ends the log; a kernel that keeps none says EOPNOTSUPP or the like
                return lines
            if not line:
                return lines
            text = line.decode("utf-8", "replace").strip()
            lines.append(text[2:] if text[1:2] == " " else text)

    def _configure(self, command: int, key: str, value: c_char_p | None, aux: int, shown: str) -> None:
        try:
            _syscall.call(
                _syscall.FSCONFIG,
                c_int(self.fd),
                c_uint(command),
                c_char_p(key.encode()),
                value if value is not None else c_void_p(None),
                c_int(aux),
            )
        except OSError as error:
            raise _refusal(error, f"set {shown} for {self.filesystem}", self.messages(), "option") from error


def move_mount(tree: int, target: Path, *, beneath: bool = False) -> None:
    """Attach the detached mount `tree` at `target`; `beneath` puts it under what is mounted there (Linux 6.5)."""
    flags = _MOVE_FROM_EMPTY_PATH | _MOVE_TO_SYMLINKS | (_MOVE_BENEATH if beneath else 0)
    path = os.fsencode(target)
    try:
        _syscall.call(_syscall.MOVE_MOUNT, c_int(tree), c_char_p(b""), c_int(_AT_FDCWD), c_char_p(path), c_uint(flags))
    except OSError as error:
        raise _refusal(error, f"attach a mount at {os.fsdecode(path)}") from error


def open_tree(path: Path) -> int:
    """The mount at `path` as a descriptor."""
    return _open_tree(path, os.O_CLOEXEC)


def clone_tree(path: Path, *, recursive: bool = False) -> int:
    """A detached bind mount of `path`."""
    return _open_tree(path, os.O_CLOEXEC | _OPEN_TREE_CLONE | (_AT_RECURSIVE if recursive else 0))


def set_attributes(tree: int, *, add: int = 0, remove: int = 0, recursive: bool = False) -> None:
    """Change the ATTR_* flags of the mount behind `tree`."""
    attributes = MountAttr(attr_set=add, attr_clr=remove)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    try:
        _syscall.call(
            _syscall.MOUNT_SETATTR,
            c_int(tree),
            c_char_p(b""),
            c_uint(flags),
            byref(attributes),
            c_size_t(sizeof(attributes)),
        )
    except OSError as error:
        raise _refusal(error, "change the attributes of a mount") from error


def unmount(target: Path, *, detach: bool = False) -> None:
    """Take the topmost mount off `target`; `detach` hides it now and lets users finish."""
    path = os.fsencode(target)
    try:
        _syscall.check(_syscall.libc.umount2(c_char_p(path), c_int(_UMOUNT_NOFOLLOW | (_MNT_DETACH if detach else 0))))
    except OSError as error:
        raise _refusal(error, f"unmount {os.fsdecode(path)}") from error


def _open_tree(path: Path, flags: int) -> int:
    name = os.fsencode(path)
    try:
        return _syscall.call(_syscall.OPEN_TREE, c_int(_AT_FDCWD), c_char_p(name), c_uint(flags))
    except OSError as error:
        raise _refusal(error, f"open the tree {os.fsdecode(name)}") from error


def _refusal(error: OSError, action: str, log: list[str] | None = None, otherwise: str = "failed") -> MachineError:
    cause, hint = _CAUSES.get(error.errno or 0, (otherwise, None))
    found = os.strerror(error.errno or 0)
    if log:
        found += f"; the kernel says: {'; '.join(log)}"
    return MachineError(f"linux.mount.{cause}", f"cannot {action}", found=found, hint=hint)
