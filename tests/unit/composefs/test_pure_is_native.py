# SPDX-License-Identifier: MIT
"""The C library and the plain Python code are one thing: the same bytes and texts, or both refuse.

Input comes from seeds: random dumps, dumps with a few mutations, images with a few damaged bytes. Dumps must be refused
with the same code. Of a damaged image only the refusal must be the same: the C reader finds defects entry by entry, the
Python one directory by directory, so with two defects each may name another.

Exceptions, all of them:
- With `only`, neither side looks at what is not asked for; nothing here depends on it, and it is tested with one name.
- `composefs.text-size` guards against images that unfold to far more than their size. Python also asks while it reads
  (`erofs.overlap`), C only while it prints, so at the very limit (16 MiB and more) one may refuse an image that the
  other still prints. No input here comes near it.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from powernode import native
from powernode.base.errors import DataError
from powernode.composefs import image
from powernode.composefs.tree import CharacterDevice, Directory, RegularFile
from unit.composefs._random_dump import random_dump
from unit.erofs._broken_images import BROKEN, Broken

SECONDS = 5.0
"""For each of the three hunts; slow machines look at less."""
ROOT = b"/ 0 40755 2 0 0 0 0.0 - - -\n"
VERSIONS = ((0, 0), (0, 1), (1, 1))
Outcome = bytes | tuple[str, ...]


class Twins:
    """Asks both sides the same."""

    def __init__(self, choose: Callable[[str], None]) -> None:
        self._choose = choose

    def outcomes(self, ask: Callable[[], bytes]) -> tuple[Outcome, Outcome]:
        return self._ask("require", ask), self._ask("off", ask)

    def _ask(self, mode: str, ask: Callable[[], bytes]) -> Outcome:
        self._choose(mode)
        try:
            return ask()
        except DataError as error:
            return ("refused", error.code)


@pytest.fixture
def twins(monkeypatch: pytest.MonkeyPatch) -> Iterator[Twins]:
    if native.library() is None:
        pytest.skip(f"no C library to compare with: {native.reason()}")

    def choose(mode: str) -> None:
        monkeypatch.setenv("POWERNODE_NATIVE", mode)
        native.reset()

    yield Twins(choose)
    monkeypatch.undo()
    native.reset()


@cache
def texts() -> list[bytes]:
    return [text for text in (random_dump(seed=seed) for seed in range(60)) if len(text) <= 20_000]


@cache
def images() -> list[bytes]:
    found = []
    for place, text in enumerate(texts()):
        low, high = VERSIONS[place % 3]
        try:
            found.append(image.from_dump(text, min_version=low, max_version=high))
        except DataError:
            continue
    return [one for one in found if len(one) < 60_000]


READERS: list[Callable[[bytes], bytes]] = [
    image.dump,
    image.listing,
    lambda one: b"".join(path + b"\n" for path in image.objects(one)),
    lambda one: image.to_dump(image.to_tree(one)),
]


def test_the_two_sides_are_two(twins: Twins) -> None:
    """Otherwise everything below compares a thing with itself."""

    def which() -> bytes:
        return native.reason().encode()

    ours, pure = twins.outcomes(which)
    assert ours != pure
    assert pure == b"off by POWERNODE_NATIVE"


@pytest.mark.parametrize("seed", range(100, 130))
def test_random_dumps(twins: Twins, seed: int) -> None:
    text = random_dump(seed=seed, large=seed % 10 == 0)
    low, high = VERSIONS[seed % 3]
    ours, pure = twins.outcomes(lambda: image.from_dump(text, min_version=low, max_version=high))
    assert ours == pure
    tree = image.parse_dump(text)
    ours_of_tree, pure_of_tree = twins.outcomes(lambda: image.from_tree(tree, min_version=low, max_version=high))
    assert ours_of_tree == pure_of_tree
    if isinstance(ours, bytes):
        for read in READERS:
            ours_read, pure_read = twins.outcomes(lambda read=read: read(ours))  # type: ignore[misc]
            assert ours_read == pure_read


@pytest.mark.parametrize("seed", range(3))
def test_one_entry_of_the_root(twins: Twins, seed: int) -> None:
    made = images()[seed]
    for name in sorted(image.to_tree(made).entries)[:8]:
        for read in (image.dump, image.listing):
            ours, pure = twins.outcomes(lambda read=read, name=name: read(made, only=[name]))  # type: ignore[misc]
            assert ours == pure


# -- single cases where the two once differed --------------------------------------------------------------------------

_PARENT = b"/d 0 40755 2 0 0 0 0.0 - - - "
_WHITEOUT = b"\n/d/w 0 20000 1 0 0 0 0.0 - - -\n"
CASES: dict[str, tuple[bytes, str | None]] = {
    "a large device": (b"/c 4294967296 60644 1 0 0 1 0.0 - - -\n", None),
    "a large whiteout": (b"/c 4294967296 20644 1 0 0 0 0.0 - - -\n", None),
    "a large fifo": (b"/p 18446744073709551615 10644 1 0 0 0 0.0 - - -\n", None),
    "a large socket": (b"/p 4294967295 140644 1 0 0 0 0.0 - - -\n", None),
    "a link to a directory": (
        b"/d 0 40755 2 0 0 0 0.0 - - -\n/l 0 @100644 1 0 0 0 0.0 /d\n",
        "dump.hardlink-to-directory",
    ),
    "a directory as a link": (b"/l 0 @40755 1 0 0 0 0.0 /\n", "dump.hardlink-directory"),
    "no digest field": (b"/f 9 100644 1 0 0 0 0.0 - -\n", "dump.digest"),
    "a short digest": (b"/f 9 100644 1 0 0 0 0.0 - - abcd\n", "dump.digest"),
    "a long digest": (b"/f 9 100644 1 0 0 0 0.0 - - " + b"ab" * 33 + b"\n", "dump.digest"),
    "a broken digest that does not count": (b"/f 0 100644 1 0 0 0 0.0 - - zz\n", None),
    "a broken escape in it": (b"/f 0 100644 1 0 0 0 0.0 - - \\q\n", "dump.escape"),
    "no gid": (b"/f 0 100644 1 0 x 0 0.0 - - -\n", "dump.number"),
    "no device number": (b"/f 0 100644 1 0 0 x 0.0 - - -\n", "dump.number"),
    "nul in a name": (b"/a\\x00b 0 100644 1 0 0 0 0.0 - - -\n", "dump.nul-escape"),
    "nul in a target": (b"/l 3 120777 1 0 0 0 0.0 a\\x00b - -\n", "dump.nul-escape"),
    "nul in an attribute": (b"/a 0 100644 1 0 0 0 0.0 - - - a\\x00b=\n", "dump.nul-escape"),
    "a name twice and a later defect": (b"/a 0 100644 1 0 0 0 0.0 - - -\n" * 2 + b"/b\n", "dump.field-missing"),
    "a name twice": (b"/a 0 100644 1 0 0 0 0.0 - - -\n/a 0 40755 1 0 0 0 0.0 - - -\n", "dump.name-duplicate"),
    "too many attributes on the way": (
        b"/a 0 100644 1 0 0 0 0.0 - - - u=%s v=%s u= v=\n" % (b"x" * 20000, b"x" * 20000),
        "dump.xattr-total",
    ),
    "a short opaque of a whiteout's parent": (_PARENT + b"trusted.overlay.opaque=y" + _WHITEOUT, None),
    "a long one": (_PARENT + b"trusted.overlay.opaque=" + b"z" * 300 + _WHITEOUT, "composefs.overlay-xattr"),
    "a long one of the user": (_PARENT + b"user.overlay.opaque=" + b"z" * 300 + _WHITEOUT, "composefs.overlay-xattr"),
    "one that just fits": (_PARENT + b"user.a= user.overlay.opaque=" + b"z" * 108 + _WHITEOUT, None),
    "one that just does not": (
        _PARENT + b"user.a= user.overlay.opaque=" + b"z" * 109 + _WHITEOUT,
        "composefs.overlay-xattr",
    ),
    "a long mark of a whiteout": (b"/w 0 20000 1 0 0 0 0.0 - - - trusted.overlay.whiteout=zz\n", None),
    "a file that says it is a whiteout": (b"/f 2 100644 1 0 0 0 0.0 - hi - trusted.overlay.whiteout=\n", None),
    "a payload of a slash": (b"/f 9 100644 1 0 0 0 0.0 / - -\n", None),
    "a payload upwards": (b"/f 9 100644 1 0 0 0 0.0 ../a - -\n", None),
    "a payload of two lines": (b"/f 9 100644 1 0 0 0 0.0 a\\nb - -\n", None),
    "a name with an escape in it": (b"/\\\\x20\\x20 0 100644 1 0 0 0 0.0 - - -\n", None),
    "a very long attribute name": (
        b"/f 0 100644 1 0 0 0 0.0 - - - trusted.overlay.%s=\n" % (b"n" * 239),
        None,
    ),
}


@pytest.mark.parametrize("versions", VERSIONS)
@pytest.mark.parametrize("name", CASES)
def test_case(twins: Twins, name: str, versions: tuple[int, int]) -> None:
    lines, code = CASES[name]
    low, high = versions
    ours, pure = twins.outcomes(lambda: image.from_dump(ROOT + lines, min_version=low, max_version=high))
    assert ours == pure
    if code == "composefs.overlay-xattr" and high == 0:  # version 0 has no opaque=x, so there is nothing to replace
        code = None
    assert (ours[1] if isinstance(ours, tuple) else None) == code
    if isinstance(ours, bytes):
        for read in READERS:
            ours_read, pure_read = twins.outcomes(lambda read=read: read(ours))  # type: ignore[misc]
            assert ours_read == pure_read


def test_a_long_mark_in_a_tree(twins: Twins) -> None:
    inner = Directory(xattrs=((b"trusted.overlay.opaque", b"z" * 300),), entries={b"w": CharacterDevice()})
    ours, pure = twins.outcomes(lambda: image.from_tree(Directory(entries={b"d": inner})))
    assert ours == pure == ("refused", "composefs.overlay-xattr")


def test_many_attributes_in_a_tree(twins: Twins) -> None:
    """More than a dump can hold."""
    file = RegularFile(xattrs=tuple((b"user.%d" % number, bytes(20_000)) for number in range(2)))
    ours, pure = twins.outcomes(lambda: image.from_tree(Directory(entries={b"f": file})))
    assert ours == pure == ("refused", "dump.xattr-text")


@pytest.mark.parametrize("broken", BROKEN, ids=[name for name, _, _ in BROKEN])
def test_an_image_broken_in_one_place(twins: Twins, broken: Broken) -> None:
    """With one defect there is one code."""
    _, code, build = broken
    made = build()
    assert twins.outcomes(lambda: image.dump(made)) == (("refused", code), ("refused", code))


# -- hunts -------------------------------------------------------------------------------------------------------------

_BYTES = b" \n\\/@-=.0123456789\t+x\0abf"
_INSERTS = (
    b" ",
    b"\n",
    b"\\x00",
    b"\\x41",
    b"\\",
    b"@",
    b"-",
    b"+",
    b"\t",
    b"4294967296",
    b"//",
    b"/.",
    b"\x0b",
    b"\xa0",
)
_FIELDS = (
    b"", b"-", b"0", b"1", b"-1", b"+5", b"4294967296", b"18446744073709551615", b"99999999999999999999999",
    b"9007199254740993", b"@100644", b"40755", b"20000", b"120777", b"10644", b"/a", b"\\x2d", b"x", b"0.0", b"1.",
    b".1", b"-1.-1", b"user.a=1", b"0" * 64, b"0" * 63, b"trusted.overlay.opaque=",
    b"trusted.overlay.opaque=" + b"z" * 300,
)  # fmt: skip
_MORE = (
    b"user.a=1", b"user.a=", b"nothing", b"=x", b"trusted.overlay.whiteouts=xyz", b"trusted.overlay.opaque=y",
    b"user.overlay.opaque=" + b"q" * 50, b"trusted.overlay.whiteout=", b"u=" + b"v" * 40000,
)  # fmt: skip


def _mutate_bytes(chance: random.Random, text: bytearray) -> None:
    at = chance.randrange(len(text) + 1)
    kind = chance.randrange(3)
    if kind == 0:
        text[at : at + 1] = bytes((chance.choice(_BYTES),))
    elif kind == 1:
        text[at:at] = chance.choice(_INSERTS)
    else:
        del text[at : at + chance.choice((1, 1, 5, 50))]


def _mutate_fields(chance: random.Random, text: bytearray) -> None:
    lines = bytes(text).split(b"\n")
    place = chance.randrange(len(lines))
    fields = lines[place].split(b" ")
    kind = chance.randrange(5)
    if kind == 0:
        fields[chance.randrange(len(fields))] = chance.choice(_FIELDS)
    elif kind == 1:
        del fields[chance.randrange(len(fields)) :]
    elif kind == 2:
        fields.append(chance.choice(_MORE))
    elif kind == 3:
        lines.insert(chance.randrange(len(lines)), lines[place])
        place = lines.index(lines[place])
    else:
        chance.shuffle(fields[1:])
        fields[chance.randrange(len(fields))] = chance.choice(fields)
    lines[place] = b" ".join(fields)
    text[:] = b"\n".join(lines)


def mutated_text(chance: random.Random, text: bytes) -> bytes:
    broken = bytearray(text)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        chance.choice((_mutate_bytes, _mutate_fields, _mutate_fields))(chance, broken)
    return bytes(broken)


def damaged_image(chance: random.Random, made: bytes) -> bytes:
    """Most damage goes where the structures are: superblock, first inodes."""
    broken = bytearray(made)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        end = len(made) if chance.random() < 0.3 else min(len(made), 1400 + chance.choice((0, 1000, 8000)))
        at = chance.randrange(0 if chance.random() < 0.05 else 1024, end)
        flipped = broken[at] ^ 1 << chance.randrange(8)
        broken[at] = chance.choice((0, 1, 2, 4, 0x7F, 0xFF, chance.randrange(256), flipped, flipped))
    return bytes(broken)


def test_mutated_dumps(twins: Twins) -> None:
    originals = texts()
    chance, started, seen = random.Random(4), time.monotonic(), Counter[str]()
    while time.monotonic() - started < SECONDS:
        text = mutated_text(chance, chance.choice(originals))
        low, high = chance.choice(VERSIONS)
        strict = chance.random() < 0.3

        def ask(text: bytes = text, low: int = low, high: int = high, strict: bool = strict) -> bytes:
            return image.from_dump(text, min_version=low, max_version=high, strict=strict)

        ours, pure = twins.outcomes(ask)
        assert ours == pure, (low, high, strict, text)
        seen[ours[1] if isinstance(ours, tuple) else "accepted"] += 1
    assert seen["accepted"] > 10, seen
    assert len(seen) > 10, seen


@pytest.mark.parametrize("seed", [5, 6])
def test_damaged_images(twins: Twins, seed: int) -> None:
    originals = images()
    chance, started, seen = random.Random(seed), time.monotonic(), Counter[str]()
    while time.monotonic() - started < SECONDS:
        broken = damaged_image(chance, chance.choice(originals))
        read = chance.choice(READERS)
        ours, pure = twins.outcomes(lambda read=read, broken=broken: read(broken))  # type: ignore[misc]
        if not (isinstance(ours, tuple) and isinstance(pure, tuple)):
            assert ours == pure, (READERS.index(read), broken)
        seen[ours[1] if isinstance(ours, tuple) else "accepted"] += 1
    assert seen["accepted"] > 10, seen
    assert len(seen) > 10, seen
