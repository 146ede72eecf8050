# SPDX-License-Identifier: MIT
"""`make check`: everything that can be said about the code without running it. Each check is one command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = sys.executable
CHECKS: dict[str, list[str]] = {
    "format": [PYTHON, "-m", "ruff", "format", "--check", "--quiet", "."],
    "lint": [PYTHON, "-m", "ruff", "check", "--quiet", "."],
    "format of C": [
        str(Path(PYTHON).with_name("clang-format")),
        *("--dry-run", "--Werror"),
        *(str(path) for folder in ("csrc", "tests/native") for path in sorted((ROOT / folder).rglob("*.[ch]"))),
    ],
    "types": [PYTHON, "-m", "mypy", "--no-error-summary"],
    "generated files": [PYTHON, "csrc/ffi/abi.py", "--check"],
    "generated documents": [PYTHON, "tests/generate.py", "--check"],
    "structure": [PYTHON, "-m", "pytest", "-q", "tests/arch"],
}


def main() -> int:
    running = {
        name: subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for name, command in CHECKS.items()
    }
    failed = 0
    for name, process in running.items():
        output, _ = process.communicate()
        print(f"{name}: {'ok' if process.returncode == 0 else 'FAILED'}")
        if process.returncode:
            print(output)
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
