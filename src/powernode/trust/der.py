# SPDX-License-Identifier: MIT
"""DER, as strictly as X.690 asks, and no more of it than certificates and timestamps need.

Invariants: a `Reader` never leaves its bytes and copies nothing it was not asked for; every value has one spelling
here: definite and shortest lengths, shortest integers, TRUE is 0xff; tags above 30 are refused; nothing is recursive,
so depth is bounded by the code that reads, not by the input. Every refusal has the code `trust.der`.

Out of scope: what the values mean (`x509`, `timestamp`); the order inside a SET OF.

    reader = Reader(data, "the certificate")
    with reader.enter(SEQUENCE) as certificate:       # leaving the block refuses what was not read
        number = certificate.integer()
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from powernode.base.errors import DataError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = [
    "BIT_STRING",
    "BOOLEAN",
    "IA5_STRING",
    "INTEGER",
    "NULL",
    "OBJECT",
    "OCTET_STRING",
    "SEQUENCE",
    "SET",
    "UTF8_STRING",
    "Reader",
    "context",
    "encode",
]

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OBJECT, UTF8_STRING = 1, 2, 3, 4, 5, 6, 12
IA5_STRING, UTC_TIME, GENERALIZED_TIME, SEQUENCE, SET = 22, 23, 24, 0x30, 0x31

_MAX_OBJECT = 64  # bytes of an object identifier; the longest that matter have a dozen


def context(number: int, *, constructed: bool = False) -> int:
    """The tag [number]."""
    return 0x80 | (0x20 if constructed else 0) | number


def encode(tag: int, content: bytes) -> bytes:
    """One value; to put together what somebody has signed."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(digits))) + digits + content


