# SPDX-License-Identifier: MIT
"""Directories with everything POSIX allows: the same image as the reference tool, in any number of threads, and in
plain Python.

`--min-version=N` without `--max-version` means exactly N to the reference tool; here that is `max_version=N`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from interop._posix_trees import make_deep, make_tree, needs_everything, remove_deep
from powernode import native
from powernode.composefs import image
from powernode.composefs._image_pure import write_image
from powernode.composefs._scan_pure import scan_directory
from powernode.composefs.scan import ScanOptions, dump_of, image_of
from powernode.verity import digest_fd
from unit.composefs._pure_trees import fsck, mkcomposefs

SEEDS = range(6)
OPTIONS = {
    "--use-epoch": ScanOptions(epoch=True),
    "--skip-xattrs": ScanOptions(xattrs="none"),
    "--user-xattrs": ScanOptions(xattrs="user"),
    "--skip-devices": ScanOptions(devices=False),
}
USR_MAX_BYTES = 12 << 30


@pytest.fixture(scope="module", params=SEEDS)
def tree(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("posix")
    needs_everything(folder)
    make_tree(folder / "tree", seed=request.param)
    return folder / "tree"


def pure_image(top: Path, *, min_version: int = 0, max_version: int = 1, hardlinks: bool = False) -> bytes:
    root = scan_directory(top, ScanOptions(hardlinks=hardlinks), digest_fd=lambda fd: digest_fd(fd).value)
    return write_image(root, min_version=min_version, max_version=max_version)


@pytest.mark.parametrize("version", [0, 1])
def test_the_same_image_as_the_peer(tree: Path, tmp_path: Path, version: int) -> None:
    ours = image_of(tree, min_version=version, max_version=version)
    assert ours == mkcomposefs(tree, tmp_path, f"--min-version={version}")
    assert ours == pure_image(tree, min_version=version, max_version=version)


def test_the_version_follows_the_content(tree: Path, tmp_path: Path) -> None:
    assert image_of(tree) == mkcomposefs(tree, tmp_path) == mkcomposefs(tree, tmp_path, "--max-version=1")


@pytest.mark.parametrize("option", OPTIONS)
def test_the_same_image_as_the_peer_with(tree: Path, tmp_path: Path, option: str) -> None:
    assert image_of(tree, OPTIONS[option]) == mkcomposefs(tree, tmp_path, option)


def test_all_options_together(tree: Path, tmp_path: Path) -> None:
    ours = image_of(tree, ScanOptions(epoch=True, xattrs="user", devices=False), min_version=1)
    given = ("--use-epoch", "--user-xattrs", "--skip-devices", "--min-version=1")
    assert ours == mkcomposefs(tree, tmp_path, *given)


@pytest.mark.parametrize("hardlinks", [False, True])
def test_the_number_of_threads_does_not_matter(tree: Path, hardlinks: bool) -> None:
    options = ScanOptions(hardlinks=hardlinks)
    images = [image_of(tree, options, threads=threads) for threads in (1, 2, 5)]
    assert images[0] == images[1] == images[2]


def test_hard_links_are_the_same_in_plain_python(tree: Path) -> None:
    ours = image_of(tree, ScanOptions(hardlinks=True), min_version=1)
    assert ours == pure_image(tree, min_version=1, hardlinks=True)
    assert b" @" in image.dump(ours), "the tree has no hard links to test with"
    assert ours != image_of(tree, min_version=1)


def test_the_dump_makes_the_same_image(tree: Path) -> None:
    assert image.from_dump(dump_of(tree), strict=True) == image_of(tree)


def test_hard_links_are_what_the_peer_makes_of_the_dump(tree: Path, tmp_path: Path) -> None:
    options = ScanOptions(hardlinks=True)
    assert image_of(tree, options) == mkcomposefs(dump_of(tree, options), tmp_path)


def test_whiteouts_are_never_hard_links(tmp_path: Path) -> None:
    """Overlayfs links all its whiteouts, and a link would not mark the directory it is in."""
    needs_everything(tmp_path)
    for name in ("a", "b"):
        (tmp_path / "top" / name).mkdir(parents=True)
    os.mknod(tmp_path / "top" / "a" / "gone", 0o20000, 0)
    os.link(tmp_path / "top" / "a" / "gone", tmp_path / "top" / "b" / "gone")
    ours = image_of(tmp_path / "top", ScanOptions(hardlinks=True))
    assert ours == image_of(tmp_path / "top") == pure_image(tmp_path / "top", hardlinks=True)


@pytest.mark.parametrize("hardlinks", [False, True])
def test_fsck_finds_nothing(tree: Path, tmp_path: Path, hardlinks: bool) -> None:
    fsck(image_of(tree, ScanOptions(hardlinks=hardlinks), min_version=1), tmp_path)


@pytest.mark.parametrize("hardlinks", [False, True])
def test_the_order_of_creation_does_not_matter(tmp_path: Path, hardlinks: bool) -> None:
    needs_everything(tmp_path)
    images = set()
    for order in range(4):
        make_tree(tmp_path / str(order), seed=100, order=order)
        images.add(image_of(tmp_path / str(order), ScanOptions(hardlinks=hardlinks)))
    assert len(images) == 1


def test_a_directory_of_many_names(tmp_path: Path) -> None:
    """More than one reading of the directory, and more than one block of it in the image."""
    top = tmp_path / "many"
    top.mkdir()
    for number in range(3000):
        (top / f"{number % 7}-{number}-{'n' * (number % 90)}").touch()
    ours = image_of(top, threads=2)
    assert ours == mkcomposefs(top, tmp_path)
    assert ours == pure_image(top)


def test_a_large_file_is_shared_by_all_threads(tmp_path: Path) -> None:
    """From 64 MiB on; most of it is a hole, so that it costs little."""
    top = tmp_path / "large"
    (top / "inner").mkdir(parents=True)
    for name, size in (("a", (64 << 20) - 1), ("b", 64 << 20), ("inner/c", (70 << 20) + 5)):
        with open(top / name, "wb") as file:
            file.truncate(size)
            file.seek(size - 100_000)
            file.write(name.encode() * 1000)
    ours = image_of(top, threads=3)
    assert ours == image_of(top, threads=1) == mkcomposefs(top, tmp_path)


def test_an_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert image_of(tmp_path / "empty") == mkcomposefs(tmp_path / "empty", tmp_path)


def test_attributes_of_the_root_itself(tmp_path: Path) -> None:
    top = tmp_path / "root"
    top.mkdir(0o700)
    try:
        os.setxattr(top, "user.root", b"1")
    except OSError as error:
        pytest.skip(f"no user attributes here: {error.strerror}")
    os.utime(top, ns=(0, -5))
    assert image_of(top) == mkcomposefs(top, tmp_path)


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    make_deep(tmp_path / "deep")
    yield tmp_path / "deep"
    remove_deep(tmp_path / "deep")


@pytest.mark.parametrize("threads", [1, 4])
def test_deeper_than_any_path(deep: Path, threads: int) -> None:
    """The reference tool goes by paths and fails here."""
    ours = image_of(deep, threads=threads)
    assert ours == pure_image(deep)
    assert max(map(len, image.dump(ours).splitlines())) > 60 * 200


def test_depth_costs_no_descriptors(tmp_path: Path) -> None:
    """Fifteen hundred levels and a limit of sixty-four, in a process of its own: here, others have descriptors."""
    make_deep(tmp_path / "deep", levels=1500, name=b"e" * 9)
    code = (
        "import resource, sys; from powernode.composefs import image, scan\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "print(image.listing(scan.image_of(sys.argv[1], threads=2)).count(b'eeeeeeeee/\\t'))"
    )
    try:
        command = [sys.executable, "-c", code, str(tmp_path / "deep")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        remove_deep(tmp_path / "deep", b"e" * 9)
    assert done.stdout.strip() == "1500", done.stderr


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "big").write_bytes(bytes(65 << 20))
    before = set(os.listdir("/proc/self/fd"))
    image_of(tmp_path, threads=3)
    assert set(os.listdir("/proc/self/fd")) == before


def _size_of(top: Path) -> int:
    total = 0
    for folder, _, names in os.walk(top):
        for name in names:
            total += os.lstat(os.path.join(folder, name)).st_blocks * 512
    return total


def test_usr_of_this_machine(tmp_path: Path) -> None:
    """The longest test here, 5 to 30 seconds: a real system, byte for byte."""
    if native.library() is None:
        pytest.skip("the system's own tree is only for the C library; plain Python would take minutes")
    top = Path("/usr")
    if _size_of(top) > USR_MAX_BYTES:
        top = Path("/usr/share")
    theirs = mkcomposefs(top, tmp_path)
    ours = image_of(top)
    if ours != theirs and mkcomposefs(top, tmp_path) != theirs:
        pytest.fail(f"{top} changes while it is read; this machine cannot run this test now")
    assert ours == theirs
    fsck(ours, tmp_path)
