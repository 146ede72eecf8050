# SPDX-License-Identifier: MIT
"""The registry, without sockets: a request in, an answer out (OCI distribution specification 1.1).

Invariants: names, tags and digests are checked by their grammar before they come near a path; every body is bounded;
content is answered only from the repository it was asked of; a manifest is taken only when all it lists is there. What
goes wrong is an answer and no exception.

Out of scope: carrying it (`listen`), who may (`access`).

    handler = Handler(Storage("registry"), new_id=lambda: secrets.token_hex(16), now=time.time)
    answer = handler.handle(Incoming("GET", "/v2/", Headers(), body))
"""

from __future__ import annotations

import json
import os
import re
import threading
from contextlib import contextmanager
from urllib.parse import parse_qs, quote, unquote

from powernode.base import canonical
from powernode.base.errors import DataError, PowernodeError
from powernode.oci.digests import digest_of, hex_of, is_digest
from powernode.oci.documents import INDEX_TYPES, MANIFEST_TYPES, MAX_DOCUMENT_BYTES, Index, parse_document
from powernode.oci.reference import is_repository, is_tag
from powernode.oci.server.access import Everybody
from powernode.oci.server.messages import Answer, FilePart, FileParts, RefusedError, error
from powernode.oci.server.ranges import asked_parts, several
from powernode.oci.server.storage import InUseError, MissingError, NotAsSeenError, Storage
from powernode.oci.server.uploads import Uploads, range_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from powernode.oci.documents import Descriptor
    from powernode.oci.server.access import Access
    from powernode.oci.server.messages import Incoming

__all__ = ["MAX_BLOB_BYTES", "Handler"]

MAX_BLOB_BYTES = 64 << 30
MAX_PAGE = 1000
_MAX_PAGE_BYTES = 3 << 20  # of an index, which everybody reads up to 4 MiB of
_MAX_TARGET = 4096
_JSON = ("Content-Type", "application/json")
_READS = ("GET", "HEAD")
_ROUTES = (
    (re.compile(r"/v2/(?P<name>.+)/manifests/(?P<reference>[^/]+)"), "manifest"),
    (re.compile(r"/v2/(?P<name>.+)/blobs/uploads/?"), "begin"),
    (re.compile(r"/v2/(?P<name>.+)/blobs/uploads/(?P<upload>[^/]+)"), "upload"),
    (re.compile(r"/v2/(?P<name>.+)/blobs/(?P<digest>[^/]+)"), "blob"),
    (re.compile(r"/v2/(?P<name>.+)/referrers/(?P<digest>[^/]+)"), "referrers"),
    (re.compile(r"/v2/(?P<name>.+)/tags/list"), "tags"),
)


