# SPDX-License-Identifier: MIT
"""The library under AddressSanitizer, UBSan and ThreadSanitizer: fuzz corpora, scans, digests, memory that runs out.

Contract: `build` compiles csrc once per sanitizer and links it with the C drivers of this folder, which hold the checks
themselves; here are their inputs and the verdict. Needs gcc; no clang (csrc/fuzz/run.py is for that).
Out of scope: the kernels one by one (test_kernels.py), and finding new inputs (`make fuzz`).
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

NATIVE = Path(__file__).resolve().parent
CSRC = NATIVE.parents[1] / "csrc"
FUZZ = CSRC / "fuzz"
DUMPS = NATIVE.parent / "vectors" / "composefs"
LIBRARY = sorted(path for path in CSRC.rglob("*.c") if FUZZ not in path.parents)
WARNINGS = ["-Wall", "-Wextra", "-Wvla", "-Wmissing-prototypes", "-Werror"]
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-O1", "-g1", *WARNINGS, f"-I{CSRC / 'include'}", f"-I{CSRC}", "-pthread"]
SANITIZERS = {
    "memory": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "threads": ["-fsanitize=thread"],
}
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1:detect_stack_use_after_return=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}
WRAPPED = {
    "scan_check.c": ["syscall", "pthread_create"],
    "alloc_check.c": ["malloc", "calloc", "realloc", "aligned_alloc", "posix_memalign", "free"],
}
HARNESSES = sorted(path.stem.removeprefix("fuzz_") for path in FUZZ.glob("fuzz_*.c"))
MUTATIONS = {"image": 2000, "dump": 60, "verity": 40, "layer": 60}


def run(*command: str | Path, timeout: int = 120) -> str:
    """Runs a program made with a sanitizer; what it says if that is not a clean end is the failure."""
    done = subprocess.run(
        command,
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )
    if done.returncode and "unexpected memory mapping" in done.stderr and str(command[0]) != "setarch":
        return run("setarch", "-R", *command, timeout=timeout)  # more address randomness than this TSan expects
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[:6000]}"
    return done.stdout


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """build(sanitizer, driver, more sources): the library's objects are made once per sanitizer."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("no gcc")
    folder = tmp_path_factory.mktemp("sanitized")
    made: dict[str, list[str]] = {}

    def compile_one(sanitizer: str, source: Path) -> str:
        unit = folder / f"{sanitizer}-{str(source.relative_to(CSRC)).replace('/', '-')}.o"
        command = [compiler, *FLAGS, *SANITIZERS[sanitizer], "-c", str(source), "-o", str(unit)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return str(unit)

    def make(sanitizer: str, driver: str, *more: Path) -> Path:
        if sanitizer not in made:
            with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
                made[sanitizer] = list(pool.map(lambda source: compile_one(sanitizer, source), LIBRARY))
        name = "-".join(path.stem for path in (NATIVE / driver, *more))
        program = folder / f"{sanitizer}-{name}"
        wraps = [f"-Wl,--wrap={symbol}" for symbol in WRAPPED.get(driver, [])]
        sources = [str(NATIVE / driver), *map(str, more)]
        command = [compiler, *FLAGS, *SANITIZERS[sanitizer], *sources, *made[sanitizer], *wraps, "-o", str(program)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return program

    return make


# -- what the fuzzers know ---------------------------------------------------------------------------------------------


def test_every_harness_has_seeds_and_is_known_to_the_runner() -> None:
    runner = (FUZZ / "run.py").read_text()
    for name in HARNESSES:
        assert f'"{name}": Limits(' in runner
        assert list((FUZZ / "corpus" / name).iterdir())
    assert set(MUTATIONS) == set(HARNESSES)


@pytest.mark.parametrize("name", HARNESSES)
def test_corpus_and_regressions(build: Callable[..., Path], name: str) -> None:
    folders = (FUZZ / "corpus" / name, FUZZ / "regressions" / name)
    inputs = sorted(str(path) for folder in folders if folder.is_dir() for path in folder.iterdir())
    program = build("memory", "fuzz_replay.c", FUZZ / f"fuzz_{name}.c")
    run(program, str(MUTATIONS[name]), "20250211", *inputs)


# -- scans -------------------------------------------------------------------------------------------------------------


def make_tree(root: Path) -> Path:
    """Everything a scan meets, in a few hundred entries: depth, breadth, links, attributes, sizes round every limit."""
    chance = random.Random(7)
    root.mkdir()
    folders = [root]
    for number in range(40):
        folders.append(chance.choice(folders) / f"d{number}")
        folders[-1].mkdir()
    for number in range(300):
        path = chance.choice(folders) / f"f{number}"
        size = chance.choice([0, 1, 64, 65, 4095, 4096, 4097, 9000])
        path.write_bytes(chance.randbytes(size))
        if number % 7 == 0:
            os.link(path, chance.choice(folders) / f"link{number}")
        if number % 11 == 0:
            (chance.choice(folders) / f"symbolic{number}").symlink_to(f"f{number}")
    for number, size in enumerate((131072, 131073, 262145, 1 << 20, (1 << 20) + 1, 3 << 20)):
        (root / f"big{number}").write_bytes(chance.randbytes(size))
    (root / "big-again").write_bytes((root / "big5").read_bytes())
    os.mkfifo(root / "fifo")
    (root / "churn").mkdir()
    (root / "churn" / "only-inside").write_text("inside")
    (root / "churn" / "below").mkdir()
    deep = root / "deep"
    deep.mkdir()
    fd = os.open(deep, os.O_RDONLY)
    for number in range(14):  # far beyond PATH_MAX, with something to do at every level
        name = f"{number}".ljust(250, "x")
        os.mkdir(name, dir_fd=fd)
        os.mkdir("sibling", dir_fd=fd)
        inner = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    with contextlib.suppress(OSError):  # a filesystem without attributes
        os.setxattr(root / "d1", "user.note", b"of the directory")
        os.setxattr(root / "big0", "user.empty", b"")
    return root


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("scan") / "tree")


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What no scan may find its way to. Content of this size is inlined in a dump."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "only-outside").write_text("only-outside")
    (outside / "below").mkdir()
    (outside / "below" / "only-outside-too").write_text("only-outside")
    (outside / "file").write_text("only-outside")
    return outside


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_scan_with_a_large_file(build: Callable[..., Path], outside: Path, tmp_path: Path, sanitizer: str) -> None:
    tree, scratch = tmp_path / "tree", tmp_path / "scratch"
    tree.mkdir()
    scratch.mkdir()
    with (tree / "sparse").open("wb") as file:
        file.truncate((64 << 20) + 1)  # from here on all threads share a file, after the walk
    run(build(sanitizer, "scan_check.c"), "large", tree, outside, scratch)


@pytest.mark.parametrize("sanitizer", SANITIZERS)
@pytest.mark.parametrize("mode", ["threads", "starved", "cancelled", "churn"])
def test_scan(build: Callable[..., Path], tree: Path, outside: Path, tmp_path: Path, sanitizer: str, mode: str) -> None:
    run(build(sanitizer, "scan_check.c"), mode, tree, outside, tmp_path)


# -- digests -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_digests_from_several_threads(build: Callable[..., Path], sanitizer: str) -> None:
    run(build(sanitizer, "verity_check.c"))


# -- memory that runs out ----------------------------------------------------------------------------------------------


def make_small_tree(root: Path) -> Path:
    """A tree that needs every kind of allocation a scan makes, each only a few times."""
    (root / "a" / "b").mkdir(parents=True)
    (root / "inline").write_bytes(b"x")
    (root / "a" / "file").write_bytes(b"y" * 5000)
    (root / "a" / "big").write_bytes(b"z" * 300_000)
    os.link(root / "inline", root / "a" / "b" / "again")
    (root / "link").symlink_to("a/b")
    with contextlib.suppress(OSError):  # a filesystem without attributes
        os.setxattr(root / "a" / "file", "user.note", b"value")
    return root


def test_every_allocation_may_fail(build: Callable[..., Path], tmp_path: Path) -> None:
    dump = FUZZ / "corpus" / "dump" / "mixed"
    output = run(build("memory", "alloc_check.c"), make_small_tree(tmp_path / "tree"), dump)
    cases = {line.split(":")[0] for line in output.splitlines()}
    assert cases == {
        "image from dump",
        "dump from tree",
        "text from image",
        "from directory",
        "digest",
        "digest of files",
        "stream",
    }


# -- the tests themselves ----------------------------------------------------------------------------------------------


def test_a_race_and_an_overflow_would_be_seen(tmp_path: Path) -> None:
    """The sanitizers work here: two programs that must fail do."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    race = tmp_path / "race.c"
    race.write_text(
        "#include <pthread.h>\nint n; void *f(void *p) { n++; return p; }\n"
        "int main(void) { pthread_t t; pthread_create(&t, 0, f, 0); n++; pthread_join(t, 0); return 0; }\n"
    )
    overflow = tmp_path / "overflow.c"
    overflow.write_text("#include <stdlib.h>\nint main(int c, char **v) { char *p = malloc(c); return p[c] + !v; }\n")
    for source, sanitizer, said in ((race, "threads", "data race"), (overflow, "memory", "heap-buffer-overflow")):
        program = source.with_suffix("")
        subprocess.run(["gcc", "-pthread", *SANITIZERS[sanitizer], source, "-o", program], check=True)
        with pytest.raises(AssertionError, match=said):
            run(program)
