# SPDX-License-Identifier: MIT
"""The image and the object directories behind it as one overlayfs mount, in the way this kernel knows.

Invariants: the newest way is tried first and an older one only where the kernel does not take it, so that no version
number is ever asked for; the result is detached, and a name that was needed on the way is gone again.
Out of scope: whether the image is the right one (`_mount_check`), where the result goes (`mount`).

    tree = mount_overlay(erofs, "", ["/persist/objects"], [("metacopy", "on")], ATTR_RDONLY, "/run")
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from powernode.base.errors import DataError, MachineError
from powernode.linux.mount import MAX_STRING, FsContext, move_mount, unmount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


def overlay_checks_verity(*, insist: bool) -> bool:
    """Whether overlayfs compares the digests in the image with what the kernel measures; a refusal if it must."""
    with FsContext("overlay") as context:
        try:
            context.set_string("verity", "require")
        except MachineError as error:
            if not insist:
                return False
            raise MachineError(
                "composefs.mount.overlay-too-old",
                "this kernel's overlayfs cannot check fs-verity digests",
                expected="Linux 6.6 or later",
                found=error.found,
                hint="boot a newer kernel; verity=try would mount without the check",
            ) from error
    return True


def mount_overlay(
    erofs: int, subtree: str, data: Sequence[str], options: Sequence[tuple[str, str]], attributes: int, scratch: str
) -> int:
    """The detached mount that people see: the image or a `subtree` of it, its `data` directories behind it, and
    whatever `options` say. Redirects in an image are absolute, so that files of a subtree are found all the same."""
    lower_fd = _directory(erofs, subtree)
    try:
        return _mount(erofs, lower_fd, subtree, data, options, attributes, scratch)
    finally:
        os.close(lower_fd)


def _directory(erofs: int, subtree: str) -> int:
    """A descriptor of the directory, by plain names only: a link in the image does not lead out of it."""
    fd = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=erofs)
    for name in filter(None, subtree.split("/")):
        try:
            inner = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        except OSError as error:
            raise DataError(
                "composefs.mount.subtree",
                f"the image has no directory {subtree}",
                found=os.strerror(error.errno or 0),
            ) from error
        finally:
            os.close(fd)
        fd = inner
    return fd


def _mount(
    erofs: int,
    lower_fd: int,
    subtree: str,
    data: Sequence[str],
    options: Sequence[tuple[str, str]],
    attributes: int,
    scratch: str,
) -> int:
    def build(set_lower: Callable[[FsContext], None]) -> int:
        with FsContext("overlay") as context:
            for key, value in options:
                context.set_string(key, value)
            set_lower(context)
            return context.mount(attributes)

    def by_descriptor(context: FsContext) -> None:
        context.set_fd("lowerdir+", lower_fd)
        for path in data:
            context.set_string("datadir+", path)

    # A layer by descriptor came with 6.13, a detached one with 6.15. If the reason is another one, the second attempt
    # meets it again and reports it.
    try:
        return build(by_descriptor)
    except MachineError:
        pass
    with _named(erofs, scratch) as name:
        lower = f"{name}/{subtree}" if subtree else name

        def by_path(context: FsContext) -> None:
            context.set_string("lowerdir+", lower)
            for path in data:
                context.set_string("datadir+", path)

        def in_one_string(context: FsContext) -> None:
            context.set_string("lowerdir", _classic_layers(lower, data))

        try:
            return build(by_path)
        except MachineError as error:
            if error.code != "linux.mount.option":
                raise
        return build(in_one_string)  # before 6.7


def _classic_layers(lower: str, data: Sequence[str]) -> str:
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
def _named(tree: int, scratch: str) -> Iterator[str]:
    """Give a detached mount a path for as long as the block runs."""
    number = 0
    while True:
        name = f"{scratch}/.powernode-mount-{os.getpid()}-{number}"
        try:
            os.mkdir(name, 0o700)
            break
        except FileExistsError:
            number += 1
        except OSError as error:
            raise MachineError(
                "composefs.mount.scratch",
                f"cannot make a directory in {scratch} to mount the image at",
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
