# SPDX-License-Identifier: MIT
"""Random directories on disk with everything POSIX and Linux allow; the same seed gives the same tree.

Directories are filled in an order of their own (`order`): no result may depend on what a filesystem lists first.
Only root can make all of it: `needs_everything` skips, with the reason, where that is so.

    make_tree(tmp_path / "tree", seed=3)

Deep directories have a maker of their own, since no path reaches them: `make_deep`, `remove_deep`.
"""

from __future__ import annotations

import errno
import os
import random
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest

# u::rwx u:5:rwx g::r-x m::rwx o::r-x
ACL = bytes.fromhex("02000000 01000700ffffffff 0200070005000000 04000500ffffffff 10000700ffffffff 20000500ffffffff")
SIZES = (0, 1, 63, 64, 65, 4095, 4096, 4097, 65_536, 200_001, 524_289)
LARGE = ((1 << 20) + 1, 3 << 20)
_TARGETS = (1, 2, 100, 1000, 3000, 4031, 4032, 4094, 4095)
_IDS = (0, 0, 1, 1000, 65_535, 65_536, 2_000_000_000, 0xFFFFFFFE)
_MODES = (0o644, 0o600, 0o000, 0o4755, 0o2755, 0o6711, 0o7777)
_DEVICES = ((1, 3), (5, 1), (259, 70_000), (4095, 0xFFFFF))
_NAMES = (b"two words", b"new\nline", b"tab\t", b"back\\slash", b"\\x20", b"\xff\xfe", b"=", b"-", b"--", b".hidden",
          b"...", b"\x01", b"\x7f", b"aa", b"00", b"ff", b"~", "é".encode())  # fmt: skip
_XATTRS = ("user.a", "user.b", "user.empty", "trusted.a", "trusted.overlay.opaque", "trusted.overlay.redirect",
           "trusted.overlayish", "user.overlay.opaque", "security.odd", "security.zz")  # fmt: skip
