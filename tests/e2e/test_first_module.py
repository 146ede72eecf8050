# SPDX-License-Identifier: MIT
"""docs/first-module.md: its commands run as they stand there, in an empty folder, and say what the page says."""

from __future__ import annotations

import fnmatch
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from powernode.module.source import read_source
from support.debian import CACHE, CHECKOUT

PAGE = CHECKOUT / "docs/first-module.md"
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.M | re.S)
MARK = "@@ block"


def test_the_tutorial(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mmdebstrap without root is not set up everywhere")
    blocks = BLOCK.findall(PAGE.read_text())
    # `!` says to the reader that a refusal is right here; to the shell it would say that anything is.
    refused = r"if \1; then echo 'that was to be refused'; exit 1; fi"
    commands = [re.sub(r"^! (.*)$", refused, text, flags=re.M) for kind, text in blocks if kind == "sh"]
    script = "set -eu\n" + "".join(f"echo '{MARK}'\n{text}" for text in commands)
    assert len(commands) >= 10
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "POWERNODE_CACHE": str(CACHE),
    }
    result = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1200,
        check=False,
    )
    if "code: debian.input.unreachable" in result.stdout or "code: debian.apt.archive" in result.stdout:
        pytest.skip("there is no archive to take packages from")
    assert result.returncode == 0, result.stdout[-4000:]
    said = iter(result.stdout.split(MARK)[1:])
    heard = ""
    for kind, text in blocks:
        if kind == "sh":
            heard = next(said)
            continue
        for line in text.splitlines():
            pattern = re.sub(r"([\[*?])", r"[\1]", line).replace("…", "*")
            assert fnmatch.filter(heard.splitlines(), pattern), f"nobody said {line!r}:\n{heard}"


def test_the_page_ships_the_libraries_that_redis_needs() -> None:
    manifest = read_source(CHECKOUT / "examples/modules/redis").manifest
    libraries = [glob for glob in manifest.file_spec or () if "-linux-gnu/" in glob]
    assert len(libraries) >= 4
    assert [glob for glob in libraries if f'  - "{glob}"\n' not in PAGE.read_text()] == []


def test_every_command_of_the_page_is_run() -> None:
    """A block of another kind would be a command that nobody tries."""
    kinds = re.findall(r"^```(\w*)$", PAGE.read_text(), re.M)
    assert set(kinds) == {"sh", "text", ""}
    assert kinds.count("") == len(kinds) // 2