class Handler:
    def __init__(
        self,
        storage: Storage,
        *,
        new_id: Callable[[], str],
        now: Callable[[], float],
        access: Access | None = None,
        read_only: bool = False,
        max_blob_bytes: int = MAX_BLOB_BYTES,
    ) -> None:
        self._storage = storage
        self._uploads = Uploads(f"{storage.root}/uploads", new_id=new_id, now=now)
        self._access = access or Everybody()
        self._one_document = threading.Lock()
        """A document takes many times its size in memory: there is one at a time, whatever comes side by side."""
        self._read_only = read_only
        self._max_blob_bytes = max_blob_bytes

    def handle(self, request: Incoming) -> Answer:
        try:
            answer = self._route(request)
        except RefusedError as refused:
            answer = refused.answer
        except (PowernodeError, OSError) as wrong:
            answer = _failure(wrong)
        answer.headers.append(("Docker-Distribution-API-Version", "registry/2.0"))
        if request.method == "HEAD":
            if isinstance(answer.body, FilePart | FileParts):
                answer.body.file.close()
            answer.body = b""
        return answer

    def _route(self, request: Incoming) -> Answer:
        if len(request.target) > _MAX_TARGET:
            raise error(414, "NAME_INVALID", "the address is too long")
        path, _, query = request.target.partition("?")
        try:
            values = parse_qs(query, keep_blank_values=True, max_num_fields=32)
        except ValueError:
            raise error(400, "UNSUPPORTED", "too many fields in the address") from None
        ask = _Ask(request, {key: each[-1] for key, each in values.items()})
        path = unquote(path)
        if path in ("/v2", "/v2/", "/v2/_catalog"):
            self._allow(request, "")
            _require(request, _READS)
            return self._catalog(ask) if path.endswith("_catalog") else Answer(200, headers=[_JSON], body=b"{}")
        for pattern, name in _ROUTES:
            found = pattern.fullmatch(path)
            if found is not None and is_repository(found["name"]):
                self._allow(request, found["name"])
                action: Callable[..., Answer] = getattr(self, f"_{name}")
                return action(ask, **found.groupdict())
        raise error(404, "NAME_INVALID", "there is nothing of that name")

    def _allow(self, request: Incoming, repository: str) -> None:
        writes = request.method not in _READS
        self._access.check(request.headers.get("authorization"), repository, writes=writes)
        if writes and self._read_only:
            raise error(405, "UNSUPPORTED", "the registry is read-only", headers=[("Allow", "GET, HEAD")])

    def _catalog(self, ask: _Ask) -> Answer:
        page, more = ask.page(self._storage.repositories())
        headers = [_JSON, *_next("/v2/_catalog", page, more, ask)]
        return Answer(200, headers=headers, body=json.dumps({"repositories": page}).encode())

    def _tags(self, ask: _Ask, name: str) -> Answer:
        _require(ask.request, _READS)
        if not self._storage.has_repository(name):
            raise error(404, "NAME_UNKNOWN", "there is no such repository")
        page, more = ask.page(self._storage.tags(name))
        headers = [_JSON, *_next(f"/v2/{name}/tags/list", page, more, ask)]
        return Answer(200, headers=headers, body=json.dumps({"name": name, "tags": page}).encode())

    def _referrers(self, ask: _Ask, name: str, digest: str) -> Answer:
        _require(ask.request, _READS)
        subject = _checked(digest)
        wanted = ask.query.get("artifactType")
        headers = [("OCI-Filters-Applied", "artifactType")] if wanted else []
        page: list[Descriptor] = []
        more, most, left = False, ask.most, _MAX_PAGE_BYTES
        for each in self._storage.referrers(name, subject, after=ask.last):
            if wanted and each.artifact_type != wanted:
                continue
            left -= len(canonical.encode(each.to_json()))
            if more := left < 0 or len(page) == most:
                break
            page.append(each)
        digests = [each.digest for each in page]
        index = Index(manifests=tuple(page))
        headers += [("Content-Type", index.media_type), *_next(f"/v2/{name}/referrers/{subject}", digests, more, ask)]
        return Answer(200, headers=headers, body=index.encode())

    def _manifest(self, ask: _Ask, name: str, reference: str) -> Answer:
        method = _require(ask.request, (*_READS, "PUT", "DELETE"))
        if not is_tag(reference):
            _checked(reference)
        if method == "PUT":
            return self._put_manifest(ask.request, name, reference)
        digest = reference if is_digest(reference) else self._storage.resolve(name, reference)
        data = self._storage.manifest(name, digest) if digest is not None else None
        if digest is None or data is None:
            raise error(404, "MANIFEST_UNKNOWN", "there is no such manifest")
        if method == "DELETE":
            if is_tag(reference):
                self._storage.delete_tag(name, reference)
            else:
                with _storage_refusals():
                    self._storage.delete_manifest(name, digest)
            return Answer(202)
        headers = [("Docker-Content-Digest", digest), ("ETag", f'"{digest}"')]
        if ask.request.headers.get("if-none-match") == f'"{digest}"':
            return Answer(304, headers=headers)
        with self._one_document:
            headers.append(("Content-Type", parse_document(data).media_type))
        return Answer(200, headers=headers, body=data, length=len(data))

    def _put_manifest(self, request: Incoming, name: str, reference: str) -> Answer:
        data = _small_body(request, MAX_DOCUMENT_BYTES)
        media_type = (request.headers.get("content-type") or "").partition(";")[0].strip()
        if media_type not in MANIFEST_TYPES | INDEX_TYPES:
            raise error(400, "MANIFEST_INVALID", "the Content-Type is that of no manifest or index")
        with self._one_document:
            return self._put_document(request, name, reference, data, media_type)

    def _put_document(self, request: Incoming, name: str, reference: str, data: bytes, media_type: str) -> Answer:
        try:
            document = parse_document(data)
            if document.media_type != media_type:
                raise DataError("oci.document.media-type", f"the manifest says that it is {document.media_type}")
        except DataError as wrong:
            raise error(400, "MANIFEST_INVALID", str(wrong)[:500]) from wrong
        digest = digest_of(data)
        if is_digest(reference) and reference != digest:
            raise error(400, "DIGEST_INVALID", f"the manifest is {digest}")
        with _storage_refusals():
            self._storage.put_manifest(
                name,
                data,
                document,
                tag=None if is_digest(reference) else reference,
                as_seen=lambda current: _condition_holds(request, current),
            )
        headers = [("Location", f"/v2/{name}/manifests/{digest}"), ("Docker-Content-Digest", digest)]
        headers.append(("ETag", f'"{digest}"'))
        if document.subject is not None:
            headers.append(("OCI-Subject", document.subject.digest))
        return Answer(201, headers=headers)

    def _blob(self, ask: _Ask, name: str, digest: str) -> Answer:
        method = _require(ask.request, (*_READS, "DELETE"))
        digest = _checked(digest)
        if method == "DELETE":
            with _storage_refusals():
                if not self._storage.delete_blob(name, digest):
                    raise _no_blob()
            return Answer(202)
        if not self._storage.has_blob(name, digest):
            raise _no_blob()
        etag = f'"{digest}"'
        headers = [("Docker-Content-Digest", digest), ("ETag", etag), ("Accept-Ranges", "bytes")]
        if ask.request.headers.get("if-none-match") == etag:
            return Answer(304, headers=headers)
        try:
            file = os.fdopen(self._storage.blobs.open(digest), "rb")
        except DataError as wrong:
            if wrong.code != "oci.blob.missing":
                raise
            raise _no_blob() from wrong  # somebody deleted it just now
        try:
            size = os.fstat(file.fileno()).st_size
            parts = []
            if method == "GET" and ask.request.headers.get("if-range") in (None, etag):
                parts = asked_parts(ask.request.headers.get("range"), size)
            if len(parts) > 1:
                boundary = hex_of(digest)  # nothing holds its own digest
                headers.append(("Content-Type", f"multipart/byteranges; boundary={boundary}"))
                return Answer(206, headers=headers, body=several(file, parts, size, boundary))
            headers.append(("Content-Type", "application/octet-stream"))
            if not parts:
                return Answer(200, headers=headers, body=FilePart(file, 0, size), length=size)
            start, length = parts[0]
            headers.append(("Content-Range", f"bytes {start}-{start + length - 1}/{size}"))
            return Answer(206, headers=headers, body=FilePart(file, start, length))
        except BaseException:
            file.close()
            raise

    def _begin(self, ask: _Ask, name: str) -> Answer:
        _require(ask.request, ("POST",))
        digest, source = ask.query.get("mount"), ask.query.get("from")
        if digest is not None and source is not None and is_repository(source) and is_digest(digest):
            self._access.check(ask.request.headers.get("authorization"), source, writes=False)
            if self._storage.mount_blob(name, digest, source):
                return _stored(name, digest)
        if "digest" not in ask.query:
            return self._progress(name, self._uploads.begin(name), 202)
        _checked(ask.query["digest"])
        upload = self._uploads.begin(name)
        try:
            return self._finish(ask, name, upload)
        except BaseException:
            self._uploads.remove(upload)  # all in one request: nobody knows it to go on with it
            raise

    def _upload(self, ask: _Ask, name: str, upload: str) -> Answer:
        method = _require(ask.request, ("GET", "PATCH", "PUT", "DELETE"))
        if method == "DELETE":
            self._uploads.cancel(name, upload)
            return Answer(204)
        if method == "PUT":
            return self._finish(ask, name, upload)
        if method == "PATCH":
            self._append(ask, name, upload)
            return self._progress(name, upload, 202)
        return self._progress(name, upload, 204)

    def _append(self, ask: _Ask, name: str, upload: str) -> None:
        start, _, _ = (ask.request.headers.get("content-range") or "").removeprefix("bytes ").partition("-")
        if start and not (start.isascii() and start.isdigit() and len(start) < 19):
            raise error(400, "BLOB_UPLOAD_INVALID", "the Content-Range cannot be read")
        first = int(start) if start else None
        try:
            self._uploads.append(name, upload, ask.request.body, start=first, most=self._max_blob_bytes)
        except RefusedError as refused:
            if refused.answer.status == 416:
                refused.answer.headers.append(("Location", f"/v2/{name}/blobs/uploads/{upload}"))
            raise

    def _finish(self, ask: _Ask, name: str, upload: str) -> Answer:
        digest = _checked(ask.query.get("digest", ""))
        self._append(ask, name, upload)
        storage = self._storage
        self._uploads.finish(name, upload, digest, lambda path: storage.take_blob(name, digest, path))
        return _stored(name, digest)

    def _progress(self, name: str, upload: str, status: int) -> Answer:
        size = self._uploads.size(name, upload)
        location = f"/v2/{name}/blobs/uploads/{upload}"
        headers = [("Location", location), ("Range", range_of(size)), ("Docker-Upload-UUID", upload)]
        return Answer(status, headers=headers)


