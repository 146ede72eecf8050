# SPDX-License-Identifier: MIT
"""The README's commands and its Python, run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def test_the_commands(tmp_path: Path) -> None:
    block = README.split("<!-- tested: begin -->")[1].split("<!-- tested: end -->")[0]
    commands = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
    assert len(commands) > 8
    tools = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for command in commands:
        result = subprocess.run(
            ["sh", "-c", command], cwd=tmp_path, env=tools, capture_output=True, text=True, check=False
        )
        if command == "powernode verity kernels" and os.environ.get("POWERNODE_NATIVE") == "off":
            assert result.returncode == 4, "there are no kernels without the library"
            continue
        assert result.returncode == 0, f"{command}: {result.stderr}"
        if "explain" in command:
            assert "/etc/motd is given by site" in result.stdout


def test_the_python(tmp_path: Path) -> None:
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "rootfs/services").write_text("http 80/tcp\n" * 100)
    code = re.search(r"```python\n(.*?)```", README, re.S)
    assert code is not None
    result = subprocess.run(
        [sys.executable, "-c", code.group(1)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith("sha256:")