class Reader:
    """Reads one value after another from `data`; `what` names it in refusals."""

    __slots__ = ("_at", "_data", "_end", "_what")

    def __init__(self, data: bytes, what: str, *, start: int = 0, end: int | None = None) -> None:
        self._data = data
        self._what = what
        self._at = start
        self._end = len(data) if end is None else end

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.done()

    @property
    def is_empty(self) -> bool:
        return self._at == self._end

    @property
    def tag(self) -> int | None:
        """Of the next value; None at the end."""
        return None if self.is_empty else self._data[self._at]

    def done(self) -> None:
        if not self.is_empty:
            raise self.refusal(f"{self._end - self._at} bytes too many")

    def any(self) -> tuple[int, bytes]:
        """The next value, whatever it is: its tag and its content."""
        tag, start, end = self._next(None)
        return tag, self._data[start:end]

    def whole(self, tag: int | None = None) -> bytes:
        """The next value with its tag and length."""
        begin = self._at
        self._next(tag)
        return self._data[begin : self._at]

    def content(self, tag: int) -> bytes:
        _, start, end = self._next(tag)
        return self._data[start:end]

    def enter(self, tag: int) -> Reader:
        _, start, end = self._next(tag)
        return Reader(self._data, self._what, start=start, end=end)

    def integer_bytes(self, tag: int = INTEGER) -> bytes:
        """An integer as it is written: two's complement, big end first, of any size."""
        value = self.content(tag)
        if not value or (len(value) > 1 and (value[0], value[1] >> 7) in ((0, 0), (0xFF, 1))):
            raise self.refusal("an integer that is not as short as it could be")
        return value

    def integer(self, tag: int = INTEGER) -> int:
        """An integer of at most 64 bits."""
        value = self.integer_bytes(tag)
        if len(value) > 8:
            raise self.refusal("an integer of more than 64 bits")
        return int.from_bytes(value, "big", signed=True)

    def boolean(self) -> bool:
        value = self.content(BOOLEAN)
        if value not in (b"\x00", b"\xff"):
            raise self.refusal("a boolean that is neither 00 nor ff")
        return value == b"\xff"

    def bits(self) -> bytes:
        """A bit string of whole bytes: a key, a signature."""
        value = self.content(BIT_STRING)
        if value[:1] != b"\x00":
            raise self.refusal("a bit string that ends inside a byte")
        return value[1:]

    def flags(self) -> frozenset[int]:
        """The numbers of the bits that are set, of a list of named bits."""
        value = self.content(BIT_STRING)
        if not 1 <= len(value) <= 4 or value[0] > 7 or (len(value) == 1 and value[0]):
            raise self.refusal("a list of bits that is too long or has no length")
        if len(value) > 1 and (value[-1] == 0 or value[-1] & -value[-1] != 1 << value[0]):
            raise self.refusal("a list of bits with zeros at its end")
        return frozenset(
            8 * place + bit for place, byte in enumerate(value[1:]) for bit in range(8) if byte & 0x80 >> bit
        )

    def object(self) -> str:
        """An object identifier, in dots."""
        value = self.content(OBJECT)
        if not value or len(value) > _MAX_OBJECT or value[-1] & 0x80:
            raise self.refusal("an object identifier that is empty, too long or cut off")
        arcs: list[int] = []
        arc, is_first = 0, True
        for byte in value:
            if is_first and byte == 0x80:
                raise self.refusal("an object identifier with zeros in front")
            arc, is_first = arc << 7 | byte & 0x7F, not byte & 0x80
            if is_first:
                arcs.append(arc)
                arc = 0
        top = min(arcs[0] // 40, 2)
        return ".".join(map(str, (top, arcs[0] - 40 * top, *arcs[1:])))

    def utf8(self, tag: int = UTF8_STRING) -> str:
        try:
            return self.content(tag).decode("utf-8")
        except UnicodeDecodeError:
            raise self.refusal("a text that is not UTF-8") from None

    def ascii(self, tag: int = IA5_STRING) -> str:
        try:
            return self.content(tag).decode("ascii")
        except UnicodeDecodeError:
            raise self.refusal("a text that is not ASCII") from None

    def time(self) -> int:
        """Seconds since 1970; fractions of a second, which only timestamps have, are dropped."""
        tag, content = self.any()
        size = {UTC_TIME: 12, GENERALIZED_TIME: 14}.get(tag)
        digits, fraction = content[:size], content[size:-1] if size else b""
        right = size is not None and len(digits) == size and digits.isdigit() and content[-1:] == b"Z"
        if fraction and not (tag == GENERALIZED_TIME and _is_fraction(fraction)):
            right = False
        if not right:
            raise self.refusal("a time that is not in UTC and to the second")
        text = digits.decode("ascii")
        if tag == UTC_TIME:
            text = ("20" if text < "50" else "19") + text
        try:
            month, day, hour, minute, second = (int(text[at : at + 2]) for at in range(4, 14, 2))
            moment = datetime(int(text[:4]), month, day, hour, minute, second, tzinfo=UTC)
        except ValueError:
            raise self.refusal("a time that is not in the calendar", found=text) from None
        return int(moment.timestamp())

    def refusal(self, message: str, *, found: str | None = None) -> DataError:
        return DataError("trust.der", f"{self._what} is malformed before byte {self._at}: {message}", found=found)

    def _next(self, tag: int | None) -> tuple[int, int, int]:
        """Tag, start and end of the next content; the reader goes on behind it."""
        data, at = self._data, self._at
        if self._end - at < 2:
            raise self.refusal("it ends too early")
        found, size = data[at], data[at + 1]
        if tag is not None and found != tag:
            raise self.refusal("another value was to come here", found=f"tag {found:#04x} and not {tag:#04x}")
        if found & 0x1F == 0x1F:
            raise self.refusal("a tag of several bytes")
        at += 2
        if size >= 0x80:
            digits = size & 0x7F
            if not 1 <= digits <= 4 or digits > self._end - at:
                raise self.refusal("a length without end or of more than 32 bits")
            size = int.from_bytes(data[at : at + digits], "big")
            if size < 0x80 or size >> 8 * (digits - 1) == 0:
                raise self.refusal("a length that is not as short as it could be")
            at += digits
        if size > self._end - at:
            raise self.refusal("a value is longer than what it is in")
        self._at = at + size
        return found, at, self._at


def _is_fraction(text: bytes) -> bool:
    return text[:1] == b"." and text[1:].isdigit() and len(text) <= 10 and text[-1:] != b"0"
