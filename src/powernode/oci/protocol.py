# SPDX-License-Identifier: MIT
"""What can be asked of a registry, without I/O: manifests, blobs, referrers (OCI distribution 1.1).

Every function here is a generator in the sense of `exchange`. Uploads are in `upload`, the content of blobs in
`download`.

Invariants: a manifest is what its digest says, or, asked for by a tag, what the registry itself says its digest is;
its type is the one in its own bytes. Lists are bounded, in number and in bytes, and come from the repository that was
asked. A registry without the referrers API is served through the fallback tag, which is read again after it was
written: who lists something there has seen it listed.

Out of scope: what manifests mean; deleting; registries that lose a tag's update after it was seen.

    fetched = yield from get_manifest(session, "v1.0.0")
    fetched.descriptor.digest, fetched.data
"""

from __future__ import annotations

import re

from powernode.base.errors import DataError, MachineError
from powernode.base.values import Value
from powernode.oci.digests import digest_of, hasher_for, hex_of, is_digest
from powernode.oci.documents import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    MAX_DOCUMENT_BYTES,
    Descriptor,
    Index,
    parse_document,
)
from powernode.oci.exchange import Ask, Pause, exchange, refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.net.http import Url
    from powernode.oci.exchange import Reply, Session, Steps

__all__ = [
    "Fetched",
    "add_referrer",
    "fallback_tag",
    "get_manifest",
    "get_referrers",
    "has_blob",
    "has_manifest",
    "put_manifest",
]

MAX_REFERRERS = 4096
_MAX_PAGES = 200
_MAX_LIST_BYTES = 2 * MAX_DOCUMENT_BYTES
_LINK = re.compile(r"<([^<>]*)>([^<]*)")
_ACCEPT = ("Accept", ", ".join(sorted(INDEX_TYPES | MANIFEST_TYPES)))


class Fetched(Value):
    """A manifest or index with its bytes; `etag` is what the registry calls this state of a tag."""

    __slots__ = ("data", "descriptor", "etag")

    def __init__(self, descriptor: Descriptor, data: bytes, etag: str | None) -> None:
        self.descriptor = descriptor
        self.data = data
        self.etag = etag


def get_manifest(session: Session, version: str) -> Steps[Fetched | None]:
    """What has this tag or digest; None when nothing has."""
    ask = Ask("GET", session.url(f"manifests/{version}"), headers=[_ACCEPT], max_body=MAX_DOCUMENT_BYTES)
    reply = yield from exchange(session, ask, session.pull)
    if reply.status == 404:
        return None
    if reply.status != 200:
        raise refusal(reply, f"{session.repository}:{version}")
    digest = _digest(reply, version)
    document = parse_document(reply.body, media_type=_media_type(reply))
    descriptor = Descriptor(
        media_type=document.media_type,
        digest=digest,
        size=len(reply.body),
        artifact_type=document.artifact_type,
    )
    return Fetched(descriptor, reply.body, reply.headers.get("etag"))


def has_manifest(session: Session, digest: str) -> Steps[bool]:
    ask = Ask("HEAD", session.url(f"manifests/{digest}"), headers=[_ACCEPT])
    return (yield from _is_there(session, ask, None))


def has_blob(session: Session, descriptor: Descriptor) -> Steps[bool]:
    return (yield from _is_there(session, Ask("HEAD", session.url(f"blobs/{descriptor.digest}")), descriptor))


def put_manifest(
    session: Session, version: str, data: bytes, media_type: str, *, only_if: tuple[str, str] | None = None
) -> Steps[bool]:
    """Store it, if `only_if` (a header) holds. True if the registry lists it as a referrer of its subject."""
    headers = [("Content-Type", media_type)]
    headers += [only_if] if only_if else []
    ask = Ask("PUT", session.url(f"manifests/{version}"), headers=headers, body=data)
    reply = yield from exchange(session, ask, session.push)
    if reply.status != 201:
        raise (
            _ConditionError()
            if reply.status == 412 and only_if
            else refusal(reply, f"storing {session.repository}:{version}")
        )
    check_stated(reply, digest_of(data))
    return reply.headers.get("oci-subject") is not None


def get_referrers(session: Session, digest: str) -> Steps[tuple[Descriptor, ...]]:
    """What says that it is about this digest, by the registry's list, else by the fallback tag."""
    found = None if session.lists_referrers is False else (yield from _listed_referrers(session, digest))
    if found is None:
        tagged = yield from get_manifest(session, fallback_tag(digest))
        found = _entries(tagged)
    return found


def add_referrer(session: Session, referrer: Descriptor, subject: str) -> Steps[None]:
    """List a stored manifest in the fallback tag of its subject, beside what others put there meanwhile."""
    tag = fallback_tag(subject)
    for tried in range(1, session.rules.tries + 2):
        tagged = yield from get_manifest(session, tag)
        entries = _entries(tagged)
        if any(entry.digest == referrer.digest for entry in entries):
            return
        if tried > session.rules.tries:
            break
        if len(entries) >= MAX_REFERRERS:
            raise _too_many(subject)
        index = Index(manifests=(*entries, referrer))
        try:
            yield from put_manifest(session, tag, index.encode(), index.media_type, only_if=_condition(tagged))
        except _ConditionError:
            why = f"somebody else has just changed {tag}"
            yield Pause(
                session.chance() * session.rules.base_s, why=why, number=tried + 1, most=session.rules.tries + 1
            )
    raise MachineError(
        "oci.referrers.contended",
        f"others keep changing {tag}",
        expected=f"{referrer.digest} to be listed there",
        hint="try again",
    )


