# SPDX-License-Identifier: MIT
"""Write many objects, make them durable together, and only then give them their names.

Invariants: an object's name never stands for incomplete or wrong content, whatever instant the power fails at; a batch
that fails leaves no temporary file, and no name of its own before everything was durable; `add_fd` and `add_bytes` may
be called from several threads at once.

How: every object is written in a directory of the batch, which the living batch keeps locked: under the path that it
will have in the store where its digest is known by then, else under a number. `commit` then (1) makes all content
durable with one syncfs, (2) seals every file where the filesystem can and lets the kernel's digest confirm the name,
(3) makes the seals durable, (4) renames, folders as a whole where the store has none of that name, (5) makes the names
durable. An fsync per object would cost a device flush each, which is what makes large stores slow to fill; a small
batch does use fsync, because syncfs also waits for what everybody else has written.

Out of scope: removing objects; who needs them.

    with store.batch() as batch:
        batch.add_fd(fd, digest)
"""

from __future__ import annotations

import fcntl
import itertools
import os
from _thread import allocate_lock  # threading would be a tenth of what the agent imports for a first boot
from collections.abc import Callable

from powernode.base.durable import sync_folder
from powernode.base.errors import InternalError, OperatorError
from powernode.composefs._object_errors import on_this_machine
from powernode.composefs._object_files import (
    make_folder,
    make_locked_folder,
    remove_folder,
    seal_object,
    take_folder,
    wrong_digest,
)
from powernode.composefs._object_names import FAN_OUT, object_path, parse_name
from powernode.linux import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

