# SPDX-License-Identifier: MIT
"""Our digests and our command line against the fsverity tool: the same numbers, the same bytes on standard output.

Skipped where there is no `fsverity` on PATH.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from powernode import verity
from powernode.verity import Digest, Params
from unit.native._doors import DOORS, through
from unit.verity._reference import content

TOOL = shutil.which("fsverity")
FILES = 10_000
MIB = 1 << 20
BLOCK = 4096
# Round each limit: blocks, batches, threads, levels of the tree; 64 MiB is 128 * 128 blocks.
TINY = [0, 1, 2, 31, 1023, 1024, 1025, 4095, 4096, 4097, 8191, 8192, 8193]
MIDDLE = [
    limit + more
    for limit in (127 * BLOCK, 128 * BLOCK, 129 * BLOCK, 16 << 10, 256 << 10, MIB, 2 * MIB, 4 * MIB)
    for more in (-1, 0, 1)
]
LARGE = [limit + more for limit in (32 * MIB, 64 * MIB) for more in (-1, 0, 1, BLOCK)]
HUGE = 1 << 30

pytestmark = pytest.mark.skipif(TOOL is None, reason="no fsverity on PATH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    folder: Path
    names: list[str]
    known: list[str]
    """What the tool says with its defaults, a digest for each name."""

    def of_size_below(self, limit: int) -> list[str]:
        return [name for name in self.names if (self.folder / name).stat().st_size < limit]


def fsverity(folder: Path, *arguments: str | bytes) -> subprocess.CompletedProcess[bytes]:
    assert TOOL is not None
    return subprocess.run([TOOL, "digest", *arguments], cwd=folder, capture_output=True, check=False, timeout=120)


def powernode(
    folder: Path, *arguments: str | bytes, door: str = "", locale: str = "C.UTF-8"
) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "LC_ALL": locale}
    if door == "pure":
        environment["POWERNODE_NATIVE"] = "off"
    elif door:
        environment["POWERNODE_NATIVE_DOOR"] = door
    command = [sys.executable, "-m", "powernode.cli", "verity", "digest", *arguments]
    # The timeout is what turns a FIFO that is waited for into a failure.
    return subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=60, env=environment)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    """Ten thousand files, mostly tiny; the large ones have data at both ends, one has data throughout."""
    folder = tmp_path_factory.mktemp("files")
    sizes = [*MIDDLE, *LARGE, HUGE, HUGE + 1]
    sizes += [TINY[number % len(TINY)] for number in range(FILES - len(sizes))]
    try:
        for number, size in enumerate(sizes):
            _write(folder / str(number), number, size)
        names = [str(number) for number in range(FILES)]
        done = fsverity(folder, *names)
        assert done.returncode == 0
        known = [line.split()[0] for line in done.stdout.decode().splitlines()]
        assert len(set(known)) > FILES * 2 / 3, "only those of up to two bytes are alike"
        yield Files(folder=folder, names=names, known=known)
    finally:
        shutil.rmtree(folder)  # pytest would keep the gigabyte


def _write(path: Path, number: int, size: int) -> None:
    with open(path, "wb") as file:
        if size == HUGE:
            for turn in range(HUGE // (64 * MIB)):
                file.write(content(64 * MIB, turn))
            return
        file.write(content(min(size, 8 * MIB), number))
        if size > 8 * MIB:
            file.truncate(size)
            file.seek(size - 5000)
            file.write(content(5000, number))


@pytest.mark.parametrize("door", DOORS)
def test_ten_thousand_files(files: Files, door: str) -> None:
    with through(door):
        found = verity.digest_files([files.folder / name for name in files.names])
    assert [str(digest) for digest in found] == files.known


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_large_files_one_by_one(files: Files, door: str, threads: int) -> None:
    numbers = range(len(MIDDLE), len(MIDDLE) + len(LARGE) + (1 if threads == 2 and door != "pure" else 0))
    if door == "pure" and threads > 1:
        pytest.skip("plain Python has one thread")
    with through(door):
        found = [str(verity.digest_file(files.folder / str(number), threads=threads)) for number in numbers]
    assert found == files.known[numbers.start : numbers.stop]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize(
    ("block_size", "salt"), [(1024, b""), (2048, b"\x00"), (4096, b"Powernode"), (65536, bytes(32))]
)
def test_parameters(files: Files, door: str, algorithm: str, block_size: int, salt: bytes) -> None:
    names = files.names[: len(MIDDLE)] + files.names[-400:]
    options = [f"--hash-alg={algorithm}", f"--block-size={block_size}"]
    done = fsverity(files.folder, *options, *([f"--salt={salt.hex()}"] if salt else []), *names)
    assert done.returncode == 0
    params = Params(algorithm, block_size, salt)
    with through(door):
        found = verity.digest_files([files.folder / name for name in names], params)
    ours = "".join(f"{digest} {name}\n" for digest, name in zip(found, names, strict=True))
    assert ours == done.stdout.decode()


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 128 * BLOCK, 128 * BLOCK + 1, 2 * MIB + 1, 65 * MIB])
def test_tree_and_descriptor(tmp_path: Path, door: str, size: int) -> None:
    (tmp_path / "file").write_bytes(content(min(size, 64 * MIB)))
    os.truncate(tmp_path / "file", size)
    params = Params() if size > 4 * MIB else Params("sha512", 1024, b"salt")
    options = [f"--hash-alg={params.algorithm}", f"--block-size={params.block_size}"]
    options += [f"--salt={params.salt.hex()}"] if params.salt else []
    theirs = fsverity(tmp_path, *options, "--out-merkle-tree=tree", "--out-descriptor=descriptor", "file")
    assert theirs.returncode == 0
    with through(door), open(tmp_path / "file", "rb") as file:
        digest, tree = verity.merkle_tree(file.fileno(), params)
        assert f"{digest} file\n".encode() == theirs.stdout
        assert tree == (tmp_path / "tree").read_bytes()
        written = (tmp_path / "descriptor").read_bytes()
        assert verity.descriptor(file.fileno(), params, tree) == written
        ours = powernode(tmp_path, *options, "--out-merkle-tree", "tree2", "--out-descriptor=descriptor2", "file")
    assert ours.stdout == theirs.stdout
    assert (tmp_path / "tree2").read_bytes() == tree
    assert (tmp_path / "descriptor2").read_bytes() == written


@pytest.mark.parametrize("door", DOORS)
def test_one_command_line_for_ten_thousand_files(files: Files, door: str) -> None:
    names = files.of_size_below(MIB)
    with through(door):  # skips or fails where there is no such door
        ours = powernode(files.folder, *names, door=door)
    assert (ours.returncode, ours.stderr) == (0, b"")
    assert ours.stdout == fsverity(files.folder, *names).stdout


ODD_NAMES = [b"with space", b" ", b"new\nline", b"\xff\xfe\x80", "ünï".encode(), b"tab\t\\n", b"--", b"-x", b"a" * 255]


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "POSIX"])
def test_odd_names(tmp_path: Path, locale: str) -> None:
    for name in ODD_NAMES:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(name)
    theirs = fsverity(tmp_path, "--", *ODD_NAMES)
    ours = powernode(tmp_path, "--", *ODD_NAMES, locale=locale)
    assert (ours.returncode, ours.stderr) == (0, b"")
    assert ours.stdout == theirs.stdout
    assert ours.stdout.count(b"sha256:") == len(ODD_NAMES)
    for name in ODD_NAMES:
        assert powernode(tmp_path, "--", name, locale=locale).stdout == fsverity(tmp_path, "--", name).stdout


@pytest.mark.parametrize("names", [["one"], ["one", "two"]])
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--compact"],
        ["--for-builtin-sig"],
        ["--compact", "--for-builtin-sig"],
        ["--hash-alg=sha512", "--for-builtin-sig"],
        ["--hash-alg", "sha512"],
        ["--block-size=1024"],
        ["--block-size", "1024", "--salt", "abCD00"],
        ["--salt=" + "ff" * 32],
    ],
)
def test_options(tmp_path: Path, names: list[str], options: list[str]) -> None:
    (tmp_path / "one").write_bytes(content(5000))
    (tmp_path / "two").write_bytes(b"")
    theirs = fsverity(tmp_path, *options, *names)
    assert theirs.returncode == 0
    for words in ([*options, *names], [*names, *options], [names[0], *options, *names[1:]]):
        ours = powernode(tmp_path, *words)
        assert (ours.returncode, ours.stdout, ours.stderr) == (0, theirs.stdout, b"")


@pytest.mark.parametrize(
    "options",
    [
        ["--hash-alg=sha1"],
        ["--block-size=3000"],
        ["--block-size=4k"],
        ["--salt=abc"],
        ["--salt=zz"],
        ["--salt=" + "00" * 33],
        ["--no-such-option"],
        ["--hash-alg"],
        ["--compact=yes"],
    ],
)
def test_what_both_refuse(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "file").touch()
    assert fsverity(tmp_path, "file", *options).returncode != 0
    ours = powernode(tmp_path, "file", *options)
    assert (ours.returncode, ours.stdout) == (2, b"")
    assert ours.stderr.startswith(b"powernode: ")
    assert b"code: " in ours.stderr
    assert b"Traceback" not in ours.stderr


def make_directory(path: Path) -> None:
    path.mkdir()


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_nothing(path: Path) -> None:
    pass


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("make", "alone", "alone_says", "among_others_says"),
    [
        (make_nothing, 4, b"powernode: thing: No such file or directory\n", b"No such file or directory"),
        (make_directory, 2, b"powernode: thing is not a regular file\n", b"Is a directory"),
        (make_fifo, 2, b"powernode: thing is not a regular file\n", b"Not a regular file"),
    ],
)
def test_files_that_have_no_digest(
    tmp_path: Path, door: str, make: Callable[[Path], None], alone: int, alone_says: bytes, among_others_says: bytes
) -> None:
    make(tmp_path / "thing")
    (tmp_path / "good").write_bytes(b"hello world\n")
    with through(door):
        one, many = powernode(tmp_path, "thing", door=door), powernode(tmp_path, "good", "thing", "good", door=door)
    assert (one.returncode, one.stdout) == (alone, b"")
    assert one.stderr.startswith(alone_says)
    assert many.returncode == 4
    assert many.stdout == fsverity(tmp_path, "good", "good").stdout
    assert many.stderr == b"powernode: thing: " + among_others_says + b"\n"


# The modules are loaded before the rights are gone: whoever tests may keep the checkout to himself.
AS_NOBODY = """
import os, sys
from powernode.cli import main
assert main(["verity", "digest", "good"]) == 0
assert main(["verity", "digest", "good", "good"]) == 0
sys.stdout.flush()
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
sys.exit(main(["verity", "digest", *sys.argv[1:]]))
"""


@pytest.mark.parametrize("door", DOORS)
def test_unreadable_file(tmp_path: Path, door: str) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "good").write_bytes(b"hello world\n")
    (tmp_path / "good").chmod(0o644)
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "secret").chmod(0)
    environment = {**os.environ, "POWERNODE_NATIVE_DOOR": door}
    if door == "pure":
        environment = {**os.environ, "POWERNODE_NATIVE": "off"}
    good = fsverity(tmp_path, "good").stdout
    with through(door):
        for words, more in ((["secret"], 0), (["secret", "good"], 1)):
            command = [sys.executable, "-c", AS_NOBODY, *words]
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False, timeout=60)
            assert done.returncode == 4
            assert done.stderr.startswith(b"powernode: secret: Permission denied\n")
            assert b"Traceback" not in done.stderr
            assert done.stdout == good * (3 + more)


def test_digest_is_what_the_tool_would_sign(tmp_path: Path) -> None:
    """The structure of --for-builtin-sig is magic, algorithm, size, digest; its digest is ours."""
    (tmp_path / "file").write_bytes(content(70_000))
    signed = bytes.fromhex(fsverity(tmp_path, "--for-builtin-sig", "--compact", "file").stdout.decode())
    assert signed[:8] == b"FSVerity"
    assert Digest("sha256", signed[12:]) == verity.digest_file(tmp_path / "file")
