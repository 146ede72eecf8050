# SPDX-License-Identifier: MIT
"""Blobs on their way in: each upload is a folder with what has come so far, so it goes on after any break.

Invariants: an upload belongs to one repository; pieces are appended in order, one writer at a time; it becomes a blob
only with the digest it is said to have; one that nobody touched for a while is removed, and there is a bound to how
many there may be.

    uploads = Uploads("registry/uploads", new_id=lambda: secrets.token_hex(16), now=time.time)
    name = uploads.begin("acme/redis")
    uploads.append("acme/redis", name, body, start=0, most=1 << 30)
    uploads.finish("acme/redis", name, digest, lambda path: storage.take_blob("acme/redis", digest, path))
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from contextlib import contextmanager, suppress

from powernode.base.errors import DataError
from powernode.oci.blobs import make_folders
from powernode.oci.digests import check_content, hasher_for
from powernode.oci.server.messages import RefusedError, error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from powernode.oci.server.messages import Body

__all__ = ["Uploads"]

EXPIRE_S = 24 * 3600
MAX_UPLOADS = 1024
_NAME = re.compile(r"[a-z0-9]{16,64}")
_PIECE = 1 << 18


class Uploads:
    def __init__(self, path: str, *, new_id: Callable[[], str], now: Callable[[], float]) -> None:
        self._path = path
        self._new_id = new_id
        self._now = now
        self._hashed: dict[str, _Hashed] = {}

    def begin(self, repository: str) -> str:
        """A new, empty upload."""
        make_folders(self._path)
        if self._clean_up() >= MAX_UPLOADS:
            raise error(429, "TOOMANYREQUESTS", "too many uploads are under way", headers=[("Retry-After", "60")])
        name = self._new_id()
        os.mkdir(f"{self._path}/{name}", 0o755)
        try:
            with open(f"{self._path}/{name}/repository", "x") as file:
                file.write(repository)
            with open(f"{self._path}/{name}/data", "xb"):
                pass
        except BaseException:
            self.remove(name)  # nobody is told its name, so nobody could go on with it or cancel it
            raise
        return name

    def size(self, repository: str, name: str) -> int:
        return os.stat(self._data(repository, name)).st_size

    def append(self, repository: str, name: str, body: Body, *, start: int | None, most: int) -> int:
        """The body's bytes at the end, which must be `start` when that is said; returns the size then."""
        with self._locked(repository, name) as fd:
            size = os.fstat(fd).st_size
            if start not in (None, size):
                message = f"the upload has {size} bytes"
                raise error(416, "BLOB_UPLOAD_INVALID", message, headers=[("Range", range_of(size))])
            hashed = self._hashed.setdefault(name, _Hashed())
            while piece := body.read(_PIECE):
                if size + len(piece) > most:
                    raise error(413, "SIZE_INVALID", f"a blob may have at most {most} bytes")
                view = memoryview(piece)
                while view:
                    view = view[os.write(fd, view) :]
                if hashed.size == size:
                    hashed.update(piece)
                size += len(piece)
            return size

    def finish(self, repository: str, name: str, digest: str, take: Callable[[str], None]) -> None:
        """What has come becomes a blob: `take` is given the file once its digest is known to be right."""
        with self._locked(repository, name) as fd:
            hashed = self._hashed.pop(name, None)
            if hashed is None or hashed.size > os.fstat(fd).st_size:
                hashed = _Hashed()
            while piece := os.pread(fd, 1 << 20, hashed.size):  # what came before a restart, or broke off
                hashed.update(piece)
            try:
                check_content(hashed.hasher, digest)
            except DataError as wrong:
                self.remove(name)
                raise error(400, "DIGEST_INVALID", f"{wrong.message}: {wrong.found}") from wrong
            os.fsync(fd)  # what takes long had better be done before others must wait
            take(self._data(repository, name))
        self.remove(name)

    def cancel(self, repository: str, name: str) -> None:
        self._data(repository, name)
        self.remove(name)

    def remove(self, name: str) -> None:
        """Whatever is left of an upload with this name, which was `begin`'s."""
        self._hashed.pop(name, None)
        shutil.rmtree(f"{self._path}/{name}", ignore_errors=True)

    def _data(self, repository: str, name: str) -> str:
        """The file of an upload of this repository."""
        with suppress(FileNotFoundError):
            if _NAME.fullmatch(name):
                with open(f"{self._path}/{name}/repository") as file:
                    if file.read(300) == repository and os.path.exists(f"{self._path}/{name}/data"):
                        return f"{self._path}/{name}/data"
        raise _unknown()

    @contextmanager
    def _locked(self, repository: str, name: str) -> Iterator[int]:
        path = self._data(repository, name)
        try:
            fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            raise _unknown() from None
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise error(409, "BLOB_UPLOAD_INVALID", "somebody else is sending a part of it") from None
            if not _is_at(path, fd):  # it became a blob before it was locked: nothing may be written to that
                raise _unknown()
            yield fd
        finally:
            os.close(fd)

    def _clean_up(self) -> int:
        """Removes what expired; returns how many are left."""
        left = 0
        for name in os.listdir(self._path):
            path = f"{self._path}/{name}"
            with suppress(FileNotFoundError):
                data = f"{path}/data"
                touched = os.stat(data if os.path.exists(data) else path).st_mtime
                if self._now() - touched > EXPIRE_S:
                    self.remove(name)
                else:
                    left += 1
        return left


class _Hashed:
    """The hash of an upload's beginning, kept in memory while it comes so that it need not be read again."""

    def __init__(self) -> None:
        self.hasher = hasher_for("sha256:")
        self.size = 0

    def update(self, data: bytes) -> None:
        self.hasher.update(data)
        self.size += len(data)


def _is_at(path: str, fd: int) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(fd))
    return False


def _unknown() -> RefusedError:
    return error(404, "BLOB_UPLOAD_UNKNOWN", "there is no such upload")


def range_of(size: int) -> str:
    """What of an upload is there; by convention an empty one has 0-0, too."""
    return f"0-{max(0, size - 1)}"
