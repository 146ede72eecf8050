# SPDX-License-Identifier: MIT
"""The C image reader: what it says about good images, and by which code it refuses each kind of broken one."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import struct
import subprocess
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from unit.composefs._random_dump import random_dump
from unit.erofs._broken_images import BROKEN, Broken, good
from unit.erofs._reader_library import DUMP, LS, OBJECTS, SOURCES, ImageReader, RefusedError, find_library
from unit.erofs._small_images import (
    ACL_ACCESS,
    BLK,
    CHR,
    CHUNK,
    DIR,
    FIFO,
    INLINE,
    LNK,
    LUSTRE,
    METACOPY,
    PLAIN,
    REDIRECT,
    REG,
    SECURITY,
    SOCK,
    TRUSTED,
    USER,
    SmallImage,
    put,
    single,
    xattr_entry,
)

NOWHERE = b"\xff" * 4


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> ImageReader:
    return ImageReader(find_library(tmp_path_factory.mktemp("reader")))


def line(reader: ImageReader, image: bytes, number: int = 1) -> str:
    return reader.text(image, DUMP).decode("ascii").splitlines()[number]


# -- good images ------------------------------------------------------------------------------------------------------


def test_every_kind_of_file_has_its_line(reader: ImageReader) -> None:
    image = SmallImage()
    children = [
        (b"block", image.inode(BLK | 0o660, i_u=0x801)),
        (b"char", image.inode(CHR | 0o620, i_u=1)),
        (b"dir", image.directory([])),
        (b"empty", image.inode(REG | 0o600)),
        (b"fifo", image.inode(FIFO | 0o644)),
        (b"inline", image.inode(REG | 0o644, tail=b"-")),
        (b"link", image.inode(LNK | 0o777, tail=b"to here")),
        (b"object", image.inode(REG | 0o644, layout=CHUNK, size=5, tail=NOWHERE, xattrs=[METACOPY, REDIRECT])),
        (b"sock", image.inode(SOCK | 0o755, extended=True, nlink=70000)),
    ]
    data = image.finish(image.directory(children))
    assert reader.text(data, DUMP).decode("ascii").splitlines() == [
        "/ 176 40755 2 0 0 0 3.5 - - -",
        "/block 0 60660 1 0 0 2049 3.5 - - -",
        "/char 0 20620 1 0 0 1 3.5 - - -",
        "/dir 27 40755 2 0 0 0 3.5 - - -",
        "/empty 0 100600 1 0 0 0 3.5 - - -",
        "/fifo 0 10644 1 0 0 0 3.5 - - -",
        "/inline 1 100644 1 0 0 0 3.5 - \\x2d -",
        "/link 7 120777 1 0 0 0 3.5 to\\x20here - -",
        "/object 5 100644 1 0 0 0 3.5 ab/cd - -",
        "/sock 0 140755 70000 0 0 0 7.9 - - -",
    ]
    assert reader.text(data, LS).decode("ascii").splitlines() == [
        "/block",
        "/char",
        "/dir/\t",
        "/empty",
        "/fifo",
        "/inline",
        "/link\t-> to\\x20here",
        "/object\t@ ab/cd",
        "/sock",
    ]
    assert reader.text(data, OBJECTS) == b"ab/cd\n"


def test_escaping_of_every_byte(reader: ImageReader) -> None:
    every = bytes(range(256))
    image = SmallImage()
    name = bytes(c for c in every if c not in b"\0/")[:255]
    data = single(image.inode(REG | 0o644, tail=every, xattrs=[(USER, b"a=b c", every)]), image, name)

    def escaped(text: bytes, plain: bytes = b"") -> str:
        named = {0x5C: "\\\\", 0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t"}
        shown = set(range(0x21, 0x7F)) | set(plain)
        return "".join(named.get(c) or (chr(c) if c in shown else f"\\x{c:02x}") for c in text)

    value = escaped(every).replace("=", "\\x3d")
    assert line(reader, data) == (
        f"/{escaped(name)} 256 100644 1 0 0 0 3.5 - {escaped(every)} - user.a\\x3db\\x20c={value}"
    )
    assert reader.text(data, LS).decode("ascii") == f"/{escaped(name, b' ')}\n"


@pytest.mark.parametrize("size", [1, 7, 8, 9, 2048, 2049, 4095, 4096, 4097, 5000])
def test_content_over_block_and_tail(reader: ImageReader, size: int) -> None:
    content = bytes(ord("a") + number % 26 for number in range(size))
    image = SmallImage()
    inline = size % 4096 if size % 4096 <= 2048 else 0
    layout = INLINE if inline else PLAIN
    file = image.inode(REG | 0o644, layout=layout, tail=content[size - inline :], size=size)
    root = image.directory([(b"a", file)])
    if size != inline:
        number = image.block(content[: size - inline])
        image.data[file * 32 + 16 : file * 32 + 20] = number.to_bytes(4, "little")
    assert line(reader, image.finish(root)).split(" ")[8:] == ["-", content.decode("ascii"), "-"]


def test_hard_links_name_the_first_path(reader: ImageReader) -> None:
    image = SmallImage()
    file = image.inode(REG | 0o644, tail=b"x", nlink=1)
    inner = image.directory([(b"first name", file)])
    data = image.finish(image.directory([(b"d", inner), (b"second", file), (b"third", file)]))
    assert reader.text(data, DUMP).decode("ascii").splitlines()[2:] == [
        "/d/first\\x20name 1 100644 1 0 0 0 3.5 - x -",
        "/second 1 @100644 1 0 0 0 3.5 /d/first\\x20name x -",
        "/third 1 @100644 1 0 0 0 3.5 /d/first\\x20name x -",
    ]
    assert reader.text(data, LS) == b"/d/\t\n/d/first name\n/second\n/third\n"


def test_overlay_rewriting_is_undone(reader: ImageReader) -> None:
    image = SmallImage()
    gone = image.inode(
        REG | 0o644, xattrs=[(TRUSTED, b"overlay.overlay.whiteout", b""), (USER, b"overlay.whiteout", b"")]
    )
    digest = bytes(range(32))
    kept = image.inode(
        REG | 0o644,
        layout=CHUNK,
        size=9,
        tail=NOWHERE,
        xattrs=[
            (SECURITY, b"selinux", b"l\0"),
            (TRUSTED, b"overlay.metacopy", b"\0\x24\0\1" + digest),
            (TRUSTED, b"overlay.overlay.metacopy", b"mine"),
            (TRUSTED, b"overlay.redirect", b"relative"),
        ],
    )
    stub = image.inode(CHR | 0o644)
    root = image.directory(
        [(b"00", stub), (b"gone", gone), (b"kept", kept)],
        xattrs=[
            (TRUSTED, b"overlay.opaque", b"y"),
            (TRUSTED, b"overlay.overlay.opaque", b"x"),
            (TRUSTED, b"overlay.overlay.whiteouts", b""),
            (USER, b"overlay.opaque", b"x"),
            (USER, b"overlay.whiteouts", b""),
        ],
    )
    lines = reader.text(image.finish(root), DUMP).decode("ascii").splitlines()
    assert lines[0].endswith(" - - - trusted.overlay.opaque=x user.overlay.opaque=x")
    assert lines[1] == "/gone 0 20644 1 0 0 0 3.5 - - -"
    assert lines[2] == (
        f"/kept 9 100644 1 0 0 0 3.5 relative - {digest.hex()} security.selinux=l\\x00 trusted.overlay.metacopy=mine"
    )
    assert len(lines) == 3


def test_a_whiteout_mark_on_a_file_with_data_is_only_an_xattr(reader: ImageReader) -> None:
    image = SmallImage()
    data = single(image.inode(REG | 0o644, tail=b"x", xattrs=[(TRUSTED, b"overlay.overlay.whiteout", b"")]), image)
    assert line(reader, data) == "/a 1 100644 1 0 0 0 3.5 - x - trusted.overlay.whiteout="


def test_xattrs_own_then_shared_with_every_prefix(reader: ImageReader) -> None:
    image = SmallImage()
    file = image.inode(
        REG | 0o644,
        xattrs=[(0, b"lustre.a", b"1"), (SECURITY, b"b", b"2"), (ACL_ACCESS, b"", b"3"), (USER, b"", b"4")],
        shared=[0],
    )
    root = image.directory([(b"a", file)])
    data = image.finish(root, xattr_block=image.block(xattr_entry(LUSTRE, b"c", b"5")))
    assert line(reader, data).split(" ")[11:] == [
        "lustre.a=1",
        "security.b=2",
        "system.posix_acl_access=3",
        "user.=4",
        "lustre.c=5",
    ]


def test_an_empty_xattr_at_the_very_end_is_kept(reader: ImageReader) -> None:
    image = SmallImage()
    assert line(reader, single(image.inode(REG | 0o644, xattrs=[(ACL_ACCESS, b"", b"")]), image)).endswith(
        " - system.posix_acl_access="
    )


@pytest.mark.parametrize("size", [65, 66, 67, 68])
def test_a_redirect_ends_where_it_ends(reader: ImageReader, size: int) -> None:
    """Whatever follows it, with or without padding between."""
    image = SmallImage()
    redirect = (TRUSTED, b"overlay.redirect", b"/" + b"p" * (size - 1))
    file = image.inode(
        REG | 0o644, layout=CHUNK, size=9, tail=NOWHERE, xattrs=[METACOPY, redirect, (USER, b"zzz", b"")]
    )
    data = single(file, image)
    assert line(reader, data).split(" ")[8] == "p" * (size - 1)
    assert reader.text(data, OBJECTS) == b"p" * (size - 1) + b"\n"


def test_objects_are_sorted_and_unique(reader: ImageReader) -> None:
    image = SmallImage()
    paths = [b"b/2", b"a/1", b"b/2", b"a", b"a/1-and-much-longer", b"\xff", b"b/2"]
    children = []
    for number, path in enumerate(paths):
        xattrs = [METACOPY, (TRUSTED, b"overlay.redirect", b"/" + path)]
        children.append((b"%d" % number, image.inode(REG, layout=CHUNK, size=1, tail=NOWHERE, xattrs=xattrs)))
    assert reader.text(image.finish(image.directory(children)), OBJECTS) == b"".join(
        path + b"\n" for path in sorted(set(paths))
    )


def test_a_chunk_table_that_is_not_inline_is_not_looked_for(reader: ImageReader) -> None:
    """1024 chunks need a whole block, which an inode's own block never has left."""
    image = SmallImage()
    file = image.inode(REG | 0o644, layout=CHUNK, size=1024 * 4096, xattrs=[METACOPY])
    assert line(reader, single(file, image)).startswith("/a 4194304 100644 ")


