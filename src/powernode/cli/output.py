# SPDX-License-Identifier: MIT
"""Printing what may not be UTF-8, and a progress line for people."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def write_line(text: str) -> None:
    """A line whose file names come out as the bytes they went in as, whatever the locale."""
    write_bytes(text.encode("utf-8", "surrogateescape") + b"\n")


def write_bytes(data: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


class Progress:
    """One line on the terminal, rewritten in place; nothing at all where standard error is no terminal."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown = False

    def callback(self) -> Callable[[int, int], None] | None:
        """For work that tells files and bytes."""
        return self._amount if sys.stderr.isatty() else None

    def steps(self) -> Callable[[str, int, int], None] | None:
        """For work that tells what it does, how many are done, and how many there are."""
        return self._step if sys.stderr.isatty() else None

    def _amount(self, files: int, size: int) -> None:
        self._show(f"{self._what}: {files:,} files, {size / 1e6:,.0f} MB")

    def _step(self, what: str, done: int, total: int) -> None:
        if done == total or done % 64 == 0:
            self._show(f"{self._what}: {what} {done:,} of {total:,} [{'#' * (done * 24 // max(1, total)):24}]")

    def _show(self, text: str) -> None:
        self._shown = True
        print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
