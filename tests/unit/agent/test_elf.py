# SPDX-License-Identifier: MIT
"""The ELF reader: our own files, the machine's own files against a real reader, and damaged ones."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given
from hypothesis import strategies as st

from powernode.agent.elf import ElfNeeds, is_elf, read_elf
from powernode.base.errors import DataError
from unit.agent._elf_files import elf


def test_what_a_program_needs() -> None:
    data = elf(interpreter="/lib/ld.so", needed=["libc.so.6", "libm.so.6"], runpath="$ORIGIN/../lib:/opt", machine=183)
    assert read_elf(data) == ElfNeeds(
        machine=183,
        interpreter="/lib/ld.so",
        libraries=("libc.so.6", "libm.so.6"),
        folders=("$ORIGIN/../lib", "/opt"),
    )
    assert read_elf(elf()) == ElfNeeds(machine=62, interpreter=None, libraries=(), folders=())


@pytest.mark.parametrize("path", [os.path.realpath(sys.executable), os.path.realpath("/bin/sh"), "/proc/self/exe"])
def test_real_files(path: str) -> None:
    with open(path, "rb") as file:
        real: Any = ELFFile(file)
        dynamic = real.get_section_by_name(".dynamic")
        interpreter = next(s.get_interp_name() for s in real.iter_segments() if s["p_type"] == "PT_INTERP")
        needed = tuple(tag.needed for tag in dynamic.iter_tags() if tag.entry.d_tag == "DT_NEEDED")
        file.seek(0)
        found = read_elf(file.read())
    assert (found.interpreter, found.libraries) == (interpreter, needed)


@pytest.mark.parametrize(
    "data",
    [
        b"\x7fELF",
        b"\x7fELF\x01\x01".ljust(64, b"\0"),
        b"\x7fELF\x02\x02".ljust(64, b"\0"),
        elf(needed=["libc.so.6"])[:150],
        elf(interpreter="/lib/ld.so").replace(b"/lib/ld.so\0", b"/lib/ld.so!"),
    ],
    ids=["short", "32-bit", "big-endian", "cut", "endless-name"],
)
def test_damaged_files(data: bytes) -> None:
    assert is_elf(data)
    if data[4:6] == b"\x02\x01" and b"!" in data:
        data = data[: data.index(b"!") + 1]
    with pytest.raises(DataError) as caught:
        read_elf(data)
    assert caught.value.code == "agent.elf"


@given(flips=st.lists(st.tuples(st.integers(4, 400), st.integers(0, 255)), max_size=12), size=st.integers(4, 500))
def test_any_bytes_are_read_or_refused(flips: list[tuple[int, int]], size: int) -> None:
    data = bytearray(elf(interpreter="/lib/ld.so", needed=["libc.so.6"], runpath="/opt", size=500))
    for at, value in flips:
        data[at] = value
    with suppress(DataError):
        read_elf(bytes(data[:size]))


def test_offsets_beyond_everything() -> None:
    data = bytearray(elf(interpreter="/lib/ld.so", needed=["libc.so.6"]))
    data[32:40] = b"\xff" * 8
    with pytest.raises(DataError) as caught:
        read_elf(bytes(data))
    assert caught.value.code == "agent.elf"
