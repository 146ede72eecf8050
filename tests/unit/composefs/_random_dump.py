# SPDX-License-Identifier: MIT
"""Random dump texts: everything the format allows, in proportions that reach its corners.

Purpose: comparing writers with each other. The same seed always gives the same text. Names, values and contents hold
every byte but NUL where the format forbids it; sizes sit around block, inline and chunk limits.

Out of scope: texts that must be refused (those are written by hand in the tests).

    text = random_dump(seed=7)
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

_PLAIN = frozenset(range(0x21, 0x7F)) - {0x5C}
_SHORT_NAMES = [
    b"a",
    b"b",
    b"!x",
    b"+x",
    b"-",
    b".x",
    b"..x",
    b"...",
    b".-",
    b"00",
    b"0a",
    b"ff",
    b"fe",
    b"~",
    b"=",
    b"\xff",
    b"A",
]
_SIZES = [1, 2, 64, 65, 4095, 4096, 4097, 5000, 8192, 8193, 65536, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**43, 2**43 + 1]
_BIG_SIZES = [2**50, 2**52 + 1, 2**53 - 2**43, 2**53 - 1, 2**53, 2**52 + 17 * 2**43, 1017 * 2**43, 1009 * 2**43 + 5]
_CONTENTS = [1, 2, 31, 32, 33, 64, 1000, 2047, 2048, 2049, 3000, 4064, 4095, 4096, 4097, 4500, 5000]
_MTIMES = [
    "0.0",
    "0.1",
    "1.0",
    "1700000000.0",
    "1700000000.5",
    "1700000000.999999999",
    "-1.0",
    "-100.7",
    "4294967296.0",
]
_XATTR_NAMES = [
    b"user.foo",
    b"user.",
    b"security.selinux",
    b"security.capability",
    b"trusted.foo",
    b"trusted.overlay",
    b"system.other",
    b"trusted.overlay.opaque",
    b"trusted.overlay.redirect",
    b"trusted.overlay.metacopy",
    b"trusted.overlay.whiteout",
    b"trusted.overlay.overlay.whiteout",
    b"trusted.overlay.",
    b"trusted.overlay.overlay.",
    b"trusted.overlay.zz",
    b"lustre.x",
    b"system.posix_acl_access",
    b"system.posix_acl_default",
    b"system.posix_acl_accessible",
    b"user.overlay.whiteouts",
    b"zzz",
    b"trusted.overlay.overlay.opaque",
    b"user.overlay.opaque",
    b"user.overlay.whiteout",
    b"\xff\xfe",
    b"A",
    b"trusted.zoo",
]


def escape(raw: bytes, *, equals: bool = False) -> bytes:
    """As the format's own printer escapes."""
    out = bytearray()
    for byte in raw:
        if byte in _PLAIN and not (equals and byte == 0x3D):
            out.append(byte)
        else:
            out += {0x5C: b"\\\\", 0x0A: b"\\n", 0x0D: b"\\r", 0x09: b"\\t"}.get(byte, b"\\x%02x" % byte)
    return bytes(out)


def _optional(raw: bytes | None) -> bytes:
    if raw is None:
        return b"-"
    return b"\\x2d" if raw == b"-" else escape(raw)


@dataclass
class _State:
    rng: random.Random
    lines: list[bytes] = field(default_factory=list)
    files: list[bytes] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    xattr_chance: float = 0.3
    mtimes: list[str] = field(default_factory=list)
    small_only: bool = False


def _bytes(rng: random.Random, size: int, *, nul: bool) -> bytes:
    raw = bytearray(rng.randbytes(size))
    if not nul:
        for i, byte in enumerate(raw):
            if byte in (0, 0x2F):
                raw[i] = 0x41
    return bytes(raw)


def _name(rng: random.Random, used: set[bytes]) -> bytes:
    while True:
        kind = rng.random()
        if kind < 0.3:
            name = rng.choice(_SHORT_NAMES)
        elif kind < 0.5:
            name = _bytes(rng, rng.choice([1, 2, 3, 8, 9, 16]), nul=False)
        elif kind < 0.6:
            name = _bytes(rng, rng.choice([200, 254, 255]), nul=False)
        else:
            name = b"common-prefix-%d" % rng.randrange(10**6)
        if name not in used and name not in (b".", b".."):
            used.add(name)
            return name


def _xattrs(state: _State) -> bytes:
    rng = state.rng
    if rng.random() >= state.xattr_chance:
        return b""
    chosen: dict[bytes, bytes] = {}
    count = rng.choice([1, 1, 1, 2, 3, 5, 8, 20])
    if rng.random() < 0.02:
        count = 150  # more than can be shared in one inode
    for i in range(count):
        name = rng.choice(_XATTR_NAMES) if i < 10 else b"user.many.%d" % i
        if rng.random() < 0.05:
            name = b"user." + _bytes(rng, rng.choice([1, 100, 250]), nul=False)
        if name.startswith((b"user.overlay.", b"trusted.overlay.")):
            value = rng.choice([b"y", b"/foo"]) if rng.random() < 0.02 else b""
        else:
            value = (
                rng.choice(state.values)
                if rng.random() < 0.7
                else _bytes(rng, rng.choice([0, 1, 3, 40, 700]), nul=True)
            )
        chosen[name] = value
    if rng.random() < 0.01:
        chosen[b"user.big"] = _bytes(rng, rng.choice([4000, 4090, 8200]), nul=True)
    entries = list(chosen.items())
    rng.shuffle(entries)
    if rng.random() < 0.1:
        entries.append((entries[0][0], entries[0][1] + b"2"))  # the second of equal names counts
    return b"".join(b" " + escape(name, equals=True) + b"=" + escape(value, equals=True) for name, value in entries)


