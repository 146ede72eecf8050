# SPDX-License-Identifier: MIT
"""`make fuzz`: builds every harness of this folder with libFuzzer, ASan and UBSan, and runs each for a while.

Contract: starts from the committed seeds and regressions; what the fuzzer learns goes to .cache/fuzz; every input that
crashes, leaks, takes too long or too much memory is made small and copied to csrc/fuzz/regressions/HARNESS, ready to be
committed with its fix. Exit status: 0 nothing found, 1 something found, 2 no clang with libFuzzer here.
Out of scope: installing anything; replaying without clang (tests/native/test_sanitizers.py does that).

    python csrc/fuzz/run.py --seconds 600 image dump
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CSRC = HERE.parent
CACHE = CSRC.parent / ".cache" / "fuzz"
REGRESSIONS = HERE / "regressions"
CLANGS = ("clang", *(f"clang-{version}" for version in range(21, 12, -1)))
INSTALL = "sudo apt-get install -y --no-install-recommends clang-14 libclang-rt-14-dev"
INSTALL_ELSEWHERE = "clang libclang-rt-dev, or clang-N libclang-rt-N-dev"
SANITIZERS = "address,undefined"
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-O1", "-g", f"-fsanitize={SANITIZERS}", "-fno-sanitize-recover=all"]
INCLUDES = [f"-I{CSRC / 'include'}", f"-I{CSRC}"]
MINIMIZE_S = 20
KINDS = ("crash", "leak", "timeout", "oom")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What no input may exceed. `timeout_s` is part of the test: parsers must not be slow on purpose-made input."""

    max_len: int
    timeout_s: int
    rss_mb: int = 1024


