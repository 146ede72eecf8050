# SPDX-License-Identifier: MIT
"""Our registry, request by request: what the specification says, and what must not be possible."""

from __future__ import annotations

import email
import fcntl
import io
import json
import os
import time
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.base.durable import remove_durably
from powernode.base.errors import OperatorError
from powernode.net.http import Headers
from powernode.oci.documents import (
    EMPTY,
    EMPTY_CONFIG,
    IMAGE_INDEX,
    IMAGE_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    describe,
    parse_document,
)
from powernode.oci.server import storage, uploads
from powernode.oci.server.access import Passwords
from powernode.oci.server.handler import Handler
from powernode.oci.server.messages import Incoming
from powernode.oci.server.ranges import MAX_RANGES
from powernode.oci.server.storage import Storage
from powernode.oci.server.uploads import EXPIRE_S, MAX_UPLOADS
from support.registry import body_of, handler

CONFIG = describe(EMPTY, EMPTY_CONFIG)
MANIFEST = Manifest(config=CONFIG, layers=()).encode()
DIGEST = describe(MANIFEST, IMAGE_MANIFEST).digest
SUBJECT = describe(MANIFEST, IMAGE_MANIFEST)


class Reply:
    def __init__(self, status: int, headers: Headers, body: bytes, length: int) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.length = length

    @property
    def code(self) -> str:
        found: str = json.loads(self.body)["errors"][0]["code"]
        return found

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Talk:
    def __init__(self, handles: Handler, root: Path) -> None:
        self.handler = handles
        self.root = root

    def __call__(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        items = [(name.replace("_", "-"), value) for name, value in headers.items()]
        answer = self.handler.handle(Incoming(method, f"/v2/{path}", Headers(items), io.BytesIO(body)))
        return Reply(answer.status, Headers(answer.headers), body_of(answer), answer.length)

    def blob(self, data: bytes, repository: str = "a") -> Descriptor:
        descriptor = describe(data, "application/x")
        assert self("POST", f"{repository}/blobs/uploads/?digest={descriptor.digest}", data).status == 201
        return descriptor

    def manifest(self, reference: str = "v1", data: bytes = MANIFEST, repository: str = "a", **headers: str) -> Reply:
        self.blob(EMPTY, repository)
        headers = {"Content_Type": IMAGE_MANIFEST, **headers}
        return self("PUT", f"{repository}/manifests/{reference}", data, **headers)

    def files(self) -> list[str]:
        """Everything below the root but folders."""
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if not path.is_dir())


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry waits for the disk after every step; nobody pulls the plug here."""
    monkeypatch.setattr(os, "fsync", lambda fd: os.fstat(fd) and None)


@pytest.fixture
def talk(tmp_path: Path) -> Talk:
    root = tmp_path / "registry"
    return Talk(handler(root, max_blob_bytes=100_000), root)


def test_the_version(talk: Talk) -> None:
    reply = talk("GET", "")
    assert (reply.status, reply.json, reply.headers.get("Docker-Distribution-API-Version")) == (200, {}, "registry/2.0")
    assert talk("HEAD", "").body == b""


class TestBlobs:
    def test_in_one_piece(self, talk: Talk) -> None:
        blob = talk.blob(b"hello")
        reply = talk("GET", f"a/blobs/{blob.digest}")
        assert (reply.status, reply.body) == (200, b"hello")
        assert reply.headers.get("ETag") == f'"{blob.digest}"'
        assert reply.headers.get("Docker-Content-Digest") == blob.digest
        head = talk("HEAD", f"a/blobs/{blob.digest}")
        assert (head.status, head.body, head.length) == (200, b"", 5)
        assert talk("GET", f"a/blobs/{blob.digest}", If_None_Match=f'"{blob.digest}"').status == 304

    def test_only_where_it_was_pushed(self, talk: Talk) -> None:
        blob = talk.blob(b"hello")
        assert talk("GET", f"b/blobs/{blob.digest}").code == "BLOB_UNKNOWN"

    def test_piece_by_piece(self, talk: Talk) -> None:
        begun = talk("POST", "a/blobs/uploads/")
        assert (begun.status, begun.headers.get("Range")) == (202, "0-0")
        place = (begun.headers.get("Location") or "").removeprefix("/v2/")
        first = talk("PATCH", place, b"hello", Content_Range="0-4")
        assert (first.status, first.headers.get("Range")) == (202, "0-4")
        assert talk("PATCH", place, b", ").headers.get("Range") == "0-6"
        status = talk("GET", place)
        assert (status.status, status.headers.get("Range")) == (204, "0-6")
        wrong = talk("PATCH", place, b"x", Content_Range="0-0")
        assert (wrong.status, wrong.headers.get("Range"), wrong.code) == (416, "0-6", "BLOB_UPLOAD_INVALID")
        assert wrong.headers.get("Location") == f"/v2/{place}"
        blob = describe(b"hello, world", "a/b")
        assert talk("PUT", f"{place}?digest={blob.digest}", b"world", Content_Range="7-11").status == 201
        assert talk("GET", f"a/blobs/{blob.digest}").body == b"hello, world"
        assert talk("GET", place).code == "BLOB_UPLOAD_UNKNOWN"
        assert "uploads" not in " ".join(talk.files())

    def test_an_upload_is_of_one_repository(self, talk: Talk) -> None:
        place = (talk("POST", "a/blobs/uploads/").headers.get("Location") or "").removeprefix("/v2/")
        assert talk("GET", place.replace("a/", "b/", 1)).code == "BLOB_UPLOAD_UNKNOWN"
        assert talk("DELETE", place).status == 204
        assert talk("DELETE", place).status == 404

    def test_another_digest(self, talk: Talk) -> None:
        reply = talk("POST", f"a/blobs/uploads/?digest={DIGEST}", b"hello")
        assert (reply.status, reply.code, talk.files()) == (400, "DIGEST_INVALID", [])
        assert talk("GET", f"a/blobs/{DIGEST}").status == 404

    def test_too_large(self, talk: Talk) -> None:
        assert talk("POST", f"a/blobs/uploads/?digest={DIGEST}", b"x" * 100_001).code == "SIZE_INVALID"
        assert talk.files() == []

    def test_what_nobody_could_go_on_with_does_not_stay(self, talk: Talk) -> None:
        assert talk("POST", "a/blobs/uploads/?digest=x").code == "DIGEST_INVALID"
        gone = ConnectionError("the client")

        class Going:
            def read(self, size: int, /) -> bytes:
                raise gone

        target = f"/v2/a/blobs/uploads/?digest={DIGEST}"
        talk.handler.handle(Incoming("POST", target, Headers(), Going()))
        assert talk.files() == []

    def test_an_upload_that_cannot_be_begun_leaves_nothing(self, talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
        """Or a full disk, and who tries again, would use up the number of uploads."""

        def full(path: str, mode: str = "r") -> object:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(uploads, "open", full, raising=False)
        assert talk("POST", "a/blobs/uploads/").status == 500
        assert list((talk.root / "uploads").iterdir()) == []
        monkeypatch.undo()
        assert talk("POST", "a/blobs/uploads/").status == 202

    def test_nothing_is_written_to_what_became_a_blob(self, talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
        """Between the moment an upload is opened to go on with it and the one it is locked, somebody else ends it."""
        place = (talk("POST", "a/blobs/uploads/").headers.get("Location") or "").removeprefix("/v2/")
        blob = describe(b"hello", "a/b")
        lock = fcntl.flock

        def late(fd: int, how: int) -> None:
            monkeypatch.setattr(fcntl, "flock", lock)
            assert talk("PUT", f"{place}?digest={blob.digest}", b"hello").status == 201
            lock(fd, how)

        monkeypatch.setattr(fcntl, "flock", late)
        assert talk("PATCH", place, b", world").code == "BLOB_UPLOAD_UNKNOWN"
        assert talk("GET", f"a/blobs/{blob.digest}").body == b"hello"

    def test_mounting(self, talk: Talk) -> None:
        blob = talk.blob(b"hello", "b/c")
        assert talk("POST", f"a/blobs/uploads/?mount={blob.digest}&from=b/c").status == 201
        assert talk("GET", f"a/blobs/{blob.digest}").body == b"hello"
        for query in (f"mount={blob.digest}&from=other", "mount=x&from=b/c", f"mount={blob.digest}&from=../b"):
            assert talk("POST", f"d/blobs/uploads/?{query}").status == 202

    def test_uploads_expire(self, tmp_path: Path) -> None:
        now = os.stat(tmp_path).st_mtime
        talk = Talk(handler(tmp_path, now=lambda: now), tmp_path)
        place = (talk("POST", "a/blobs/uploads/").headers.get("Location") or "").removeprefix("/v2/")
        now += EXPIRE_S - 60
        talk("POST", "a/blobs/uploads/")
        assert talk("GET", place).status == 204
        now += 120
        talk("POST", "a/blobs/uploads/")
        assert talk("GET", place).status == 404

    def test_there_may_not_be_too_many(self, talk: Talk) -> None:
        (talk.root / "uploads").mkdir(parents=True)
        for number in range(MAX_UPLOADS):
            (talk.root / "uploads" / f"x{number}").mkdir()
        reply = talk("POST", "a/blobs/uploads/")
        assert (reply.status, reply.code) == (429, "TOOMANYREQUESTS")

    def test_it_goes_on_after_the_server_was_killed(self, talk: Talk) -> None:
        place = (talk("POST", "a/blobs/uploads/").headers.get("Location") or "").removeprefix("/v2/")
        talk("PATCH", place, b"hello")
        again = Talk(handler(talk.root), talk.root)
        blob = describe(b"hello!", "a/b")
        assert again("PUT", f"{place}?digest={blob.digest}", b"!").status == 201

    @pytest.mark.parametrize("damage", ["a restart", "a shorter file", "a longer file"])
    def test_what_is_on_the_disk_counts(self, talk: Talk, damage: str) -> None:
        """The hash that is kept while an upload comes is of the file, or is not used."""
        place = (talk("POST", "a/blobs/uploads/").headers.get("Location") or "").removeprefix("/v2/")
        assert talk("PATCH", place, b"hello").status == 202
        (path,) = talk.root.glob("uploads/*/data")
        known = Talk(handler(talk.root), talk.root) if damage == "a restart" else talk
        content = {"a restart": b"hello!", "a shorter file": b"hel!", "a longer file": b"helloooo!"}[damage]
        path.write_bytes(content[:-1])
        blob = describe(content, "a/b")
        assert known("PUT", f"{place}?digest={blob.digest}", b"!").status == 201
        assert known("GET", f"a/blobs/{blob.digest}").body == content

    @pytest.mark.parametrize(
        ("given", "status", "body", "content_range"),
        [
            ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
            ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
            ("bytes=7-", 206, b"789", "bytes 7-9/10"),
            ("bytes=-2", 206, b"89", "bytes 8-9/10"),
            ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
            ("bytes=5-99", 206, b"56789", "bytes 5-9/10"),
            ("bytes=10-", 416, None, "bytes */10"),
            ("bytes=-0", 416, None, "bytes */10"),
            ("bytes=4-2", 200, b"0123456789", None),
            ("bytes=0-1,99-", 206, b"01", "bytes 0-1/10"),
            ("bytes=10-,20-30", 416, None, "bytes */10"),
            ("bytes=3-4,0-1", 200, b"0123456789", None),
            ("bytes=0-3,3-4", 200, b"0123456789", None),
            ("bytes=0-1,-10", 200, b"0123456789", None),
            ("bytes=0-1,x", 200, b"0123456789", None),
            ("bytes=0-1,", 200, b"0123456789", None),
            ("lines=1-2", 200, b"0123456789", None),
            ("bytes=-", 200, b"0123456789", None),
        ],
    )
    def test_ranges(self, talk: Talk, given: str, status: int, body: bytes | None, content_range: str | None) -> None:
        blob = talk.blob(b"0123456789")
        reply = talk("GET", f"a/blobs/{blob.digest}", Range=given)
        assert (reply.status, reply.headers.get("Content-Range")) == (status, content_range)
        assert body is None or reply.body == body
        whole = talk("GET", f"a/blobs/{blob.digest}", Range=given, If_Range='"other"')
        assert (whole.status, whole.body) == (200, b"0123456789")

    def test_several_ranges(self, talk: Talk) -> None:
        """As the standard library's reader of MIME sees the answer."""
        data = bytes(range(256))
        blob = talk.blob(data)
        reply = talk("GET", f"a/blobs/{blob.digest}", Range="bytes=0-1, 2-3,13-26,-3,900-")
        kind = reply.headers.get("content-type") or ""
        assert (reply.status, reply.length) == (206, len(reply.body))
        assert kind.startswith("multipart/byteranges; boundary=")
        assert reply.headers.get("content-range") is None
        message = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + reply.body)
        assert not message.defects
        parts = [(part["content-range"], part.get_payload(decode=True)) for part in message.walk()][1:]
        assert parts == [
            ("bytes 0-1/256", data[:2]),
            ("bytes 2-3/256", data[2:4]),
            ("bytes 13-26/256", data[13:27]),
            ("bytes 253-255/256", data[253:]),
        ]
        head = talk("HEAD", f"a/blobs/{blob.digest}", Range="bytes=0-1,3-4")
        assert (head.status, head.length, head.body) == (200, 256, b"")

    @pytest.mark.parametrize(("number", "status"), [(MAX_RANGES, 206), (MAX_RANGES + 1, 200)])
    def test_the_number_of_ranges_is_bounded(self, talk: Talk, number: int, status: int) -> None:
        blob = talk.blob(bytes(3 * MAX_RANGES + 10))
        ranges = ",".join(f"{3 * each}-{3 * each}" for each in range(number))
        reply = talk("GET", f"a/blobs/{blob.digest}", Range=f"bytes={ranges}")
        assert reply.status == status
        assert len(reply.body) < 200 * MAX_RANGES

    def test_deleting(self, talk: Talk) -> None:
        blob = talk.blob(b"hello")
        talk.blob(b"hello", "b")
        assert talk("DELETE", f"a/blobs/{blob.digest}").status == 202
        assert talk("GET", f"a/blobs/{blob.digest}").status == 404
        assert talk("GET", f"b/blobs/{blob.digest}").status == 200
        assert talk("DELETE", f"b/blobs/{blob.digest}").status == 202
        assert talk.files() == []

    def test_deleted_while_somebody_asks_for_it(self, talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
        blob = talk.blob(b"hello")
        assert talk("DELETE", f"a/blobs/{blob.digest}").status == 202
        monkeypatch.setattr(Storage, "has_blob", lambda *_: True)  # as it was a moment ago
        reply = talk("GET", f"a/blobs/{blob.digest}")
        assert (reply.status, reply.code) == (404, "BLOB_UNKNOWN")

    def test_killed_while_deleting(self, talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
        """There is never content that no repository knows of; an empty mark is removed by the next who asks."""
        blob = talk.blob(b"hello")

        def killed(path: str) -> None:
            raise OSError(5, "killed")

        monkeypatch.setattr(storage, "remove_durably", killed)
        assert talk("DELETE", f"a/blobs/{blob.digest}").status == 500
        assert not any(name.startswith("blobs/") for name in talk.files())
        monkeypatch.setattr(storage, "remove_durably", remove_durably)
        assert talk("GET", f"a/blobs/{blob.digest}").status == 404
        assert talk("DELETE", f"a/blobs/{blob.digest}").status == 404
        assert talk.files() == []

    def test_what_a_manifest_needs_is_not_deleted(self, talk: Talk) -> None:
        talk.manifest()
        reply = talk("DELETE", f"a/blobs/{CONFIG.digest}")
        assert (reply.status, reply.code) == (409, "DENIED")
        assert talk("DELETE", f"a/manifests/{DIGEST}").status == 202
        assert talk("DELETE", f"a/blobs/{CONFIG.digest}").status == 202


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
