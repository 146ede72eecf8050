# SPDX-License-Identifier: MIT
"""The commands of docs/images.md, run as they stand there, in an empty folder."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from powernode.debian.lock import parse, path_of
from support.debian import CACHE, CHECKOUT
from vm._images import HOST_ARCH, locked


def test_building_images(tmp_path: Path) -> None:
    if HOST_ARCH != "amd64":
        pytest.skip("the document builds for amd64, natively")
    if locked("amd64") != parse((CHECKOUT / path_of("amd64")).read_bytes()):
        pytest.skip("the archive no longer serves what the lock pins: powernode image lock --arch amd64")
    text = (CHECKOUT / "docs/images.md").read_text()
    block = text.split("<!-- tested: begin -->")[1].split("<!-- tested: end -->")[0]
    commands = re.findall(r"^\$ (.*)$", block, re.M)
    assert len(commands) == 4
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "POWERNODE_CACHE": str(CACHE),
    }
    for command in commands:
        result = subprocess.run(
            shlex.split(command), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, f"{command}: {result.stderr}"
    assert result.stdout.startswith("identical: ")
