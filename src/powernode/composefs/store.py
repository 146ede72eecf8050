# SPDX-License-Identifier: MIT
"""The content-addressed object store: one file per content, named by its fs-verity digest.

Invariants: `ab/cdef…` holds the content whose digest is `abcdef…`, complete, mode 0644, sealed where the filesystem
can; a name is given only after its content is durable; present objects are never written again.

Out of scope: which objects an image needs (`image`), mounting (`mount`), fetching.

    store = ObjectStore.create("/persist/objects", digest_fd=digest_fd)
    with store.batch(jobs=2) as batch:
        for path, digest in files:
            with open(path, "rb") as source:
                batch.add_fd(source.fileno(), digest)
    store.fsck(digest_fd)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from powernode.composefs._object_batch import Batch, Progress
from powernode.composefs._object_errors import on_this_machine
from powernode.composefs._object_files import can_seal
from powernode.composefs._object_names import FAN_OUT, digest_of, object_path, parse_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.composefs._object_check import FsckReport
    from powernode.composefs._object_gc import GcReport

__all__ = ["Batch", "ObjectStore", "Progress", "digest_of", "object_path"]

_LIST_FROM = 16
"""From this many wanted objects in a folder on, reading the folder is cheaper than asking for each name."""


class ObjectStore:
    """An existing store. `digest_fd` computes the digest of a descriptor where the kernel does not measure it."""

    def __init__(
        self, path: str | os.PathLike[str], *, digest_fd: Callable[[int], bytes] | None = None, seal: bool = True
    ) -> None:
        self.path = os.path.abspath(path)
        self._digest_fd = digest_fd
        self._seal = seal
        self._can_seal: bool | None = None

    @classmethod
    def create(
        cls, path: str | os.PathLike[str], *, digest_fd: Callable[[int], bytes] | None = None, seal: bool = True
    ) -> ObjectStore:
        """The store at `path`, made if it is not there."""
        with on_this_machine("create the object store", os.fspath(path)):
            os.makedirs(path, 0o755, exist_ok=True)
        return cls(path, digest_fd=digest_fd, seal=seal)

    @staticmethod
    def object_path(digest: bytes) -> str:
        """The object's path inside the store: `ab/cdef…`."""
        return object_path(digest)

    def has(self, digest: bytes) -> bool:
        return os.path.lexists(f"{self.path}/{object_path(digest)}")

    def seals(self) -> bool:
        """Whether new objects are sealed: asked for, and possible on this filesystem."""
        if not self._seal:
            return False
        if self._can_seal is None:
            with on_this_machine("write to the object store", self.path):
                self._can_seal = can_seal(self.path)
        return self._can_seal

    def batch(self, *, jobs: int = 1, progress: Progress | None = None) -> Batch:
        """Add many objects at the price of one; `jobs` threads seal."""
        return Batch(self.path, digest_fd=self._digest_fd, seal=self.seals(), jobs=jobs, progress=progress)

    def add_fd(self, fd: int, digest: bytes | None = None, *, recompute: bool = True) -> bytes:
        """Add one object, durable on return; see `Batch.add_fd`."""
        with self.batch() as batch:
            return batch.add_fd(fd, digest, recompute=recompute)

    def add_bytes(self, data: bytes, digest: bytes | None = None, *, recompute: bool = True) -> bytes:
        """Add one object, durable on return; see `Batch.add_fd`."""
        with self.batch() as batch:
            return batch.add_bytes(data, digest, recompute=recompute)

    def digests(self) -> Iterator[bytes]:
        """Every object in the store, in the order of the digests."""
        for folder in FAN_OUT:
            for name in sorted(self._names(folder)):
                digest = parse_name(folder, name)
                if digest is not None:
                    yield digest

    def missing(self, objects: Iterable[bytes]) -> list[bytes]:
        """Those of `objects` (digests or payload paths) that are not here: digests, each once, in first-seen order."""
        wanted = dict.fromkeys(digest_of(reference) for reference in objects)
        folders: dict[int, list[bytes]] = {}
        for digest in wanted:
            folders.setdefault(digest[0], []).append(digest)
        absent: set[bytes] = set()
        for first, digests in folders.items():
            if len(digests) < _LIST_FROM:
                absent.update(digest for digest in digests if not self.has(digest))
            else:
                names = set(self._names(FAN_OUT[first]))
                absent.update(digest for digest in digests if digest.hex()[2:] not in names)
        return [digest for digest in wanted if digest in absent]

    def seal(self, *, jobs: int = 1, progress: Progress | None = None) -> int:
        """Seal every object that is not sealed yet; returns how many. Can be interrupted and called again."""
        from powernode.composefs._object_check import seal_store

        return seal_store(self.path, list(self.digests()), jobs=jobs, progress=progress)

    def fsck(
        self,
        digest_fd: Callable[[int], bytes],
        *,
        repair: bool = False,
        jobs: int = 1,
        progress: Progress | None = None,
    ) -> FsckReport:
        """Read every object and compare; `repair` sets aside what is wrong, seals what is not sealed, and cleans up."""
        from powernode.composefs._object_check import check_store

        return check_store(self.path, digest_fd, repair=repair, jobs=jobs, progress=progress)

    def gc(
        self, keep: Iterable[bytes | Iterable[bytes]], *, dry_run: bool = False, progress: Progress | None = None
    ) -> GcReport:
        """Remove every object that is not in `keep`: digests or payload paths, or lists of them, one per image.

        Refused while somebody writes; call it while no image is between "its objects are there" and "it is listed".
        """
        from powernode.composefs._object_gc import collect

        return collect(self.path, keep, dry_run=dry_run, progress=progress)

    def _names(self, folder: str) -> list[str]:
        try:
            return os.listdir(f"{self.path}/{folder}")
        except (FileNotFoundError, NotADirectoryError):
            return []
