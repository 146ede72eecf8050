# SPDX-License-Identifier: MIT
"""Our registry, request by request: what the specification says, and what must not be possible."""

from __future__ import annotations

import io
import os
import time
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.base.errors import OperatorError
from powernode.net.http import Headers
from powernode.oci.documents import (
    IMAGE_INDEX,
    IMAGE_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    describe,
    parse_document,
)
from powernode.oci.server.access import Passwords
from powernode.oci.server.messages import Incoming
from support.registry import handler
from unit.oci._talk import CONFIG, DIGEST, MANIFEST, SUBJECT, Talk


def test_the_version(talk: Talk) -> None:
    reply = talk("GET", "")
    assert (reply.status, reply.json, reply.headers.get("Docker-Distribution-API-Version")) == (200, {}, "registry/2.0")
    assert talk("HEAD", "").body == b""


class TestManifests:
    def test_there_and_back(self, talk: Talk) -> None:
        reply = talk.manifest()
        assert (reply.status, reply.headers.get("Location")) == (201, f"/v2/a/manifests/{DIGEST}")
        for reference in ("v1", DIGEST):
            reply = talk("GET", f"a/manifests/{reference}")
            assert (reply.status, reply.body, reply.headers.get("Content-Type")) == (200, MANIFEST, IMAGE_MANIFEST)
            assert reply.headers.get("Docker-Content-Digest") == DIGEST
        head = talk("HEAD", "a/manifests/v1")
        assert (head.status, head.body, head.length) == (200, b"", len(MANIFEST))
        assert talk("GET", "a/manifests/v1", If_None_Match=f'"{DIGEST}"').status == 304

    @pytest.mark.parametrize(
        ("data", "media_type", "code"),
        {
            "no manifest": (b"{}", IMAGE_MANIFEST, "MANIFEST_INVALID"),
            "no JSON": (b"\xff", IMAGE_MANIFEST, "MANIFEST_INVALID"),
            "of another type": (MANIFEST, IMAGE_INDEX, "MANIFEST_INVALID"),
            "of no type": (MANIFEST, "", "MANIFEST_INVALID"),
            "of an unknown type": (MANIFEST, "application/json", "MANIFEST_INVALID"),
            "too large": (b" " * ((4 << 20) + 1), IMAGE_MANIFEST, "SIZE_INVALID"),
            "with a layer that is not there": (
                Manifest(config=CONFIG, layers=(describe(b"x", "a/b"),)).encode(),
                IMAGE_MANIFEST,
                "MANIFEST_BLOB_UNKNOWN",
            ),
            "with a manifest that is not there": (
                Index(manifests=(SUBJECT,)).encode(),
                IMAGE_INDEX,
                "MANIFEST_BLOB_UNKNOWN",
            ),
        }.values(),
    )
    def test_refused(self, talk: Talk, data: bytes, media_type: str, code: str) -> None:
        assert talk.manifest("v1", data, Content_Type=media_type).code == code
        assert talk("GET", "a/manifests/v1").status == 404

    def test_one_document_is_read_at_a_time(self, talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each may take thirty megabytes of memory."""
        talk.manifest()
        now, most = 0, 0

        def slowly(data: bytes) -> Manifest | Index:
            nonlocal now, most
            now += 1
            most = max(most, now)
            time.sleep(0.005)
            now -= 1
            return parse_document(data)

        monkeypatch.setattr("powernode.oci.server.handler.parse_document", slowly)
        with ThreadPoolExecutor(8) as pool:
            puts = [pool.submit(talk.manifest, f"v{number}") for number in range(8)]
            gets = [pool.submit(talk, "GET", "a/manifests/v1") for _ in range(8)]
        assert {each.result().status for each in puts} == {201}
        assert {each.result().status for each in gets} == {200}
        assert most == 1

    def test_by_another_digest(self, talk: Talk) -> None:
        assert talk.manifest("sha256:" + "0" * 64).code == "DIGEST_INVALID"

    def test_conditions(self, talk: Talk) -> None:
        other = Manifest(config=CONFIG, layers=(), annotations={"a": "b"}).encode()
        assert talk.manifest("v1", If_Match=f'"{DIGEST}"').status == 412
        assert talk.manifest("v1", If_None_Match="*").status == 201
        assert talk.manifest("v1", other, If_None_Match="*").status == 412
        assert talk.manifest("v1", other, If_Match='"other"').status == 412
        assert talk("GET", "a/manifests/v1").body == MANIFEST
        assert talk.manifest("v1", other, If_Match=f'"{DIGEST}"').status == 201
        assert talk("GET", "a/manifests/v1").body == other

    def test_deleting(self, talk: Talk) -> None:
        talk.manifest("v1")
        talk.manifest("v2")
        assert talk("DELETE", "a/manifests/v1").status == 202
        assert talk("GET", "a/manifests/v1").status == 404
        assert talk("GET", "a/manifests/v2").status == 200
        assert talk("DELETE", f"a/manifests/{DIGEST}").status == 202
        assert talk("GET", "a/manifests/v2").status == 404
        assert talk("DELETE", f"a/manifests/{DIGEST}").status == 404

    def test_what_an_index_needs_is_not_deleted(self, talk: Talk) -> None:
        talk.manifest("v1")
        index = Index(manifests=(SUBJECT,)).encode()
        assert talk.manifest("all", index, Content_Type=IMAGE_INDEX).status == 201
        assert talk("DELETE", f"a/manifests/{DIGEST}").status == 409

    def test_lists(self, talk: Talk) -> None:
        for repository, tag in (("a", "v2"), ("a", "v1"), ("a", "v3"), ("b/c", "x"), ("b", "x")):
            talk.manifest(tag, repository=repository)
        assert talk("GET", "a/tags/list").json == {"name": "a", "tags": ["v1", "v2", "v3"]}
        first = talk("GET", "a/tags/list?n=2")
        assert first.json["tags"] == ["v1", "v2"]
        assert first.headers.get("Link") == '</v2/a/tags/list?n=2&last=v2>; rel="next"'
        last = talk("GET", "a/tags/list?n=2&last=v2")
        assert (last.json["tags"], last.headers.get("Link")) == (["v3"], None)
        assert talk("GET", "a/tags/list?n=0").json["tags"] == []
        assert talk("GET", "a/tags/list?n=x").code == "PAGINATION_NUMBER_INVALID"
        assert talk("GET", "z/tags/list").code == "NAME_UNKNOWN"
        assert talk("GET", "_catalog").json == {"repositories": ["a", "b", "b/c"]}
        assert talk("GET", "_catalog?n=1").headers.get("Link") == '</v2/_catalog?n=1&last=a>; rel="next"'


class TestReferrers:
    def test_listed(self, talk: Talk) -> None:
        about = [
            Manifest(config=CONFIG, layers=(), artifact_type=kind, subject=SUBJECT, annotations={"n": kind}).encode()
            for kind in ("a/b", "c/d")
        ]
        assert talk("GET", f"a/referrers/{DIGEST}").json["manifests"] == []
        for data in about:  # before their subject: the order does not matter
            reply = talk.manifest(describe(data, "a/b").digest, data)
            assert (reply.status, reply.headers.get("OCI-Subject")) == (201, DIGEST)
        talk.manifest()
        found = talk("GET", f"a/referrers/{DIGEST}")
        assert found.headers.get("Content-Type") == IMAGE_INDEX
        entries = Index.parse(found.body).manifests
        assert sorted((each.digest, each.artifact_type, each.annotations["n"]) for each in entries) == sorted(
            (describe(data, "a/b").digest, kind, kind) for data, kind in zip(about, ("a/b", "c/d"), strict=True)
        )
        filtered = talk("GET", f"a/referrers/{DIGEST}?artifactType=c%2Fd")
        assert filtered.headers.get("OCI-Filters-Applied") == "artifactType"
        assert [each["artifactType"] for each in filtered.json["manifests"]] == ["c/d"]
        first = talk("GET", f"a/referrers/{DIGEST}?n=1")
        assert len(first.json["manifests"]) == 1
        target = (first.headers.get("Link") or "").partition(">")[0].removeprefix("</v2/")
        assert len(talk("GET", target).json["manifests"]) == 1
        assert talk("DELETE", f"a/manifests/{describe(about[0], 'a/b').digest}").status == 202
        assert len(talk("GET", f"a/referrers/{DIGEST}").json["manifests"]) == 1

    def test_long_annotations(self, talk: Talk) -> None:
        """A page is no longer than clients read, and nobody's annotations keep the others from being listed."""
        expected = {}
        for number, length in enumerate([900_000] * 5 + [2_000_000]):
            about = Manifest(config=CONFIG, layers=(), subject=SUBJECT, annotations={"n": f"{number}" * length})
            talk.manifest(describe(about.encode(), "a/b").digest, about.encode())
            expected[describe(about.encode(), "a/b").digest] = min(length, 900_000 * (length < 1_000_000))
        target, found = f"a/referrers/{DIGEST}", list[Descriptor]()
        while target:
            page = talk("GET", target)
            assert len(page.body) < 4 << 20
            found += Index.parse(page.body).manifests
            target = (page.headers.get("Link") or "").partition(">")[0].removeprefix("</v2/")
        assert {each.digest: len(each.annotations.get("n", "")) for each in found} == expected
        assert len(found) == 6


@pytest.mark.parametrize(
    "path",
    [
        "../etc/passwd",
        "a/../../etc/manifests/v1",
        "a%2f..%2f..%2fetc/manifests/v1",
        "a/../../x/blobs/uploads/",
        "a/manifests/..",
        "a/manifests/%2e%2e",
        "a/manifests/..%2f..%2fx",
        "a/manifests/.v1.tmp",
        "a/blobs/sha256:..%2f..%2fx",
        f"a/blobs/sha512:{'a' * 128}",
        f"A/manifests/{DIGEST}",
        "a/_tags/manifests/v1",
        "_catalog/manifests/v1",
        "a/blobs/uploads/..",
        "a/blobs/uploads/%2e%2e",
        "a/manifests/v1%00",
        "a\n/manifests/v1",
        "a" * 5000,
    ],
)
def test_no_name_leaves_the_folder(talk: Talk, path: str) -> None:
    for method in ("GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"):
        reply = talk(method, path, MANIFEST, Content_Type=IMAGE_MANIFEST)
        assert 400 <= reply.status < 500
    assert talk.files() == []
    assert set(os.listdir(talk.root.parent)) <= {talk.root.name}


@pytest.mark.parametrize(("method", "path"), [("POST", "a/tags/list"), ("PUT", f"a/blobs/{DIGEST}"), ("PUT", "")])
def test_other_methods(talk: Talk, method: str, path: str) -> None:
    reply = talk(method, path)
    assert (reply.status, reply.code) == (405, "UNSUPPORTED")
    assert "GET" in (reply.headers.get("Allow") or "")


def test_requests_that_cannot_be_read(talk: Talk) -> None:
    assert talk("GET", "a/tags/list?" + "a=1&" * 40).status == 400
    both = Headers([("If-None-Match", "a"), ("if-none-match", "b")])
    talk.manifest()
    assert talk.handler.handle(Incoming("GET", "/v2/a/manifests/v1", both, io.BytesIO())).status == 400


@given(st.text(max_size=60), st.sampled_from(["GET", "PUT", "POST", "PATCH", "DELETE"]))
def test_any_address_has_an_answer(path: str, method: str) -> None:
    missing = Path("/nonexistent/registry")
    talk = Talk(handler(missing), missing)
    assert talk(method, path.encode("utf-8", "replace").decode("latin-1")).status in (200, 400, 404, 405, 500)


class TestAccess:
    @pytest.fixture
    def talk(self, tmp_path: Path) -> Talk:
        access = Passwords.parse(b"# who may\n\nbuilder:secret\nother:a:b\n")
        return Talk(handler(tmp_path, access=access), tmp_path)

    @pytest.mark.parametrize(
        ("login", "status"),
        [
            ("builder:secret", 200),
            ("other:a:b", 200),
            ("builder:", 401),
            ("builder:Secret", 401),
            ("nobody:secret", 401),
            (":", 401),
            ("", 401),
            ("\xff", 401),
        ],
    )
    def test_passwords(self, talk: Talk, login: str, status: int) -> None:
        header = f"Basic {b64encode(login.encode('latin-1')).decode()}"
        assert talk("GET", "", Authorization=header).status == status

    def test_without(self, talk: Talk) -> None:
        for authorization in ("", "Bearer x", "Basic ?", "Basic"):
            reply = talk("GET", "a/manifests/v1", Authorization=authorization)
            assert (reply.status, reply.code) == (401, "UNAUTHORIZED")
            assert reply.headers.get("WWW-Authenticate") == 'Basic realm="powernode registry"'

    @pytest.mark.parametrize("data", [b"", b"builder\n", b"builder:\n", b":x\n", b"a:b\na:c\n", b"# a:b\n"])
    def test_files_that_are_refused(self, data: bytes) -> None:
        with pytest.raises(OperatorError) as caught:
            Passwords.parse(data)
        assert caught.value.code == "oci.server.passwords"


def test_read_only(talk: Talk) -> None:
    talk.manifest()
    before = talk.files()
    readers = Talk(handler(talk.root, read_only=True), talk.root)
    assert readers("GET", "a/manifests/v1").body == MANIFEST
    for method, path in (("PUT", "a/manifests/v2"), ("POST", "a/blobs/uploads/"), ("DELETE", "a/manifests/v1")):
        assert readers(method, path, MANIFEST).status == 405
    assert talk.files() == before


def test_a_disk_that_fails(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    reply = talk("POST", f"a/blobs/uploads/?digest={DIGEST}", MANIFEST)
    assert (reply.status, reply.code) == (500, "UNKNOWN")
    assert b"No space left on device" in reply.body
    monkeypatch.undo()
    assert talk("GET", f"a/blobs/{DIGEST}").status == 404


def test_a_power_cut_between_mark_and_content(talk: Talk) -> None:
    """A mark whose content never came counts for nothing; pushing again makes it whole."""
    blob = talk.blob(b"hello")
    (talk.root / "blobs" / blob.digest.replace(":", "/")).unlink()
    assert talk("HEAD", f"a/blobs/{blob.digest}").status == 404
    assert talk("POST", f"b/blobs/uploads/?mount={blob.digest}&from=a").status == 202
    talk.blob(b"hello")
    assert talk("GET", f"a/blobs/{blob.digest}").body == b"hello"


Tear = Callable[[Path], None]


def test_what_a_killed_writer_left_is_overlooked(talk: Talk) -> None:
    talk.manifest()
    for folder in ("_tags", "_manifests/sha256"):
        (talk.root / "repositories/a" / folder / ".v9.tmp").write_bytes(b"half")
    (talk.root / "blobs/sha256/.1-0.tmp").write_bytes(b"half")
    assert talk("GET", "a/tags/list").json["tags"] == ["v1"]
    assert talk("DELETE", f"a/manifests/{DIGEST}").status == 202
