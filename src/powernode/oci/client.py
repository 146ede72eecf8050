# SPDX-License-Identifier: MIT
"""A repository in a registry, for those who want to fetch from it or push to it: the shell around `protocol`.

Invariants: every result was checked against the digest that names it; all sizes are bounded; what may be tried again
is, after a pause. Threads may share one. Waiting and chance are arguments; nothing is read from the environment.

Out of scope: which artifact to believe (`trust`), where passwords are kept (`credentials`).

    registry = Registry(transport, Reference.parse("registry.example.com/acme/redis"), sleep=time.sleep, chance=random)
    fetched = registry.manifest("v1.0.0")
    with open("layer", "wb") as sink:
        registry.fetch_blob(Manifest.parse(fetched.data).layers[0], sink)
"""

from __future__ import annotations

import os

from powernode.base.errors import DataError, OperatorError, PowernodeError
from powernode.net.http import Request, Url
from powernode.net.retry import RULES, Rules, pause_after_error
from powernode.oci import protocol
from powernode.oci.digests import digest_of
from powernode.oci.documents import Descriptor
from powernode.oci.download import Download, check_range, range_header
from powernode.oci.exchange import MAX_ERROR_BYTES, Ask, Pause, Reply, Session, exchange, pause_before, refusal
from powernode.oci.protocol import Fetched
from powernode.oci.upload import CHUNK_BYTES, mount, upload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol, TypeVar

    from powernode.net.http import Readable, Response, Transport
    from powernode.oci.challenge import Credentials
    from powernode.oci.digests import Hasher
    from powernode.oci.exchange import Scope, Steps
    from powernode.oci.reference import Reference
    from powernode.oci.upload import Source

    _T = TypeVar("_T")

    class SeekableFile(Readable, Protocol):
        def seek(self, offset: int, whence: int = 0, /) -> int: ...

    class Sink(Protocol):
        def write(self, data: bytes, /) -> object: ...


__all__ = ["Fetched", "FileSource", "Registry", "base_url"]

_PIECE = 1 << 17


def base_url(registry: str, *, plain_http: bool | None = None) -> Url:
    """Where a registry is asked: https, but on this machine plain http unless told otherwise."""
    if plain_http is None:
        host = Url.parse(f"http://{registry}/").host
        plain_http = host in ("localhost", "::1") or (host.startswith("127.") and host.replace(".", "").isdigit())
    return Url.parse(f"{'http' if plain_http else 'https'}://{registry}/")


class FileSource:
    """A blob in a file; `open_file` gives it anew whenever a part must be sent."""

    def __init__(self, open_file: Callable[[], SeekableFile]) -> None:
        self._open = open_file

    def part(self, start: int, length: int) -> _Part:
        return _Part(self._open, start, length)


class _Part:
    def __init__(self, open_file: Callable[[], SeekableFile], start: int, size: int) -> None:
        self._open_file = open_file
        self._start = start
        self.size = size

    def open(self) -> SeekableFile:
        file = self._open_file()
        file.seek(self._start, os.SEEK_SET)
        return file


class _BytesSource:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def part(self, start: int, length: int) -> bytes:
        return self._data[start : start + length]