def test_filters_choose_entries_of_the_root_only(reader: ImageReader) -> None:
    image = SmallImage()
    inner = image.directory([(b"a", image.inode(REG | 0o644)), (b"x", image.inode(REG | 0o644))])
    data = image.finish(image.directory([(b"a", inner), (b"b", image.inode(REG)), (b"c", image.inode(REG))]))
    assert reader.text(data, LS, [b"a", b"c", b"nothing"]) == b"/a/\t\n/a/a\n/a/x\n/c\n"
    assert reader.text(data, LS, [b"x"]) == b""
    assert reader.text(data, LS, []) == reader.text(data, LS)


def test_a_very_deep_tree_needs_no_stack(reader: ImageReader) -> None:
    image = SmallImage()
    nid = image.directory([])
    for _ in range(15_000):
        nid = image.directory([(b"d", nid)])
    data = image.finish(nid)
    assert reader.text(data, OBJECTS) == b""
    # A path for every depth is quadratic, so the other two are cut off before it hurts.
    assert reader.refusal(data, LS).code == "composefs.text-size"


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_the_image_the_broken_ones_are_made_of_is_good(reader: ImageReader) -> None:
    assert line(reader, good()) == "/a 2 100644 1 0 0 0 3.5 - hi -"


@pytest.mark.parametrize("broken", BROKEN, ids=[name for name, _, _ in BROKEN])
def test_broken_image_is_refused_by_its_code(reader: ImageReader, broken: Broken) -> None:
    name, code, build = broken
    image = build()
    refused = reader.refusal(image)
    assert refused.code == code, f"{name}: {refused}"
    assert refused.where <= len(image)
    assert refused.message
    assert refused.status < 0
    if code != "composefs.text-size":
        for what in (LS, OBJECTS):
            assert reader.refusal(image, what).code == code


