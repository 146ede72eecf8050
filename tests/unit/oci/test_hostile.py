# SPDX-License-Identifier: MIT
"""Every attack of the hostile registry ends with its own refusal, in bounded memory, time and number of requests."""

from __future__ import annotations

import io
import itertools
import time
import tracemalloc
from collections.abc import Callable

import pytest

from powernode.base.errors import PowernodeError
from powernode.net.http import Request, Response
from powernode.net.transport import HttpTransport, Timing
from powernode.oci.client import Registry
from powernode.oci.credentials import Credentials
from powernode.oci.documents import Descriptor
from powernode.oci.reference import Reference
from support.hostile_registry import ATTACKS, CHANGING_TAG, INDEX, LAYER, LAYER_DATA, ONLY_ON_A_SOCKET, Hostile, Raw
from support.registry import RULES, client

SECRET = Credentials(username="builder", password="let-me-in")
MOST_MEMORY = 24 << 20
QUICK = Timing(connect_s=1, answer_s=2, window_s=0.2, least_rate=1000)
"""Only where the registry is too slow: a machine may be slow, too."""


ACTIONS: dict[str, Callable[[Registry], object]] = {
    "manifest": lambda registry: registry.find("v1"),
    "pinned": lambda registry: registry.manifest(INDEX),
    "layer": lambda registry: registry.fetch_blob(LAYER, io.BytesIO()),
    "range": lambda registry: registry.read_range(LAYER, 1000, 70_000),
    "referrers": lambda registry: registry.referrers(INDEX.digest),
}