class Registry:
    """The repository of `reference`; its tag and digest do not matter here."""

    def __init__(
        self,
        transport: Transport,
        reference: Reference,
        credentials: Credentials | None = None,
        *,
        sleep: Callable[[float], None],
        chance: Callable[[], float],
        plain_http: bool | None = None,
        rules: Rules = RULES,
        chunk_bytes: int = CHUNK_BYTES,
        on_pause: Callable[[Pause], None] = lambda _: None,
    ) -> None:
        """`on_pause` is told of each pause before it: a registry may ask for minutes."""
        self.reference = reference
        self.transport = transport
        self._sleep = sleep
        self._on_pause = on_pause
        self._rules = rules
        self._chunk_bytes = chunk_bytes
        self._session = Session(
            base_url(reference.registry, plain_http=plain_http),
            reference.repository,
            chance=chance,
            credentials=credentials,
            rules=rules,
        )

    def find(self, version: str) -> Fetched | None:
        """The manifest or index with this tag or digest, if there is one."""
        return self._run(protocol.get_manifest(self._session, version))

    def manifest(self, version: str | Descriptor) -> Fetched:
        """The same, and it must be there; a descriptor's size and type must be those of what comes."""
        wanted = version if isinstance(version, Descriptor) else None
        name = version.digest if isinstance(version, Descriptor) else version
        fetched = self.find(name)
        if fetched is None:
            where = f"{self.reference.registry}/{self.reference.repository}"
            if wanted is not None:
                raise DataError("oci.manifest.missing", f"{name} is listed in {where}, but is not there")
            raise OperatorError("oci.not-found", f"there is no {name[:150]} in {where}")
        found = fetched.descriptor
        if wanted is not None and (found.size, found.media_type) != (wanted.size, wanted.media_type):
            raise DataError(
                "oci.manifest.mismatch",
                f"the manifest {wanted.digest} is not as it was described",
                expected=f"{wanted.size} bytes of {wanted.media_type}",
                found=f"{found.size} bytes of {found.media_type}",
            )
        return fetched

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """What says that it is about this digest, by the registry's list or by the fallback tag."""
        return self._run(protocol.get_referrers(self._session, digest))

    def has_manifest(self, digest: str) -> bool:
        return self._run(protocol.has_manifest(self._session, digest))

    def has_blob(self, descriptor: Descriptor) -> bool:
        return self._run(protocol.has_blob(self._session, descriptor))

    def read_blob(self, descriptor: Descriptor, *, max_bytes: int) -> bytes:
        """A small blob as a whole."""
        if descriptor.size > max_bytes:
            raise DataError(
                "oci.blob.too-large",
                f"the content {descriptor.digest}",
                expected=f"at most {max_bytes} bytes",
                found=f"{descriptor.size}",
            )
        pieces = _Pieces()
        self.fetch_blob(descriptor, pieces)
        return b"".join(pieces)

    def fetch_blob(self, descriptor: Descriptor, sink: Sink, *, offset: int = 0, sofar: Hasher | None = None) -> None:
        """Write the blob, from `offset` on; then `sofar` must have been given what comes before.

        What was written is the blob only when this returns: a wrong digest is known at the end.
        """
        download = Download(descriptor, offset=offset, sofar=sofar)
        while not download.is_complete:
            try:
                self._fetch_on(descriptor, download, sink)
            except PowernodeError as error:
                pause = download.pause_after(self._rules, error.code, self._session.chance())
                if pause is None:
                    raise
                self._wait(pause_before(self._rules, download.tried, pause, error))
        download.finish()

    def read_range(self, descriptor: Descriptor, start: int, length: int) -> bytes:
        """A part of a blob. Nobody has checked its content: whoever asks must know what it should be.

        Refused with oci.range.unsupported by a registry that gives no parts.
        """
        if not length:
            return b""
        for tried in range(1, self._rules.tries + 1):
            try:
                with self._open(descriptor, [range_header(start, length)]) as (reply, response):
                    check_range(reply, start, length, descriptor)
                    data = response.read_all(length)
                if len(data) == length:
                    return data
                raise DataError("net.truncated", "the part ends early", expected=f"{length}", found=f"{len(data)}")
            except PowernodeError as error:
                pause = pause_after_error(self._rules, tried=tried, code=error.code, chance=self._session.chance())
                if pause is None:
                    raise
                self._wait(pause_before(self._rules, tried, pause, error))
        raise AssertionError("the last try returns or raises")

    def push_blob(self, descriptor: Descriptor, content: bytes | Source) -> None:
        source = _BytesSource(content) if isinstance(content, bytes) else content
        self._run(upload(self._session, descriptor, source, chunk=self._chunk_bytes))

    def mount_blob(self, descriptor: Descriptor, source: str) -> bool:
        """Whether the registry could take it from its repository `source`."""
        return self._run(mount(self._session, descriptor, source))

    def push_manifest(self, data: bytes, media_type: str, *, tag: str | None = None) -> bool:
        """Store a manifest whose blobs are there. True if the registry lists it as a referrer of its subject."""
        return self._run(protocol.put_manifest(self._session, tag or digest_of(data), data, media_type))

    def push_referrer(self, data: bytes, referrer: Descriptor, subject: str) -> None:
        """Store a manifest that is about `subject`, so that it is found there, by the fallback tag if need be."""
        if not self.push_manifest(data, referrer.media_type):
            self.add_referrer(referrer, subject)

    def add_referrer(self, referrer: Descriptor, subject: str) -> None:
        """List a stored manifest under the fallback tag of its subject."""
        self._run(protocol.add_referrer(self._session, referrer, subject))

    def _fetch_on(self, descriptor: Descriptor, download: Download, sink: Sink) -> None:
        with self._open(descriptor, download.headers()) as (reply, response):
            download.begin(reply)
            while piece := response.read(_PIECE):
                new = download.take(piece)
                if new:
                    sink.write(new)
        download.ended()

    def _open(self, descriptor: Descriptor, headers: Sequence[tuple[str, str]]) -> _Opened:
        url = self._session.url(f"blobs/{descriptor.digest}")
        ask = Ask("GET", url, headers=headers, max_body=descriptor.size, stream=True)
        return _Opened(self, ask, self._session.pull)

    def _run(self, steps: Steps[_T]) -> _T:
        return _drive(steps, self.transport, self._wait)[0]

    def _wait(self, pause: Pause) -> None:
        self._on_pause(pause)
        self._sleep(pause.seconds)

    def _stream(self, ask: Ask, scope: Scope) -> tuple[Reply, Response]:
        reply, response = _drive(exchange(self._session, ask, scope), self.transport, self._wait)
        if response is not None:
            return reply, response
        if reply.status == 404:
            raise DataError("oci.blob.missing", f"there is no {ask.url.path} at {reply.url.authority}")
        raise refusal(reply, f"{ask.url.path}")


