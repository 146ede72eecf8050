# SPDX-License-Identifier: MIT
"""`make test`: the checks, what has a second way without the C library, then everything with the library required."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_TWICE = ("agent", "archive", "cli", "composefs", "erofs", "image", "linux", "module", "native", "verity")
PURE = (
    *(f"tests/unit/{package}" for package in _TWICE),
    *(f"tests/interop/test_{name}.py" for name in ("composefs_assets", "composefs_trees", "fsverity", "layer_bytes")),
)


def run(title: str, command: list[str], **environment: str) -> None:
    print(f"\n== {title}", flush=True)
    before = time.monotonic()
    status = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=False).returncode
    print(f"== {title}: {'ok' if status == 0 else 'FAILED'} in {time.monotonic() - before:.0f} s", flush=True)
    if status:
        sys.exit(status)


def _others() -> list[str]:
    folders = {path.parent.relative_to(ROOT).parts[1] for path in (ROOT / "tests").glob("*/**/test_*.py")}
    return [f"tests/{name}" for name in sorted(folders - {"vm"})]


def main() -> None:
    # A process for each core. Booted machines come first: they take longest, and the short tests fill the gaps.
    pytest = [sys.executable, "-m", "pytest", "-rs", "--numprocesses=auto", "--dist=loadfile", *sys.argv[1:]]
    run("checks", [sys.executable, "tests/check.py"])
    run("without the C library", [*pytest, *PURE], POWERNODE_NATIVE="off")
    run("with the C library", [*pytest, "tests/vm", *_others()], POWERNODE_NATIVE="require")


if __name__ == "__main__":
    main()