class _Ask:
    """A request with its query."""

    def __init__(self, request: Incoming, query: dict[str, str]) -> None:
        self.request = request
        self.query = query

    @property
    def most(self) -> int:
        """How many names to give, by `n`."""
        text = self.query.get("n", str(MAX_PAGE))
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise error(400, "PAGINATION_NUMBER_INVALID", "n is no number")
        return min(int(text), MAX_PAGE)

    @property
    def last(self) -> str:
        """After which name to go on."""
        return self.query.get("last", "")

    def page(self, names: Sequence[str]) -> tuple[list[str], bool]:
        """The part of sorted names that is asked for, and whether there are more."""
        rest = [name for name in names if name > self.last]
        return rest[: self.most], len(rest) > self.most


def _next(path: str, page: Sequence[str], more: bool, ask: _Ask) -> list[tuple[str, str]]:
    if not (page and more):
        return []
    kept = {key: value for key, value in ask.query.items() if key in ("n", "artifactType")}
    query = "&".join(f"{key}={quote(value, safe='')}" for key, value in {**kept, "last": page[-1]}.items())
    return [("Link", f'<{path}?{query}>; rel="next"')]


def _require(request: Incoming, methods: Sequence[str]) -> str:
    if request.method not in methods:
        raise error(405, "UNSUPPORTED", "not here", headers=[("Allow", ", ".join(methods))])
    return request.method