def test_refusals_of_the_call_itself(reader: ImageReader) -> None:
    assert reader.refusal(good(), 3).code == "composefs.text-kind"
    assert reader.refusal(good(), LS, [b"a", b"b/c"]).code == "composefs.filter"


def test_an_object_path_with_a_line_break_cannot_be_listed(reader: ImageReader) -> None:
    image = SmallImage()
    xattrs = [METACOPY, (TRUSTED, b"overlay.redirect", b"/a\nb")]
    data = single(image.inode(REG, layout=CHUNK, size=1, tail=NOWHERE, xattrs=xattrs), image)
    assert reader.refusal(data, OBJECTS).code == "composefs.object-name"
    assert " a\\nb " in line(reader, data)


def test_every_code_in_the_source_has_a_test() -> None:
    tested = {code for _, code, _ in BROKEN} | {"composefs.text-kind", "composefs.filter", "composefs.object-name"}
    written = set()
    for source in SOURCES:
        if re.match(r"(reader|view|print)", source.name):
            written |= set(re.findall(r'"((?:erofs|composefs)\.[a-z-]+)"', source.read_text(encoding="utf-8")))
    assert written - {"erofs.memory", "composefs.memory"} == tested


def test_random_damage_is_refused_or_read_in_time(reader: ImageReader) -> None:
    """A short run of what csrc/fuzz does at length: never a crash, never slow, never a control byte in the text."""
    chance = random.Random(20250211)
    seeds = [image for image in map(_build, BROKEN) if 4096 <= len(image) < 40_000] + [good()]
    accepted = 0
    for _ in range(3000):
        image = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(image)) if chance.random() < 0.2 else chance.randrange(1024, 1700)
            image[at] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        began = time.monotonic()
        try:
            text = reader.text(bytes(image), DUMP)
        except RefusedError:
            continue
        finally:
            assert time.monotonic() - began < 1
        accepted += 1
        assert re.fullmatch(rb"[\n -~]*", text)
    assert accepted, "if nothing is ever accepted, the damage is too great to test much"


