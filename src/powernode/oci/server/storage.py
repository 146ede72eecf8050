# SPDX-License-Identifier: MIT
"""What a registry keeps, in a folder: contents by digest once for all repositories; per repository what it has.

    blobs/sha256/HEX                                   contents
    repositories/NAME/_blobs/sha256/HEX                empty: the repository has this blob
    repositories/NAME/_manifests/sha256/HEX            the manifest's bytes
    repositories/NAME/_tags/TAG                        a digest
    repositories/NAME/_referrers/sha256/HEX/HEX        the descriptor of what is about the first

Invariants: every change is one rename and survives a power cut once it was acknowledged; a manifest is there only while
everything it lists is; a repository gives only what was pushed to it or mounted into it. One process writes.

Out of scope: HTTP (`handler`), uploads (`uploads`). Names were checked by the caller.

    storage = Storage("registry")
    storage.put_manifest("acme/redis", data, parse_document(data), tag="v1"); storage.resolve("acme/redis", "v1")
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress

from powernode.base import canonical
from powernode.base.durable import remove_durably, sync_folder, write_durably
from powernode.base.errors import DataError
from powernode.oci.blobs import BlobFolder, make_folders
from powernode.oci.digests import digest_of, hex_of, is_digest
from powernode.oci.documents import MAX_DOCUMENT_BYTES, Descriptor, Index, Manifest, parse_document
from powernode.oci.reference import is_tag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["InUseError", "MissingError", "NotAsSeenError", "Storage", "parts_of"]

_BLOBS, _MANIFESTS, _TAGS, _REFERRERS = "_blobs", "_manifests", "_tags", "_referrers"
_MAX_LISTED_BYTES = 1 << 20
"""A manifest with more annotations is listed as a referrer without them, so that the list can be read by everybody."""


class MissingError(Exception):
    """A manifest lists what the repository does not have."""


class InUseError(Exception):
    """A manifest lists what is to be deleted."""


class NotAsSeenError(Exception):
    """The tag is not what the request was made for."""


class Storage:
    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.path.abspath(root)
        self.blobs = BlobFolder(f"{self.root}/blobs")
        self._repositories = f"{self.root}/repositories"
        self._lock = threading.RLock()

    def repositories(self) -> list[str]:
        """Those that have a manifest, or had one, in order."""
        found = []
        for folder, names, _ in os.walk(self._repositories):
            if _MANIFESTS in names:
                found.append(os.path.relpath(folder, self._repositories))
            names[:] = [name for name in names if not name.startswith("_")]
        return sorted(found)

    def has_repository(self, repository: str) -> bool:
        return os.path.isdir(f"{self._repositories}/{repository}/{_MANIFESTS}")

    def has_blob(self, repository: str, digest: str) -> bool:
        return os.path.exists(self._path(repository, _BLOBS, digest)) and self.blobs.size(digest) is not None

    def take_blob(self, repository: str, digest: str, path: str) -> None:
        """The file at `path`, which was found to have this digest, is the repository's blob from now on."""
        with self._lock:
            # The mark first: what is marked is not cleaned up, and a mark without content counts for nothing.
            self._mark(repository, digest)
            self.blobs.adopt(path, digest)

    def mount_blob(self, repository: str, digest: str, source: str) -> bool:
        """Whether the repository has the blob from now on because `source` has it."""
        with self._lock:
            if not self.has_blob(source, digest):
                return False
            self._mark(repository, digest)
            return True

    def _mark(self, repository: str, digest: str) -> None:
        mark = self._path(repository, _BLOBS, digest)
        make_folders(os.path.dirname(mark))
        with open(mark, "ab"):
            pass
        sync_folder(os.path.dirname(mark))

    def delete_blob(self, repository: str, digest: str) -> bool:
        """Whether it was there.

        The content goes before the last mark: a mark without content counts for nothing and is removed by the next who
        asks for it, while nobody would ever look for content without a mark.
        """
        with self._lock:
            mark = self._path(repository, _BLOBS, digest)
            if not os.path.exists(mark):
                return False
            if any(digest in parts for parts in self._parts(repository)):
                raise InUseError(digest)
            was_there = self.has_blob(repository, digest)
            if not self._is_elsewhere(repository, digest):
                self.blobs.remove(digest)
            remove_durably(mark)
            return was_there

    def manifest(self, repository: str, digest: str) -> bytes | None:
        with suppress(FileNotFoundError), open(self._path(repository, _MANIFESTS, digest), "rb") as file:
            return file.read(MAX_DOCUMENT_BYTES)
        return None

    def put_manifest(
        self,
        repository: str,
        data: bytes,
        document: Manifest | Index,
        *,
        tag: str | None,
        as_seen: Callable[[str | None], bool] = lambda _: True,
    ) -> str:
        """Keep the manifest, and let the tag name it if `as_seen` says so of what it names now."""
        digest = digest_of(data)
        with self._lock:
            if not as_seen(self.resolve(repository, tag) if tag else None):
                raise NotAsSeenError
            for part in parts_of(document):
                is_manifest = isinstance(document, Index)
                if not (self.has_manifest if is_manifest else self.has_blob)(repository, part):
                    raise MissingError(part)
            self._write(self._path(repository, _MANIFESTS, digest), data)
            if document.subject is not None:
                entry = Descriptor(
                    media_type=document.media_type,
                    digest=digest,
                    size=len(data),
                    annotations=document.annotations,
                    artifact_type=document.kind or None,
                )
                listed = canonical.encode(entry.to_json())
                if len(listed) > _MAX_LISTED_BYTES:
                    listed = canonical.encode(entry.with_annotations({}).to_json())
                self._write(self._referrer(repository, document.subject.digest, digest), listed)
            if tag is not None:
                self._write(f"{self._folder(repository)}/{_TAGS}/{tag}", digest.encode())
        return digest

    def has_manifest(self, repository: str, digest: str) -> bool:
        return os.path.exists(self._path(repository, _MANIFESTS, digest))

    def delete_manifest(self, repository: str, digest: str) -> None:
        """With its tags."""
        with self._lock:
            if any(digest in parts for parts in self._parts(repository)):
                raise InUseError(digest)
            for tag in self.tags(repository):
                if self.resolve(repository, tag) == digest:
                    self.delete_tag(repository, tag)
            data = self.manifest(repository, digest)
            document = parse_document(data) if data is not None else None
            if document is not None and document.subject is not None:
                with suppress(FileNotFoundError):
                    os.unlink(self._referrer(repository, document.subject.digest, digest))
            remove_durably(self._path(repository, _MANIFESTS, digest))

    def tags(self, repository: str) -> list[str]:
        return sorted(name for name in _names(f"{self._folder(repository)}/{_TAGS}") if is_tag(name))

    def resolve(self, repository: str, tag: str) -> str | None:
        with suppress(FileNotFoundError), open(f"{self._folder(repository)}/{_TAGS}/{tag}") as file:
            digest = file.read(200)
            return digest if is_digest(digest) else None
        return None

    def delete_tag(self, repository: str, tag: str) -> None:
        remove_durably(f"{self._folder(repository)}/{_TAGS}/{tag}")

    def referrers(self, repository: str, subject: str, *, after: str) -> Iterator[Descriptor]:
        """In the order of their digests, read one by one; `after` is a digest, or empty."""
        folder = self._path(repository, _REFERRERS, subject)
        for name in sorted(_names(folder)):
            if name.startswith(".") or f"sha256:{name}" <= after:
                continue
            with suppress(FileNotFoundError, DataError), open(f"{folder}/{name}", "rb") as file:
                yield Descriptor.parse(file.read(MAX_DOCUMENT_BYTES))

    def _parts(self, repository: str) -> Iterator[set[str]]:
        """What each manifest of the repository lists."""
        for name in _names(f"{self._folder(repository)}/{_MANIFESTS}/sha256"):
            data = self.manifest(repository, f"sha256:{name}")
            if data is not None and not name.startswith("."):
                yield parts_of(parse_document(data))

    def _is_elsewhere(self, repository: str, digest: str) -> bool:
        """Whether any other repository has the blob."""
        for folder, names, _ in os.walk(self._repositories):
            names[:] = [name for name in names if not name.startswith("_")]
            other = os.path.relpath(folder, self._repositories)
            if other != repository and os.path.exists(self._path(other, _BLOBS, digest)):
                return True
        return False

    def _folder(self, repository: str) -> str:
        return f"{self._repositories}/{repository}"

    def _path(self, repository: str, kind: str, digest: str) -> str:
        return f"{self._folder(repository)}/{kind}/{digest.replace(':', '/')}"

    def _referrer(self, repository: str, subject: str, digest: str) -> str:
        return f"{self._path(repository, _REFERRERS, subject)}/{hex_of(digest)}"

    def _write(self, path: str, data: bytes) -> None:
        make_folders(os.path.dirname(path))
        write_durably(path, data, mode=0o644)


def parts_of(document: Manifest | Index) -> set[str]:
    """The digests of what must be there for the document to be of use; what is licensed to be elsewhere need not be."""
    if isinstance(document, Index):
        return {entry.digest for entry in document.manifests}
    layers = [layer for layer in document.layers if not _is_foreign(layer.media_type)]
    return {part.digest for part in (document.config, *layers)}


def _is_foreign(media_type: str) -> bool:
    return "nondistributable" in media_type or ".foreign." in media_type


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
