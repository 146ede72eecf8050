# SPDX-License-Identifier: MIT
"""What a kernel's configuration lets an image enforce."""

from __future__ import annotations

import pytest

from powernode.base.errors import OperatorError
from powernode.composefs.mount import Enforcement
from powernode.image.kconfig import parse, reachable, require

GOOD = """\
# CONFIG_OVERLAY_FS_METACOPY is not set
CONFIG_FS_VERITY=y
CONFIG_EROFS_FS=m
CONFIG_EROFS_FS_XATTR=y
CONFIG_EROFS_FS_BACKED_BY_FILE=y
CONFIG_OVERLAY_FS=m
CONFIG_LOCALVERSION="-test"
"""


def test_the_file_is_read() -> None:
    config = parse(GOOD)
    assert config["CONFIG_OVERLAY_FS"] == "m"
    assert config["CONFIG_LOCALVERSION"] == "-test"
    assert "CONFIG_OVERLAY_FS_METACOPY" not in config


def test_a_kernel_with_everything_enforces() -> None:
    reach = reachable(GOOD, "6.12.107+deb13-cloud-amd64")
    assert (reach.enforcement, reach.missing) == (Enforcement.KERNEL_VERITY, ())
    require(reach, Enforcement.KERNEL_VERITY)


def test_a_loop_device_is_as_good_as_files() -> None:
    text = GOOD.replace("CONFIG_EROFS_FS_BACKED_BY_FILE=y", "CONFIG_BLK_DEV_LOOP=m")
    assert reachable(text, "6.6.0").enforcement is Enforcement.KERNEL_VERITY


@pytest.mark.parametrize(
    ("option", "enforcement", "named"),
    [
        ("CONFIG_FS_VERITY=y", Enforcement.USERSPACE, "CONFIG_FS_VERITY"),
        ("CONFIG_EROFS_FS=m", Enforcement.NONE, "CONFIG_EROFS_FS"),
        ("CONFIG_EROFS_FS_XATTR=y", Enforcement.NONE, "CONFIG_EROFS_FS_XATTR"),
        ("CONFIG_EROFS_FS_BACKED_BY_FILE=y", Enforcement.NONE, "CONFIG_BLK_DEV_LOOP"),
        ("CONFIG_OVERLAY_FS=m", Enforcement.NONE, "CONFIG_OVERLAY_FS"),
    ],
)
def test_a_missing_option_is_named(option: str, enforcement: Enforcement, named: str) -> None:
    reach = reachable(GOOD.replace(f"{option}\n", ""), "6.12.0")
    assert reach.enforcement is enforcement
    assert any(named in reason for reason in reach.missing)


@pytest.mark.parametrize("release", ["6.5.13", "5.15.0", "strange"])
def test_an_old_kernel_enforces_nothing_itself(release: str) -> None:
    assert reachable(GOOD, release).enforcement is Enforcement.USERSPACE


def test_below_the_floor_is_refused_with_the_reasons() -> None:
    with pytest.raises(OperatorError) as refusal:
        require(reachable(GOOD.replace("CONFIG_FS_VERITY=y", ""), "6.1.0"), Enforcement.KERNEL_VERITY)
    assert refusal.value.code == "image.kernel.enforcement"
    assert refusal.value.expected == "kernel-verity, which needs CONFIG_FS_VERITY=y and Linux 6.6"
    assert refusal.value.found == "userspace"


def test_a_lower_floor_lets_it_pass() -> None:
    require(reachable(GOOD, "6.1.0"), Enforcement.USERSPACE)