def _line(
    state: _State,
    path: bytes,
    size: int,
    mode: int,
    rdev: int,
    payload: bytes | None,
    content: bytes | None,
    digest: bytes | None,
) -> None:
    rng = state.rng
    owners = [0, 0, 0, 1000, 65535, 65536, 2**32 - 1]
    nlink = rng.choice([1, 1, 1, 2, 65535, 65536])
    owner = rng.choice(owners), rng.choice(owners)
    if state.small_only:
        nlink, owner = 1, (0, 0)
    fields = b"%d %o %d %d %d %d %s" % (size, mode, nlink, *owner, rdev, rng.choice(state.mtimes).encode())
    hexed = b"-" if digest is None else digest.hex().encode()
    state.lines.append(
        b" ".join([escape(path), fields, _optional(payload), _optional(content), hexed]) + _xattrs(state)
    )


def _file(state: _State, path: bytes) -> None:
    rng = state.rng
    kind, mode = rng.random(), 0o100000 | rng.choice([0o644, 0o755, 0o4755, 0o7777, 0])
    state.files.append(path)
    if kind < 0.15:
        _line(state, path, 0, mode, 0, None, rng.choice([None, b""]), None)
    elif kind < 0.5:
        content = _bytes(rng, rng.choice(_CONTENTS), nul=True)
        digest = rng.choice(state.digests)
        _line(state, path, len(content), mode, 0, rng.choice([None, b"ignored"]), content, rng.choice([None, digest]))
    else:
        size = rng.choice(_BIG_SIZES) if rng.random() < 0.03 else rng.choice(_SIZES)
        digest = rng.choice(state.digests) if rng.random() < 0.5 else rng.randbytes(32)
        hexed = digest.hex().encode()
        payload = rng.choice([None, b"some/where", b"/abs", b"-", b"x" * 64, rng.choice(state.digests).hex().encode()])
        if rng.random() < 0.7:
            payload = hexed[:2] + b"/" + hexed[2:]
        _line(state, path, size, mode, 0, payload, None, digest if rng.random() < 0.8 else None)


def _leaf(state: _State, path: bytes) -> None:
    rng = state.rng
    kind = rng.random()
    if kind < 0.6:
        _file(state, path)
    elif kind < 0.75:
        target = _bytes(
            rng, rng.choice([1, 5, 30, 100, 1000, 2048, 3900, 4000, 4031, 4032, 4033, 4063, 4064, 4095]), nul=False
        )
        _line(state, path, rng.choice([0, len(target)]), 0o120777, 0, target, None, None)
        state.files.append(path)
    elif kind < 0.8:
        _line(
            state,
            path,
            rng.choice([0, 0, 2**33]),
            rng.choice([0o60600, 0o20600]),
            rng.choice([1, 259, 2**32 - 1]),
            None,
            None,
            None,
        )
    elif kind < 0.84:
        _line(state, path, 0, rng.choice([0o10644, 0o140755]), 0, None, None, None)
    elif kind < 0.90:
        _line(state, path, rng.choice([0, 1]), 0o20000 | rng.choice([0, 0o644]), 0, None, None, None)  # whiteout
    elif state.files:
        state.lines.append(b"%s 0 @100644 1 0 0 0 0.0 %s - -" % (escape(path), escape(rng.choice(state.files))))
    else:
        _file(state, path)


def random_dump(*, seed: int, large: bool = False) -> bytes:
    """A dump text that every writer accepts. `large` allows directories of 3000 entries."""
    rng = random.Random(seed)
    state = _State(rng)
    state.digests = [rng.randbytes(32) for _ in range(3)]
    state.values = [b"system_u:object_r:bin_t:s0\x00", b"y", b"", _bytes(rng, 300, nul=True), b"x=y z", b"\xff" * 20]
    state.xattr_chance = rng.choice([0.0, 0.1, 0.5, 0.9])
    state.mtimes = rng.sample(_MTIMES, k=rng.randint(1, len(_MTIMES)))
    state.small_only = rng.random() < 0.3
    _line(state, b"/", rng.choice([0, 4096]), 0o40755, 0, None, None, None)
    directories = [(b"", 0)]
    while directories:
        base, depth = directories.pop()
        used: set[bytes] = set()
        count = rng.choice([0, 1, 2, 5, 20, 60])
        if large and rng.random() < 0.1:
            count = rng.choice([500, 3000])
        for _ in range(count):
            path = base + b"/" + _name(rng, used)
            if rng.random() < 0.15 and depth < 6 and len(state.lines) < 400:
                _line(state, path, 4096, 0o40000 | rng.choice([0o755, 0o1777]), 0, None, None, None)
                directories.append((path, depth + 1))
            else:
                _leaf(state, path)
    return b"\n".join(state.lines) + b"\n"
