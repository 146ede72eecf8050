# SPDX-License-Identifier: MIT
"""Many wildcard patterns run side by side over bytes, in time linear in the text whatever the patterns are.

The slow version tries every way a star can stretch: exponential. Instead all places a pattern could have come to are
kept at once, as the bits of one integer: bit i is set when the elements before i have been matched. A byte moves every
place that accepts it one bit up, and a place behind a star may also stay:

    next = ((places & accepting[byte]) << 1) | (places & staying[byte])

So a byte costs a few operations on an integer as long as the patterns (bounded by MAX_PLACES), never more. Each set of
places remembers where a byte led to, so that the names of an ordinary tree cost one dictionary look-up per byte; what
is remembered is bounded and forgotten as a whole, since hostile patterns can have exponentially many sets.

Out of scope: literal directory prefixes, which `globs` walks by whole names.
"""

from __future__ import annotations

from collections.abc import Iterable

from powernode.base.errors import DataError
from powernode.manifest._globsyntax import SLASH, Element, Star

MAX_PLACES = 65_536
"""Elements of all patterns of one machine: keeps one step below a few microseconds."""

_MEMORY_BYTES = 4 << 20


class Places(dict[int, "Places"]):
    """A set of places; as a dictionary, where each byte seen so far leads to."""

    __slots__ = ("bits", "machine")

    def __init__(self, machine: Machine, bits: int) -> None:
        self.machine = machine
        self.bits = bits

    def __missing__(self, byte: int) -> Places:
        return self.machine.advance(self, byte)


class Machine:
    """`accept`: the path matches; `subtree`: it matches if it is a directory, with all below; `rest`: in a directory
    reached with one of these, whatever comes matches."""

    def __init__(self, patterns: Iterable[tuple[tuple[Element, ...], bool]]) -> None:
        self._elements: list[int | frozenset[int] | None] = []
        self._stay_in_name = self._stay_anywhere = 0
        self.accept = self.subtree = self.rest = 0
        start = 0
        for elements, subtree in patterns:
            start |= 1 << len(self._elements)
            self._add(elements, subtree)
        if len(self._elements) > MAX_PLACES:
            raise DataError(
                "glob.too-many",
                "the wildcard patterns of one list are too long together",
                expected=f"at most {MAX_PLACES} elements",
                found=str(len(self._elements)),
                hint="patterns without wildcards are not limited",
            )
        self._accepting: dict[int, int] = {}
        self._known: dict[int, Places] = {}
        self._max_known = max(64, _MEMORY_BYTES // (len(self._elements) // 8 + 300))
        self.start = self._places(start)

    def feed(self, places: Places, name: bytes) -> Places:
        """The places after a name."""
        for byte in name:
            places = places[byte]
        return places

    def advance(self, places: Places, byte: int) -> Places:
        """The places after one byte; remembered in `places`."""
        bits = places.bits
        staying = self._stay_anywhere if byte == SLASH else self._stay_anywhere | self._stay_in_name
        following = self._places(((bits & self._accepting_mask(byte)) << 1) | (bits & staying))
        places[byte] = following
        return following

    def _add(self, elements: tuple[Element, ...], subtree: bool) -> None:
        for element in elements:
            here = 1 << len(self._elements)
            if element is Star.PATH:
                self._stay_anywhere |= here
            elif element is Star.NAME:
                self._stay_in_name |= here
            else:
                assert not isinstance(element, Star)
                self._elements.append(element)
        end = 1 << len(self._elements)
        if subtree:
            self.subtree |= end
        else:
            self.accept |= end
            self.rest |= end & self._stay_anywhere
        # The end accepts no byte, so no place ever moves from one pattern into the next.
        self._elements.append(None)

    def _accepting_mask(self, byte: int) -> int:
        mask = self._accepting.get(byte)
        if mask is None:
            octets = bytearray(len(self._elements) // 8 + 1)
            for index, element in enumerate(self._elements):
                if element == byte or (isinstance(element, frozenset) and byte in element):
                    octets[index >> 3] |= 1 << (index & 7)
            mask = self._accepting[byte] = int.from_bytes(octets, "little")
        return mask

    def _places(self, bits: int) -> Places:
        places = self._known.get(bits)
        if places is None:
            if len(self._known) >= self._max_known:
                for known in self._known.values():
                    known.clear()
                self._known.clear()
            places = self._known[bits] = Places(self, bits)
        return places