def _checked(digest: str) -> str:
    if not (is_digest(digest) and digest.startswith("sha256:")):
        raise error(400, "DIGEST_INVALID", "not a digest; expected sha256:HEX in lower case")
    return digest


def _small_body(request: Incoming, most: int) -> bytes:
    data = bytearray()  # grows in place: it may come byte by byte
    while piece := request.body.read(most + 1 - len(data)):
        data += piece
        if len(data) > most:
            raise error(413, "SIZE_INVALID", f"a manifest may have at most {most} bytes")
    return bytes(data)


def _condition_holds(request: Incoming, current: str | None) -> bool:
    match, none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    if match is not None and (current is None or match not in ("*", f'"{current}"')):
        return False
    return not (none_match is not None and current is not None and none_match in ("*", f'"{current}"'))


def _no_blob() -> RefusedError:
    return error(404, "BLOB_UNKNOWN", "there is no such blob")


def _stored(name: str, digest: str) -> Answer:
    return Answer(201, headers=[("Location", f"/v2/{name}/blobs/{digest}"), ("Docker-Content-Digest", digest)])


def _failure(wrong: PowernodeError | OSError) -> Answer:
    """What is not the registry's word but its trouble, or that of a head that contradicts itself."""
    code = wrong.code if isinstance(wrong, PowernodeError) else wrong.strerror or "system"
    if code == "net.protocol":
        return error(400, "UNSUPPORTED", str(wrong)).answer
    return error(500, "UNKNOWN", f"the registry failed: {code}").answer


@contextmanager
def _storage_refusals() -> Iterator[None]:
    """What the storage refuses, as answers."""
    try:
        yield
    except MissingError as missing:
        raise error(400, "MANIFEST_BLOB_UNKNOWN", f"{missing} is not in the repository") from missing
    except InUseError as used:
        raise error(409, "DENIED", "a manifest lists it") from used
    except NotAsSeenError as changed:
        raise error(412, "DENIED", "the tag is not what it was") from changed
