# SPDX-License-Identifier: MIT
"""The C image reader for tests: from the library that was built, else compiled on the spot in a temporary directory."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from powernode import native
from powernode.native._ctypes_door import CtypesLibrary
from powernode.native.results import NativeBuffer

if TYPE_CHECKING:
    from powernode.native import Library

DUMP, LS, OBJECTS = 0, 1, 2

_CSRC = Path(__file__).parents[3] / "csrc"
SOURCES = sorted(
    [
        *_CSRC.glob("erofs/reader*.c"),
        *_CSRC.glob("composefs/view*.c"),
        *_CSRC.glob("composefs/print*.c"),
        _CSRC / "erofs/xxh32.c",
        _CSRC / "composefs/sort.c",
        _CSRC / "common.c",
    ]
)


class RefusedError(Exception):
    def __init__(self, status: int, code: str, where: int, message: str) -> None:
        super().__init__(f"{code} at {where}: {message} ({status})")
        self.status = status
        self.code = code
        self.where = where
        self.message = message


class ImageReader:
    def __init__(self, library: Library) -> None:
        self._library = library

    def text(self, image: bytes, what: int, filters: list[bytes] | None = None) -> bytes:
        names = None if filters is None else b"".join(name + b"\0" for name in filters) + b"\0"
        failure = bytearray(264)
        with NativeBuffer(self._library) as text:
            status = self._library.call(
                "pn_composefs_text_from_image", image, len(image), what, names, text.handle, failure
            )
            if status == 0:
                return bytes(text.view())
            assert bytes(text.handle) == bytes(24), "a refusal must leave no text behind"
        where, code, message = struct.unpack("Q48s208s", failure)
        raise RefusedError(
            status=status,
            code=code.split(b"\0")[0].decode("ascii"),
            where=where,
            message=message.split(b"\0")[0].decode("ascii"),
        )

    def refusal(self, image: bytes, what: int = DUMP, filters: list[bytes] | None = None) -> RefusedError:
        try:
            self.text(image, what, filters)
        except RefusedError as refused:
            return refused
        raise AssertionError("the image was accepted")


def find_library(scratch: Path) -> Library:
    built = native.library()
    if built is not None:
        return built
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("the C library is not built and there is no C compiler")
    target = scratch / "reader.so"
    flags = ["-std=c11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", f"-I{_CSRC / 'include'}"]
    subprocess.run([compiler, *flags, *map(str, SOURCES), "-o", str(target)], check=True)
    return CtypesLibrary(str(target))
