# SPDX-License-Identifier: MIT
"""initramfs/build.sh in a copy of the checkout, with this environment's interpreter as its .venv."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from powernode.image.manifest import check_sums
from repro._checkouts import copy_of_checkout
from support.debian import CACHE
from vm._images import HOST_ARCH

OTHER = {"amd64": "arm64", "arm64": "amd64"}[HOST_ARCH]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its .ci/setup would install packages and a second environment; here it only says that it was asked."""
    top = copy_of_checkout(tmp_path_factory.mktemp("build") / "a checkout", OTHER)
    (top / ".ci").mkdir()
    (top / ".ci/setup").write_text('#!/bin/sh\necho "setup $* in $PWD" >&2\n')
    (top / ".ci/setup").chmod(0o755)
    (top / ".venv/bin").mkdir(parents=True)
    command = top / ".venv/bin/powernode"
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{top}/src" exec {sys.executable} -m powernode.cli "$@"\n')
    command.chmod(0o755)
    return top


def script(checkout: Path, *words: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("ARCH", "VARIANT")}
    return subprocess.run(
        [str(checkout / "initramfs/build.sh"), *words],
        cwd=cwd,
        env=inherited | {"POWERNODE_CACHE": str(CACHE)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("arch", [HOST_ARCH, OTHER])
def test_an_architecture_and_a_variant(checkout: Path, tmp_path: Path, arch: str) -> None:
    result = script(checkout, cwd=tmp_path, ARCH=arch, VARIANT="kernel-initrd")
    assert result.returncode == 0, result.stderr
    assert f"setup run in {checkout}" in result.stderr
    assert set(check_sums(checkout / "initramfs/images/kernel-initrd" / arch)) >= {"vmlinuz", "initramfs.cpio.zst"}
    assert os.listdir(tmp_path) == []


def test_without_words_it_is_every_variant_for_this_machine(checkout: Path, tmp_path: Path) -> None:
    result = script(checkout, f"--out={tmp_path / 'out'}", "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["kernel-initrd"]
    check_sums(tmp_path / "out/kernel-initrd" / HOST_ARCH)


@pytest.mark.parametrize(
    ("variables", "said"),
    [({"ARCH": "m68k"}, "ARCH is amd64 or arm64, not m68k"), ({"VARIANT": "floppy"}, "code: image.variant")],
)
def test_what_it_cannot_build(checkout: Path, tmp_path: Path, variables: dict[str, str], said: str) -> None:
    result = script(checkout, cwd=tmp_path, **variables)
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr
