# SPDX-License-Identifier: MIT
"""A folder of blobs, `ALGORITHM/HEX`, as an OCI layout has it at `blobs/` and our registry in its storage.

Invariants: a name is given only to complete, durable content with that digest, which is checked here or was by who
commits it; what is read is a regular file inside the folder, reached through no symbolic link, of the size it must
have; a checked reader delivers not one byte more than that size and refuses at the end what does not have the digest.

Out of scope: which blobs are wanted.

    folder = BlobFolder("layout/blobs")
    with folder.writer() as writer:
        writer.write(b"{}")
        digest, size = writer.commit()
    with folder.reader(digest, size) as reader:
        data = reader.read(100)
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress

from powernode.base.durable import sync_folder
from powernode.base.errors import DataError, MachineError
from powernode.oci.digests import check_content, check_digest, digest_of, hasher_for, hex_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

__all__ = [
    "BlobFolder",
    "BlobWriter",
    "CheckedReader",
    "make_folders",
    "on_this_machine",
    "open_regular",
]

_CHUNK = 1 << 20
_OURS = "sha256"
_CAUSES = {errno.ENOSPC: "no-space", errno.EDQUOT: "no-space", errno.EACCES: "permission", errno.EPERM: "permission"}
_NOT_OURS = (errno.ELOOP, errno.ENOTDIR, errno.ENXIO)  # a link, a file for a folder, a socket


class BlobFolder:
    """The folder at `path`; it and its algorithms' folders come to be with the first blob."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)

    def size(self, digest: str) -> int | None:
        """How large the blob is, None when it is not there."""
        try:
            with self._opened(digest) as fd:
                return os.fstat(fd).st_size
        except FileNotFoundError:
            return None

    def open(self, digest: str, size: int | None = None) -> int:
        """A descriptor to read the blob, which has `size` bytes; its content is not checked yet."""
        try:
            with self._opened(digest) as fd:
                found = os.fstat(fd).st_size
                if size is not None and found != size:
                    raise DataError("oci.blob.size", f"the blob {digest}", expected=f"{size} bytes", found=f"{found}")
                return os.dup(fd)
        except FileNotFoundError:
            raise DataError("oci.blob.missing", f"there is no blob {digest} in {self.path}") from None

    def reader(self, digest: str, size: int) -> CheckedReader:
        return CheckedReader(self.open(digest, size), digest, size)

    def writer(self, *, checked: str | None = None) -> BlobWriter:
        """`checked` is the digest of content that the caller has compared with it before it commits."""
        if checked is not None:
            check_digest(checked, what=f"a blob for {self.path}")
        with on_this_machine("write a blob in", self.path):
            return BlobWriter(self.path, checked)

    def put(self, data: bytes) -> tuple[str, int]:
        """Small content at once; what is there already is not written again."""
        digest = digest_of(data)
        if self.size(digest) != len(data):
            with self.writer() as writer:
                writer.write(data)
                writer.commit()
        return digest, len(data)

    def adopt(self, path: str, digest: str) -> None:
        """Take over a file on the same filesystem whose content has been found to have this digest."""
        folder = f"{self.path}/{digest.partition(':')[0]}"
        with on_this_machine("write a blob in", self.path):
            make_folders(folder)
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fchmod(fd, 0o644)
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(path, f"{folder}/{hex_of(digest)}")
            sync_folder(folder)

    def remove(self, digest: str) -> None:
        """For good, whatever happens to the machine then."""
        folder = f"{self.path}/{digest.partition(':')[0]}"
        with on_this_machine("remove a blob from", self.path), suppress(FileNotFoundError):
            os.unlink(f"{folder}/{hex_of(digest)}")
            sync_folder(folder)

    @contextmanager
    def _opened(self, digest: str) -> Iterator[int]:
        check_digest(digest, what=f"a blob in {self.path}")
        algorithm = digest.partition(":")[0]
        folders: list[int] = []
        try:
            folders.append(os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            folders.append(os.open(algorithm, flags, dir_fd=folders[0]))
            folders.append(open_regular(hex_of(digest), folders[1]))
            yield folders[2]
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno in _NOT_OURS:
                raise _hostile(f"{self.path}/{digest.replace(':', '/')}") from None
            raise _machine("read a blob in", self.path, error) from error
        finally:
            for fd in folders:
                os.close(fd)


def open_regular(name: str, folder: int | None) -> int:
    """A descriptor of the regular file `name`; never of what a link leads to, nor of a pipe that would block."""
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise _hostile(name)
    return fd


class CheckedReader:
    """Reads from a descriptor that it owns; the read that reaches the end checks the digest of everything."""

    def __init__(self, fd: int, digest: str, size: int) -> None:
        self._fd = fd
        self._digest = digest
        self._left = size
        self._hasher = hasher_for(digest)
        self._checked = False

    def read(self, size: int = -1, /) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        pieces = []
        while wanted:
            piece = os.read(self._fd, min(wanted, _CHUNK))
            if not piece:
                raise DataError(
                    "oci.blob.size", f"the blob {self._digest} ends early", found=f"{self._left} bytes less"
                )
            self._hasher.update(piece)
            self._left -= len(piece)
            wanted -= len(piece)
            pieces.append(piece)
        if not self._left and not self._checked:
            self._checked = True
            check_content(self._hasher, self._digest)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> CheckedReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class BlobWriter:
    """A blob in the making: `write` as often as you like, then `commit`; without that nothing is left of it."""

    def __init__(self, path: str, checked: str | None = None) -> None:
        self._algorithm = _OURS if checked is None else checked.partition(":")[0]
        self._folder = f"{path}/{self._algorithm}"
        self._checked = checked
        self._hasher = hasher_for(f"{_OURS}:")
        self.size = 0
        make_folders(self._folder)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        self._folder_fd = os.open(self._folder, flags)
        try:
            self._name, self._fd = _temporary(self._folder_fd)
        except BaseException:
            os.close(self._folder_fd)
            raise

    def write(self, data: bytes, /) -> int:
        with on_this_machine("write a blob in", self._folder):
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
        if self._checked is None:
            self._hasher.update(data)
        self.size += len(data)
        return len(data)

    def commit(self) -> tuple[str, int]:
        """The blob's digest and size; it is durable."""
        digits = self._hasher.hexdigest() if self._checked is None else hex_of(self._checked)
        with on_this_machine("write a blob in", self._folder):
            os.fchmod(self._fd, 0o644)
            os.fsync(self._fd)
            os.rename(self._name, digits, src_dir_fd=self._folder_fd, dst_dir_fd=self._folder_fd)
            self._name = ""
            os.fsync(self._folder_fd)
        return f"{self._algorithm}:{digits}", self.size

    def abandon(self) -> None:
        if self._name:
            with suppress(OSError):
                os.unlink(self._name, dir_fd=self._folder_fd)
            self._name = ""
        if self._fd >= 0:
            os.close(self._fd)
            os.close(self._folder_fd)
            self._fd = -1

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abandon()


def make_folders(path: str) -> None:
    """The folder and those above it, so that they survive a power cut."""
    above = os.path.dirname(path)
    if os.path.isdir(path):
        return
    if above and above != path:
        make_folders(above)
    with suppress(FileExistsError):
        os.mkdir(path, 0o755)
    sync_folder(above or ".")


def _temporary(folder: int) -> tuple[str, int]:
    """A new file with a name of its own among those of other writers and of those that were killed."""
    number = 0
    while True:
        name = f".{os.getpid()}-{number}.tmp"
        with suppress(FileExistsError):
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            return name, os.open(name, flags, 0o600, dir_fd=folder)
        number += 1


@contextmanager
def on_this_machine(action: str, path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NOT_OURS:
            raise _hostile(path) from error
        raise _machine(action, path, error) from error


def _machine(action: str, path: str, error: OSError) -> MachineError:
    cause = _CAUSES.get(error.errno or 0, "failed")
    return MachineError(f"oci.storage.{cause}", f"cannot {action} {path}", found=os.strerror(error.errno or 0))


def _hostile(path: str) -> DataError:
    return DataError(
        "oci.blob.not-a-file",
        f"{path} is not what a folder of blobs may hold",
        expected="regular files and folders, no links",
    )
