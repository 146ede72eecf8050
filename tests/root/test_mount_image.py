# SPDX-License-Identifier: MIT
"""Composefs mounts on the running kernel, which may have no fs-verity: what enforcement adds is tested in tests/vm."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from powernode.base.errors import DataError, MachineError, OperatorError, PowernodeError
from powernode.composefs import mount
from powernode.composefs.mount import Enforcement, MountReport, mount_image, prepare_image
from powernode.linux.mount import FsContext, move_mount
from root.conftest import OBJECT, Privately, mounts


def digest_fd(fd: int) -> bytes:
    """Any digest of the content will do for a comparison in user space."""
    return hashlib.sha256(os.pread(fd, 1 << 20, 0)).digest()


def put(tiny: Path, **options: Any) -> MountReport:
    options = {"verity": "off", "scratch": tiny, **options}
    return mount_image(tiny / "tiny.erofs", [tiny / "objects"], tiny / "target", **options)


def table_line(tiny: Path) -> str:
    (line,) = [line for line in mounts() if f" {tiny}/target " in line]
    return line


def check_content(tiny: Path) -> None:
    target = tiny / "target"
    assert sorted(os.listdir(target)) == ["big", "dir", "small"]
    assert (target / "big").read_bytes() == OBJECT
    assert (target / "dir" / "link").read_bytes() == OBJECT
    assert (target / "small").read_bytes() == b"hello\n"
    assert (target / "small").stat().st_mode & 0o7777 == 0o640
    assert sorted(os.listdir(tiny)) == ["objects", "target", "tiny.erofs"], "something was left behind"


def test_read_only_mount(privately: Privately, tiny: Path) -> None:
    def body() -> None:
        assert put(tiny).enforcement is Enforcement.NONE
        check_content(tiny)
        assert " ro," in table_line(tiny)
        with pytest.raises(OSError, match="Read-only"):
            (tiny / "target" / "new").touch()

    privately(body)


def test_writable_mount(privately: Privately, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    def body() -> None:
        upper, work = tmp_path_factory.mktemp("upper"), tmp_path_factory.mktemp("work")
        put(tiny, upperdir=upper, workdir=work)
        check_content(tiny)
        with open(tiny / "target" / "big", "ab") as file:
            file.write(b"more")
        assert (upper / "big").read_bytes() == OBJECT + b"more"

    privately(body)


def test_detached_until_it_is_moved(privately: Privately, tiny: Path) -> None:
    def body() -> None:
        before = mounts()
        tree, _ = prepare_image(tiny / "tiny.erofs", [tiny / "objects"], verity="off", scratch=tiny)
        assert mounts() == before
        move_mount(tree, tiny / "target")
        os.close(tree)
        check_content(tiny)

    privately(body)


def test_several_stores_and_names_that_need_care(privately: Privately, tiny: Path) -> None:
    def body() -> None:
        odd = tiny.parent / f"{tiny.name}-o:d,d \\"
        long = tiny.parent / f"{tiny.name}-{'x' * 200}" / ("y" * 200)
        odd.mkdir()
        long.mkdir(parents=True)
        (tiny / "objects" / "aa").rename(long / "aa")
        mount_image(tiny / "tiny.erofs", [tiny / "objects", odd, long], tiny / "target", verity="off", scratch=tiny)
        check_content(tiny)

    privately(body)


def without_descriptors(self: FsContext, key: str, fd: int) -> None:
    raise MachineError("linux.mount.option", "this kernel takes no descriptor")


def test_the_way_before_linux_6_15(privately: Privately, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def body() -> None:
        monkeypatch.setattr(FsContext, "set_fd", without_descriptors)
        put(tiny)
        check_content(tiny)
        assert f"lowerdir+={tiny}/.powernode-mount-" in table_line(tiny)

    privately(body)


def test_the_way_before_linux_6_7(privately: Privately, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = FsContext.set_string

    def without_layers(self: FsContext, key: str, value: str | bytes) -> None:
        original(self, "no-such-option" if key == "lowerdir+" else key, value)

    def body() -> None:
        monkeypatch.setattr(FsContext, "set_fd", without_descriptors)
        monkeypatch.setattr(FsContext, "set_string", without_layers)
        put(tiny)
        check_content(tiny)
        assert f"::{tiny}/objects," in table_line(tiny)

    privately(body)


def test_the_way_before_linux_6_12(privately: Privately, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = mount._erofs

    def only_devices(source: str, path: mount.Path) -> int:
        if not source.startswith("/dev/"):
            raise MachineError("linux.mount.failed", "no") from OSError(errno.ENOTBLK, "Block device required")
        return original(source, path)

    def body() -> None:
        monkeypatch.setattr(mount, "_erofs", only_devices)
        try:
            report = put(tiny)
        except MachineError as error:
            if error.code != "linux.loop.none":
                raise
            pytest.skip(f"no loop devices here: {error}")
        assert report.backing == "loop"
        check_content(tiny)

    privately(body)


def test_digest_is_compared_in_user_space(privately: Privately, tiny: Path) -> None:
    def body() -> None:
        digest = hashlib.sha256((tiny / "tiny.erofs").read_bytes()).digest()
        assert put(tiny, digest=digest, digest_fd=digest_fd) == MountReport(
            enforcement=Enforcement.USERSPACE, digest=digest, backing="file"
        )
        assert f" composefs:{digest.hex()} " in table_line(tiny)
        check_content(tiny)

    privately(body)


def refuse_image(tiny: Path) -> None:
    (tiny / "tiny.erofs").write_bytes(b"no image" * 1000)


def break_superblock(tiny: Path) -> None:
    data = bytearray((tiny / "tiny.erofs").read_bytes())
    data[1024:1028] = b"XXXX"
    (tiny / "tiny.erofs").write_bytes(data)


def empty_image(tiny: Path) -> None:
    (tiny / "tiny.erofs").write_bytes(b"")


def remove_image(tiny: Path) -> None:
    (tiny / "tiny.erofs").unlink()


def remove_objects(tiny: Path) -> None:
    (tiny / "objects").rename(tiny / "elsewhere")


def remove_target(tiny: Path) -> None:
    (tiny / "target").rmdir()


def nothing(tiny: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("prepare", "options", "kind", "code"),
    [
        (refuse_image, {}, DataError, "composefs.mount.not-an-image"),
        (empty_image, {}, DataError, "composefs.mount.not-an-image"),
        (break_superblock, {}, DataError, "composefs.mount.image-refused"),
        (remove_image, {}, MachineError, "composefs.mount.image"),
        (remove_objects, {}, MachineError, "composefs.mount.objects"),
        (remove_target, {}, MachineError, "linux.mount.no-target"),
        (nothing, {"verity": "maybe"}, OperatorError, "composefs.mount.verity"),
        (nothing, {"upperdir": "/tmp"}, OperatorError, "composefs.mount.upper"),
        (nothing, {"upperdir": "/nowhere", "workdir": "/tmp"}, MachineError, "composefs.mount.upper"),
        (nothing, {"digest": bytes(32)}, OperatorError, "composefs.mount.digest-unchecked"),
        (nothing, {"digest": bytes(32), "digest_fd": digest_fd}, DataError, "composefs.mount.digest"),
        (nothing, {"verity": "require"}, MachineError, "composefs.mount.image-not-sealed"),
    ],
)
def test_refusals_leave_nothing(
    privately: Privately,
    tiny: Path,
    prepare: Any,
    options: dict[str, Any],
    kind: type[PowernodeError],
    code: str,
) -> None:
    def body() -> None:
        prepare(tiny)
        before, files = mounts(), sorted(os.listdir(tiny))
        with pytest.raises(PowernodeError) as caught:
            put(tiny, **options)
        assert (type(caught.value), caught.value.code) == (kind, code)
        assert (mounts(), sorted(os.listdir(tiny))) == (before, files)

    privately(body)


def test_a_misspelt_option_is_not_overlooked(tiny: Path) -> None:
    misspelt: Any = {"digset": bytes(32)}
    with pytest.raises(TypeError, match="digset"):
        mount_image(tiny / "tiny.erofs", [tiny / "objects"], tiny / "target", **misspelt)


def test_a_scratch_that_cannot_be_used(privately: Privately, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def body() -> None:
        monkeypatch.setattr(FsContext, "set_fd", without_descriptors)
        with pytest.raises(MachineError) as caught:
            put(tiny, scratch=tiny / "nowhere")
        assert caught.value.code == "composefs.mount.scratch"

    privately(body)
