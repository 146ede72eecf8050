# SPDX-License-Identifier: MIT
"""How the demo shows a command: what it is, what came out, how long it took."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
POWERNODE = str(ROOT / ".venv/bin/powernode")


def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)


def show(command: Sequence[str], *, keep: int = 3, runs: int = 1) -> tuple[str, float]:
    """Runs a command as a person would, and prints its first lines and its time, the best of some runs."""
    print(f"$ {' '.join([Path(command[0]).name, *command[1:]])}")
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        result = run(command)
        best = min(best, time.perf_counter() - start)
    lines = (result.stdout + result.stderr).rstrip().splitlines()
    for line in lines[:keep]:
        print(f"  {line}")
    if len(lines) > keep:
        print(f"  … {len(lines) - keep} more lines")
    print(f"  [{1e3 * best:.0f} ms{f', best of {runs}' if runs > 1 else ''}]")
    if result.returncode:
        sys.exit(f"exit status {result.returncode}")
    return result.stdout, best


def against(what: str, ours: Sequence[str], theirs: Sequence[str], package: str) -> None:
    """Ours and the peer's, who must say the same; best of three runs each, so that both find warm caches."""
    answer, taken = show(ours, runs=3)
    path = shutil.which(theirs[0])
    if path is None:
        print(f"($ {' '.join(theirs)}: not installed here; {package} has it)")
        return
    expected, peer_taken = show([path, *theirs[1:]], runs=3)
    if answer != expected:
        sys.exit(f"the {what} differ: {answer!r} and {expected!r}")
    print(f"  -> the same {what}, {peer_taken / taken:.1f} times as fast")


def title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")
