# SPDX-License-Identifier: MIT
"""What a kernel with fs-verity does with our files, stores and mounts; found out in one boot (`found`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vm._vm import boot, make_ext4
from vm._vm_kernel import Kernel
from vm.conftest import guest

VECTOR = Path(__file__).resolve().parents[1] / "vectors" / "mount" / "tiny.erofs.gz"
OBJECT_DIGEST = "aafeebcb6478f6817359f9cec79f047b5cf1bf7162181e108f7d2e4661c3d4e1"
IMAGE_DIGEST = "adf87b224719bb3bea7c8abeb7c7e3a96c4c96b7943a8c609396f0be44ad5e14"
EIO = "Input/output error"
Found = dict[str, Any]


@pytest.fixture(scope="module")
def found(kernel: Kernel, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What the guest found out, by name."""
    folder = tmp_path_factory.mktemp("vm")
    disks = [
        make_ext4(folder / "verity.img", size_mib=64, verity=True),
        make_ext4(folder / "plain.img", size_mib=16, verity=False),
    ]
    initramfs = guest(kernel, "_guest_composefs.py", {VECTOR.name: VECTOR.read_bytes()})
    return boot(kernel, initramfs, disks=disks, timeout_s=300).results


def test_digests_are_those_of_the_vector(found: Found) -> None:
    assert found["expected"] == [OBJECT_DIGEST, IMAGE_DIGEST]


def test_kernel_measures_what_we_compute(found: Found) -> None:
    assert len(found["measured"]) == 6
    for measured, computed in found["measured"]:
        assert measured == computed


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("enable-twice", "linux.fsverity.already-enabled"),
        ("measure-plain", "linux.fsverity.not-enabled"),
        ("enable-open-for-writing", "linux.fsverity.open-for-writing"),
        ("enable-block-size", "linux.fsverity.parameters"),
        ("enable-folder", "linux.fsverity.not-a-file"),
        ("tmpfs", ["linux.fsverity.no-kernel"] * 2),
        ("no-feature", ["linux.fsverity.no-feature"] * 2),
        ("write-sealed", "Operation not permitted"),
    ],
)
def test_refusals_of_the_ioctls(found: Found, name: str, code: object) -> None:
    assert found[name] == code


def test_store_seals_and_lets_the_kernel_confirm(found: Found) -> None:
    assert found["stored"] == [9, 9, f"sha256:{OBJECT_DIGEST}"]
    assert found["fsck-clean"] == [True, 9]


def test_store_refuses_wrong_content_by_the_kernels_digest(found: Found) -> None:
    assert found["store-wrong"] == "composefs.store.wrong-digest"
    assert found["store-after-wrong"] == [False, []]


def test_fsck_reports_objects_without_seal(found: Found) -> None:
    assert found["fsck-unsealed"] == [OBJECT_DIGEST]


def test_mount_requires_a_sealed_image(found: Found) -> None:
    assert found["image-not-sealed"] == ["composefs.mount.image-not-sealed"] * 2 + [[]]
    assert found["try-unsealed"] == ["done", True]


def test_mount_refuses_another_image(found: Found) -> None:
    assert found["image-digest"] == f"sha256:{IMAGE_DIGEST}"
    assert found["wrong-digest"] == ["composefs.mount.digest", []]


def test_mount_is_enforced_and_readable(found: Found) -> None:
    assert found["report"] == ["kernel-verity", IMAGE_DIGEST, "file"]
    (line,) = found["mountinfo"]
    assert f"composefs:{IMAGE_DIGEST} ro," in line
    assert line.endswith("verity=require")
    assert found["content"] == [True, "hello\n", "../big"]
    assert found["read-only"] == "Read-only file system"


def test_mount_leaves_nothing_behind(found: Found) -> None:
    assert found["left-behind"] == [[], ["x"]]  # the x is the guest's own


def test_writable_mount(found: Found) -> None:
    assert found["writable"] == [True, True]


def test_object_without_seal_cannot_be_read_until_it_is_sealed(found: Found) -> None:
    assert found["mount-unsealed-object"] == "done"
    assert found["read-unsealed-object"] == [EIO, "hello\n"]
    assert found["sealed-later"] == 1
    assert found["read-sealed-later"] is True


def test_missing_object_and_missing_store(found: Found) -> None:
    assert found["no-objects-folder"] == "composefs.mount.objects"
    assert found["read-missing-object"] == "No such file or directory"


def test_ways_for_older_kernels(found: Found) -> None:
    assert found["classic"] == [True, [True]]
    assert found["loop"] == ["loop", True]


def test_swapped_object_is_not_readable(found: Found) -> None:
    assert found["read-swapped-object"] == EIO


def test_object_changed_on_the_disk_is_not_readable(found: Found) -> None:
    assert found["flipped"] >= 2
    assert found["measure-flipped"] == f"sha256:{OBJECT_DIGEST}"
    assert found["read-flipped"] == [EIO, "hello\n"]


def test_fsck_finds_and_sets_aside_the_changed_object(found: Found) -> None:
    ((digest, content, reason),) = found["fsck-flipped"]
    assert (digest, content) == (OBJECT_DIGEST, None)
    assert EIO in reason
    assert found["fsck-repaired"] == [False, True]


def test_image_changed_on_the_disk_is_not_mounted(found: Found) -> None:
    assert found["measure-flipped-image"] == f"sha256:{IMAGE_DIGEST}"
    assert found["mount-flipped-image"] == ["composefs.mount.image-unreadable", []]
