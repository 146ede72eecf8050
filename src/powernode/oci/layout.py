# SPDX-License-Identifier: MIT
"""An OCI image layout: artifacts in a folder (`oci-layout`, `index.json`, `blobs/`) that every container tool reads.

Invariants: `index.json` changes as a whole and only after what it names is durable; what is read has the size and the
digest of its descriptor; nothing is reached through a symbolic link inside the layout. Several writers wait for each
other.

Out of scope: what the artifacts mean; removing blobs that nothing names.

    layout = Layout.create("build/oci")
    config = layout.put(b"{}", EMPTY_CONFIG)
    manifest = layout.put(Manifest(config=config, layers=()).encode(), IMAGE_MANIFEST)
    layout.add(manifest, name="v1.0.0")
    layout.read(layout.resolve("v1.0.0"), max_bytes=1 << 20), layout.referrers(manifest.digest)
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress

from powernode.base import canonical
from powernode.base.durable import write_durably
from powernode.base.errors import DataError, OperatorError
from powernode.base.fields import Fields
from powernode.oci.blobs import BlobFolder, BlobWriter, CheckedReader, make_folders, on_this_machine, open_regular
from powernode.oci.digests import is_digest
from powernode.oci.documents import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    MAX_DOCUMENT_BYTES,
    REF_NAME,
    Descriptor,
    Index,
    Manifest,
    parse_document,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO, Protocol

    from powernode.oci.documents import Platform

    class Readable(Protocol):
        def read(self, size: int, /) -> bytes: ...


__all__ = ["INDEX", "MARKER", "Layout"]

MARKER, INDEX, BLOBS = "oci-layout", "index.json", "blobs"
_VERSION = "1.0.0"
_CHUNK = 1 << 20
_MAX_MARKER_BYTES = 4096


class Layout:
    """A layout that is there; `create` makes one."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.blobs = BlobFolder(f"{self.path}/{BLOBS}")
        self._check_marker()

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> Layout:
        """The layout at `path`, made there if there is none; refused where something else is."""
        name = os.fspath(path)
        with on_this_machine("make the layout", name):
            os.makedirs(name, 0o755, exist_ok=True)
        with _locked(name):
            _complete(name)
        return cls(name)

    @staticmethod
    def is_there(path: str | os.PathLike[str]) -> bool:
        return os.path.lexists(f"{os.fspath(path)}/{MARKER}")

    def put(
        self,
        content: bytes | Readable,
        media_type: str,
        *,
        annotations: Mapping[str, str] | None = None,
        artifact_type: str | None = None,
        platform: Platform | None = None,
    ) -> Descriptor:
        """Keep bytes, or what a file has from here on; what is there already is not written again."""
        if isinstance(content, bytes):
            digest, size = self.blobs.put(content)
        else:
            with self.blobs.writer() as writer:
                while piece := content.read(_CHUNK):
                    writer.write(piece)
                digest, size = writer.commit()
        return Descriptor(
            media_type=media_type,
            digest=digest,
            size=size,
            annotations=annotations,
            artifact_type=artifact_type,
            platform=platform,
        )

    def receiver(self, descriptor: Descriptor) -> BlobWriter:
        """For a blob that the caller checks while it comes: nothing is hashed twice."""
        return self.blobs.writer(checked=descriptor.digest)

    def has(self, descriptor: Descriptor) -> bool:
        """Whether a blob of that digest and size is there; its content is checked when it is read."""
        return self.blobs.size(descriptor.digest) == descriptor.size

    def open(self, descriptor: Descriptor) -> CheckedReader:
        """The content as a stream; the digest is checked by the read that reaches the end."""
        return self.blobs.reader(descriptor.digest, descriptor.size)

    def open_verified(self, descriptor: Descriptor) -> BinaryIO:
        """The content as a file to seek in, read through once to check its digest first."""
        file = self.open_unverified(descriptor)
        try:
            with CheckedReader(os.dup(file.fileno()), descriptor.digest, descriptor.size) as reader:
                while reader.read(_CHUNK):
                    pass
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    def open_unverified(self, descriptor: Descriptor) -> BinaryIO:
        """The same, for who checks the digest while reading: only the size was looked at."""
        return os.fdopen(self.blobs.open(descriptor.digest, descriptor.size), "rb")

    def read(self, descriptor: Descriptor, *, max_bytes: int) -> bytes:
        if descriptor.size > max_bytes:
            raise DataError(
                "oci.blob.too-large",
                f"the content {descriptor.digest}",
                expected=f"at most {max_bytes} bytes",
                found=f"{descriptor.size}",
            )
        with self.open(descriptor) as reader:
            return reader.read()

    def document(self, descriptor: Descriptor) -> Manifest | Index:
        """The manifest or index, which must be of the type its descriptor says."""
        data = self.read(descriptor, max_bytes=MAX_DOCUMENT_BYTES)
        return parse_document(data, media_type=descriptor.media_type)

    def entries(self) -> tuple[Descriptor, ...]:
        """What `index.json` lists."""
        return self._index().manifests

    def add(self, descriptor: Descriptor, name: str | None = None) -> None:
        """List it; a `name` is taken from whatever had it before."""
        if not self.has(descriptor):
            raise DataError("oci.blob.missing", f"there is no blob {descriptor.digest} in {self.path}")
        annotations = {key: value for key, value in descriptor.annotations.items() if key != REF_NAME}
        if name is not None:
            annotations[REF_NAME] = name
        entry = descriptor.with_annotations(annotations)
        with _locked(self.path):
            index = self._index()
            kept = [other for other in index.manifests if not _replaced(other, entry)]
            if name is None and any(other.digest == entry.digest for other in kept):
                return
            listed = Index(manifests=(*kept, entry), media_type=index.media_type, annotations=index.annotations)
            write_durably(f"{self.path}/{INDEX}", listed.encode(), mode=0o644)

    def resolve(self, version: str) -> Descriptor:
        """The one entry with this name or digest."""
        entries = self.entries()
        if is_digest(version):
            found = [entry for entry in entries if entry.digest == version][:1]
        else:
            found = [entry for entry in entries if entry.annotations.get(REF_NAME) == version]
        if not found:
            names = sorted({entry.annotations[REF_NAME] for entry in entries if REF_NAME in entry.annotations})
            raise OperatorError(
                "oci.layout.no-such-name",
                f"{self.path} has no {version[:150]}",
                expected=", ".join(names)[:500] or "a digest: the layout has no names",
            )
        if len({entry.digest for entry in found}) > 1:
            digests = ", ".join(entry.digest for entry in found)
            raise DataError("oci.layout.ambiguous", f"{version} stands for several things", found=digests)
        return found[0]

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """What in `index.json` has this as its subject; `artifact_type` and annotations as a registry lists them."""
        found: dict[str, Descriptor] = {}
        for entry in self.entries():
            if entry.digest == digest or entry.media_type not in MANIFEST_TYPES | INDEX_TYPES:
                continue
            document = self.document(entry)
            if document.subject is not None and document.subject.digest == digest:
                found[entry.digest] = Descriptor(
                    media_type=entry.media_type,
                    digest=entry.digest,
                    size=entry.size,
                    annotations=document.annotations,
                    artifact_type=document.kind or None,
                )
        return tuple(found.values())

    def _index(self) -> Index:
        return Index.parse(self._small(INDEX, MAX_DOCUMENT_BYTES))

    def _check_marker(self) -> None:
        value = canonical.decode(
            self._small(MARKER, _MAX_MARKER_BYTES), what=f"{MARKER} of {self.path}", max_bytes=_MAX_MARKER_BYTES
        )
        version = Fields(value, code="oci.layout", what=MARKER).text("imageLayoutVersion", longest=100)
        if version != _VERSION:
            raise DataError("oci.layout.version", f"{self.path} is a newer layout", expected=_VERSION, found=version)

    def _small(self, name: str, most: int) -> bytes:
        path = f"{self.path}/{name}"
        with on_this_machine("read", path), suppress(FileNotFoundError):
            with os.fdopen(open_regular(path, None), "rb") as file:
                data = file.read(most + 1)
            if len(data) > most:
                raise DataError("oci.layout.too-large", path, expected=f"at most {most} bytes")
            return data
        raise OperatorError("oci.layout.none", f"{self.path} is no OCI layout", expected=f"{MARKER}, {INDEX}, {BLOBS}/")


def _complete(path: str) -> None:
    """An empty layout in the folder, if there is none."""
    with on_this_machine("make the layout", path):
        names = set(os.listdir(path))
        if MARKER in names:
            return
        if names - {INDEX, BLOBS}:  # those two are left when the power failed in here
            raise OperatorError("oci.layout.not-empty", f"{path} holds something else", hint="name a new folder")
        make_folders(f"{path}/{BLOBS}/sha256")
    write_durably(f"{path}/{INDEX}", Index(manifests=()).encode(), mode=0o644)
    write_durably(f"{path}/{MARKER}", canonical.encode({"imageLayoutVersion": _VERSION}), mode=0o644)


@contextmanager
def _locked(path: str) -> Iterator[None]:
    with on_this_machine("lock the layout", path):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _replaced(old: Descriptor, new: Descriptor) -> bool:
    """Whether the new entry takes the place of the old one: it takes its name, or is the same and gives it one."""
    name, taken = old.annotations.get(REF_NAME), new.annotations.get(REF_NAME)
    return (taken is not None and name == taken) or (name is None and old.digest == new.digest and taken is not None)
