# SPDX-License-Identifier: MIT
"""The dump text: what is accepted, what is refused and how, and what is printed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powernode.base.errors import DataError
from powernode.composefs._dump_fields import unescape
from powernode.composefs._dump_parse import parse_dump
from powernode.composefs._dump_print import escape_text, print_dump
from powernode.composefs.tree import CharacterDevice, Directory, RegularFile, Symlink
from unit.composefs._pure_trees import random_tree

ROOT = b"/ 0 40755 2 0 0 0 0.0 - - -\n"
FILE = b"/f 0 100644 1 0 0 0 0.0 - - -\n"
DIGEST = "37061ef2ac4c21bec68489b56138c5780306a4ad7fe6676236ecdf2c9027cd92"


def _file(line: bytes, *, strict: bool = False) -> RegularFile:
    node = parse_dump(ROOT + line + b"\n", strict=strict).entries[b"f"]
    assert isinstance(node, RegularFile)
    return node


def test_fields() -> None:
    node = _file(b"/f 70 102755 3 4 5 0 -6.7 ab/cd - " + DIGEST.encode() + b" user.b=2 user.a\\x3d=\\x00", strict=True)
    assert (node.mode, node.nlink, node.uid, node.gid, node.mtime_s, node.mtime_ns) == (0o2755, 3, 4, 5, -6, 7)
    assert (node.size, node.payload, node.content, node.digest) == (70, b"ab/cd", None, bytes.fromhex(DIGEST))
    assert node.xattrs == ((b"user.a=", b"\0"), (b"user.b", b"2"))


def test_content_leaves_no_reference() -> None:
    node = _file(b"/f 3 100644 1 0 0 0 0.0 ab/cd a\\nb " + DIGEST.encode())
    assert (node.size, node.content, node.payload, node.digest) == (3, b"a\nb", None, None)


def test_an_empty_file_has_nothing() -> None:
    node = _file(b"/f 0 100644 1 0 0 0 0.0 ab/cd - " + DIGEST.encode())
    assert (node.size, node.content, node.payload, node.digest) == (0, None, None, None)


def test_a_lone_dash_is_escaped() -> None:
    assert _file(b"/f 1 100644 1 0 0 0 0.0 - \\x2d -").content == b"-"
    text = ROOT + b"/f 1 100644 1 0 0 0 0.0 - \\x2d -\n"
    assert print_dump(parse_dump(text)).endswith(b" - \\x2d -\n")


def test_the_last_of_two_attributes_wins() -> None:
    assert _file(b"/f 0 100644 1 0 0 0 0.0 - - - user.a=1 user.b=2 user.a=3").xattrs == (
        (b"user.a", b"3"),
        (b"user.b", b"2"),
    )


def test_paths_are_forgiving_about_slashes() -> None:
    text = ROOT + b"//d 0 40755 2 0 0 0 0.0 - - -\nd//f 0 100644 1 0 0 0 0.0 - - -\n"
    directory = parse_dump(text).entries[b"d"]
    assert isinstance(directory, Directory)
    assert list(directory.entries) == [b"f"]


def test_the_mode_keeps_16_bits() -> None:
    node = parse_dump(ROOT + b"/c 0 7020666 1 0 0 0 0.0 - - -\n").entries[b"c"]
    assert isinstance(node, CharacterDevice)
    assert node.mode == 0o666


def test_lenient_text_may_lack_fields_and_the_last_newline() -> None:
    text = ROOT + b"/f 0 100644 1 0 0 0 0.0"
    assert list(parse_dump(text).entries) == [b"f"]


def test_a_symlink_has_the_size_of_its_target() -> None:
    node = parse_dump(ROOT + b"/l 99 120777 1 0 0 0 0.0 a\\x20b - -\n").entries[b"l"]
    assert isinstance(node, Symlink)
    assert node.target == b"a b"


def test_hard_links() -> None:
    """A link may come before its target and may lead to a link."""
    text = (
        ROOT
        + b"/a 0 @100644 1 0 0 0 0.0 /b - -\n"
        + b"/b 0 @100644 1 0 0 0 0.0 //d//x - -\n"
        + b"/d 0 40755 2 0 0 0 0.0 - - -\n"
        + b"/d/x 0 100600 7 0 0 0 0.0 - - -\n"
    )
    root = parse_dump(text)
    directory = root.entries[b"d"]
    assert isinstance(directory, Directory)
    assert root.entries[b"a"] is root.entries[b"b"] is directory.entries[b"x"]
    assert directory.entries[b"x"].nlink == 7
    assert root.links == {b"a", b"b"}
    assert directory.links == set()
    printed = print_dump(root).split(b"\n")
    assert printed[1] == b"/a 0 @100600 7 0 0 0 0.0 /d/x - -"
    assert printed[4] == b"/d/x 0 100600 7 0 0 0 0.0 - - -"


def test_numbers_are_cut_as_the_c_tool_cuts_them() -> None:
    node = _file(b"/f 0 100644 4294967297 -1 +5 0 18446744073709551615.4294967297 - - -")
    assert (node.nlink, node.uid, node.gid, node.mtime_s, node.mtime_ns) == (1, 0xFFFFFFFF, 5, -1, 1)
    assert _file(b"/f 0 100644 1 99999999999999999999999 \t7 0 9223372036854775808.0 - - -").mtime_s == -(1 << 63)


REFUSALS: list[tuple[str, str, bytes]] = [
    ("no lines", "dump.empty", b""),
    ("empty line", "dump.path-empty", ROOT + b"\n" + FILE),
    ("NUL", "dump.nul", ROOT + b"/f\0 0 100644 1 0 0 0 0.0 - - -\n"),
    ("escaped NUL in a path", "dump.nul-escape", ROOT + b"/f\\x00 0 100644 1 0 0 0 0.0 - - -\n"),
    ("unknown escape", "dump.escape", ROOT + b"/\\q 0 100644 1 0 0 0 0.0 - - -\n"),
    ("half an escape", "dump.escape", ROOT + b"/\\x4 0 100644 1 0 0 0 0.0 - - -\n"),
    ("nothing after the escape", "dump.escape", ROOT + b"/f\\ 0 100644 1 0 0 0 0.0 - - -\n"),
    ("first line is not the root", "dump.root-missing", FILE),
    ("root is a file", "dump.root-type", b"/ 0 100644 1 0 0 0 0.0 - - -\n"),
    ("two roots", "dump.root-again", ROOT + ROOT),
    ("parent missing", "dump.parent-missing", ROOT + b"/d/f 0 100644 1 0 0 0 0.0 - - -\n"),
    ("parent is a file", "dump.parent-missing", ROOT + FILE + b"/f/x 0 100644 1 0 0 0 0.0 - - -\n"),
    ("twice", "dump.name-duplicate", ROOT + FILE + FILE),
    ("empty name", "dump.name-empty", ROOT + b"// 0 40755 1 0 0 0 0.0 - - -\n"),
    ("trailing slash", "dump.name-empty", ROOT + b"/d 0 40755 1 0 0 0 0.0 - - -\n/d/ 0 100644 1 0 0 0 0.0 - - -\n"),
    ("dot", "dump.name-dot", ROOT + b"/. 0 40755 1 0 0 0 0.0 - - -\n"),
    ("dot-dot", "dump.name-dot", ROOT + b"/.. 0 40755 1 0 0 0 0.0 - - -\n"),
    ("long name", "dump.name-long", ROOT + b"/" + b"n" * 256 + b" 0 100644 1 0 0 0 0.0 - - -\n"),
    ("no type", "dump.mode", ROOT + b"/f 0 644 1 0 0 0 0.0 - - -\n"),
    ("mode is not octal", "dump.number", ROOT + b"/f 0 100648 1 0 0 0 0.0 - - -\n"),
    ("no size", "dump.field-missing", ROOT + b"/f  100644 1 0 0 0 0.0 - - -\n"),
    ("gid is not a number", "dump.number", ROOT + b"/f 0 100644 1 1 x 0 0.0 - - -\n"),
    ("rdev is not a number", "dump.number", ROOT + b"/f 0 100644 1 1 0 x 0.0 - - -\n"),
    ("mtime without nanoseconds", "dump.mtime", ROOT + b"/f 0 100644 1 0 0 0 0 - - -\n"),
    ("content is not of that size", "dump.content-size", ROOT + b"/f 2 100644 1 0 0 0 0.0 - abc -\n"),
    ("content too long", "dump.content-long", ROOT + b"/f 5001 100644 1 0 0 0 0.0 - %s -\n" % (b"c" * 5001)),
    ("payload too long", "dump.payload-long", ROOT + b"/f 9 100644 1 0 0 0 0.0 %s - -\n" % (b"p" * 4096)),
    ("payload with NUL", "dump.nul-escape", ROOT + b"/f 9 100644 1 0 0 0 0.0 a\\x00b - -\n"),
    ("no symlink target", "dump.symlink-empty", ROOT + b"/l 0 120777 1 0 0 0 0.0 - - -\n"),
    ("symlink with NUL", "dump.nul-escape", ROOT + b"/l 0 120777 1 0 0 0 0.0 a\\x00 - -\n"),
    ("too large", "dump.file-size", ROOT + b"/f 9007199254740993 100644 1 0 0 0 0.0 p - -\n"),
    ("short digest", "dump.digest", ROOT + b"/f 9 100644 1 0 0 0 0.0 p - abcd\n"),
    ("digest is not hexadecimal", "dump.digest", ROOT + b"/f 9 100644 1 0 0 0 0.0 p - " + b"g" * 64 + b"\n"),
    ("attribute without =", "dump.xattr-equals", ROOT + b"/f 0 100644 1 0 0 0 0.0 - - - user.a\n"),
    ("two spaces", "dump.xattr-equals", ROOT + b"/f 0 100644 1 0 0 0 0.0 - - - user.a=1  user.b=1\n"),
    ("attribute without a name", "dump.xattr-name", ROOT + b"/f 0 100644 1 0 0 0 0.0 - - - =1\n"),
    ("long attribute name", "dump.xattr-name", ROOT + b"/f 0 100644 1 0 0 0 0.0 - - - user.%s=1\n" % (b"n" * 251)),
    ("large attributes", "dump.xattr-total", ROOT + b"/f 0 100644 1 0 0 0 0.0 - - - user.a=%s\n" % (b"v" * 32743)),
    ("long attributes", "dump.xattr-text", ROOT + b"/f 0 100644 1 0 0 0 0.0 - - - user.a=%s\n" % (b"v" * 65529)),
    ("linked directory", "dump.hardlink-directory", ROOT + b"/d 0 @40755 1 0 0 0 0.0 / - -\n"),
    ("link to a directory", "dump.hardlink-to-directory", ROOT + b"/d 0 @100644 1 0 0 0 0.0 / - -\n"),
    ("link without target", "dump.hardlink-target", ROOT + b"/l 0 @100644 1 0 0 0 0.0 - - -\n"),
    ("link to nothing", "dump.hardlink-missing", ROOT + b"/l 0 @100644 1 0 0 0 0.0 /x - -\n"),
    ("link to itself", "dump.hardlink-self", ROOT + b"/l 0 @100644 1 0 0 0 0.0 /l - -\n"),
    (
        "links in a circle",
        "dump.hardlink-cycle",
        ROOT + b"/a 0 @100644 1 0 0 0 0.0 /b - -\n/b 0 @100644 1 0 0 0 0.0 /c - -\n/c 0 @100644 1 0 0 0 0.0 /b - -\n",
    ),
]


@pytest.mark.parametrize(("code", "text"), [pytest.param(*case[1:], id=case[0]) for case in REFUSALS])
def test_refusal(code: str, text: bytes) -> None:
    with pytest.raises(DataError) as caught:
        parse_dump(text)
    assert caught.value.code == code
    assert caught.value.message.startswith("line ")


def test_the_limit_of_attributes_is_exact() -> None:
    assert _file(b"/f 0 100644 1 0 0 0 0.0 - - - user.a=%s" % (b"v" * 32742)).xattrs[0][1] == b"v" * 32742


STRICT_REFUSALS = [
    ("no newline", "dump.newline", ROOT + FILE[:-1]),
    ("rdev of a file", "dump.strict-rdev", ROOT + b"/f 0 100644 1 0 0 1 0.0 - - -\n"),
    ("symlink size", "dump.strict-symlink-size", ROOT + b"/l 1 120777 1 0 0 0 0.0 abc - -\n"),
    ("symlink with content", "dump.strict-symlink-content", ROOT + b"/l 3 120777 1 0 0 0 0.0 abc abc -\n"),
]


@pytest.mark.parametrize(("code", "text"), [pytest.param(*case[1:], id=case[0]) for case in STRICT_REFUSALS])
def test_strict_refusal(code: str, text: bytes) -> None:
    parse_dump(text)
    with pytest.raises(DataError) as caught:
        parse_dump(text, strict=True)
    assert caught.value.code == code


def test_the_line_number_is_right() -> None:
    with pytest.raises(DataError, match=r"^line 3: "):
        parse_dump(ROOT + FILE + b"/g x\n")


def test_a_refusal_does_not_repeat_megabytes() -> None:
    with pytest.raises(DataError) as caught:
        parse_dump(b"/ 0 40755 2 0 0 0 0.0 - - -\n/a 0 " + b"9" * (1 << 20) + b" 1 0 0 0 0.0 - - -\n")
    assert caught.value.code == "dump.number"
    with pytest.raises(DataError) as caught:
        parse_dump(b"/ 0 40755 2 0 0 0 0.0 - - -\n/" + b"a" * (1 << 20) + b"\\x00 0 100644 1 0 0 0 0.0 - - -\n")
    assert caught.value.code == "dump.nul-escape"
    assert len(str(caught.value)) < 300


def test_a_long_chain_of_links_is_linear() -> None:
    count = 20_000
    links = b"".join(b"/%d 0 @100644 1 0 0 0 0.0 /%d - -\n" % (number, number + 1) for number in range(count))
    root = parse_dump(ROOT + links + b"/%d 0 100644 1 0 0 0 0.0 - - -\n" % count)
    assert len({id(node) for node in root.entries.values()}) == 1


def test_what_is_no_tree_is_not_printed() -> None:
    """A name with a slash would print as another tree."""
    with pytest.raises(DataError) as caught:
        print_dump(Directory(entries={b"a/b": RegularFile()}))
    assert caught.value.code == "composefs.name"


@given(st.binary(max_size=60))
def test_escapes_go_both_ways(text: bytes) -> None:
    escaped = escape_text(text)
    assert all(0x21 <= byte <= 0x7E for byte in escaped)
    assert unescape(escaped, 1) == text


@given(seed=st.integers(0, 1 << 32), leaves=st.integers(0, 30))
@settings(max_examples=25)
def test_printing_and_parsing_settle(seed: int, leaves: int) -> None:
    text = print_dump(random_tree(seed, leaves=leaves))
    assert print_dump(parse_dump(text, strict=True)) == text


@given(
    st.lists(st.sampled_from([ROOT, FILE, b"/d 0 40755 2 0 0 0 0.0 - - - user.a=b\n", b"\\x", b"@", b" ", b"\n", b"/"]))
)
def test_any_text_is_a_tree_or_refused(parts: list[bytes]) -> None:
    try:
        root = parse_dump(b"".join(parts))
    except DataError as error:
        refused = error.code
        assert refused.startswith("dump.")
    else:
        assert isinstance(root, Directory)