def _build(broken: Broken) -> bytes:
    return broken[2]()


# -- against the reference tools --------------------------------------------------------------------------------------

VECTOR = Path(__file__).parents[2] / "vectors" / "erofs" / "everything.json"
DUMPS = sorted((Path(__file__).parents[2] / "vectors" / "composefs").glob("*.dump"))
WHATS = {"dump": DUMP, "ls": LS, "objects": OBJECTS}


@pytest.mark.parametrize("what", WHATS)
def test_an_image_of_the_reference_writer(reader: ImageReader, what: str) -> None:
    vector = json.loads(VECTOR.read_text(encoding="ascii"))
    image = zlib.decompress(base64.b64decode("".join(vector["image_zlib_base64"])))
    assert hashlib.sha256(image).hexdigest() == vector["sha256"]
    assert reader.text(image, WHATS[what]).decode("ascii").splitlines() == vector[what]


def _peer(variable: str, program: str) -> str:
    path = os.environ.get(variable) or shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not on PATH and {variable} is not set")
    return path


@pytest.fixture(scope="session")
def peer_text(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes, str], tuple[bytes, bytes]]:
    """dump text, kind of text -> image and the text composefs-info prints about it."""
    writer = _peer("POWERNODE_MKCOMPOSEFS", "mkcomposefs")
    printer = _peer("POWERNODE_COMPOSEFS_INFO", "composefs-info")
    scratch = tmp_path_factory.mktemp("peer")

    def run(dump: bytes, what: str) -> tuple[bytes, bytes]:
        (scratch / "dump").write_bytes(dump)
        made = subprocess.run(
            [writer, "--from-file", str(scratch / "dump"), str(scratch / "image")], capture_output=True, check=False
        )
        if made.returncode != 0:
            return b"", made.stderr
        printed = subprocess.run([printer, what, str(scratch / "image")], capture_output=True, check=True)
        return (scratch / "image").read_bytes(), printed.stdout

    return run


