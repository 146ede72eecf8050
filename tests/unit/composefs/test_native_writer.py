# SPDX-License-Identifier: MIT
"""The C writer: dump text to image, byte for byte what mkcomposefs writes, and every refusal by its code.

The library is compiled here from csrc/, with warnings as errors. The peer is `$POWERNODE_MKCOMPOSEFS` or `mkcomposefs`
on PATH; without it the comparing tests are skipped and the recorded digests still hold.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from unit.composefs._random_dump import random_dump

CSRC = Path(__file__).parents[3] / "csrc"
CORPUS = CSRC / "fuzz" / "corpus" / "dump"
NATIVE = Path(__file__).parents[2] / "native"
SANITIZE = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
STRICT = 1
VERSIONS = [(0, 0), (0, 1), (1, 1)]
ROOT = b"/ 0 40755 2 0 0 0 0.0 - - -\n"


class _Buffer(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("size", ctypes.c_uint64), ("capacity", ctypes.c_uint64)]


class _Failure(ctypes.Structure):
    _fields_ = [("where", ctypes.c_uint64), ("code", ctypes.c_char * 48), ("message", ctypes.c_char * 208)]


class RefusedError(Exception):
    """What the library said."""

    def __init__(self, code: str, line: int, message: str) -> None:
        super().__init__(f"{code} in line {line}: {message}")
        self.code, self.line, self.message = code, line, message


Build = Callable[..., bytes]


def _sources() -> list[str]:
    names = [CSRC / "common.c", *sorted((CSRC / "erofs").glob("*.c")), *sorted((CSRC / "composefs").glob("*.c"))]
    return [str(name) for name in names if name.name != "scan.c" and not name.name.startswith("scan_")]


def _compile(output: Path, *arguments: str) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler on PATH")
    flags = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wvla", "-Wmissing-prototypes", "-Werror"]
    subprocess.run([compiler, *flags, f"-I{CSRC / 'include'}", *arguments, "-lpthread", "-o", str(output)], check=True)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    path = tmp_path_factory.mktemp("native") / "libwriter.so"
    _compile(path, "-O2", "-fPIC", "-shared", "-fvisibility=hidden", *_sources())
    library = ctypes.CDLL(str(path))

    def from_dump(text: bytes, low: int = 0, high: int = 1, flags: int = 0) -> bytes:
        image, failure = _Buffer(), _Failure()
        status = library.pn_composefs_image_from_dump(
            text, ctypes.c_uint64(len(text)), low, high, flags, ctypes.byref(image), ctypes.byref(failure)
        )
        if status:
            assert status < 0
            assert (image.data, image.size) == (None, 0)
            raise RefusedError(failure.code.decode(), failure.where, failure.message.decode(errors="replace"))
        try:
            return ctypes.string_at(image.data, image.size)
        finally:
            library.pn_buffer_free(ctypes.byref(image))

    return from_dump


class Peer:
    def __init__(self, program: str, scratch: Path) -> None:
        self._program, self._scratch = program, scratch

    def build(self, text: bytes, low: int = 0, high: int = 1, flags: int = 0) -> bytes | None:
        """The image, or None for a refusal. A crash is neither."""
        environment = {name: value for name, value in os.environ.items() if name != "CFS_PARSE_STRICT"}
        if flags & STRICT:
            environment["CFS_PARSE_STRICT"] = "1"
        source, image = self._scratch / "text", self._scratch / "image"
        source.write_bytes(text)
        arguments = [
            self._program,
            f"--min-version={low}",
            f"--max-version={high}",
            "--from-file",
            str(source),
            str(image),
        ]
        done = subprocess.run(arguments, env=environment, capture_output=True, check=False)
        assert done.returncode in (0, 1), done
        return image.read_bytes() if done.returncode == 0 else None


@pytest.fixture
def peer(tmp_path: Path) -> Peer:
    program = os.environ.get("POWERNODE_MKCOMPOSEFS") or shutil.which("mkcomposefs")
    if not program:
        pytest.skip("no mkcomposefs: set POWERNODE_MKCOMPOSEFS or put it on PATH")
    return Peer(program, tmp_path)


def _same(build: Build, peer: Peer, text: bytes, low: int, high: int, flags: int = 0) -> bool:
    expected = peer.build(text, low, high, flags)
    if expected is None:
        with pytest.raises(RefusedError):
            build(text, low, high, flags)
        return False
    assert build(text, low, high, flags) == expected
    return True


@pytest.mark.parametrize("seed", range(40))
def test_random_dumps_give_the_same_image(build: Build, peer: Peer, seed: int) -> None:
    text = random_dump(seed=seed, large=seed % 10 == 0)
    for low, high in VERSIONS:
        _same(build, peer, text, low, high)


def test_random_dumps_are_mostly_accepted(build: Build) -> None:
    refusals = []
    for seed in range(20):
        try:
            build(random_dump(seed=seed))
        except RefusedError as refused:
            refusals.append(refused.code)
    assert len(refusals) <= 8
    assert set(refusals) <= {"composefs.overlay-xattr"}


def _file(fields: bytes) -> bytes:
    return ROOT + fields + b"\n"


LENIENT = {
    "no last newline": ROOT + b"/a 0 100644 1 0 0 0 0.0 - - -",
    "no leading slash": _file(b"a 0 100644 1 0 0 0 0.0 - - -"),
    "double slashes": ROOT
    + b"/d 0 40755 1 0 0 0 0.0 - - -\n//d///f 0 100644 1 0 0 0 0.0 - - -\n/d/g 0 100644 1 0 0 0 0.0 - - -\n",
    "short line": _file(b"/a 0 100644 1 0 0 0 0.0"),
    "short hard link": ROOT + b"/a 0 100644 1 0 0 0 0.0 - - -\n/b  @100644      /a\n",
    "hard link before target": ROOT + b"/a 0 @100644 1 0 0 0 0.0 //b/ - -\n/b 5 100644 1 0 0 0 0.0 - hello -\n",
    "hard link chain": ROOT + b"/a 0 @100644 1 0 0 0 0 /b\n/b 0 @120777 1 0 0 0 0 c\n/c 3 120777 1 0 0 0 0.0 foo - -\n",
    "numbers with signs": _file(b"/a +00 100644 -1 -2 +3 0 -5.-1 - - -"),
    "numbers beyond 64 bits": _file(b"/a 0 100644 99999999999999999999999 0 0 0 0.99999999999999999999999 - - -"),
    "mode beyond 16 bits": _file(b"/a 0 37777100644 1 0 0 0 0.0 - - -"),
    "rdev beyond 32 bits": _file(b"/a 0 20644 1 0 0 4294967296 0.0 - - -"),
    "rdev of a file": _file(b"/a 0 100644 1 0 0 7 0.0 - - -"),
    "wrong symlink size": _file(b"/a 9 120777 1 0 0 0 0.0 foo - -"),
    "symlink with content": _file(b"/a 1 120777 1 0 0 0 0.0 foo x -"),
    "content of a fifo": _file(b"/a 3 10644 1 0 0 0 0.0 - abc -"),
    "one byte file": _file(b"/a 1 100644 1 0 0 0 0.0 - - -"),
    "largest file": _file(b"/a 9007199254740992 100644 1 0 0 0 0.0 - - -"),
    "upper-case digest": _file(b"/a 9 100644 1 0 0 0 0.0 AB/" + b"CD" * 31 + b" - AB" + b"CD" * 31),
    "bad digest of a directory": _file(b"/a 9 40755 1 0 0 0 0.0 - - xyz"),
    "repeated xattr": _file(b"/a 0 100644 1 0 0 0 0.0 - - - user.a=1 user.b=2 user.a=3"),
    "xattr with spaces behind": _file(b"/a 0 100644 1 0 0 0 0.0 - - - user.a=1 "),
    "xattrs at the limit": _file(b"/a 0 100644 1 0 0 0 0.0 - - - u=" + b"x" * (32767 - 12 - 8)),
    "extended because of a device's size": _file(b"/a 4294967296 60644 1 0 0 1 0.0 - - -"),
    "stub names taken": ROOT + b"".join(b"/%02x 0 100644 1 0 0 0 0.0 - - -\n" % i for i in range(0, 256, 3)),
    "one subdirectory too many for 16 bits": ROOT
    + b"".join(b"/d%d 0 40755 2 0 0 0 0.0 - - -\n" % i for i in range(65534)),
}


@pytest.mark.parametrize("name", LENIENT)
@pytest.mark.parametrize("flags", [0, STRICT])
def test_lenient_texts_are_read_the_same_way(build: Build, peer: Peer, name: str, flags: int) -> None:
    assert _same(build, peer, LENIENT[name], 0, 1, flags) or flags


@pytest.mark.parametrize("body", [1999, 2013, 2030, 2047, 2048])
def test_tails_around_block_boundaries(build: Build, peer: Peer, body: int) -> None:
    lines = [
        b"/f%04d %d 100644 1 0 0 0 %d.0 - %s -" % (i, body - i % 40, i % 2, b"x" * (body - i % 40)) for i in range(90)
    ]
    lines += [b"/s%04d 1 120777 1 0 0 0 %d.0 %s - -" % (i, i % 2, b"t" * (4095 - 13 * i)) for i in range(90)]
    lines += [b"/z%04d %d 100644 1 0 0 0 0.0 - - -" % (i, (1024 - 8 * i) << 43) for i in range(60)]
    assert _same(build, peer, ROOT + b"\n".join(lines) + b"\n", 1, 1)


_MANY = b" ".join(b"user.%d=1" % i for i in range(3000))
REFUSED: dict[str, tuple[bytes, str, int]] = {
    "nothing": (b"", "dump.empty", 0),
    "empty line": (ROOT + b"\n", "dump.path-empty", 2),
    "no path": (ROOT + b" 0 100644 1 0 0 0 0.0 - - -\n", "dump.path-empty", 2),
    "nul": (ROOT + b"/a 0 100644 1 0 0 0 0.0 - - -\n/b\0 0 100644 1 0 0 0 0.0 - - -\n", "dump.nul", 3),
    "root missing": (b"/a 0 100644 1 0 0 0 0.0 - - -\n", "dump.root-missing", 1),
    "root is a file": (b"/ 0 100644 1 0 0 0 0.0 - - -\n", "dump.root-type", 1),
    "two roots": (ROOT + ROOT, "dump.root-again", 2),
    "no type": (_file(b"/a 0 644 1 0 0 0 0.0 - - -"), "dump.mode", 2),
    "mode is no number": (_file(b"/a 0 10o644 1 0 0 0 0.0 - - -"), "dump.number", 2),
    "mode missing": (_file(b"/a"), "dump.field-missing", 2),
    "mtime missing": (_file(b"/a 0 100644 1 0 0 0"), "dump.field-missing", 2),
    "size is no number": (_file(b"/a x 100644 1 0 0 0 0.0 - - -"), "dump.number", 2),
    "mtime without nanoseconds": (_file(b"/a 0 100644 1 0 0 0 0 - - -"), "dump.mtime", 2),
    "mtime with two dots": (_file(b"/a 0 100644 1 0 0 0 0.0.0 - - -"), "dump.mtime", 2),
    "escape": (_file(b"/a\\q 0 100644 1 0 0 0 0.0 - - -"), "dump.escape", 2),
    "escape at the end": (_file(b"/a\\ 0 100644 1 0 0 0 0.0 - - -"), "dump.escape", 2),
    "short hex escape": (_file(b"/a\\x4 0 100644 1 0 0 0 0.0 - - -"), "dump.escape", 2),
    "parent missing": (_file(b"/a/b 0 100644 1 0 0 0 0.0 - - -"), "dump.parent-missing", 2),
    "parent is a file": (
        _file(b"/a 0 100644 1 0 0 0 0.0 - - -\n/a/b 0 100644 1 0 0 0 0.0 - - -"),
        "dump.parent-missing",
        3,
    ),
    "slash at the end": (_file(b"/a 0 40755 1 0 0 0 0.0 - - -\n/a/ 0 40755 1 0 0 0 0.0 - - -"), "dump.name-empty", 3),
    "dot": (_file(b"/. 0 40755 1 0 0 0 0.0 - - -"), "dump.name-dot", 2),
    "dot dot": (_file(b"/.. 0 40755 1 0 0 0 0.0 - - -"), "dump.name-dot", 2),
    "long name": (_file(b"/" + b"n" * 256 + b" 0 100644 1 0 0 0 0.0 - - -"), "dump.name-long", 2),
    "duplicate": (
        _file(b"/a 0 100644 1 0 0 0 0.0 - - -\n/b 0 100644 1 0 0 0 0.0 - - -\n/a 0 40755 1 0 0 0 0.0 - - -"),
        "dump.name-duplicate",
        4,
    ),
    "hard link is a directory": (_file(b"/a 0 @40755 1 0 0 0 0.0 / - -"), "dump.hardlink-directory", 2),
    "hard link without target": (_file(b"/a 0 @100644 1 0 0 0 0.0 - - -"), "dump.hardlink-target", 2),
    "hard link to nothing": (_file(b"/a 0 @100644 1 0 0 0 0.0 /b - -"), "dump.hardlink-missing", 2),
    "hard link to itself": (_file(b"/a 0 @100644 1 0 0 0 0.0 /a - -"), "dump.hardlink-self", 2),
    "hard links to each other": (
        _file(b"/a 0 @100644 1 0 0 0 0.0 /b - -\n/b 0 @100644 1 0 0 0 0.0 /a - -"),
        "dump.hardlink-cycle",
        2,
    ),
    "no symlink target": (_file(b"/a 0 120777 1 0 0 0 0.0 - - -"), "dump.symlink-empty", 2),
    "long symlink target": (_file(b"/a 0 120777 1 0 0 0 0.0 " + b"t" * 4096 + b" - -"), "dump.payload-long", 2),
    "long payload": (_file(b"/a 0 100644 1 0 0 0 0.0 " + b"t" * 4096 + b" - -"), "dump.payload-long", 2),
    "content too short": (_file(b"/a 4 100644 1 0 0 0 0.0 - abc -"), "dump.content-size", 2),
    "content missing": (_file(b"/a 4 100644 1 0 0 0 0.0 -"), "dump.content-size", 2),
    "content too long": (_file(b"/a 5001 100644 1 0 0 0 0.0 - " + b"c" * 5001 + b" -"), "dump.content-long", 2),
    "file too large": (_file(b"/a 9007199254740993 100644 1 0 0 0 0.0 - - -"), "dump.file-size", 2),
    "xattr without equals": (_file(b"/a 0 100644 1 0 0 0 0.0 - - - user.a"), "dump.xattr-equals", 2),
    "two spaces": (_file(b"/a 0 100644 1 0 0 0 0.0 - - - user.a=1  user.b=1"), "dump.xattr-equals", 2),
    "xattr without name": (_file(b"/a 0 100644 1 0 0 0 0.0 - - - =1"), "dump.xattr-name", 2),
    "long xattr name": (_file(b"/a 0 100644 1 0 0 0 0.0 - - - " + b"n" * 256 + b"=1"), "dump.xattr-name", 2),
    "xattrs over the limit": (
        _file(b"/a 0 100644 1 0 0 0 0.0 - - - u=" + b"x" * (32767 - 12 - 7)),
        "dump.xattr-total",
        2,
    ),
    "many xattrs": (_file(b"/a 0 100644 1 0 0 0 0.0 - - - " + _MANY), "dump.xattr-total", 2),
    "over the limit on the way": (
        _file(b"/a 0 100644 1 0 0 0 0.0 - - - u=" + b"x" * 20000 + b" v=" + b"x" * 20000 + b" u= v="),
        "dump.xattr-total",
        2,
    ),
    "much xattr text": (_file(b"/a 0 100644 1 0 0 0 0.0 - - - u=" + b"\\x41" * 16400), "dump.xattr-text", 2),
    "whiteout with a value": (
        _file(b"/d 0 40755 1 0 0 0 0.0 - - - user.a=1 trusted.overlay.whiteouts=xyz\n/d/w 0 20000 1 0 0 0 0.0 - - -"),
        "composefs.overlay-xattr",
        2,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_have_a_code_and_a_line(build: Build, name: str) -> None:
    text, code, line = REFUSED[name]
    with pytest.raises(RefusedError) as caught:
        build(text)
    assert (caught.value.code, caught.value.line) == (code, line)
    assert "expected" in caught.value.message
    assert "found" in caught.value.message


@pytest.mark.parametrize("name", REFUSED)
def test_what_we_refuse_mkcomposefs_refuses(peer: Peer, name: str) -> None:
    assert peer.build(REFUSED[name][0]) is None


# What mkcomposefs accepts and we refuse on purpose: the image would not say what the text says.
ON_PURPOSE: dict[str, tuple[bytes, str]] = {
    "nul in a name": (_file(b"/a\\x00b 0 100644 1 0 0 0 0.0 - - -"), "dump.nul-escape"),
    "nul in a target": (_file(b"/a 3 120777 1 0 0 0 0.0 a\\x00b - -"), "dump.nul-escape"),
    "nul in an xattr name": (_file(b"/a 0 100644 1 0 0 0 0.0 - - - user.a\\x00b=1"), "dump.nul-escape"),
    "short digest": (_file(b"/a 9 100644 1 0 0 0 0.0 - - abcd"), "dump.digest"),
    "no digest field": (_file(b"/a 9 100644 1 0 0 0 0.0 - -"), "dump.digest"),
    "text behind the digest": (_file(b"/a 9 100644 1 0 0 0 0.0 - - " + b"ab" * 33), "dump.digest"),
    "gid is no number": (_file(b"/a 0 100644 1 5 x 0 0.0 - - -"), "dump.number"),
    "rdev is no number": (_file(b"/a 0 60644 1 5 5 x 0.0 - - -"), "dump.number"),
    "hard link to a directory": (
        _file(b"/d 0 40755 1 0 0 0 0.0 - - -\n/a 0 @100644 1 0 0 0 0.0 /d - -"),
        "dump.hardlink-to-directory",
    ),
    "hard link to the root": (_file(b"/a 0 @100644 1 0 0 0 0.0"), "dump.hardlink-to-directory"),
    "size near 2^64": (_file(b"/a -1 100644 1 0 0 0 0.0 - - -"), "dump.file-size"),
}


@pytest.mark.parametrize("name", ON_PURPOSE)
def test_refusals_on_purpose(build: Build, name: str) -> None:
    text, code = ON_PURPOSE[name]
    with pytest.raises(RefusedError) as caught:
        build(text)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (ROOT[:-1], "dump.newline"),
        (_file(b"/a 0 100644 1 0 0 7 0.0 - - -"), "dump.strict-rdev"),
        (_file(b"/a 9 120777 1 0 0 0 0.0 foo - -"), "dump.strict-symlink-size"),
        (_file(b"/a 3 120777 1 0 0 0 0.0 foo abc -"), "dump.strict-symlink-content"),
    ],
)
def test_strict_refuses_more(build: Build, text: bytes, code: str) -> None:
    assert build(text)
    with pytest.raises(RefusedError) as caught:
        build(text, flags=STRICT)
    assert caught.value.code == code


def test_versions_and_flags_are_checked(build: Build) -> None:
    for low, high, flags, code in (
        (2, 1, 0, "composefs.version"),
        (0, 2, 0, "composefs.version"),
        (0, 1, 2, "dump.flags"),
    ):
        with pytest.raises(RefusedError) as caught:
            build(ROOT, low, high, flags)
        assert caught.value.code == code


# Checked against mkcomposefs when they were recorded.
RECORDED: dict[tuple[str, int, int], str] = {
    ("mixed", 0, 0): "1b623857df8cf9324037095f8f8213da9d52c56e8044fdfe4b95c32d6c67fed4",
    ("mixed", 0, 1): "1b623857df8cf9324037095f8f8213da9d52c56e8044fdfe4b95c32d6c67fed4",
    ("mixed", 1, 1): "60e784c0e3089a1d281515d53a704fdcb8e36160f56022b4ed078ba4967658b3",
    ("whiteouts", 0, 0): "e31396e2eabe1d09c5b24d771f6525aaa53fca8fb8ca3fb2b42b8c489edadc0d",
    ("whiteouts", 0, 1): "a6c849db7769bc815ee70b5cb9a261feb3c4ccbc08b6b4418706f991c9ebf14d",
    ("whiteouts", 1, 1): "a6c849db7769bc815ee70b5cb9a261feb3c4ccbc08b6b4418706f991c9ebf14d",
    ("many", 0, 0): "c4b644551262e475facae063233e26d42d546e4ee197a4df82e5ab64075a4438",
    ("many", 0, 1): "c4b644551262e475facae063233e26d42d546e4ee197a4df82e5ab64075a4438",
    ("many", 1, 1): "bae49a552d9937d2b101d0cf29796d9abb5f3d1b6107f341c8fe2340a6cc1bf3",
}


@pytest.mark.parametrize(("name", "low", "high"), RECORDED)
def test_recorded_images(build: Build, name: str, low: int, high: int) -> None:
    image = build((CORPUS / name).read_bytes(), low, high)
    assert hashlib.sha256(image).hexdigest() == RECORDED[name, low, high]


def test_deep_paths_and_wide_directories_take_linear_time(build: Build) -> None:
    depth = 3000
    deep = b"".join(b"/a" * i + b" 0 40755 2 0 0 0 0.0 - - -\n" for i in range(1, depth))
    assert len(build(ROOT + deep)) > depth * 32
    wide = b"".join(b"/%d 0 100644 1 0 0 0 0.0 - - -\n" % (i * 7919 % 200003) for i in range(200003))
    assert len(build(ROOT + wide)) > 200003 * 32
    links = b"/t 0 100644 1 0 0 0 0.0 - - -\n" + b"".join(b"/l%d 0 @100644 1 0 0 0 0 /t\n" % i for i in range(100000))
    assert build(ROOT + links)
    chain = b"".join(b"/l%d 0 @100644 1 0 0 0 0 /l%d\n" % (i, i + 1) for i in range(100000))
    assert build(ROOT + chain + b"/l100000 0 100644 1 0 0 0 0.0 - - -\n")


def test_tree_filled_like_a_scan(tmp_path: Path) -> None:
    program = tmp_path / "tree_check"
    _compile(program, *SANITIZE, *_sources(), str(NATIVE / "tree_check.c"))
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_fuzz_corpus_under_sanitizers(tmp_path: Path) -> None:
    program = tmp_path / "fuzz"
    _compile(program, *SANITIZE, *_sources(), str(CSRC / "fuzz" / "fuzz_dump.c"), str(NATIVE / "fuzz_replay.c"))
    corpus = [str(path) for path in sorted(CORPUS.iterdir())]
    done = subprocess.run([program, "500", "1", *corpus], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