_EVERY_BYTE = bytes(byte for byte in range(1, 256) if byte != ord("/"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Something still to be made."""

    parent: bytes
    name: bytes

    @property
    def path(self) -> bytes:
        return self.parent + b"/" + self.name


def needs_everything(where: Path) -> None:
    """Skips, with the reason, where not everything can be made."""
    if os.geteuid() != 0:
        pytest.skip("only root can make devices, owners and trusted attributes")
    probe = where / "probe"
    probe.touch()
    try:
        for name in ("user.a", "trusted.a", "security.odd"):
            os.setxattr(probe, name, b"v")
        os.setxattr(probe, "system.posix_acl_access", ACL)
        os.mknod(where / "probe-device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        (where / "probe-device").unlink()
    except OSError as error:
        pytest.skip(f"this filesystem does not take everything: {error.strerror}")
    finally:
        probe.unlink()


def make_tree(top: Path, *, seed: int, count: int = 150, order: int = 0, overlay_marks: bool = True) -> None:
    """About `count` names below `top`. `overlay_marks` adds attributes in the name space of overlayfs."""
    _Maker(os.fsencode(top), random.Random(seed), overlay_marks).run(count, random.Random(order))


class _Maker:
    def __init__(self, top: bytes, chance: random.Random, overlay_marks: bool) -> None:
        self._top = top
        self._chance = chance
        self._overlay_marks = overlay_marks
        self._linkable: list[bytes] = []

    def run(self, count: int, order: random.Random) -> None:
        """Decides everything first, from the seed alone, then creates in any order, then sets the attributes."""
        chance = self._chance
        directories, places = self._names(count)
        kinds = [(place, chance.choices(_KINDS, _WEIGHTS)[0], chance.getrandbits(64)) for place in places]
        # Names of one inode must exist before their links do, whatever the order.
        files = [item for item in kinds if item[1] != "link"]
        links = [item for item in kinds if item[1] == "link"]
        self._linkable = [place.path for place, kind, _ in files if kind != "socket"]
        os.mkdir(self._top)
        for parent in directories[1:]:
            os.mkdir(parent)
        order.shuffle(files)
        order.shuffle(links)
        made = [(place.path, kind, number) for place, kind, number in files]
        for path, kind, number in made:
            self._create(path, kind, random.Random(number))
        for place, _, number in links:
            source = random.Random(number).choice(self._linkable) if self._linkable else None
            if source is not None:
                os.link(source, place.path, follow_symlinks=False)
        for path, kind, number in made:
            self._describe(path, kind, random.Random(number ^ 1))
        seeds = {path: chance.getrandbits(64) for path in directories}
        for path in reversed(directories):  # the contents of a directory change its time
            self._describe(path, "directory", random.Random(seeds[path]))

    def _names(self, count: int) -> tuple[list[bytes], list[_Place]]:
        chance = self._chance
        directories, places = [self._top], []
        taken: set[bytes] = set()
        for _ in range(count):
            place = _Place(parent=chance.choice(directories), name=self._name())
            if place.path in taken or len(place.path) > 3000:
                continue
            taken.add(place.path)
            if chance.random() < 0.15:
                directories.append(place.path)
            else:
                places.append(place)
        return directories, places

    def _name(self) -> bytes:
        chance = self._chance
        if chance.random() < 0.3:
            return chance.choice(_NAMES)
        size = chance.choice((1, 2, 8, 20, 254, 255))
        name = bytes(chance.choice(_EVERY_BYTE) for _ in range(size))
        return b"dot" if name in (b".", b"..") else name

    def _create(self, path: bytes, kind: str, chance: random.Random) -> None:
        if kind in ("file", "same"):
            size = chance.choice(SIZES)
            _write(path, b"s" * size if kind == "same" else chance.randbytes(size))
        elif kind == "large":
            _write(path, chance.randbytes(1 << 12) * (chance.choice(LARGE) >> 12) + b"end")
        elif kind == "sparse":
            with open(path, "wb") as file:
                file.seek(chance.choice((4096, 1 << 20, 5 << 20)))
                file.write(b"end")
                file.truncate(file.tell() + chance.choice((0, 5000)))
        elif kind == "symlink":
            size = chance.choice(_TARGETS)
            os.symlink(bytes(chance.choice(_EVERY_BYTE + b"/") for _ in range(size)), path)
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "socket":
            _make_socket(path)
        else:
            bits = stat.S_IFBLK if kind == "block" else stat.S_IFCHR
            os.mknod(path, bits | 0o600, 0 if kind == "whiteout" else os.makedev(*chance.choice(_DEVICES)))

    def _describe(self, path: bytes, kind: str, chance: random.Random) -> None:
        os.chown(path, chance.choice(_IDS), chance.choice(_IDS), follow_symlinks=False)
        if kind != "symlink":
            os.chmod(path, 0o1777 if kind == "directory" and chance.random() < 0.2 else _mode(kind, chance))
        self._add_xattrs(path, kind, chance)
        os.utime(path, ns=(0, _mtime(chance)), follow_symlinks=False)

    def _add_xattrs(self, path: bytes, kind: str, chance: random.Random) -> None:
        rich = kind in ("file", "same", "large", "sparse", "directory")
        for name in chance.sample(_XATTRS, chance.choice((0, 0, 1, 2, 5))):
            if name.startswith("user.") and not rich:
                continue
            if "overlay." in name and not self._overlay_marks:
                continue
            size = 1 if name.endswith("opaque") else chance.choice((0, 1, 20, 255))
            _set_xattr(path, name, b"y" if name.endswith("opaque") else chance.randbytes(size))
        if rich and chance.random() < 0.1:
            _set_xattr(path, "user.large", chance.randbytes(3000))
        if rich and chance.random() < 0.1:
            for number in range(30):
                _set_xattr(path, f"user.many.{number}", b"%d" % (number % 7))
        if kind != "symlink" and chance.random() < 0.15:
            _set_xattr(path, "system.posix_acl_access", ACL)
        if kind == "directory" and chance.random() < 0.3:
            _set_xattr(path, "system.posix_acl_default", ACL)


_KINDS = ("file", "same", "large", "sparse", "symlink", "fifo", "socket", "char", "block", "whiteout", "link")
_WEIGHTS = (40, 10, 2, 3, 15, 4, 3, 4, 4, 5, 12)


def _mode(kind: str, chance: random.Random) -> int:
    return chance.choice((0o755, 0o700, 0o2755, 0o000)) if kind == "directory" else chance.choice(_MODES)


def _mtime(chance: random.Random) -> int:
    """ext4 stores 34 bits of seconds from 1901 on; other filesystems clamp, which is as good."""
    seconds = chance.choice((0, 1, -1, -2_000_000_000, 1_700_000_000, 1_700_000_000, 5_000_000_000, 14_000_000_000))
    return seconds * 1_000_000_000 + chance.choice((0, 0, 1, 999_999_999, chance.randrange(1_000_000_000)))


def _write(path: bytes, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def _set_xattr(path: bytes, name: str, value: bytes) -> None:
    try:
        os.setxattr(path, name, value, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.ENOSPC:  # ext4 has one block for all of them
            raise


def _make_socket(path: bytes) -> None:
    """Through the directory's descriptor: the address of a socket holds no more than 107 bytes."""
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(b"/proc/self/fd/%d/.socket" % folder)
        os.rename(b".socket", os.path.basename(path), src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.close(folder)


def make_deep(top: Path, *, levels: int = 60, name: bytes = b"d" * 200) -> None:
    """A path longer than any the kernel takes, with a file, a link and attributes on every tenth level."""
    top.mkdir()
    here = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for level in range(levels):
            os.mkdir(name, dir_fd=here)
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
            os.close(here)
            here = below
            if level % 10 == 9:
                with open(os.open("file", os.O_WRONLY | os.O_CREAT, 0o640, dir_fd=here), "wb") as file:
                    file.write(b"%d" % level * 100)
                os.symlink(b"%d" % level, "link", dir_fd=here)
                os.setxattr(here, "user.level", b"%d" % level)
    finally:
        os.close(here)


def remove_deep(top: Path, name: bytes = b"d" * 200) -> None:
    """What `make_deep` made; neither pytest nor shutil can."""
    here = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    depth = 0
    while True:
        try:
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        except FileNotFoundError:
            break
        os.close(here)
        here, depth = below, depth + 1
    while True:
        for other in os.listdir(here):
            if os.fsencode(other) == name:
                os.rmdir(name, dir_fd=here)
            else:
                os.unlink(other, dir_fd=here)
        if depth == 0:
            break
        above = os.open("..", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here, depth = above, depth - 1
    os.close(here)
