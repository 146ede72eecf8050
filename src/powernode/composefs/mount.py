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

from powernode.base.errors import DataError, MachineError, OperatorError
from powernode.base.values import Value
from powernode.composefs._mount_check import Enforcement, check_digest, check_magic
from powernode.composefs._mount_overlay import mount_overlay, overlay_checks_verity
from powernode.linux.mount import ATTR_RDONLY, MAX_STRING, FsContext, move_mount

TYPE_CHECKING = False
if TYPE_CHECKING:  # this module is on the boot path: typing and dataclasses would cost more than the mount does
    from collections.abc import Callable, Sequence
    from typing import Literal, TypedDict, Unpack

    from powernode.composefs._mount_check import Verity

    Path = str | os.PathLike[str]
    Backing = Literal["file", "loop"]

    class MountOptions(TypedDict, total=False):
        """The keyword arguments of `mount_image` and `prepare_image`; `_Options` has their defaults."""

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
        """Before Linux 6.15 the image needs a name for a moment: a directory is made here and removed again."""
        subtree: str
        """Only this directory of the image: for a writable layer of its own, which an overlay over the whole mount
        cannot be, because EROFS in a file and one overlay are all the depth the kernel stacks."""


__all__ = ["Enforcement", "MountReport", "mount_image", "prepare_image"]


class MountReport(Value):
    """`digest` is the image's fs-verity digest as it was measured, None if nobody measured it; `backing` is how EROFS
    reads the image: the file itself, or a loop device over it."""

    __slots__ = ("backing", "digest", "enforcement")

    def __init__(self, *, enforcement: Enforcement, digest: bytes | None, backing: Backing) -> None:
        self.enforcement = enforcement
        self.digest = digest
        self.backing = backing


class _Options:
    """The options with their defaults; those that make no sense are refused before anything is touched."""

    def __init__(
        self,
        *,
        digest: bytes | None = None,
        verity: Verity = "require",
        digest_fd: Callable[[int], bytes] | None = None,
        upperdir: Path | None = None,
        workdir: Path | None = None,
        attributes: int = 0,
        scratch: Path = "/run",
        subtree: str = "",
    ) -> None:
        if verity not in ("require", "try", "off"):
            raise OperatorError(
                "composefs.mount.verity", "no such verity mode", expected="require, try or off", found=repr(verity)
            )
        if (upperdir is None) != (workdir is None):
            raise OperatorError(
                "composefs.mount.upper",
                "upperdir and workdir only work together",
                hint="give both, on one filesystem, or neither for a read-only mount",
            )
        if subtree and not {"", ".", ".."}.isdisjoint(subtree.split("/")):
            raise OperatorError(
                "composefs.mount.subtree", "this is no directory of an image", expected="a/b", found=repr(subtree)
            )
        self.digest = digest
        self.verity: Verity = verity
        self.digest_fd = digest_fd
        self.layers = None if upperdir is None or workdir is None else (upperdir, workdir)
        self.attributes = attributes
        self.scratch = os.fspath(scratch)
        self.subtree = subtree


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
    chosen = _Options(**options)
    name = os.fspath(image_path)
    image = _open(image_path, os.O_RDONLY, "image", "the image")
    opened = [image]
    try:
        check_magic(image, name)
        measured, enforcement = check_digest(image, name, chosen.digest, chosen.verity, chosen.digest_fd)
        layout = [("source", f"composefs:{measured.hex()}" if measured else "composefs")]
        layout += [("metacopy", "on"), ("redirect_dir", "on")]
        data = [_short_path(path, "objects", "the object store", opened) for path in objects_dirs]
        attributes = chosen.attributes
        if chosen.layers is not None:
            layout.append(("upperdir", _short_path(chosen.layers[0], "upper", "the upper directory", opened)))
            layout.append(("workdir", _short_path(chosen.layers[1], "upper", "the work directory", opened)))
        else:
            attributes |= ATTR_RDONLY
        erofs, backing = _mount_erofs(image, image_path)
        opened.append(erofs)
        if enforcement is Enforcement.KERNEL_VERITY and not overlay_checks_verity(insist=chosen.verity == "require"):
            enforcement = Enforcement.NONE
        if enforcement is Enforcement.KERNEL_VERITY:
            layout.append(("verity", "require"))
        tree = mount_overlay(erofs, chosen.subtree, data, layout, attributes, chosen.scratch)
    finally:
        for fd in opened:
            os.close(fd)
    return tree, MountReport(enforcement=enforcement, digest=measured, backing=backing)


def _mount_erofs(image: int, path: Path) -> tuple[int, Backing]:
    """The image behind the descriptor `image` as a detached mount; `path` is for messages."""
    # The magic link names the descriptor that was measured, whatever happens to the path meanwhile.
    try:
        return _erofs(f"/proc/self/fd/{image}", path), "file"
    except MachineError as error:
        # Before 6.12, or without CONFIG_EROFS_FS_BACKED_BY_FILE, EROFS wants a block device and says just that.
        if _errno(error) != errno.ENOTBLK:
            raise
    from powernode.linux import loop

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
