# SPDX-License-Identifier: MIT
"""persist.img: checked by e2fsck, the same bytes from anywhere, root's, with room for the seals."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from powernode.base.errors import OperatorError
from powernode.image import persistdisk
from powernode.image.persistdisk import Content, Link
from powernode.module import directory as modules

needs_e2fsprogs = pytest.mark.skipif(
    not all(shutil.which(tool, path=f"{os.defpath}:/usr/sbin:/sbin") for tool in ("mke2fs", "debugfs", "e2fsck")),
    reason="e2fsprogs is not here to make filesystems with",
)
SEALED_MAX = 1 << 20


def tool(*words: object) -> str:
    environment = {"PATH": f"{os.defpath}:/usr/sbin:/sbin", "LC_ALL": "C", "TZ": "UTC"}
    return subprocess.run(
        [str(word) for word in words], env=environment, capture_output=True, text=True, check=True
    ).stdout


def content(folder: Path) -> dict[str, Content]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "object").write_bytes(b"o" * 10_000)
    return {
        "var/lib/powernode/objects/ab/cd": folder / "object",
        "var/lib/powernode/sets/good": Link(target="ff.json"),
        "var/lib/powernode/sets/ff.json": b"{}",
    }


@needs_e2fsprogs
def test_what_is_on_it(tmp_path: Path) -> None:
    image = tmp_path / "persist.img"
    persistdisk.write(image, content(tmp_path / "staged"), room_bytes=8 << 20, epoch_s=1_700_000_000)
    tool("e2fsck", "-fn", image)
    facts = tool("dumpe2fs", "-h", image)
    assert re.search(r"^Filesystem volume name: +persist$", facts, re.M)
    assert re.search(r"^Block size: +4096$", facts, re.M)
    features = re.search(r"^Filesystem features: +(.*)$", facts, re.M)
    assert features is not None
    assert {"verity", "64bit", "metadata_csum", "has_journal", "resize_inode"} <= set(features[1].split())
    home = "/var/lib/powernode"
    assert tool("debugfs", "-R", f"cat {home}/objects/ab/cd", image) == "o" * 10_000
    assert tool("debugfs", "-R", f"cat {home}/sets/ff.json", image) == "{}"
    assert 'Fast link dest: "ff.json"' in tool("debugfs", "-R", f"stat {home}/sets/good", image)


@needs_e2fsprogs
def test_everything_is_roots_whoever_staged_it(tmp_path: Path) -> None:
    files = content(tmp_path / "staged")
    staged = tmp_path / "staged/object"
    staged.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(staged, 1234, 1234)
    os.utime(staged, (1, 1))
    image = tmp_path / "persist.img"
    persistdisk.write(image, files, room_bytes=0, epoch_s=1_700_000_000)
    said = tool("debugfs", "-R", "stat /var/lib/powernode/objects/ab/cd", image)
    assert re.search(r"Mode:  0644 ", said)
    assert re.search(r"User: +0 +Group: +0 ", said)
    assert re.findall(r"time: 0x([0-9a-f]{8}):", said) == ["6553f100"] * 4
    listing = tool("debugfs", "-R", "ls -l /var/lib/powernode", image)
    assert re.findall(r"^ *\d+ +(\d+) \(2\) +(\d+) +(\d+) ", listing, re.M)[2:] == [("40755", "0", "0")] * 2


@needs_e2fsprogs
def test_the_same_bytes_from_anywhere(tmp_path: Path) -> None:
    images = []
    for number, name in enumerate(("a", "another folder, with 'quotes'")):
        before = os.umask((0o022, 0o077)[number])
        try:
            files = content(tmp_path / name / "staged")
            order = sorted(files, reverse=bool(number))
            image = tmp_path / name / "persist.img"
            persistdisk.write(image, {path: files[path] for path in order}, room_bytes=1 << 20)
        finally:
            os.umask(before)
        images.append(image.read_bytes())
        assert image.stat().st_mode & 0o777 == 0o644
        assert sorted(path.name for path in image.parent.iterdir()) == ["persist.img", "staged"]
    assert images[0] == images[1]


@needs_e2fsprogs
def test_other_content_has_another_identity(tmp_path: Path) -> None:
    found = set()
    for text in (b"a", b"b"):
        persistdisk.write(tmp_path / "persist.img", {"file": text}, room_bytes=0)
        found.update(
            re.findall(
                r"^(?:Filesystem UUID|Directory Hash Seed): +(\S+)$",
                tool("dumpe2fs", "-h", tmp_path / "persist.img"),
                re.M,
            )
        )
    assert len(found) == 4


@needs_e2fsprogs
def test_there_is_room_for_the_seals_and_the_room_asked_for(tmp_path: Path) -> None:
    files: dict[str, Content] = {f"objects/{number:04}": bytes([number % 251]) * 5000 for number in range(300)}
    room = 16 << 20
    persistdisk.write(tmp_path / "persist.img", files, room_bytes=room)
    free = re.search(r"^Free blocks: +(\d+)$", tool("dumpe2fs", "-h", tmp_path / "persist.img"), re.M)
    assert free is not None
    assert int(free[1]) * 4096 >= room + 300 * 2 * 4096  # a Merkle block and a descriptor each
    assert (tmp_path / "persist.img").stat().st_blocks * 512 < (tmp_path / "persist.img").stat().st_size - room // 2


@pytest.mark.parametrize(
    "files",
    [
        {"/absolute": b""},
        {"../up": b""},
        {"a/../b": b""},
        {"with space": b""},
        {'quote"': b""},
        {"new\nline": b""},
        {"": b""},
        {"a": b"", "a/b": b""},
        {"link": Link(target="two words")},
    ],
)
def test_a_name_that_could_be_misread_is_refused(tmp_path: Path, files: dict[str, Content]) -> None:
    with pytest.raises(OperatorError) as refused:
        persistdisk.write(tmp_path / "persist.img", files, room_bytes=0)
    assert refused.value.code == "image.persist.name"
    assert list(tmp_path.iterdir()) == []


def test_a_node_gets_every_image_and_every_object(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_bytes(b"x" * 5000)
    facts = modules.Facts(
        name="a", version="1", architecture="all", effective_priority=1, file_spec=("/file",), mask=()
    )
    module = modules.write(tmp_path / "m", facts, modules.from_tree(tmp_path / "tree"))
    root = modules.merge_root([module])
    files = persistdisk.node_files([module], root, {"sets/good": Link(target="x.json")})
    home = "var/lib/powernode"
    (name,) = [path.removeprefix(f"{home}/objects/") for path in files if "/objects/" in path]
    assert files[f"{home}/objects/{name}"] == module.objects / name
    assert {f"{home}/images/{digest.hex}.erofs" for digest in (root.digest, module.digest)} <= set(files)
    assert files[f"{home}/sets/good"] == Link(target="x.json")
