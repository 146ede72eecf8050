# SPDX-License-Identifier: MIT
"""The client against our own registry, without a socket: what is asked, resumed, mounted, logged in for."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from powernode.base.errors import DataError, MachineError, PowernodeError
from powernode.net.http import Headers, Request, Response
from powernode.oci.client import Registry, base_url
from powernode.oci.credentials import Credentials
from powernode.oci.documents import EMPTY, EMPTY_CONFIG, IMAGE_MANIFEST, Descriptor, Index, Manifest, describe
from powernode.oci.exchange import Pause
from powernode.oci.reference import Reference
from powernode.oci.server.access import Passwords
from powernode.oci.server.messages import Answer
from support.registry import Direct, client, handler
from unit.oci._answers import BLOB, DATA, LOST, Once, answer, fetched


def manifest(registry: Registry, text: str = "", subject: Descriptor | None = None) -> tuple[bytes, Descriptor]:
    """A small manifest whose blobs are in the registry; it itself is not pushed."""
    config = describe(EMPTY, EMPTY_CONFIG)
    if not registry.has_blob(config):
        registry.push_blob(config, EMPTY)
    value = Manifest(config=config, layers=(), artifact_type="a/b", subject=subject, annotations={"text": text})
    data = value.encode()
    return data, describe(data, IMAGE_MANIFEST, artifact_type="a/b", annotations={"text": text})


def test_pauses_are_told(tmp_path: Path) -> None:
    """What a registry asks for may be minutes."""
    direct, told = Direct(handler(tmp_path)), list[Pause]()
    registry = Registry(
        direct,
        Reference.parse("localhost/acme/redis"),
        sleep=lambda _: None,
        chance=lambda: 0.5,
        on_pause=told.append,
    )
    registry.push_blob(BLOB, DATA)
    for method, act in (("HEAD", (503, ("Retry-After", "7"))), ("GET", LOST)):
        direct.change = Once(method, act)
        assert registry.has_blob(BLOB)
        assert registry.read_range(BLOB, 0, 1) == DATA[:1]
        assert fetched(registry) == DATA
    assert [(pause.seconds, pause.why, pause.number, pause.most) for pause in told] == [
        (7.5, "localhost cannot now: status 503", 2, 5),
        (0.5, "lost", 2, 5),
    ]


class TestManifests:
    def test_there_and_back(self, registry: Registry) -> None:
        data, descriptor = manifest(registry)
        assert registry.find("v1") is None
        assert not registry.has_manifest(descriptor.digest)
        registry.push_manifest(data, IMAGE_MANIFEST, tag="v1")
        assert registry.has_manifest(descriptor.digest)
        for version in ("v1", descriptor.digest, descriptor):
            assert registry.manifest(version).data == data

    def test_not_there(self, registry: Registry) -> None:
        with pytest.raises(PowernodeError) as caught:
            registry.manifest("v1")
        assert caught.value.code == "oci.not-found"

    def test_listed_and_not_there(self, registry: Registry) -> None:
        """Whoever asked for a name may have mistyped it; whoever was given a descriptor was told something wrong."""
        with pytest.raises(DataError) as caught:
            registry.manifest(describe(b"gone", IMAGE_MANIFEST))
        assert caught.value.code == "oci.manifest.missing"

    def test_not_as_it_was_described(self, registry: Registry) -> None:
        data, descriptor = manifest(registry)
        registry.push_manifest(data, IMAGE_MANIFEST)
        wrong = Descriptor(media_type=IMAGE_MANIFEST, digest=descriptor.digest, size=descriptor.size + 1)
        with pytest.raises(DataError) as caught:
            registry.manifest(wrong)
        assert caught.value.code == "oci.manifest.mismatch"


class TestReferrers:
    @pytest.fixture(params=["the API", "the fallback tag"])
    def registry(self, registry: Registry, direct: Direct, request: pytest.FixtureRequest) -> Registry:
        if request.param == "the fallback tag":
            direct.change = lambda request: answer(request, 404) if "/referrers/" in request.url.path else None

            def forget(request: Request, answer: Answer) -> Answer:
                answer.headers = [header for header in answer.headers if header[0] != "OCI-Subject"]
                return answer

            direct.after = forget
        return registry

    def test_there_and_back(self, registry: Registry) -> None:
        data, subject = manifest(registry, "subject")
        registry.push_manifest(data, IMAGE_MANIFEST)
        assert registry.referrers(subject.digest) == ()
        expected = []
        for text in ("one", "two", "two"):
            about, descriptor = manifest(registry, text, subject)
            registry.push_referrer(about, descriptor, subject.digest)
            expected.append(descriptor)
        found = registry.referrers(subject.digest)
        assert sorted(found, key=str) == sorted(expected[:2], key=str)

    @pytest.mark.parametrize("link", ['<{}>; rel="next"', "</v2/a>; rel=first, <{}>; title=x; rel = next"])
    def test_pages(self, registry: Registry, direct: Direct, link: str) -> None:
        data, subject = manifest(registry, "subject")
        registry.push_manifest(data, IMAGE_MANIFEST)
        for text in ("one", "two", "three"):
            about, descriptor = manifest(registry, text, subject)
            registry.push_referrer(about, descriptor, subject.digest)

        def change(request: Request) -> Response | None:
            if "/referrers/" not in request.url.path or "n=1" in request.url.target:
                return None
            found = direct.open(Request("GET", request.url.at(f"{request.url.path}?n=1"), max_body=1 << 20))
            target = (found.headers.get("link") or "").partition(">")[0].removeprefix("<")
            kept = [(name, value) for name, value in found.headers.items if name != "Link"]
            return Response(request, 200, Headers([*kept, ("Link", link.format(target))]), io.BytesIO(found.read_all()))

        if direct.change(Request("GET", registry._session.url("referrers/x"), max_body=1)) is None:  # it has the API
            direct.change = change
        assert len(registry.referrers(subject.digest)) == 3

    def test_somebody_else_writes_the_tag(self, registry: Registry, direct: Direct) -> None:
        data, subject = manifest(registry, "subject")
        registry.push_manifest(data, IMAGE_MANIFEST)
        ours, theirs = (manifest(registry, text, subject) for text in ("ours", "theirs"))
        for each in (ours, theirs):
            registry.push_manifest(each[0], IMAGE_MANIFEST)
        tag = subject.digest.replace(":", "-")
        rivals = 2
        after = direct.after

        def race(request: Request, reply: Answer) -> Answer:
            nonlocal rivals
            if rivals and request.method == "GET" and request.url.path.endswith(tag):
                rivals -= 1
                index = Index(manifests=(theirs[1],), annotations={"n": f"{rivals}"})
                client(direct).push_manifest(index.encode(), index.media_type, tag=tag)
            return after(request, reply)

        direct.after = race
        registry.add_referrer(ours[1], subject.digest)
        fallback = registry.manifest(tag)
        assert {each.digest for each in Index.parse(fallback.data).manifests} == {ours[1].digest, theirs[1].digest}
        rivals = 1000
        another = manifest(registry, "another", subject)
        with pytest.raises(MachineError) as caught:
            registry.add_referrer(another[1], subject.digest)
        assert caught.value.code == "oci.referrers.contended"

    def test_the_tag_is_something_else(self, registry: Registry, direct: Direct) -> None:
        data, subject = manifest(registry, "subject")
        registry.push_manifest(data, IMAGE_MANIFEST, tag=subject.digest.replace(":", "-"))
        with pytest.raises(DataError) as caught:
            registry.add_referrer(subject, subject.digest)
        assert caught.value.code == "oci.referrers.tag"


class TestLoggingIn:
    SECRET = Credentials(username="builder", password="secret")

    def test_by_password(self, tmp_path: Path) -> None:
        direct = Direct(handler(tmp_path, access=Passwords.parse(b"builder:secret\n")))
        registry = client(direct, credentials=self.SECRET)
        registry.push_blob(describe(b"x", "a/b"), b"x")
        registry.has_blob(BLOB)
        sent = ["Authorization" in dict(request.headers) for request in direct.seen]
        assert sent == [False, True, True, True]

    @pytest.mark.parametrize(
        ("credentials", "code"),
        [(None, "oci.auth.required"), (Credentials(username="builder", password="wrong"), "oci.auth.denied")],
    )
    def test_a_wrong_password(self, tmp_path: Path, credentials: Credentials | None, code: str) -> None:
        direct = Direct(handler(tmp_path, access=Passwords.parse(b"builder:secret\n")))
        with pytest.raises(PowernodeError) as caught:
            client(direct, credentials=credentials).has_blob(BLOB)
        assert caught.value.code == code
        assert len(direct.seen) <= 2

    def _service(self, direct: Direct, realm: str, *, valid: int = 1000) -> list[str]:
        """A token service at `realm`; a token counts for so many requests."""
        tokens: list[str] = []
        uses = 0

        def change(request: Request) -> Response | None:
            nonlocal uses
            headers = dict(request.headers)
            if str(request.url).startswith(realm):
                assert headers["Authorization"].startswith("Basic ")
                tokens.append(request.url.target)
                uses = 0
                return answer(request, 200, json.dumps({"token": f"t{len(tokens)}", "expires_in": 60}).encode())
            uses += 1
            if tokens and headers.get("Authorization") == f"Bearer t{len(tokens)}" and uses <= valid:
                return None
            challenge = f'Bearer realm="{realm}",service="reg",scope="repository:other/secret:pull,push"'
            return answer(request, 401, b"", ("WWW-Authenticate", challenge))

        direct.change = change
        return tokens

    @pytest.mark.parametrize("realm", ["https://auth.example/token", "http://localhost/token"])
    def test_by_token(self, direct: Direct, realm: str) -> None:
        tokens = self._service(direct, realm)
        registry = client(direct, credentials=self.SECRET)
        registry.push_blob(BLOB, DATA)
        assert fetched(registry) == DATA
        (asked,) = tokens
        assert asked == "/token?service=reg&scope=repository%3Aacme%2Fredis%3Apull%2Cpush&account=builder"

    def test_a_token_that_expires(self, direct: Direct) -> None:
        tokens = self._service(direct, "https://auth.example/token?a=b", valid=3)
        client(direct, credentials=self.SECRET).push_blob(BLOB, DATA)
        assert len(tokens) == 2
        assert tokens[0].startswith("/token?a=b&service=reg&scope=")

    @pytest.mark.parametrize(
        "realm", ["http://auth.example/token", "ftp://localhost/", "token", "http://localhost@evil/"]
    )
    def test_a_realm_where_no_password_may_go(self, direct: Direct, realm: str) -> None:
        self._service(direct, "https://auth.example/")
        challenge = f'Bearer realm="{realm}"'
        direct.change = lambda request: answer(request, 401, b"", ("WWW-Authenticate", challenge))
        with pytest.raises(PowernodeError) as caught:
            client(direct, credentials=self.SECRET).has_blob(BLOB)
        assert caught.value.code in ("oci.auth.realm", "net.url")
        assert len(direct.seen) == 1

    @pytest.mark.parametrize(
        ("status", "body", "code"),
        [
            (200, b"{}", "oci.auth.token.missing"),
            (200, b'{"token":"a\\r\\nX: y"}', "oci.auth.token"),
            (200, b"<html>", "json.syntax"),
            (200, b" " * (300 << 10), "net.too-large"),
            (302, b"", "oci.auth.realm"),
            (401, b"", "oci.auth.denied"),
            (503, b"", "oci.unavailable"),
        ],
    )
    def test_a_bad_token_service(self, direct: Direct, status: int, body: bytes, code: str) -> None:
        def change(request: Request) -> Response:
            if request.url.host == "auth.example":
                return answer(request, status, body, ("Location", "https://evil.example/"))
            return answer(request, 401, b"", ("WWW-Authenticate", 'Bearer realm="https://auth.example/"'))

        direct.change = change
        with pytest.raises(PowernodeError) as caught:
            client(direct, credentials=self.SECRET).has_blob(BLOB)
        assert caught.value.code == code

    def test_the_password_is_not_shown(self) -> None:
        assert "secret" not in repr(self.SECRET)


def test_the_words_of_a_registry_are_made_harmless(direct: Direct, registry: Registry) -> None:
    body = json.dumps({"errors": [{"code": "DENIED", "message": "no \x1b[2J" + "x" * 999}]}).encode()
    direct.change = lambda request: answer(request, 403, body)
    with pytest.raises(PowernodeError) as caught:
        registry.find("v1")
    assert "DENIED: no ?[2J" in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("registry", "plain_http", "expected"),
    [
        ("registry.example.com", None, "https://registry.example.com/"),
        ("registry.example.com:5000", True, "http://registry.example.com:5000/"),
        ("localhost:5000", None, "http://localhost:5000/"),
        ("127.0.0.1", None, "http://127.0.0.1/"),
        ("[::1]:5000", None, "http://[::1]:5000/"),
        ("localhost", False, "https://localhost/"),
        ("127.evil.example", None, "https://127.evil.example/"),
        ("localhost.example", None, "https://localhost.example/"),
    ],
)
def test_only_this_machine_is_asked_in_plain_text(registry: str, plain_http: bool | None, expected: str) -> None:
    assert str(base_url(registry, plain_http=plain_http)) == expected
