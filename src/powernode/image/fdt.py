# SPDX-License-Identifier: MIT
"""Switch off nodes of a flattened device tree: what an emulated board lacks must not be promised to the kernel.

Invariants: every other byte of the tree keeps its meaning and order; each path must be there; offsets are checked
before they are followed. Format: Devicetree Specification 0.4, chapter 5.

    disable(blob, ["/soc/hdmi@7ef00700"])      # the same tree with status = "disabled" there
"""

from __future__ import annotations

import struct
from collections.abc import Collection

from powernode.base.errors import DataError, OperatorError

__all__ = ["disable"]

_MAGIC = 0xD00DFEED
_HEADER = struct.Struct(">10I")
_WORD = struct.Struct(">I")
_PROPERTY = struct.Struct(">2I")
_BEGIN, _END, _PROP, _NOP, _FINISH = 1, 2, 3, 4, 9
_VERSION = 17
_DEPTH_MAX = 64  # Linux reads as many; without a limit the paths would need memory by the square of the size
_DISABLED = b"disabled\0"


def disable(blob: bytes, paths: Collection[str]) -> bytes:
    """The tree with `status = "disabled"` in each of the nodes."""
    header = _header(blob)
    _, _, struct_at, strings_at, reserved_at, _, _, cpu, strings_size, struct_size = header
    strings = _part(blob, strings_at, strings_size)
    if b"status\0" not in strings:
        strings += b"status\0"
    tree = _edit(_part(blob, struct_at, struct_size), strings, set(paths))
    reserved = _reserved(blob, reserved_at)
    new_reserved = -(-_HEADER.size // 8) * 8
    new_struct = new_reserved + len(reserved)
    new_strings = new_struct + len(tree)
    total = new_strings + len(strings)
    new = (_MAGIC, total, new_struct, new_strings, new_reserved, _VERSION, 16, cpu, len(strings), len(tree))
    return _HEADER.pack(*new).ljust(new_reserved, b"\0") + reserved + tree + strings


def _header(blob: bytes) -> tuple[int, ...]:
    header = _HEADER.unpack(_part(blob, 0, _HEADER.size))
    if header[0] != _MAGIC or not header[6] <= _VERSION <= header[5]:
        raise DataError("image.fdt.header", "this is no device tree", expected=f"magic {_MAGIC:#x}, version {_VERSION}")
    return header


def _edit(tree: bytes, strings: bytes, wanted: set[str]) -> bytes:
    """Copy the tokens; a node that is wanted gets the property first, and its own one is left out."""
    out = bytearray()
    name_at = strings.index(b"status\0")
    status = _WORD.pack(_PROP) + _PROPERTY.pack(len(_DISABLED), name_at) + _padded(_DISABLED)
    nodes: list[tuple[str, bool]] = []
    left = set(wanted)
    at = 0
    while True:
        (token,) = _WORD.unpack(_part(tree, at, 4))
        start, at = at, at + 4
        if token == _BEGIN:
            name = _text(tree, at)
            at += -(-(len(name) + 1) // 4) * 4
            path = f"{nodes[-1][0].rstrip('/')}/{name.decode('ascii', 'replace')}" if nodes else "/"
            if len(nodes) >= _DEPTH_MAX:
                raise DataError("image.fdt.structure", "the device tree is too deep", expected=f"{_DEPTH_MAX} levels")
            nodes.append((path, path in wanted))
            left.discard(path)
            out += _part(tree, start, at - start) + (status if path in wanted else b"")
        elif token == _PROP:
            size, name_offset = _PROPERTY.unpack(_part(tree, at, 8))
            at += 8 + -(-size // 4) * 4
            data = _part(tree, start, at - start)
            if not (nodes and nodes[-1][1] and _text(strings, name_offset) == b"status"):
                out += data
        elif token == _END and nodes:
            nodes.pop()
            out += tree[start:at]
        elif token == _FINISH and not nodes:
            out += tree[start:at]
            break
        elif token != _NOP:
            raise DataError("image.fdt.structure", "the device tree is broken", found=f"token {token} at {start}")
    if left:
        raise OperatorError("image.fdt.node", "the device tree has no such node", expected=min(left))
    return bytes(out)


def _reserved(blob: bytes, at: int) -> bytes:
    """The memory reservations with the zeros behind them."""
    end = at
    while _part(blob, end, 16) != bytes(16):
        end += 16
    return _part(blob, at, end + 16 - at)


def _text(data: bytes, at: int) -> bytes:
    end = data.find(b"\0", at)
    if not 0 <= at <= end:
        raise DataError("image.fdt.structure", "a name in the device tree does not end", found=f"at {at}")
    return data[at:end]


def _part(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise DataError("image.fdt.truncated", "the device tree ends too early", found=f"{len(data)} bytes")
    return data[at : at + size]


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
