# SPDX-License-Identifier: MIT
"""The manifest and the sums: what is written is read, and what anybody may have put there is refused by name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from powernode import verity
from powernode.base.errors import PowernodeError
from powernode.image.manifest import MANIFEST, SUMS, Manifest, check_sums, read, write

PLAN = {"arch": "amd64", "board": "qemu", "variant": "small", "packages": [], "steps": []}
DIGEST = "ab" * 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    top = tmp_path / "build"
    top.mkdir()
    (top / "vmlinuz").write_bytes(b"kernel" * 1000)
    (top / "cmdline").write_bytes(b"quiet\n")
    write(top, Manifest(plan=PLAN, plan_digest=DIGEST, inputs=[{"name": "a"}], tools={"gcc": "12"}, facts={"x": {}}))
    return top


def refused(action: Callable[[Path], object], folder: Path) -> str:
    with pytest.raises(PowernodeError) as caught:
        action(folder)
    return caught.value.code


def sums(folder: Path) -> None:
    """Sums as somebody would write them who changed a file."""
    names = sorted(path.name for path in folder.iterdir() if path.name != SUMS)
    lines = [f"{sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / SUMS).write_text("".join(lines))


def edit(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    document = json.loads((folder / MANIFEST).read_text())
    change(document)
    (folder / MANIFEST).write_text(json.dumps(document))


def test_what_was_written_is_read(folder: Path) -> None:
    built = read(folder)
    assert (built.arch, built.board, built.variant, built.plan_digest) == ("amd64", "qemu", "small", DIGEST)
    assert built.plan == PLAN
    assert built.tools == {"gcc": "12"}
    artifacts = json.loads((folder / MANIFEST).read_text())["artifacts"]
    kernel = {"name": "vmlinuz", "size_bytes": 6000, "sha256": sha256(b"kernel" * 1000).hexdigest()}
    assert artifacts[1] == {**kernel, "fsverity": verity.digest_file(folder / "vmlinuz").hex}


def test_every_file_has_its_sum(folder: Path) -> None:
    assert check_sums(folder) == [MANIFEST, "cmdline", "vmlinuz"]
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--quiet", "--strict", "-c", SUMS], cwd=folder, check=True)


def test_it_says_nothing_of_when_and_where(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    for name in ("vmlinuz", "cmdline"):
        shutil.copyfile(folder / name, other / name)
        os.utime(other / name, (1, 1))
    facts = {"inputs": [{"name": "a"}], "tools": {"gcc": "12"}, "facts": {"x": {}}}
    write(other, Manifest(plan=dict(reversed(PLAN.items())), plan_digest=DIGEST, **facts))  # type: ignore[arg-type]
    assert [(other / name).read_bytes() for name in (MANIFEST, SUMS)] == [
        (folder / name).read_bytes() for name in (MANIFEST, SUMS)
    ]


DAMAGE = {
    "a-byte": ("printf K | dd of=vmlinuz conv=notrunc status=none", "image.sums.differ"),
    "a-missing-file": ("rm vmlinuz", "image.sums.differ"),
    "a-folder-for-a-file": ("rm cmdline; mkdir cmdline", "image.sums.differ"),
    "a-link-to-the-same": ("mv vmlinuz ..; ln -s ../vmlinuz vmlinuz", "image.sums.differ"),
    "a-pipe": ("rm cmdline; mkfifo cmdline", "image.sums.differ"),
    "one-more": ("touch more", "image.sums.unlisted"),
    "one-more-hidden": ("touch .more", "image.sums.unlisted"),
    "a-folder-more": ("mkdir more", "image.sums.unlisted"),
    "no-sums": ("rm SHA256SUMS", "image.manifest.no-build"),
    "sums-that-are-a-link": ("rm SHA256SUMS; ln -s /dev/zero SHA256SUMS", "image.manifest.no-build"),
    "sums-that-are-a-folder": ("rm SHA256SUMS; mkdir SHA256SUMS", "image.manifest.no-build"),
    "sums-too-long": ("truncate -s 5M SHA256SUMS", "image.manifest.size"),
    "empty-sums": ("truncate -s 0 SHA256SUMS", "image.sums.unlisted"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_refused(folder: Path, name: str) -> None:
    command, code = DAMAGE[name]
    subprocess.run(["sh", "-ec", command], cwd=folder, check=True)
    assert refused(check_sums, folder) == code


@pytest.mark.parametrize(
    "line",
    [
        b"no such file  ..\n",
        b"no such file  gone\n",
        b"\n",
        b"%s  ../vmlinuz\n",
        b"%s  /etc/passwd\n",
        b"%s *vmlinuz\n",
        b"%s  vmlinuz\r\n",
        b"%s  vmlinuz\n",
        b"%s  \xff\n",
        b"%s  a\0b\n",
        b"%s  \x1b[2J\n",
        b"ABCD  vmlinuz\n",
    ],
)
def test_a_line_that_is_no_checksum(folder: Path, line: bytes) -> None:
    """The eighth is the second line for one file."""
    with open(folder / SUMS, "ab") as file:
        file.write(line.replace(b"%s", sha256(b"kernel" * 1000).hexdigest().encode()))
    with pytest.raises(PowernodeError) as caught:
        check_sums(folder)
    assert caught.value.code == "image.sums.malformed"
    assert str(caught.value).isprintable()


def test_a_folder_that_is_no_build(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nothing"):
        assert refused(check_sums, place) == "image.manifest.no-build"
        assert refused(read, place) == "image.manifest.no-build"
    (tmp_path / "file").touch()
    assert refused(read, tmp_path / "file") == "image.manifest.no-build"


HOSTILE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "json.syntax"),
    "no-json": (b"{", "json.syntax"),
    "no-utf8": (b'{"version":"\xff"}', "json.utf8"),
    "deep": (b"[" * 100_000, "json.depth"),
    "a-list": (b"[]", "image.manifest.type"),
    "no-version": (b"{}", "image.manifest.missing"),
    "a-later-version": (b'{"version":2,"everything":"else"}', "image.manifest.version"),
    "no-plan": (b'{"version":1}', "image.manifest.missing"),
    "a-plan-that-is-text": (b'{"version":1,"plan":"x"}', "image.manifest.type"),
    "twice": (b'{"version":1,"version":1}', "json.duplicate-key"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_manifest_is_refused(folder: Path, name: str) -> None:
    data, code = HOSTILE[name]
    (folder / MANIFEST).write_bytes(data)
    assert refused(read, folder) == code


@pytest.mark.parametrize(
    ("member", "value", "code"),
    [
        ("arch", "../../etc/passwd\0", "image.manifest.value"),
        ("arch", "m68k", "image.manifest.value"),
        ("arch", ["amd64"], "image.manifest.type"),
        ("board", {}, "image.manifest.type"),
        ("variant", None, "image.manifest.type"),
        ("variant", "x" * 101, "image.manifest.value"),
        ("sha256", "AB" * 32, "image.manifest.value"),
    ],
)
def test_a_plan_with_a_mistake_is_refused(folder: Path, member: str, value: object, code: str) -> None:
    edit(folder, lambda document: document["plan"].update({member: value}))  # type: ignore[attr-defined]
    assert refused(read, folder) == code


def test_tools_must_be_an_object(folder: Path) -> None:
    edit(folder, lambda document: document.update(tools=["gcc"]))
    assert refused(read, folder) == "image.manifest.type"


def test_sums_that_match_are_believed(folder: Path) -> None:
    """They only say that the folder is whole; that it is what the plan makes, `image verify` finds out."""
    (folder / "vmlinuz").write_bytes(b"other")
    sums(folder)
    assert len(check_sums(folder)) == 3
