# SPDX-License-Identifier: MIT
"""Mount a composefs image over its objects, enforced by the kernel.

Invariants: the image is measured and mounted through one descriptor, so what was checked is what is mounted; a digest
that is given is always checked, and what cannot be checked is a refusal; nothing appears at the target before all of
it works, and nothing is left behind when it does not. The report says which enforcement was really reached.

`require`  the image is sealed and the kernel checks it and every object at every read; otherwise a refusal.
`try`      the same where the image is sealed and the kernel can; otherwise a digest is compared once, in user space.
`off`      the kernel checks nothing; a digest is compared once, in user space.

Out of scope: which image to trust, sealing (`ObjectStore.seal`), mount namespaces.

    report = mount_image("base.img", ["/persist/objects"], "/sysroot", digest=expected)
    report.enforcement          # Enforcement.KERNEL_VERITY
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from powernode.base.errors import DataError, MachineError, OperatorError
from powernode.linux import fsverity, loop
from powernode.linux.mount import ATTR_RDONLY, MAX_STRING, FsContext, move_mount, unmount

__all__ = ["Enforcement", "MountReport", "mount_image", "prepare_image"]

Path = str | os.PathLike[str]
Verity = Literal["require", "try", "off"]

_MAGIC = 0xD078629A.to_bytes(4, "little")
_CANNOT_SEAL = ("linux.fsverity.no-kernel", "linux.fsverity.no-feature", "linux.fsverity.not-enabled")


class Enforcement(Enum):
    """Who notices a changed byte, from strongest to none."""

    KERNEL_VERITY = "kernel-verity"
    USERSPACE = "userspace"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class MountReport:
    """`digest` is the image's fs-verity digest as it was measured, None if nobody measured it."""

    enforcement: Enforcement
    digest: bytes | None
    backing: Literal["file", "loop"]


def mount_image(
    image_path: Path,
    objects_dirs: Sequence[Path],
    target: Path,
    *,
    digest: bytes | None = None,
    upperdir: Path | None = None,
    workdir: Path | None = None,
    verity: Verity = "require",
    digest_fd: Callable[[int], bytes] | None = None,
    attributes: int = 0,
    scratch: Path = "/run",
) -> MountReport:
    """Mount the image at `target`; parameters as for `prepare_image`."""
    tree, report = prepare_image(
        image_path,
        objects_dirs,
        digest=digest,
        upperdir=upperdir,
        workdir=workdir,
        verity=verity,
        digest_fd=digest_fd,
        attributes=attributes,
        scratch=scratch,
    )
    try:
        move_mount(tree, target)
    finally:
        os.close(tree)
    return report


def prepare_image(
    image_path: Path,
    objects_dirs: Sequence[Path],
    *,
    digest: bytes | None = None,
    upperdir: Path | None = None,
    workdir: Path | None = None,
    verity: Verity = "require",
    digest_fd: Callable[[int], bytes] | None = None,
    attributes: int = 0,
    scratch: Path = "/run",
) -> tuple[int, MountReport]:
    """The image as a detached mount, for `linux.mount.move_mount`; the caller closes the descriptor.

    Read-only without `upperdir` and `workdir`. `digest_fd` computes the fs-verity digest of a descriptor where the
    kernel is not asked. `attributes` are ATTR_* flags of `linux.mount`. Before Linux 6.15 the image needs a name for a
    moment: a directory is made in `scratch` and removed again.
    """
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
    image = _open(image_path, os.O_RDONLY, "image", "the image")
    opened = [image]
    try:
        _check_magic(image, image_path)
        measured, enforcement = _check_digest(image, image_path, digest, verity, digest_fd)
        options = [("source", f"composefs:{measured.hex()}" if measured else "composefs")]
        options += [("metacopy", "on"), ("redirect_dir", "on")]
        data = [_short_path(path, "objects", "the object store", opened) for path in objects_dirs]
        if upperdir is not None and workdir is not None:
            options.append(("upperdir", _short_path(upperdir, "upper", "the upper directory", opened)))
            options.append(("workdir", _short_path(workdir, "upper", "the work directory", opened)))
        else:
            attributes |= ATTR_RDONLY
        erofs, backing = _mount_erofs(image, image_path)
        opened.append(erofs)
        if enforcement is Enforcement.KERNEL_VERITY and not _overlay_checks_verity(verity):
            enforcement = Enforcement.NONE
        if enforcement is Enforcement.KERNEL_VERITY:
            options.append(("verity", "require"))
        tree = _mount_overlay(erofs, data, options, attributes, scratch)
    finally:
        for fd in opened:
            os.close(fd)
    return tree, MountReport(enforcement=enforcement, digest=measured, backing=backing)


def _check_magic(image: int, path: Path) -> None:
    try:
        head = os.pread(image, len(_MAGIC), 0)
    except OSError as error:  # EIO: a sealed image whose first block was changed
        raise DataError(
            "composefs.mount.image-unreadable",
            f"{os.fspath(path)} cannot be read",
            found=os.strerror(error.errno or 0),
            hint="it was changed on the disk or the disk is damaged; fetch the image again",
        ) from error
    if head != _MAGIC:
        raise DataError(
            "composefs.mount.not-an-image",
            f"{os.fspath(path)} is not a composefs image",
            expected=f"the bytes {_MAGIC.hex()} at its start",
            found=head.hex() or "an empty file",
        )


