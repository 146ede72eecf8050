# SPDX-License-Identifier: MIT
"""Kernel packages and the order of their modules."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest
import zstandard

from powernode.base.errors import DataError, OperatorError, PowernodeError
from powernode.image.kernel import Kernel, Wanted, load_order, open_kernel, parse_list
from unit.image._elf_files import module

RELEASE = "6.12.0-test"
MODULES = {
    "fs/erofs/erofs.ko.xz": lzma.compress(module("name=erofs", "depends=libcrc32c", "alias=fs-erofs")),
    "lib/libcrc32c.ko.zst": zstandard.compress(module("softdep=pre: crc32c crc32c-intel post: later", "depends=")),
    "crypto/crc32c-intel.ko.gz": gzip.compress(module("depends=")),
    "net/top.ko": module("depends=left,right"),
    "net/left.ko": module("depends=base-mod,builtin_one"),
    "net/right.ko": module("depends=base_mod"),
    "net/base-mod.ko": module("depends="),
    "net/needy.ko": module("depends=gone"),
    "net/hen.ko": module("depends=egg"),
    "net/egg.ko": module("depends=hen"),
}


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    for name in (f"vmlinuz-{RELEASE}", f"config-{RELEASE}"):
        (tmp_path / "boot").mkdir(exist_ok=True)
        (tmp_path / "boot" / name).write_bytes(b"")
    folder = tmp_path / "usr/lib/modules" / RELEASE
    for path, data in MODULES.items():
        (folder / "kernel" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "kernel" / path).write_bytes(data)
    (folder / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\nkernel/lib/builtin-one.ko\n")
    return open_kernel(tmp_path)


def order(kernel: Kernel, *names: str) -> list[str]:
    return [found.name for found in load_order(kernel, [Wanted(name=name) for name in names])]


def code_of(kernel: Kernel, *names: str) -> str:
    with pytest.raises(PowernodeError) as refusal:
        order(kernel, *names)
    return refusal.value.code


def test_what_a_module_needs_comes_before_it(kernel: Kernel) -> None:
    assert order(kernel, "top") == ["base_mod", "left", "right", "top"]


def test_soft_dependencies_come_too_when_they_are_modules(kernel: Kernel) -> None:
    assert order(kernel, "erofs") == ["crc32c_intel", "libcrc32c", "erofs"]


def test_names_with_a_hyphen_are_the_same(kernel: Kernel) -> None:
    assert order(kernel, *[wanted.name for wanted in parse_list("base-mod\nbase_mod", "x")]) == ["base_mod"]


def test_what_is_built_in_is_left_out(kernel: Kernel) -> None:
    assert order(kernel, "ext4", "builtin_one") == []


def test_modules_come_out_uncompressed_and_named_so(kernel: Kernel) -> None:
    (last,) = (found for found in load_order(kernel, [Wanted(name="erofs")]) if found.name == "erofs")
    assert last.path == f"usr/lib/modules/{RELEASE}/kernel/fs/erofs/erofs.ko"
    assert last.data.startswith(b"\x7fELF")


def test_a_missing_module_is_refused_by_name(kernel: Kernel) -> None:
    with pytest.raises(OperatorError) as refusal:
        order(kernel, "erofs", "nvme")
    assert refusal.value.code == "image.kernel.module"
    assert "nvme" in refusal.value.message


def test_an_optional_module_may_be_missing(kernel: Kernel) -> None:
    assert load_order(kernel, parse_list("nvme ?  # not in every kernel", "x")) == []


def test_a_missing_dependency_is_refused(kernel: Kernel) -> None:
    assert code_of(kernel, "needy") == "image.kernel.module"


def test_modules_that_need_each_other_are_refused(kernel: Kernel) -> None:
    assert code_of(kernel, "hen") == "image.kernel.cycle"


@pytest.mark.parametrize("line", ["two words", "name ? more", "path/name", "name?", "a" * 64])
def test_lines_that_are_no_module_are_refused(line: str) -> None:
    with pytest.raises(OperatorError) as refusal:
        parse_list(f"# comment\n\nerofs\n{line}\n", "amd64.list")
    assert refusal.value.code == "image.kernel.list"
    assert "amd64.list:4" in refusal.value.message


@pytest.mark.parametrize("missing", ["vmlinuz", "config", "modules.builtin"])
def test_a_package_that_is_no_kernel_is_refused(kernel: Kernel, tmp_path: Path, missing: str) -> None:
    next(tmp_path.rglob(f"{missing}*")).unlink()
    with pytest.raises(DataError) as refusal:
        open_kernel(tmp_path)
    assert refusal.value.code == "image.kernel.package"


def test_two_kernels_in_one_package_are_refused(kernel: Kernel, tmp_path: Path) -> None:
    (tmp_path / "boot/vmlinuz-6.13.0").write_bytes(b"")
    with pytest.raises(DataError) as refusal:
        open_kernel(tmp_path)
    assert refusal.value.code == "image.kernel.package"


def test_the_lists_of_the_checkout_can_be_read() -> None:
    folder = Path(__file__).resolve().parents[3] / "initramfs/kernel-modules"
    lists = {path.name: parse_list(path.read_text(), path.name) for path in sorted(folder.glob("*.list"))}
    assert {"common.list", "amd64.list", "arm64.list", "qemu.list", "rpi4.list"} <= lists.keys()
    for name, wanted in lists.items():
        assert len({item.name for item in wanted}) == len(wanted) > 0, f"{name} names a module twice"


@pytest.mark.parametrize("name", [f"boot/vmlinuz-{RELEASE}", f"boot/config-{RELEASE}", "usr"])
def test_a_link_to_a_file_of_the_builders_is_no_kernel(kernel: Kernel, tmp_path: Path, name: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / name).rename(tmp_path / "outside" / "thing")
    (tmp_path / name).symlink_to(tmp_path / "outside" / "thing")
    with pytest.raises(DataError) as refusal:
        open_kernel(tmp_path)
    assert refusal.value.code == "image.kernel.package"


def test_a_link_is_no_module(kernel: Kernel, tmp_path: Path) -> None:
    folder = tmp_path / "usr/lib/modules" / RELEASE / "kernel/net"
    (folder / "link.ko").symlink_to(folder / "base-mod.ko")
    assert open_kernel(tmp_path).module("link") is None


def test_a_chain_without_end(kernel: Kernel, tmp_path: Path) -> None:
    folder = tmp_path / "usr/lib/modules" / RELEASE / "kernel/net"
    for number in range(1000):
        (folder / f"m{number}.ko").write_bytes(module(f"depends=m{number + 1}"))
    assert code_of(open_kernel(tmp_path), "m0") == "image.kernel.chain"
