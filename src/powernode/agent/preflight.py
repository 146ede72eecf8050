# SPDX-License-Identifier: MIT
"""The last look before the point of no return: can the new root's init be read, and everything it starts with?

Invariants: every byte of /sbin/init, of its interpreter and of every library they name is read through the mounts that
will be the root, so what is missing, tampered with or unreadable is a refusal while another candidate can still be
tried. Paths are resolved inside the new root only. The number of files and of bytes is bounded.

Out of scope: what init loads by itself later (dlopen); whether it works.

    files = preflight("/sysroot", arch="arm64")       # ["/sbin/init", "/lib/ld-linux-aarch64.so.1", …]
"""

from __future__ import annotations

import errno
import os
import stat

from powernode.agent.elf import MACHINES, ElfNeeds, is_elf, read_elf
from powernode.base.errors import DataError

__all__ = ["INIT", "preflight"]

INIT = "/sbin/init"
FOLDERS = ("/proc", "/sys", "/dev", "/run")
"""What is moved into the new root."""

_TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
_FILES_MAX = 256
_FILE_BYTES_MAX = 256 << 20
_CHUNK = 1 << 20
_SCRIPT_LINE_MAX = 256


def preflight(sysroot: str, *, arch: str) -> list[str]:
    """The files that were read."""
    root = os.open(sysroot, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in FOLDERS:
            _check_folder(root, folder)
        return _Walk(root, arch).run()
    finally:
        os.close(root)


class _Walk:
    """From init to everything it names, each file once."""

    def __init__(self, root: int, arch: str) -> None:
        self._root = root
        self._prefix = os.readlink(f"/proc/self/fd/{root}").rstrip("/")
        self._arch = arch
        self._read: list[str] = []
        self._libraries: set[str] = set()
        triplet = _TRIPLETS.get(arch)
        places = ("/lib", "/usr/lib", "/lib64", "/usr/lib64")
        self._places = [f"{place}/{triplet}" for place in places[:2] if triplet] + list(places)

    def run(self) -> list[str]:
        pending = [INIT]
        while pending:
            if len(self._read) >= _FILES_MAX:
                raise DataError("boot.preflight-limit", "init needs too many files", expected=f"{_FILES_MAX} at most")
            path = pending.pop()
            if path in self._read:
                continue
            data, origin = self._content(path, is_program=path == INIT)
            self._read.append(path)
            pending += self._needs(path, data, origin)
        return self._read

    def _needs(self, path: str, data: bytes, origin: str) -> list[str]:
        if data[:2] == b"#!":
            return data[2:_SCRIPT_LINE_MAX].split(b"\n", 1)[0].decode("utf-8", "surrogateescape").split()[:1]
        if not is_elf(data):
            raise DataError("boot.preflight-format", f"{path} in the new root is no program", found=repr(data[:4]))
        needs = read_elf(data)
        if self._arch in MACHINES and needs.machine != MACHINES[self._arch]:
            raise DataError(
                "boot.preflight-arch",
                f"{path} in the new root is for another machine",
                expected=f"{self._arch} ({MACHINES[self._arch]})",
                found=f"ELF machine {needs.machine}",
            )
        found = [needs.interpreter] if needs.interpreter is not None else []
        for name in needs.libraries:
            if name not in self._libraries:
                self._libraries.add(name)
                found.append(self._library(name, path, origin, needs))
        return found

    def _library(self, name: str, wanted_by: str, origin: str, needs: ElfNeeds) -> str:
        if "/" in name:
            return name
        folders = [folder.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for folder in needs.folders]
        for folder in (*folders, *self._places):
            try:
                os.close(self._open(f"{folder}/{name}", os.O_PATH))
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                    raise _unreadable(f"{folder}/{name}", error) from error
            else:
                return f"{folder}/{name}"
        raise DataError(
            "boot.preflight-missing",
            f"the new root has no {name}",
            expected=f"what {wanted_by} needs, in {', '.join(self._places)}",
        )

    def _content(self, path: str, *, is_program: bool) -> tuple[bytes, str]:
        """What is in the file, and the folder it is really in: that is what `$ORIGIN` stands for."""
        try:
            fd = self._open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise _unreadable(path, error) from error
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or (is_program and not status.st_mode & 0o111):
                raise DataError("boot.preflight-format", f"{path} in the new root cannot be run", expected="a program")
            if status.st_size > _FILE_BYTES_MAX:
                raise DataError("boot.preflight-limit", f"{path} in the new root is too large")
            real = os.readlink(f"/proc/self/fd/{fd}").removeprefix(self._prefix)
            return _read_all(fd), os.path.dirname(real)
        except OSError as error:
            raise _unreadable(path, error) from error
        finally:
            os.close(fd)

    def _open(self, path: str, flags: int) -> int:
        from powernode.linux.inroot import open_in_root

        return open_in_root(self._root, path, flags)


def _check_folder(root: int, path: str) -> None:
    from powernode.linux.inroot import open_in_root

    try:
        os.close(open_in_root(root, path, os.O_PATH | os.O_DIRECTORY))
    except OSError as error:
        raise DataError(
            "boot.preflight-folder",
            f"the new root has no directory {path}",
            expected="an empty directory to mount at",
            found=os.strerror(error.errno or 0),
        ) from error


def _read_all(fd: int) -> bytes:
    chunks = []
    while chunk := os.read(fd, _CHUNK):
        chunks.append(chunk)
    return b"".join(chunks)


def _unreadable(path: str, error: OSError) -> DataError:
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
        return DataError("boot.preflight-missing", f"the new root has no {path}", found=os.strerror(error.errno or 0))
    return DataError(
        "boot.preflight-unreadable",
        f"{path} in the new root cannot be read",
        found=os.strerror(error.errno or 0),
        hint="its object was changed, is not sealed, or the disk is damaged: fetch the set again",
    )
