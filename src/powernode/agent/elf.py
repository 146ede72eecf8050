# SPDX-License-Identifier: MIT
"""Which interpreter and libraries an ELF program needs, from the first bytes of the file.

Invariants: 64-bit little-endian files only, which are all our architectures; every offset is checked against the file;
the tables that are read are bounded.

Out of scope: where the libraries are (`preflight`), what they load later by themselves.

    needs = read_elf(open("/usr/bin/true", "rb").read())
    needs.interpreter, needs.libraries          # "/lib64/ld-linux-x86-64.so.2", ("libc.so.6",)
"""

from __future__ import annotations

import struct

from powernode.base.errors import DataError
from powernode.base.values import Value

__all__ = ["MACHINES", "ElfNeeds", "is_elf", "read_elf"]

MACHINES = {"amd64": 62, "arm64": 183}
"""e_machine by the name of our architecture."""

_MAGIC = b"\x7fELF"
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_DYNAMIC = struct.Struct("<qQ")
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB, _DT_RPATH, _DT_RUNPATH = 1, 5, 15, 29
_HEADERS_MAX = 64
_ENTRIES_MAX = 4096
_TEXT_MAX = 4096


class ElfNeeds(Value):
    """`folders` are those of DT_RUNPATH or DT_RPATH, `$ORIGIN` still in them."""

    __slots__ = ("folders", "interpreter", "libraries", "machine")

    def __init__(
        self, *, machine: int, interpreter: str | None, libraries: tuple[str, ...], folders: tuple[str, ...]
    ) -> None:
        self.machine = machine
        self.interpreter = interpreter
        self.libraries = libraries
        self.folders = folders


def is_elf(data: bytes) -> bool:
    return data[:4] == _MAGIC


def read_elf(data: bytes) -> ElfNeeds:
    try:
        return _read(data)
    except (struct.error, OverflowError) as error:  # the latter where an offset is no offset at all
        raise _refusal("a table lies outside of the file") from error


def _read(data: bytes) -> ElfNeeds:
    if data[4:6] != b"\x02\x01":
        raise _refusal("neither 64 bits nor little-endian")
    machine = struct.unpack_from("<H", data, 18)[0]
    table = struct.unpack_from("<Q", data, 32)[0]
    entry_size, count = struct.unpack_from("<HH", data, 54)
    if entry_size != _PROGRAM_HEADER.size or count > _HEADERS_MAX:
        raise _refusal(f"{count} program headers of {entry_size} bytes")
    headers = [_PROGRAM_HEADER.unpack_from(data, table + number * entry_size) for number in range(count)]
    loads = [(address, offset, size) for kind, _, offset, address, _, size, _, _ in headers if kind == _PT_LOAD]
    interpreter = None
    entries: list[tuple[int, int]] = []
    for kind, _, offset, _, _, size, _, _ in headers:
        if kind == _PT_INTERP:
            interpreter = _text(data, offset)
        elif kind == _PT_DYNAMIC:
            number = min(size // _DYNAMIC.size, _ENTRIES_MAX)
            entries = [_DYNAMIC.unpack_from(data, offset + index * _DYNAMIC.size) for index in range(number)]
    strings = next((_offset(loads, value) for tag, value in entries if tag == _DT_STRTAB), 0)
    folders = [_text(data, strings + value) for tag, value in entries if tag in (_DT_RPATH, _DT_RUNPATH)]
    return ElfNeeds(
        machine=machine,
        interpreter=interpreter,
        libraries=tuple(_text(data, strings + value) for tag, value in entries if tag == _DT_NEEDED),
        folders=tuple(folder for text in folders for folder in text.split(":") if folder),
    )


def _offset(loads: list[tuple[int, int, int]], address: int) -> int:
    for start, offset, size in loads:
        if start <= address < start + size:
            return address - start + offset
    raise _refusal("the string table is in no segment")


def _text(data: bytes, at: int) -> str:
    if at >= len(data):
        raise _refusal("a name lies outside of the file")
    end = data.find(b"\0", at, at + _TEXT_MAX)
    if end < 0:
        raise _refusal("a name does not end")
    return data[at:end].decode("utf-8", "surrogateescape")


def _refusal(found: str) -> DataError:
    return DataError("agent.elf", "this is no ELF file that can run here", found=found)