HARNESSES = {
    "image": Limits(max_len=65536, timeout_s=2),
    "dump": Limits(max_len=32768, timeout_s=2),
    "verity": Limits(max_len=4096, timeout_s=20),
    "layer": Limits(max_len=32768, timeout_s=5),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one harness did."""

    name: str
    runs: int
    coverage: int
    features: int
    inputs: int
    findings: tuple[Path, ...]
    status: int


def find_clang() -> str | None:
    """The first clang that can really link a fuzzer: its runtime is a package of its own."""
    source = "#include <stdint.h>\n#include <stddef.h>\nint LLVMFuzzerTestOneInput(const uint8_t *d, size_t n)" + (
        "{ (void)d; return n > 1 << 30; }\n"
    )
    for name in CLANGS:
        if shutil.which(name) is None:
            continue
        command = [name, f"-fsanitize=fuzzer,{SANITIZERS}", "-x", "c", "-", "-o", str(CACHE / "probe")]
        if subprocess.run(command, input=source, text=True, capture_output=True, check=False).returncode == 0:
            return name
    return None


def compile_one(clang: str, source: Path, newest: float) -> Path:
    unit = CACHE / "build" / (str(source.relative_to(CSRC)).replace("/", "-") + ".o")
    if not unit.exists() or unit.stat().st_mtime <= newest:
        subprocess.run(
            [clang, *FLAGS, "-fsanitize=fuzzer-no-link", *INCLUDES, "-c", str(source), "-o", str(unit)],
            check=True,
        )
    return unit


def build(clang: str, names: list[str]) -> dict[str, Path]:
    """The harnesses, each linked with the whole library; everything again when any C file has changed."""
    (CACHE / "build").mkdir(parents=True, exist_ok=True)
    library = sorted(path for path in CSRC.rglob("*.c") if HERE not in path.parents)
    harnesses = [HERE / f"fuzz_{name}.c" for name in names]
    newest = max(path.stat().st_mtime for path in [*CSRC.rglob("*.[ch]"), Path(__file__)])
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        units = list(pool.map(lambda source: compile_one(clang, source, newest), [*library, *harnesses]))
    programs = {}
    for name, unit in zip(names, units[len(library) :], strict=True):
        programs[name] = CACHE / f"fuzz_{name}"
        objects = [str(path) for path in [*units[: len(library)], unit]]
        command = [clang, f"-fsanitize=fuzzer,{SANITIZERS}", *objects, "-pthread", "-o", str(programs[name])]
        subprocess.run(command, check=True)
    return programs


def limits_of(name: str) -> list[str]:
    limits = HARNESSES[name]
    return [f"-max_len={limits.max_len}", f"-timeout={limits.timeout_s}", f"-rss_limit_mb={limits.rss_mb}"]


def keep(program: Path, name: str, artifact: Path) -> Path | None:
    """A copy of the input among the regressions, made small where that works; None if it does not fail again."""
    kind = artifact.name.split("-", 1)[0]
    again = subprocess.run([program, *limits_of(name), artifact], capture_output=True, check=False)
    if again.returncode == 0:
        return None
    best = artifact
    if kind == "crash":
        small = artifact.with_name("small-" + artifact.name)
        small.unlink(missing_ok=True)
        subprocess.run(
            [
                program,
                *limits_of(name),
                "-minimize_crash=1",
                f"-max_total_time={MINIMIZE_S}",
                f"-exact_artifact_path={small}",
                artifact,
            ],
            capture_output=True,
            check=False,
        )
        if small.exists():
            best = small
    content = best.read_bytes()
    kept = REGRESSIONS / name / f"{kind}-{hashlib.sha256(content).hexdigest()[:12]}"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(content)
    return kept


def fuzz(program: Path, name: str, seconds: int) -> Result:
    learned, found = CACHE / "corpus" / name, CACHE / "found" / name
    for folder in (learned, found):
        folder.mkdir(parents=True, exist_ok=True)
    before = set(found.iterdir())
    given = [folder for folder in (HERE / "corpus" / name, REGRESSIONS / name) if folder.is_dir()]
    done = subprocess.run(
        [
            program,
            *limits_of(name),
            f"-max_total_time={seconds}",
            "-print_final_stats=1",
            f"-artifact_prefix={found}/",
            learned,
            *given,
        ],
        capture_output=True,
        check=False,
    )
    log = done.stderr.decode("utf-8", "replace")
    (CACHE / f"{name}.log").write_text(log)
    progress = re.findall(r"#(\d+)\s.*?cov: (\d+) ft: (\d+) corp: (\d+)", log)
    runs, coverage, features, inputs = (int(text) for text in progress[-1]) if progress else (0, 0, 0, 0)
    executed = re.search(r"number_of_executed_units: (\d+)", log)
    new = [path for path in sorted(found.iterdir()) if path not in before and path.name.startswith(KINDS)]
    kept = [path for path in (keep(program, name, artifact) for artifact in new) if path is not None]
    return Result(
        name=name,
        runs=int(executed[1]) if executed else runs,
        coverage=coverage,
        features=features,
        inputs=inputs,
        findings=tuple(kept),
        status=done.returncode,
    )


def report(results: list[Result]) -> int:
    print(f"{'harness':<10}{'runs':>12}{'edges':>8}{'features':>10}{'inputs':>8}  findings")
    for result in results:
        verdict = str(len(result.findings)) if result.status else "0"
        if result.status and not result.findings:
            verdict = f"did not end well (status {result.status}) and does not repeat; see {CACHE / result.name}.log"
        print(
            f"{result.name:<10}{result.runs:>12}{result.coverage:>8}{result.features:>10}{result.inputs:>8}  {verdict}"
        )
    for path in (path for result in results for path in result.findings):
        print(f"found: {os.path.relpath(path)}")
    return 1 if any(result.status for result in results) else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the parsers of untrusted bytes.")
    parser.add_argument("--seconds", type=int, default=60, help="for each harness (default 60)")
    parser.add_argument("harness", nargs="*", help=f"of {', '.join(HARNESSES)}; default: all")
    arguments = parser.parse_args()
    names: list[str] = arguments.harness or list(HARNESSES)
    if unknown := set(names) - HARNESSES.keys():
        parser.error(f"no such harness: {', '.join(sorted(unknown))}")
    CACHE.mkdir(parents=True, exist_ok=True)
    clang = find_clang()
    if clang is None:
        print("Fuzzing needs clang with libFuzzer. On Debian 12 run this once, then try again:", file=sys.stderr)
        print(f"  {INSTALL}", file=sys.stderr)
        print(f"(elsewhere the packages are {INSTALL_ELSEWHERE})", file=sys.stderr)
        return 2
    programs = build(clang, names)
    # Not more than there are CPUs: a harness that waits for its turn would exceed its time limits.
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        results = list(pool.map(lambda name: fuzz(programs[name], name, arguments.seconds), names))
    return report(results)


if __name__ == "__main__":
    sys.exit(main())
