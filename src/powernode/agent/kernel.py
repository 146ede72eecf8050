# SPDX-License-Identifier: MIT
"""The port to the kernel on a real machine: mounts, seals, grows, restarts.

Invariants: as `port.Kernel` has it. What only some boots need is imported where it is needed: the way to a sealed root
pays for nothing else.

    kernel = LinuxKernel()
    kernel.mount_disk("/dev/vda2", "/persist")
"""

from __future__ import annotations

import errno
import os

from powernode.agent.outcome import ImageMount, SealProblem
from powernode.base.errors import DataError, MachineError
from powernode.linux.mount import (
    ATTR_NODEV,
    ATTR_NOSUID,
    ATTR_RDONLY,
    FsContext,
    clone_tree,
    move_mount,
    open_tree,
    set_attributes,
    unmount,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LinuxKernel"]

_NO_PROGRAMS = ATTR_NODEV | ATTR_NOSUID
_MODES = {"kernel-verity": "require", "userspace": "try", "none": "try"}
_HOST_OPTIONS = {"9p": "trans=virtio,version=9p2000.L", "virtiofs": ""}
_OUTPUT_MAX = 2000
_SEAL_CAUSES = {
    errno.ENOENT: "missing",
    errno.ENOTDIR: "missing",
    errno.EBADMSG: "digest",
    errno.ELOOP: "digest",
    errno.EIO: "unreadable",
    errno.EUCLEAN: "unreadable",
}
"""What is wrong with one file; every other errno says that this machine cannot seal."""


class LinuxKernel:
    """`scratch` is a folder for names that mounting needs for a moment."""

    def __init__(self, *, scratch: str = "/run") -> None:
        self._scratch = scratch

    def mount_disk(self, device: str, target: str, *, filesystem: str = "ext4", read_only: bool = False) -> None:
        attributes = _NO_PROGRAMS | (ATTR_RDONLY if read_only else 0)
        with FsContext(filesystem) as context:
            context.set_string("source", device)
            if read_only:
                context.set_flag("ro")
            _attach(context.mount(attributes), target)

    def mount_tmpfs(self, target: str, *, size: str, mode: str) -> None:
        with FsContext("tmpfs") as context:
            context.set_string("size", size)
            context.set_string("mode", mode)
            _attach(context.mount(_NO_PROGRAMS), target)

    def mount_host(self, kind: str, tag: str, target: str, options: str) -> None:
        with FsContext(kind) as context:
            context.set_string("source", tag)
            for option in f"{_HOST_OPTIONS[kind]},{options}".split(","):
                key, equals, value = option.partition("=")
                if equals:
                    context.set_string(key, value)
                elif key:
                    context.set_flag(key)
            _attach(context.mount(_NO_PROGRAMS), target)

    def mount_image(self, image: ImageMount) -> str:
        from powernode import verity
        from powernode.composefs.mount import mount_image

        upper, work = image.upper or (None, None)
        try:
            report = mount_image(
                image.image,
                [image.objects],
                image.target,
                digest=image.digest,
                verity=_MODES[image.floor],  # type: ignore[arg-type]
                digest_fd=lambda fd: verity.digest_fd(fd).value,
                upperdir=upper,
                workdir=work,
                attributes=0 if image.is_root else _NO_PROGRAMS,
                scratch=self._scratch,
                subtree=image.subtree,
            )
        except DataError as error:
            if error.code != "composefs.mount.digest":
                raise
            raise DataError(
                "boot.image-digest", error.message, expected=error.expected, found=error.found, hint=error.hint
            ) from error
        return str(report.enforcement.value)

    def make_read_only(self, target: str) -> None:
        tree = open_tree(target)
        try:
            set_attributes(tree, add=ATTR_RDONLY)
        finally:
            os.close(tree)

    def bind(self, source: str, target: str) -> None:
        _attach(clone_tree(source), target)

    def move(self, source: str, target: str) -> None:
        _attach(open_tree(source), target)

    def unmount(self, target: str) -> None:
        try:
            unmount(target)
        except MachineError as error:
            if error.code != "linux.mount.busy":
                raise
            unmount(target, detach=True)

    def seal(self, folder: str, files: Sequence[tuple[str, bytes]]) -> list[SealProblem]:
        from powernode.linux.seal import refusal, seal_files

        fd = _open_folder(folder)
        try:
            answers = seal_files(fd, files)
        finally:
            os.close(fd)
        problems = []
        fatal: list[tuple[str, int]] = []
        for (name, _), number in zip(files, answers, strict=True):
            if number in _SEAL_CAUSES:
                problems.append(_problem(f"{folder}/{name}", number))
            elif number:
                fatal.append((name, number))
        if fatal:  # what was only given up because of another file's trouble comes last
            raise refusal(*min(fatal, key=lambda each: each[1] == errno.ECANCELED))
        return problems

    def compare(self, folder: str, files: Sequence[tuple[str, bytes]]) -> list[SealProblem]:
        from powernode.verity import digest_files

        problems = []
        results = digest_files([f"{folder}/{name}" for name, _ in files])
        for (name, digest), result in zip(files, results, strict=True):
            if isinstance(result, OSError):
                problems.append(_problem(f"{folder}/{name}", result.errno or errno.EIO))
            elif result.value != digest:
                problems.append(_problem(f"{folder}/{name}", errno.EBADMSG))
        return problems

    def sync(self, folder: str) -> None:
        from powernode.linux.files import syncfs

        fd = _open_folder(folder)
        try:
            syncfs(fd)
        finally:
            os.close(fd)

    def grow(self, mount_point: str, blocks: int) -> None:
        from powernode.linux.ext4grow import grow

        grow(mount_point, blocks)

    def check_disk(self, tool: str, device: str) -> tuple[int, str]:
        reader, writer = os.pipe()
        actions = [(os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_DUP2, writer, 2)]
        try:
            process = os.posix_spawn(tool, [tool, "-p", device], {"PATH": "/sbin:/bin"}, file_actions=actions)
        except OSError as error:
            os.close(reader)
            raise MachineError("persist.e2fsck", f"cannot run {tool}", found=os.strerror(error.errno or 0)) from error
        finally:
            os.close(writer)
        said = b""
        with open(reader, "rb") as output:
            while chunk := output.read1(4096):
                said = (said + chunk)[-_OUTPUT_MAX:]
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), said.decode("utf-8", "replace").strip()

    def restart(self) -> None:
        from powernode.linux.power import restart

        restart()


def _attach(tree: int, target: str) -> None:
    try:
        move_mount(tree, target)
    finally:
        os.close(tree)


def _open_folder(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise MachineError("boot.store", f"cannot open {path}", found=os.strerror(error.errno or 0)) from error


def _problem(path: str, number: int) -> SealProblem:
    found = "another digest" if number == errno.EBADMSG else os.strerror(number)
    return SealProblem(path=path, cause=_SEAL_CAUSES.get(number, "unreadable"), found=found)
