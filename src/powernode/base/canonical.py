# SPDX-License-Identifier: MIT
"""JSON with one spelling: what is signed, named by a digest, or compared byte for byte.

Invariants: `encode` gives the same bytes for equal values: keys sorted by code point, no white space, ASCII only, no
floats; `decode` takes UTF-8 of a bounded size and depth and refuses whatever two readers could understand
differently: a key twice, floats, NaN, integers beyond 64 bits, half a surrogate pair. `decode` does take white space
and any order of keys, for files that people write; who wants the one spelling compares with `encode`.

Out of scope: what the document means (`fields` helps to read it).

    encode({"b": [1, None], "a": "é"})                       # b'{"a":"\\u00e9","b":[1,null]}'
    decode(data, what="the boot set", max_bytes=1 << 18)     # DataError("json.duplicate-key", …)
"""

from __future__ import annotations

import json

from powernode.base.errors import DataError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn, TypeAlias

    Json: TypeAlias = "bool | int | str | list[Json] | dict[str, Json] | None"

__all__ = ["MAX_DEPTH", "decode", "encode"]

MAX_DEPTH = 16
"""How many lists and objects may be inside each other, unless the caller says otherwise."""

_MAX_INTEGER = (1 << 63) - 1
_MAX_DIGITS = 20  # of a 64-bit integer with its sign; longer ones are not even converted


def encode(value: Json, *, max_depth: int = MAX_DEPTH) -> bytes:
    """The one spelling of `value`; refuses what JSON readers do not agree about."""
    _check(value, "the value", max_depth)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def decode(
    data: bytes, *, what: str, max_bytes: int, max_depth: int = MAX_DEPTH, max_values: int | None = None
) -> Json:
    """The value of a whole document; `what` names it in refusals. A value takes up to a hundred times the memory of its
    bytes, so who allows many bytes limits the values, too."""
    if len(data) > max_bytes:
        raise DataError("json.size", f"{what} is too long", expected=f"at most {max_bytes} bytes", found=f"{len(data)}")
    if max_values is not None and (values := sum(map(data.count, (b",", b"[", b"{")))) > max_values:
        raise DataError("json.values", f"{what} has too many values", expected=f"{max_values}", found=f"about {values}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError("json.utf8", f"{what} is not UTF-8 from byte {error.start} on") from None

    def refuse(code: str, message: str) -> NoReturn:
        raise DataError(code, f"{what}: {message}")

    def members(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        found: dict[str, Json] = {}
        for name, member in pairs:
            if name in found:
                refuse("json.duplicate-key", f"{name[:100]!r} is there twice")
            found[name] = member
        return found

    def integer(digits: str) -> int:
        if len(digits) > _MAX_DIGITS:
            refuse("json.integer", "an integer of more than 64 bits")
        return int(digits)

    try:
        value: Json = json.loads(
            text,
            object_pairs_hook=members,
            parse_int=integer,
            parse_float=lambda digits: refuse("json.float", f"{digits[:40]} is not an integer"),
            parse_constant=lambda name: refuse("json.float", f"{name} is no JSON"),
        )
    except json.JSONDecodeError as error:
        raise DataError("json.syntax", f"{what} is not JSON: {error}") from None
    except RecursionError:
        refuse("json.depth", f"lists and objects are more than {max_depth} deep")
    _check(value, what, max_depth)
    return value


def _check(root: object, what: str, max_depth: int) -> None:
    """Walk without recursion and refuse what the reader or a careless caller let through."""
    pending: list[tuple[object, int]] = [(root, 1)]
    while pending:
        value, depth = pending.pop()
        # Exactly these types: a subclass may print itself as something else.
        if value is None or type(value) is bool:
            continue
        if type(value) is str:
            _check_text(value, what)
        elif type(value) is int:
            if not -_MAX_INTEGER - 1 <= value <= _MAX_INTEGER:
                raise DataError("json.integer", f"{what}: an integer of more than 64 bits")
        elif type(value) is list or type(value) is dict:
            if depth > max_depth:
                raise DataError("json.depth", f"{what}: lists and objects are more than {max_depth} deep")
            if isinstance(value, dict):
                for name in value:
                    if type(name) is not str:
                        raise DataError("json.type", f"{what}: a key that is no string", found=type(name).__name__)
                    _check_text(name, what)
                value = value.values()
            pending.extend((item, depth + 1) for item in value)
        else:
            cause = "float" if type(value) is float else "type"
            raise DataError(f"json.{cause}", f"{what}: a {type(value).__name__} has no place in canonical JSON")


def _check_text(text: str, what: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError("json.surrogate", f"{what}: half a surrogate pair is no character") from None
