# SPDX-License-Identifier: MIT
"""The hash kernels of this machine give the same bytes as the portable ones, with every mask, compiler and sanitizer.

Not here: the kernels of another architecture (test_arm64_kernels.py), and their speed (bench/).
"""

from __future__ import annotations

import itertools
import platform
from typing import TYPE_CHECKING

import pytest

from native.kernel_build import CLANGS, Report, build, check, find_tool

if TYPE_CHECKING:
    from pathlib import Path

PORTABLE = {"sha256-portable": frozenset[str](), "sha512-portable": frozenset[str]()}
NEEDS_X86 = {
    "sha256-mixed-8": frozenset({"shani", "avx2", "avx512"}),
    "sha256-shani-1": frozenset({"shani", "avx2"}),
    "sha256-shani-2": frozenset({"shani", "avx2"}),
    "sha256-shani-4": frozenset({"shani", "avx2"}),
    "sha256-avx2-8": frozenset({"avx2"}),
    "sha256-avx512-16": frozenset({"avx2", "avx512"}),
    "sha512-avx2-4": frozenset({"avx2"}),
    "sha512-avx512-8": frozenset({"avx2", "avx512"}),
    **PORTABLE,
}
NEEDS_ARM64 = {
    "sha256-armce-1": frozenset({"arm-sha2"}),
    "sha256-armce-2": frozenset({"arm-sha2"}),
    "sha256-armce-4": frozenset({"arm-sha2"}),
    "sha256-neon-4": frozenset({"neon"}),
    "sha512-armce-1": frozenset({"arm-sha512"}),
    "sha512-armce-2": frozenset({"arm-sha512"}),
    **PORTABLE,
}
NEEDS = {"x86_64": NEEDS_X86, "aarch64": NEEDS_ARM64}.get(platform.machine(), PORTABLE)
FEATURES = sorted(frozenset[str]().union(*NEEDS.values()))
MASKS = [",".join(mask) for size in range(len(FEATURES) + 1) for mask in itertools.combinations(FEATURES, size)]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not find_tool("gcc"):
        pytest.skip("no gcc")
    return build(["gcc"], tmp_path_factory.mktemp("kernels") / "check")


@pytest.fixture(scope="module")
def unmasked(program: Path) -> Report:
    return check([str(program)])


def test_the_table_of_needs_knows_every_kernel(unmasked: Report) -> None:
    assert unmasked.ran | unmasked.lacking == NEEDS.keys()
    assert not unmasked.ran & unmasked.lacking


@pytest.mark.parametrize("mask", MASKS, ids=lambda mask: mask or "nothing")
def test_every_mask(program: Path, unmasked: Report, mask: str) -> None:
    expected = {name for name in unmasked.ran if not NEEDS[name] & set(mask.split(","))}
    assert check([str(program)], mask=mask).ran == expected


def test_an_unknown_name_in_the_mask_masks_nothing(program: Path, unmasked: Report) -> None:
    assert check([str(program)], mask="avx,,shan,shanix") == unmasked


@pytest.mark.parametrize("optimisation", ["-O0", "-O3"])
def test_clang(tmp_path: Path, unmasked: Report, optimisation: str) -> None:
    clang = find_tool(*CLANGS)
    if clang is None:
        pytest.skip("no clang")
    assert check([str(build([clang], tmp_path / "check", optimisation))]) == unmasked


def test_sanitizers(tmp_path: Path, unmasked: Report) -> None:
    flags = ["-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    assert check([str(build(["gcc"], tmp_path / "check", *flags))]) == unmasked