OBJECT_MODE = 0o644
_FSYNC_AT_MOST = 4

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done, and how many there are."""


class Batch:
    """Use as a context manager: leaving it commits, an exception in it abandons everything."""

    def __init__(
        self,
        root: str,
        *,
        digest_fd: Callable[[int], bytes] | None,
        seal: bool,
        jobs: int,
        progress: Progress | None,
    ) -> None:
        self.written = 0
        self.skipped = 0
        self.sealed = 0
        self._root = root
        self._digest_fd = digest_fd
        self._seal = seal
        self._jobs = max(1, jobs)
        self._progress = progress
        self._pending: dict[bytes, str] = {}
        self._numbers = itertools.count()
        self._open = True
        self._counting = allocate_lock()
        with on_this_machine("open the object store", root):
            self._root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                # Shared with other batches; gc takes it exclusively, so what a batch found present stays present.
                fcntl.flock(self._root_fd, fcntl.LOCK_SH)
                self._folder, self._folder_fd = make_locked_folder(root)
            except BaseException:
                os.close(self._root_fd)
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._open:
            self.commit()
        else:
            self.abandon()

    def has(self, digest: bytes) -> bool:
        """Whether the store holds the object or this batch will add it."""
        return digest in self._pending or os.path.lexists(f"{self._root}/{object_path(digest)}")

    def add_fd(self, fd: int, digest: bytes | None = None, *, recompute: bool = True) -> bytes:
        """Add the content of `fd` from its start; returns its digest.

        An object that is there already is skipped. Where the kernel does not measure the copy, `digest_fd` does, unless
        `recompute` is false: that is for callers who have just computed `digest` from the same open file.
        """

        def copy(file: int) -> None:
            files.copy(fd, file)

        return self._add(copy, digest, recompute)

    def add_bytes(self, data: bytes, digest: bytes | None = None, *, recompute: bool = True) -> bytes:
        """Add `data`; otherwise as `add_fd`."""
        return self._add(lambda file: files.write_all(file, data), digest, recompute)

    def add_written(self, write: Callable[[int], bytes], digest: bytes | None = None) -> bytes:
        """Add what `write` writes to the descriptor that it is given; it answers with the digest of that.

        `digest` is what it will be, where that is known. What `write` raises is passed on, and nothing is kept.
        """
        return self._add(write, digest, False)

    @property
    def places(self) -> tuple[int, int]:
        """Descriptors of the store and of the batch's own directory, for the C library's scan."""
        return self._root_fd, self._folder_fd

    def adopt(self) -> None:
        """Take what somebody trusted wrote into the batch's directory, complete and with its path inside the store."""
        with on_this_machine("write to the object store", self._root):
            for folder in self._staged_folders():
                with os.scandir(f"{self._folder}/{folder}") as entries:
                    for entry in entries:
                        digest = parse_name(folder, entry.name)
                        if digest is not None and digest not in self._pending:
                            self._pending[digest] = entry.path
                            self.written += 1

    def commit(self) -> None:
        """Make everything durable and visible, in this order; ends the batch."""
        if not self._open:
            raise InternalError("composefs.store.batch-over", "the batch is over already")
        try:
            if self._pending:
                with on_this_machine("write to the object store", self._root):
                    self._publish()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Remove what was not committed; ends the batch. Calling it again does nothing."""
        if not self._open:
            return
        self._open = False
        try:
            with on_this_machine("clean up in the object store", self._root):
                remove_folder(self._folder)
        finally:
            os.close(self._folder_fd)
            os.close(self._root_fd)

    def _add(self, fill: Callable[[int], bytes | None], digest: bytes | None, recompute: bool) -> bytes:
        if not self._open:
            raise InternalError("composefs.store.batch-over", "the batch is over already")
        if digest is not None and self.has(digest):
            self._count(new=False)
            return digest
        with on_this_machine("write to the object store", self._root):
            temporary, copy = self._create(digest)
            unknown = digest is None
            try:
                os.fchmod(copy, OBJECT_MODE)  # whatever the umask
                digest = fill(copy) or digest
                if digest is None or (recompute and not self._seal):
                    digest = self._computed(copy, digest)
            except BaseException:
                os.unlink(temporary)
                raise
            finally:
                os.close(copy)
            # Two threads may have written the same object; the first one to get here keeps its file. If another batch
            # has just given it its name, that is given once more.
            if (unknown and self.has(digest)) or self._pending.setdefault(digest, temporary) != temporary:
                os.unlink(temporary)
                self._count(new=False)
            else:
                self._count(new=True)
        return digest

    def _create(self, digest: bytes | None) -> tuple[str, int]:
        """A new file, with the path that it will have in the store where that is known already."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        if digest is not None:
            path = f"{self._folder}/{object_path(digest)}"
            if not os.path.isdir(os.path.dirname(path)):
                make_folder(os.path.dirname(path))
            try:
                return path, os.open(path, flags, OBJECT_MODE)
            except FileExistsError:
                pass  # another thread is at the same object; whoever is first names its own
        path = f"{self._folder}/{next(self._numbers)}"
        return path, os.open(path, flags, OBJECT_MODE)

    def _count(self, *, new: bool) -> None:
        with self._counting:
            self.written += new
            self.skipped += not new

    def _computed(self, copy: int, expected: bytes | None) -> bytes:
        if self._digest_fd is None:
            raise OperatorError(
                "composefs.store.no-digest",
                "nobody can compute the object's digest here",
                expected="a filesystem with fs-verity and a digest to check, or a digest function",
            )
        computed = self._digest_fd(copy)
        if expected is not None and computed != expected:
            raise wrong_digest(expected, computed)
        return computed

    def _publish(self) -> None:
        few = len(self._pending) <= _FSYNC_AT_MOST
        self._sync_content(few)
        if self._seal:
            self._seal_all()
            self._sync_content(few)
        folders = self._name_all()
        if few:
            for folder in sorted(folders):
                sync_folder(f"{self._root}/{folder}")
            os.fsync(self._root_fd)
        else:
            files.syncfs(self._root_fd)

    def _name_all(self) -> set[str]:
        """Give everything its name in the store; returns the folders that changed."""
        # A folder that the store lacks is moved as it is: one rename in place of hundreds, for a new store.
        taken = {
            folder
            for folder in self._whole_folders()
            if take_folder(f"{self._folder}/{folder}", f"{self._root}/{folder}")
        }
        made = set(taken)
        for done, (digest, temporary) in enumerate(self._pending.items(), 1):
            path = object_path(digest)
            folder = path[:2]
            if folder not in made:
                made.add(folder)
                make_folder(f"{self._root}/{folder}")
            if folder not in taken or not temporary.endswith(path):
                os.rename(temporary, f"{self._root}/{path}")
            self._tell("name", done)
        return made

    def _staged_folders(self) -> list[str]:
        return [folder for folder in FAN_OUT if os.path.isdir(f"{self._folder}/{folder}")]

    def _whole_folders(self) -> list[str]:
        """Those of the batch's directory in which everything is pending, under its name."""
        staged = dict.fromkeys(self._staged_folders(), 0)
        for digest, path in self._pending.items():
            if path.endswith(object_path(digest)):
                staged[digest.hex()[:2]] += 1
        return [folder for folder, count in staged.items() if len(os.listdir(f"{self._folder}/{folder}")) == count]

    def _sync_content(self, few: bool) -> None:
        if not few:
            files.syncfs(self._root_fd)
            return
        for temporary in self._pending.values():
            fd = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def _seal_all(self) -> None:
        items = list(self._pending.items())
        if self._jobs == 1 or len(items) == 1:
            for done, (digest, temporary) in enumerate(items, 1):
                seal_object(temporary, digest)
                self._tell("seal", done)
        else:
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(self._jobs) as pool:  # the ioctl hashes in the kernel, without the interpreter
                for done, _ in enumerate(pool.map(lambda item: seal_object(item[1], item[0]), items), 1):
                    self._tell("seal", done)
        self.sealed = len(items)

    def _tell(self, what: str, done: int) -> None:
        if self._progress is not None:
            self._progress(what, done, len(self._pending))
