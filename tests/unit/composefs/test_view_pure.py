# SPDX-License-Identifier: MIT
"""The three texts in plain Python, for the cases a random tree seldom has; composefs-info is the judge."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from powernode.composefs._dump_parse import parse_dump
from powernode.composefs._image_pure import write_image
from powernode.composefs._view_pure import text
from unit.composefs._pure_trees import tool

ROOT = b"/ 0 40755 2 0 0 0 0.0 - - -\n"
OBJECT = b"ab/" + b"cd" * 31
FILE = b"100 100644 1 0 0 0 0.0 " + OBJECT + b" - -\n"


def made(*lines: bytes) -> bytes:
    return write_image(parse_dump(ROOT + b"".join(lines)), min_version=1)


def info(verb: str, data: bytes, work: Path, *only: bytes) -> bytes:
    (work / "image").write_bytes(data)
    filters = [b"--filter=" + name for name in only]
    command: list[bytes | str | Path] = [tool("composefs-info"), *filters, verb, work / "image"]
    return subprocess.run(command, capture_output=True, check=True).stdout


ODD = {
    "names": made(*(b"/%s 0 100644 1 0 0 0 0.0 - - -\n" % name for name in
                  (rb"a\x20b", rb"new\nline", rb"back\\slash", rb"\\x20", rb"\\\x20", rb"\xff\xfe", rb"\x01", b"=",
                   b"-"))),
    "targets": made(b"/l 3 120777 1 0 0 0 0.0 a\\x20b - -\n", b"/m 4 120777 1 0 0 0 0.0 \\\\x20 - -\n"),
    "links": made(b"/f " + FILE, b"/g 0 @100644 1 0 0 0 0.0 /f - -\n", b"/z 0 40755 2 0 0 0 0.0 - - -\n",
                  b"/z/h 0 @100644 1 0 0 0 0.0 /f - -\n"),
    "one object, two files": made(b"/f " + FILE, b"/g " + FILE),
    "no object": made(b"/f 100 100644 1 0 0 0 0.0 - - -\n", b"/g 0 100644 1 0 0 0 0.0 - - -\n"),
    "special": made(b"/c 0 20644 1 0 0 259 0.0 - - -\n", b"/b 0 60644 1 0 0 259 0.0 - - -\n",
                    b"/p 0 10644 1 0 0 0 0.0 - - -\n", b"/s 0 140644 1 0 0 0 0.0 - - -\n",
                    b"/w 0 20644 1 0 0 0 0.0 - - -\n"),
    "names like stubs": made(b"/ab 0 40755 2 0 0 0 0.0 - - -\n", b"/ab/f " + FILE, b"/00 0 100644 1 0 0 0 0.0 - - -\n"),
    "empty": made(),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize(("verb", "what"), [("dump", "dump"), ("ls", "listing"), ("objects", "objects")])
def test_as_the_peer_prints_it(name: str, verb: str, what: str, tmp_path: Path) -> None:
    assert text(ODD[name], what, []) == info(verb, ODD[name], tmp_path)


@pytest.mark.parametrize("only", [[b"f"], [b"g"], [b"z"], [b"g", b"z"], [b"z", b"f"], [b"absent"]])
@pytest.mark.parametrize(("verb", "what"), [("dump", "dump"), ("ls", "listing"), ("objects", "objects")])
def test_filters_with_links_across_them(only: list[bytes], verb: str, what: str, tmp_path: Path) -> None:
    """Where the file that holds the content is left out, another name stands for it."""
    assert text(ODD["links"], what, only) == info(verb, ODD["links"], tmp_path, *only)


def test_a_filter_is_a_whole_name(tmp_path: Path) -> None:
    data = made(b"/ab 0 40755 2 0 0 0 0.0 - - -\n", b"/abc " + FILE)
    assert text(data, "objects", [b"ab"]) == b""
    assert text(data, "listing", [b"abc"]) == b"/abc\t@ " + OBJECT + b"\n"