def _check_digest(
    image: int, path: Path, digest: bytes | None, verity: Verity, digest_fd: Callable[[int], bytes] | None
) -> tuple[bytes | None, Enforcement]:
    """The digest of the image by whoever can tell, and the enforcement this allows."""
    name = os.fspath(path)
    measured: bytes | None = None
    enforcement = Enforcement.NONE
    if verity != "off":
        try:
            algorithm, measured = fsverity.measure(image)
        except MachineError as error:
            if error.code not in _CANNOT_SEAL:
                raise
            if verity == "require":
                raise MachineError(
                    "composefs.mount.image-not-sealed",
                    f"the kernel cannot vouch for {name}",
                    expected="an image sealed with fs-verity",
                    found=error.message,
                    hint=error.hint,
                ) from error
        else:
            enforcement = Enforcement.KERNEL_VERITY
            if algorithm != "sha256":
                raise DataError(
                    "composefs.mount.digest-algorithm",
                    f"{name} is sealed with another algorithm",
                    expected="sha256",
                    found=algorithm,
                )
    if digest is None:
        return measured, enforcement
    if measured is None:
        if digest_fd is None:
            raise OperatorError(
                "composefs.mount.digest-unchecked",
                f"a digest for {name} was given and nobody can check it",
                expected="an image sealed with fs-verity, or a digest function",
                hint="seal the image and mount with verity=require",
            )
        measured = digest_fd(image)
        enforcement = Enforcement.USERSPACE
    if measured != digest:
        raise DataError(
            "composefs.mount.digest",
            f"{name} is not the image that was asked for",
            expected=digest.hex(),
            found=measured.hex(),
            hint="fetch the image again; nothing was mounted",
        )
    return measured, enforcement


def _mount_erofs(image: int, path: Path) -> tuple[int, Literal["file", "loop"]]:
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


def _overlay_checks_verity(verity: Verity) -> bool:
    with FsContext("overlay") as context:
        try:
            context.set_string("verity", "require")
        except MachineError as error:
            if verity == "try":
                return False
            raise MachineError(
                "composefs.mount.overlay-too-old",
                "this kernel's overlayfs cannot check fs-verity digests",
                expected="Linux 6.6 or later",
                found=error.found,
                hint="boot a newer kernel; verity=try would mount without the check",
            ) from error
    return True


def _mount_overlay(
    erofs: int, data: Sequence[str], options: Sequence[tuple[str, str]], attributes: int, scratch: Path
) -> int:
    def build(set_lower: Callable[[FsContext], None]) -> int:
        with FsContext("overlay") as context:
            for key, value in options:
                context.set_string(key, value)
            set_lower(context)
            return context.mount(attributes)

    def by_descriptor(context: FsContext) -> None:
        context.set_fd("lowerdir+", erofs)
        for path in data:
            context.set_string("datadir+", path)

    # A layer by descriptor came with 6.13, a detached one with 6.15. If the reason is another one, the second attempt
    # meets it again and reports it.
    try:
        return build(by_descriptor)
    except MachineError:
        pass
    with _named(erofs, scratch) as lower:

        def by_path(context: FsContext) -> None:
            context.set_string("lowerdir+", lower)
            for path in data:
                context.set_string("datadir+", path)

        def in_one_string(context: FsContext) -> None:
            context.set_string("lowerdir", classic_layers(lower, data))

        try:
            return build(by_path)
        except MachineError as error:
            if error.code != "linux.mount.option":
                raise
        return build(in_one_string)  # before 6.7


def classic_layers(lower: str, data: Sequence[str]) -> str:
    """The `lowerdir` option of kernels 6.5 and 6.6: the image, then data-only layers behind `::`."""
    text = "::".join(part.replace("\\", "\\\\").replace(":", "\\:") for part in (lower, *data))
    if len(os.fsencode(text)) > MAX_STRING:
        raise MachineError(
            "composefs.mount.too-many-layers",
            "this kernel takes all layers as one option, and they do not fit",
            expected=f"at most {MAX_STRING} bytes",
            found=f"{len(os.fsencode(text))} bytes",
            hint="use fewer or shorter object directories, or Linux 6.7 or later",
        )
    return text


@contextmanager
def _named(tree: int, scratch: Path) -> Iterator[str]:
    """Give a detached mount a path for as long as the block runs."""
    parent = os.fspath(scratch)
    number = 0
    while True:
        name = f"{parent}/.powernode-mount-{os.getpid()}-{number}"
        try:
            os.mkdir(name, 0o700)
            break
        except FileExistsError:
            number += 1
        except OSError as error:
            raise MachineError(
                "composefs.mount.scratch",
                f"cannot make a directory in {parent} to mount the image at",
                found=os.strerror(error.errno or 0),
                hint="name a writable directory as scratch",
            ) from error
    try:
        move_mount(tree, name)
        try:
            yield name
        finally:
            unmount(name, detach=True)  # the overlay holds its own private copy of the mount
    finally:
        os.rmdir(name)


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