def fallback_tag(digest: str) -> str:
    """The tag that stands in for the list of referrers."""
    algorithm = digest.partition(":")[0]
    return f"{algorithm[:32]}-{hex_of(digest)[:64]}"


class _ConditionError(Exception):
    """Somebody was faster. Stays inside this module."""


def _condition(tagged: Fetched | None) -> tuple[str, str] | None:
    """That the tag is as it was seen. Registries may overlook conditions, so it is read again anyway."""
    if tagged is None:
        return "If-None-Match", "*"
    is_strong = tagged.etag is not None and tagged.etag.startswith('"')
    return ("If-Match", tagged.etag or "") if is_strong else None


def check_stated(reply: Reply, digest: str) -> None:
    """Refuses a reply about other content than ours."""
    stated = reply.headers.get("docker-content-digest")
    if stated is not None and stated != digest and stated.partition(":")[0] == digest.partition(":")[0]:
        raise DataError(
            "oci.registry.digest", f"{reply.url.authority} speaks of other content", expected=digest,
            found=repr(stated[:150]),
        )  # fmt: skip


def _listed_referrers(session: Session, digest: str) -> Steps[tuple[Descriptor, ...] | None]:
    """By the referrers API; None where there is none."""
    url: Url | None = session.url(f"referrers/{digest}")
    found: dict[str, Descriptor] = {}
    size = 0
    for page in range(_MAX_PAGES):
        if url is None:
            return tuple(found.values())
        reply = yield from exchange(session, Ask("GET", url, max_body=MAX_DOCUMENT_BYTES), session.pull)
        # Registries that are older than the API answer as to any unknown path.
        if page == 0 and (reply.status in (404, 405) or (reply.status == 200 and not _is_index(reply))):
            session.lists_referrers = False
            return None
        if reply.status != 200:
            raise refusal(reply, f"the referrers of {digest}")
        session.lists_referrers = True
        found.update((each.digest, each) for each in Index.parse(reply.body).manifests)
        size += len(reply.body)
        if len(found) > MAX_REFERRERS or size > _MAX_LIST_BYTES:
            break
        url = _next_page(session, reply, url)
    raise _too_many(digest)


def _is_index(reply: Reply) -> bool:
    return _media_type(reply) in INDEX_TYPES


def _entries(tagged: Fetched | None) -> tuple[Descriptor, ...]:
    if tagged is None:
        return ()
    document = parse_document(tagged.data)
    if not isinstance(document, Index):
        raise DataError("oci.referrers.tag", "the tag for referrers names something else", expected="an index")
    return document.manifests


def _is_there(session: Session, ask: Ask, descriptor: Descriptor | None) -> Steps[bool]:
    reply = yield from exchange(session, ask, session.pull)
    if reply.status == 404:
        return False
    if reply.status != 200:
        raise refusal(reply, f"{ask.url.path}")
    if descriptor is not None:
        check_stated(reply, descriptor.digest)
        length = reply.headers.get("content-length")
        if length not in (None, str(descriptor.size)):
            raise DataError(
                "oci.blob.size",
                f"the blob {descriptor.digest} at {reply.url.authority}",
                expected=f"{descriptor.size} bytes",
                found=f"{length}",
            )
    return True


def _digest(reply: Reply, version: str) -> str:
    """The manifest's digest, after it was compared with what was asked for and with what the registry says."""
    if is_digest(version):
        hasher = hasher_for(version)
        hasher.update(reply.body)
        found = f"{version.partition(':')[0]}:{hasher.hexdigest()}"
        if found != version:
            raise DataError("oci.manifest.digest", "another manifest than was asked for", expected=version, found=found)
        return version
    digest = digest_of(reply.body)
    check_stated(reply, digest)
    return digest


def _media_type(reply: Reply) -> str | None:
    stated = (reply.headers.get("content-type") or "").partition(";")[0].strip().lower()
    return stated or None


def _next_page(session: Session, reply: Reply, url: Url) -> Url | None:
    """Where the list goes on: in the same repository of the same registry, or nowhere."""
    for target, parameters in _LINK.findall(", ".join(reply.headers.all("link"))):
        if "rel=next" not in parameters.replace(" ", "").replace('"', ""):
            continue
        following = url.join(target)
        prefix = f"/v2/{session.repository}/"
        if following.origin != session.base.origin or not following.path.startswith(prefix) or following == url:
            raise DataError("oci.link", "the list goes on elsewhere", expected=prefix, found=str(following)[:200])
        return following
    return None


def _too_many(subject: str) -> DataError:
    return DataError(
        "oci.too-many",
        f"too many referrers of {subject}",
        expected=f"at most {MAX_REFERRERS}, on {_MAX_PAGES} pages with {_MAX_LIST_BYTES} bytes in all",
        hint="whoever may push to the repository can add some: remove what is not yours",
    )