def attacked(registry: Registry, what: str, code: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(PowernodeError) as caught:
            ACTIONS[what](registry)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.code == code
    assert peak < MOST_MEMORY


@pytest.mark.parametrize("what", ACTIONS)
def test_the_honest_one(what: str) -> None:
    ACTIONS[what](client(Hostile(lambda _: None), credentials=SECRET))


@pytest.mark.parametrize("name", ATTACKS)
def test_through_the_port(name: str) -> None:
    attack, what, code = ATTACKS[name]
    hostile = Hostile(attack)
    attacked(client(hostile, credentials=SECRET), what, code)
    assert len(hostile.seen) <= 201


@pytest.mark.parametrize("name", [name for name in ATTACKS if "pages" not in name] + list(ONLY_ON_A_SOCKET))
def test_on_a_socket(name: str) -> None:
    attack, what, code = {**ATTACKS, **ONLY_ON_A_SOCKET}[name]
    hostile = Hostile(attack)
    before = time.monotonic()
    with hostile.listening() as address:
        transport = HttpTransport(time.monotonic, timing=QUICK if code == "net.too-slow" else None)
        attacked(client(transport, f"{address}/acme/redis", credentials=SECRET), what, code)
    assert time.monotonic() - before < 10


HUGE = Descriptor(media_type=LAYER.media_type, digest=LAYER.digest, size=64 << 20)


@pytest.mark.parametrize(
    ("act", "status", "header"),
    [
        (lambda registry: registry.fetch_blob(HUGE, io.BytesIO()), 404, ("X", "y")),
        (lambda registry: registry.fetch_blob(HUGE, io.BytesIO()), 307, ("Location", "/elsewhere")),
        (lambda registry: registry.read_range(HUGE, 1000, 70_000), 500, ("X", "y")),
        (lambda registry: registry.read_range(HUGE, 1000, 70_000), 206, ("Content-Range", "bytes 1000-70999/*")),
    ],
    ids=["not there", "elsewhere", "busy", "a part"],
)
def test_only_the_blob_itself_may_be_as_long_as_it_is(
    act: Callable[[Registry], object], status: int, header: tuple[str, str]
) -> None:
    """Not what is said instead of it, nor a part of it."""
    hostile = Hostile(lambda _: Raw(status, [header], (b"%065536d" % number for number in itertools.count())))
    tracemalloc.start()
    try:
        with pytest.raises(PowernodeError) as caught:
            act(client(hostile))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.code == "net.too-large"
    assert peak < 1 << 20


def test_waiting_is_bounded_too() -> None:
    slept: list[float] = []
    hostile = Hostile(ATTACKS["busy for ever"][0])
    reference = Reference.parse("localhost/a")
    registry = Registry(hostile, reference, sleep=slept.append, chance=lambda: 0.999)
    with pytest.raises(PowernodeError):
        registry.find("v1")
    assert len(slept) == 4
    assert sum(slept) < 300


def test_a_tag_that_changes() -> None:
    """What was resolved once is asked for by its digest from there on."""
    hostile = Hostile(CHANGING_TAG())
    registry = client(hostile)
    first = registry.manifest("v1")
    assert registry.manifest("v1").descriptor != first.descriptor
    assert registry.manifest(first.descriptor).data == first.data


class TestRedirectsAndCredentials:
    """Where the password goes: to the registry, and nowhere else."""

    def _registry(self, hostile: Hostile, *, base: str = "https") -> Registry:
        return Registry(
            hostile,
            Reference.parse("registry.example/acme/redis"),
            SECRET,
            sleep=lambda seconds: None,
            chance=lambda: 0.5,
            plain_http=base == "http",
            rules=RULES,
        )

    def _fetch(self, target: str, *, base: str = "https", back: str | None = None) -> Hostile:
        """A registry that wants a password and redirects to `target`, and from there perhaps `back`."""

        def attack(asked: object) -> Raw | None:
            url, headers = asked.url, asked.headers  # type: ignore[attr-defined]
            if url.startswith(target):
                if back is not None:
                    return Raw(307, [("Location", back), ("Content-Length", "0")])
                return Raw(200, [("Content-Length", str(len(LAYER_DATA)))], [LAYER_DATA])
            if "authorization" not in headers and "back" not in url:
                return Raw(401, [("WWW-Authenticate", "Basic"), ("Content-Length", "0")])
            if "back" in url:
                return Raw(200, [("Content-Length", str(len(LAYER_DATA)))], [LAYER_DATA])
            return Raw(307, [("Location", target), ("Content-Length", "0")])

        hostile = Hostile(attack)
        sink = io.BytesIO()
        self._registry(hostile, base=base).fetch_blob(LAYER, sink)
        assert sink.getvalue() == LAYER_DATA
        return hostile

    @staticmethod
    def _told(hostile: Hostile) -> list[str]:
        return [asked.url for asked in hostile.seen if "authorization" in asked.headers]

    @pytest.mark.parametrize(
        "target",
        [
            "https://evil.example/x",
            "https://registry.example:8443/x",
            "https://registry.example.evil.example/x",
            "https://sub.registry.example/x",
        ],
    )
    def test_another_host_is_not_told(self, target: str) -> None:
        hostile = self._fetch(target)
        assert self._told(hostile) == [f"https://registry.example/v2/acme/redis/blobs/{LAYER.digest}"]
        assert hostile.seen[-1].url == target

    def test_the_same_host_is(self) -> None:
        hostile = self._fetch("https://registry.example/elsewhere")
        assert self._told(hostile)[-1] == "https://registry.example/elsewhere"

    def test_who_left_does_not_come_back_with_it(self) -> None:
        hostile = self._fetch("https://evil.example/x", back="https://registry.example/back")
        assert hostile.seen[-1].url == "https://registry.example/back"
        assert self._told(hostile) == [f"https://registry.example/v2/acme/redis/blobs/{LAYER.digest}"]

    def test_never_from_https_to_http(self) -> None:
        for target in ("http://registry.example/x", "http://evil.example/x"):
            with pytest.raises(PowernodeError) as caught:
                self._fetch(target)
            assert caught.value.code == "oci.redirect.downgrade"

    def test_the_other_host_cannot_ask_for_it(self) -> None:
        def attack(asked: object) -> Raw:
            if "evil" in asked.url:  # type: ignore[attr-defined]
                return Raw(401, [("WWW-Authenticate", "Basic"), ("Content-Length", "0")])
            return Raw(307, [("Location", "https://evil.example/"), ("Content-Length", "0")])

        hostile = Hostile(attack)
        with pytest.raises(PowernodeError) as caught:
            self._registry(hostile).find("v1")
        assert (caught.value.code, self._told(hostile)) == ("oci.auth.denied", [])

    def test_an_upload_elsewhere_is_not_told(self) -> None:
        def attack(asked: object) -> Raw:
            if asked.method == "POST":  # type: ignore[attr-defined]
                return Raw(202, [("Location", "https://evil.example/up"), ("Content-Length", "0")])
            return Raw(201, [("Content-Length", "0")])

        hostile = Hostile(attack)
        registry = self._registry(hostile)
        registry.push_blob(LAYER, LAYER_DATA)
        assert [asked.url.partition("?")[0] for asked in hostile.seen[1:]] == ["https://evil.example/up"]
        assert self._told(hostile) == []

    def test_an_upload_is_not_redirected(self) -> None:
        hostile = Hostile(lambda _: Raw(307, [("Location", "/x"), ("Content-Length", "0")]))
        with pytest.raises(PowernodeError) as caught:
            self._registry(hostile).push_blob(LAYER, LAYER_DATA)
        assert caught.value.code == "oci.redirect.method"


def test_what_was_written_before_a_refusal_is_no_more_than_the_blob() -> None:
    attack, _, _ = ATTACKS["an endless layer"]
    sink = io.BytesIO()
    with pytest.raises(PowernodeError):
        client(Hostile(attack)).fetch_blob(LAYER, sink)
    assert len(sink.getvalue()) <= LAYER.size


def test_the_port_is_the_real_one() -> None:
    """The simulator answers what the transport answers: same status, same headers, same body."""
    hostile = Hostile(lambda _: None)
    with hostile.listening() as address:
        from powernode.net.http import Url

        request = Request("GET", Url.parse(f"http://{address}/v2/a/manifests/v1"), max_body=1 << 20)
        answers: list[Response] = [hostile.open(request), HttpTransport(time.monotonic).open(request)]
        bodies = [answer.read_all() for answer in answers]
        assert bodies[0] == bodies[1]
        assert answers[0].headers.get("content-type") == answers[1].headers.get("content-type")
