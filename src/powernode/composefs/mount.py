# SPDX-License-Identifier: MIT
"""Mount a composefs image over its objects, enforced by the kernel.

Invariants: the image is measured and mounted through one descriptor, so what was checked is what is mounted; a digest
that is given is always checked, and what cannot be checked is a refusal; nothing appears at the target before all of
it works, and nothing is left behind when it does not. The report says which enforcement was really reached.

`require`  the image is sealed and the kernel checks it and every object at every read; otherwise a refusal.
`try`      the same where the image is sealed and the kernel can; otherwise a digest is compared once.
`off`      the kernel checks nothing; a digest is compared once, in user space.

Out of scope: which image to trust, sealing (`ObjectStore.seal`), mount namespaces.

    report = mount_image("base.img", ["/persist/objects"], "/sysroot", digest=expected)
    report.enforcement          # Enforcement.KERNEL_VERITY
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, Unpack

from powernode.base.errors import DataError, MachineError, OperatorError
from powernode.composefs._mount_check import Enforcement, Verity, check_digest, check_magic
from powernode.composefs._mount_overlay import mount_overlay, overlay_checks_verity
from powernode.linux import loop
from powernode.linux.mount import ATTR_RDONLY, MAX_STRING, FsContext, move_mount

__all__ = ["Enforcement", "MountOptions", "MountReport", "mount_image", "prepare_image"]

Path = str | os.PathLike[str]
Backing = Literal["file", "loop"]
"""How EROFS reads the image: the file itself, or a loop device over it."""


class MountOptions(TypedDict, total=False):
    """The keyword arguments of `mount_image` and `prepare_image`."""

    digest: bytes | None
    """Refuse every image but the one with this fs-verity digest."""
    verity: Verity
    """`require` unless given."""
    digest_fd: Callable[[int], bytes] | None
    """Computes the fs-verity digest of a descriptor where the kernel is not asked."""
    upperdir: Path | None
    """A writable layer, together with `workdir`; without them the mount is read-only."""
    workdir: Path | None
    attributes: int
    """ATTR_* flags of `linux.mount`."""
    scratch: Path
    """Before Linux 6.15 the image needs a name for a moment: a directory is made here (`/run`) and removed again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MountReport:
    """`digest` is the image's fs-verity digest as it was measured, None if nobody measured it."""

    enforcement: Enforcement
    digest: bytes | None
    backing: Backing


def mount_image(
    image_path: Path, objects_dirs: Sequence[Path], target: Path, **options: Unpack[MountOptions]
) -> MountReport:
    """Mount the image at `target`."""
    tree, report = prepare_image(image_path, objects_dirs, **options)
    try:
        move_mount(tree, target)
    finally:
        os.close(tree)
    return report


def prepare_image(
    image_path: Path, objects_dirs: Sequence[Path], **options: Unpack[MountOptions]
) -> tuple[int, MountReport]:
    """The image as a detached mount, for `linux.mount.move_mount`; the caller closes the descriptor."""
    verity = _checked(options)
    name = os.fspath(image_path)
    image = _open(image_path, os.O_RDONLY, "image", "the image")
    opened = [image]
    try:
        check_magic(image, name)
        measured, enforcement = check_digest(image, name, options.get("digest"), verity, options.get("digest_fd"))
        layout = [("source", f"composefs:{measured.hex()}" if measured else "composefs")]
        layout += [("metacopy", "on"), ("redirect_dir", "on")]
        data = [_short_path(path, "objects", "the object store", opened) for path in objects_dirs]
        attributes = options.get("attributes", 0)
        upperdir, workdir = options.get("upperdir"), options.get("workdir")
        if upperdir is not None and workdir is not None:
            layout.append(("upperdir", _short_path(upperdir, "upper", "the upper directory", opened)))
            layout.append(("workdir", _short_path(workdir, "upper", "the work directory", opened)))
        else:
            attributes |= ATTR_RDONLY
        erofs, backing = _mount_erofs(image, image_path)
        opened.append(erofs)
        if enforcement is Enforcement.KERNEL_VERITY and not overlay_checks_verity(insist=verity == "require"):
            enforcement = Enforcement.NONE
        if enforcement is Enforcement.KERNEL_VERITY:
            layout.append(("verity", "require"))
        tree = mount_overlay(erofs, data, layout, attributes, os.fspath(options.get("scratch", "/run")))
    finally:
        for fd in opened:
            os.close(fd)
    return tree, MountReport(enforcement=enforcement, digest=measured, backing=backing)


def _checked(options: MountOptions) -> Verity:
    """Refuse options that make no sense, before anything is touched; the verity mode of those that do."""
    unknown = options.keys() - MountOptions.__annotations__.keys()
    if unknown:  # nobody may believe that a misspelt digest is checked
        raise TypeError(f"no such options: {', '.join(sorted(unknown))}")
    verity = options.get("verity", "require")
    if verity not in ("require", "try", "off"):
        raise OperatorError(
            "composefs.mount.verity", "no such verity mode", expected="require, try or off", found=repr(verity)
        )
    if (options.get("upperdir") is None) != (options.get("workdir") is None):
        raise OperatorError(
            "composefs.mount.upper",
            "upperdir and workdir only work together",
            hint="give both, on one filesystem, or neither for a read-only mount",
        )
    return verity


def _mount_erofs(image: int, path: Path) -> tuple[int, Backing]:
    """The image behind the descriptor `image` as a detached mount; `path` is for messages."""
    # The magic link names the descriptor that was measured, whatever happens to the path meanwhile.
    try:
        return _erofs(f"/proc/self/fd/{image}", path), "file"
    except MachineError as error:
        # Before 6.12, or without CONFIG_EROFS_FS_BACKED_BY_FILE, EROFS wants a block device and says just that.
        if _errno(error) != errno.ENOTBLK:
            raise
    device = loop.attach(image, name=os.fspath(path))
    try:
        return _erofs(device.path, path), "loop"
    finally:
        os.close(device.fd)


def _erofs(source: str, path: Path) -> int:
    with FsContext("erofs") as context:
        context.set_flag("ro")
        context.set_string("source", source)
        try:
            return context.mount(ATTR_RDONLY)
        except MachineError as error:
            if _errno(error) not in (errno.EINVAL, errno.EUCLEAN, errno.EIO):
                raise
            raise DataError(
                "composefs.mount.image-refused",
                f"the kernel does not accept {os.fspath(path)} as an EROFS image",
                found=error.found,
                hint="fetch the image again",
            ) from error


def _errno(error: MachineError) -> int | None:
    return error.__cause__.errno if isinstance(error.__cause__, OSError) else None


def _short_path(path: Path, code: str, what: str, opened: list[int]) -> str:
    """The absolute path, or the descriptor's magic link where the path is too long for fsconfig."""
    text = os.path.abspath(path)
    fd = _open(text, os.O_PATH | os.O_DIRECTORY, code, what)
    opened.append(fd)
    return text if len(os.fsencode(text)) <= MAX_STRING else f"/proc/self/fd/{fd}"


def _open(path: Path, flags: int, code: str, what: str) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError as error:
        raise MachineError(
            f"composefs.mount.{code}", f"cannot open {what} {os.fspath(path)}", found=os.strerror(error.errno or 0)
        ) from error