@pytest.mark.parametrize("dump", DUMPS, ids=[path.stem for path in DUMPS])
def test_vectors_read_as_the_reference_reads_them(
    reader: ImageReader, peer_text: Callable[[bytes, str], tuple[bytes, bytes]], dump: Path
) -> None:
    for what, number in WHATS.items():
        image, expected = peer_text(dump.read_bytes(), what)
        assert reader.text(image, number) == expected


@pytest.mark.parametrize("seed", range(12))
def test_random_trees_read_as_the_reference_reads_them(
    reader: ImageReader, peer_text: Callable[[bytes, str], tuple[bytes, bytes]], seed: int
) -> None:
    # Two things the reference does not read back: it takes any file with this mark for a whiteout, also one with data,
    # which the kernel shows; and it overlooks an empty ACL at the end of an inode.
    dump = random_dump(seed=seed).replace(b" trusted.overlay.whiteout=", b" trusted.overlay.whitewash=")
    dump = re.sub(rb"( system\.posix_acl_(?:access|default)=)(?= |\n)", rb"\1v", dump)
    for what, number in WHATS.items():
        image, expected = peer_text(dump, what)
        if not image:
            pytest.skip(f"the reference writer refuses this tree: {expected.decode(errors='replace').strip()}")
        assert reader.text(image, number) == expected


def test_a_plain_erofs_image_is_refused(reader: ImageReader, tmp_path: Path) -> None:
    maker = _peer("POWERNODE_MKFS_EROFS", "mkfs.erofs")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(b"content\n" * 1000)
    subprocess.run([maker, str(tmp_path / "image"), str(tmp_path / "tree")], check=True, capture_output=True)
    image = (tmp_path / "image").read_bytes()
    assert reader.refusal(image).code == "composefs.magic"
    # Even with the header that is missing it stays readable or refused, never more.
    forged = struct.pack("<IIII", 0xD078629A, 1, 0, 0) + image[16:]
    with contextlib.suppress(RefusedError):
        reader.text(forged, DUMP)


# -- seeds of the fuzzer ----------------------------------------------------------------------------------------------

CORPUS = Path(__file__).parents[3] / "csrc" / "fuzz" / "corpus" / "image"


def test_seeds_of_the_fuzzer_are_small_and_one_is_good(reader: ImageReader) -> None:
    accepted = []
    for seed in sorted(CORPUS.iterdir()):
        image = seed.read_bytes()
        assert len(image) <= 40_960, seed
        try:
            reader.text(image, DUMP)
        except RefusedError:
            continue
        accepted.append(seed.name)
    assert accepted == ["everything.img"]


def test_many_names_of_an_inode_with_many_xattrs_cost_little(reader: ImageReader) -> None:
    """20,000 names of an inode with 5,000 xattrs: a hundred million of them, were each looked at for each name."""
    image = SmallImage()
    file = image.inode(REG | 0o644, xattrs=[(0, b"%04d" % number, b"") for number in range(5000)])
    inner = [image.directory([(b"%03d" % number, file) for number in range(200)]) for _ in range(100)]
    data = image.finish(image.directory([(b"%02d" % number, nid) for number, nid in enumerate(inner)]))
    began = time.monotonic()
    assert reader.text(data, LS).count(b"\n") == 100 * 201
    assert reader.text(data, OBJECTS) == b""
    assert reader.refusal(data, DUMP).code == "composefs.text-size"
    assert time.monotonic() - began < 3


def test_a_truncated_image_is_refused_at_every_length(reader: ImageReader) -> None:
    image = good()
    for size in range(0, len(image), 7):
        assert reader.refusal(image[:size]).code == "erofs.truncated"


def test_unused_bytes_do_not_matter(reader: ImageReader) -> None:
    assert reader.text(put(good(), 1024 + 48, b"u" * 32), DUMP) == reader.text(good(), DUMP)


def test_directory_inode_used_as_file_is_refused(reader: ImageReader) -> None:
    image = SmallImage()
    inner = image.directory([])
    image.modes[inner] = REG
    assert reader.refusal(image.finish(image.directory([(b"a", inner)]))).code == "erofs.dirent-type"
    assert image.modes[inner] != DIR
