# SPDX-License-Identifier: MIT
"""Random trees, the C tools as a peer, and a fs-verity digest for tests of the pure composefs code."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from powernode.composefs.tree import (
    BlockDevice,
    CharacterDevice,
    Directory,
    Fifo,
    Node,
    RegularFile,
    Socket,
    Symlink,
    Xattrs,
)

_SIZES = (0, 1, 64, 65, 2047, 2048, 2049, 4064, 4095, 4096, 4097, 5000)
_FILE_SIZES = (1, 65, 4096, 4097, 1 << 20, (1 << 32) - 1, 1 << 32, 1 << 43, (1 << 43) + 1, 1 << 52, 1 << 53)
_TARGETS = (1, 5, 100, 1000, 3000, 3900, 4031, 4032, 4063, 4064, 4095)
_IDS = (0, 0, 0, 1, 1000, 65535, 65536, 0xFFFFFFFF)
_XATTR_NAMES = (
    b"user.a",
    b"user.mime_type",
    b"user.overlay.redirect",
    b"trusted.a",
    b"trusted.overlay.opaque",
    b"trusted.overlay.metacopy",
    b"trusted.overlay.overlay.whiteout",
    b"trusted.overlayish",
    b"security.selinux",
    b"security.capability",
    b"system.posix_acl_access",
    b"system.posix_acl_default",
    b"lustre.lov",
    b"other",
)
_XATTR_VALUES = (b"", b"y", b"x", b"system_u:object_r:etc_t:s0\0", b"\0\xff= \n", b"v" * 100, b"long" * 500)
_NAMES = (
    b"!first",
    b"+",
    b"-",
    b".hidden",
    b"..more",
    b"00",
    b"7f",
    b"ff",
    b"fff",
    b"a b",
    b"new\nline",
    b"\xff\xfe",
    b"=",
)


def random_tree(seed: int, *, leaves: int = 40) -> Directory:
    """A tree with about `leaves` names that reaches for the edges of the format."""
    return _Maker(random.Random(seed)).tree(leaves)


class _Maker:
    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._times = [(chance.choice((0, 1, 1_600_000_000, -5, 1 << 40)), 0) for _ in range(2)]
        self._pool = [self._xattr() for _ in range(6)]

    def tree(self, leaves: int) -> Directory:
        chance = self._chance
        directories: list[tuple[dict[bytes, Node], set[bytes]]] = [({}, set())]
        root = self._directory(*directories[0])
        nodes: list[Node] = []
        for _ in range(leaves):
            entries, links = chance.choice(directories)
            name = self._name()
            if name in entries:
                continue
            kind = chance.random()
            if kind < 0.15:
                directories.append(({}, set()))
                entries[name] = self._directory(*directories[-1])
            elif kind < 0.25 and nodes:
                entries[name] = chance.choice(nodes)
                if chance.random() < 0.5:
                    links.add(name)
            else:
                entries[name] = self._leaf()
                nodes.append(entries[name])
        if chance.random() < 0.1:
            _, crowd = chance.choice((300, 1000)), chance.choice(directories)[0]
            crowd.update(
                {b"crowd-%04d" % number: self._leaf(plain=True) for number in range(chance.choice((120, 400)))}
            )
        return root

    def _name(self) -> bytes:
        chance = self._chance
        if chance.random() < 0.3:
            return chance.choice(_NAMES)
        size = chance.choice((1, 2, 8, 20, 255))
        return (
            bytes(chance.choice(b"abcdefXYZ0123._-\x80") for _ in range(size)).replace(b"..", b"xx").replace(b".", b"d")
        )

    def _xattr(self) -> tuple[bytes, bytes]:
        name, value = self._chance.choice(_XATTR_NAMES), self._chance.choice(_XATTR_VALUES)
        if name == b"trusted.overlay.opaque":
            # The C tool miscounts, and fails, where the mark of a whiteout's parent replaces a long value.
            value = value[:1]
        # An entry of four bytes (an ACL without a value) at the end of an inode is lost on the C tool's way back.
        return name, (value or b"\2") if name.startswith(b"system.") else value

    def _xattrs(self) -> Xattrs:
        chance = self._chance
        if chance.random() < 0.4:
            return ()
        pairs = [
            chance.choice(self._pool) if chance.random() < 0.7 else self._xattr() for _ in range(chance.randint(0, 4))
        ]
        if chance.random() < 0.05:
            pairs += [(b"user.many.%03d" % number, b"z") for number in range(chance.choice((100, 140)))]
        return tuple(sorted(dict(pairs).items()))

    def _mtime(self) -> tuple[int, int]:
        chance = self._chance
        return (
            chance.choice(self._times)
            if chance.random() < 0.8
            else (chance.randint(0, 1 << 33), chance.randint(0, 999_999_999))
        )

    def _directory(self, entries: dict[bytes, Node], links: set[bytes]) -> Directory:
        chance = self._chance
        mtime_s, mtime_ns = self._mtime()
        return Directory(
            mode=chance.choice((0o755, 0o555, 0o1777, 0)),
            uid=chance.choice(_IDS),
            gid=chance.choice(_IDS),
            mtime_s=mtime_s,
            mtime_ns=mtime_ns,
            xattrs=self._xattrs(),
            entries=entries,
            links=links,
        )

    def _leaf(self, *, plain: bool = False) -> Node:
        chance = self._chance
        mtime_s, mtime_ns = self._mtime()
        mode = chance.choice((0o644, 0o755, 0o4755, 0o7777, 0))
        uid, gid = chance.choice(_IDS), chance.choice(_IDS)
        nlink = chance.choice((1, 1, 1, 2, 65535, 65536))
        xattrs = () if plain else self._xattrs()
        kind = 0 if plain else chance.randrange(10)
        if kind <= 2:
            content = chance.randbytes(chance.choice(_SIZES)) or None
            return RegularFile(
                mode=mode, uid=uid, gid=gid, mtime_s=mtime_s, mtime_ns=mtime_ns, nlink=nlink, xattrs=xattrs,
                size=len(content or b""), content=content,
            )  # fmt: skip
        if kind <= 5:
            digest = hashlib.sha256(chance.randbytes(1)).digest()
            text = digest.hex().encode()
            return RegularFile(
                mode=mode, uid=uid, gid=gid, mtime_s=mtime_s, mtime_ns=mtime_ns, nlink=nlink, xattrs=xattrs,
                size=chance.choice(_FILE_SIZES),
                payload=text[:2] + b"/" + text[2:] if chance.random() < 0.9 else None,
                digest=digest if chance.random() < 0.9 else None,
            )  # fmt: skip
        if kind == 6:
            return Symlink(
                mode=0o777, uid=uid, gid=gid, mtime_s=mtime_s, mtime_ns=mtime_ns, nlink=nlink, xattrs=xattrs,
                target=b"t" * chance.choice(_TARGETS),
            )  # fmt: skip
        if kind in (7, 8):
            device = CharacterDevice if kind == 7 else BlockDevice
            return device(
                mode=mode, uid=uid, gid=gid, mtime_s=mtime_s, mtime_ns=mtime_ns, nlink=nlink, xattrs=xattrs,
                rdev=chance.choice((0, 0x103, 0xFFFFFFFF)),
            )  # fmt: skip
        plain_kind = chance.choice((Fifo, Socket))
        return plain_kind(
            mode=mode, uid=uid, gid=gid, mtime_s=mtime_s, mtime_ns=mtime_ns, nlink=nlink, xattrs=xattrs
        )  # fmt: skip


def tool(name: str) -> Path:
    """A tool of C composefs, by POWERNODE_<NAME> or from PATH; its absence skips the test and says so."""
    variable = "POWERNODE_" + name.upper().replace("-", "_")
    found = os.environ.get(variable) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is neither named by {variable} nor on PATH")
    return Path(found)


def mkcomposefs(source: bytes | Path, work: Path, *options: str, strict: bool = False) -> bytes:
    """The image the C tool makes of a dump or a directory."""
    mkcomposefs_tool = tool("mkcomposefs")
    image = work / "peer.img"
    if isinstance(source, bytes):
        (work / "peer.dump").write_bytes(source)
        options = (*options, "--from-file", str(work / "peer.dump"))
    else:
        options = (*options, str(source))
    environment = {**os.environ, "CFS_PARSE_STRICT": "1"} if strict else dict(os.environ)
    done = subprocess.run([mkcomposefs_tool, *options, image], capture_output=True, check=False, env=environment)
    if done.returncode:
        raise AssertionError(done.stderr.decode(errors="replace"))
    return image.read_bytes()


def info_dump(image: bytes, work: Path) -> bytes:
    """What `composefs-info dump` prints."""
    info = tool("composefs-info")
    (work / "info.img").write_bytes(image)
    return subprocess.run([info, "dump", work / "info.img"], capture_output=True, check=True).stdout


def fsck(image: bytes, work: Path) -> None:
    fsck_tool = tool("fsck.erofs")
    (work / "fsck.img").write_bytes(image)
    done = subprocess.run([fsck_tool, work / "fsck.img"], capture_output=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")


def verity_digest(fd: int) -> bytes:
    """fs-verity of an open file: SHA-256, blocks of 4096, no salt."""
    level: list[bytes] = []
    size = 0
    while block := os.read(fd, 4096):
        size += len(block)
        level.append(hashlib.sha256(block.ljust(4096, b"\0")).digest())
    while len(level) > 1:
        text = b"".join(level)
        blocks = (text[at : at + 4096].ljust(4096, b"\0") for at in range(0, len(text), 4096))
        level = [hashlib.sha256(block).digest() for block in blocks]
    root = level[0] if level else bytes(32)
    descriptor = bytes((1, 1, 12, 0)) + bytes(4) + size.to_bytes(8, "little") + root.ljust(64, b"\0") + bytes(176)
    return hashlib.sha256(descriptor).digest()