class _Pieces(list[bytes]):
    def write(self, data: bytes, /) -> None:
        self.append(data)


class _Opened:
    """A good answer's head and its body, closed at the end of the block."""

    def __init__(self, registry: Registry, ask: Ask, scope: Scope) -> None:
        self._reply, self._response = registry._stream(ask, scope)

    def __enter__(self) -> tuple[Reply, Response]:
        return self._reply, self._response

    def __exit__(self, *_: object) -> None:
        self._response.close()


def _drive(steps: Steps[_T], transport: Transport, wait: Callable[[Pause], None]) -> tuple[_T, Response | None]:
    """Do what the steps say; the body of the last streamed answer is still to be read."""
    response: Response | None = None
    try:
        wanted = next(steps)
        while True:
            if isinstance(wanted, Pause):
                wait(wanted)
                wanted = next(steps)
                continue
            try:
                reply, response = _perform(wanted, transport)
            except PowernodeError as error:
                wanted = steps.throw(error)
            else:
                wanted = steps.send(reply)
    except StopIteration as stop:
        return stop.value, response
    except BaseException:
        if response is not None:
            response.close()
        raise


def _perform(ask: Ask, transport: Transport) -> tuple[Reply, Response | None]:
    most = max(ask.max_body, MAX_ERROR_BYTES) if ask.stream else ask.max_body
    request = Request(ask.method, ask.url, headers=ask.headers, body=ask.body, max_body=most)
    response = transport.open(request)
    if ask.stream and response.status in (200, 206):
        return Reply(response.status, response.headers, b"", ask.url), response
    with response:
        # Who asked for a large blob and is refused is not given as much in words.
        body = response.read_all(MAX_ERROR_BYTES if ask.stream else None)
        return Reply(response.status, response.headers, body, ask.url), None
