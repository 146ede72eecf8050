# SPDX-License-Identifier: MIT
"""Blobs of our registry: sent whole and in parts, mounted, read by ranges, deleted; and what must not be possible."""

from __future__ import annotations

import email
import fcntl
import os
from pathlib import Path

import pytest

from powernode.base.durable import remove_durably
from powernode.net.http import Headers
from powernode.oci.documents import (
    describe,
)
from powernode.oci.server import storage, uploads
from powernode.oci.server.messages import Incoming
from powernode.oci.server.ranges import MAX_RANGES
from powernode.oci.server.storage import Storage
from powernode.oci.server.uploads import EXPIRE_S, MAX_UPLOADS
from support.registry import handler
from unit.oci._talk import CONFIG, DIGEST, Talk


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
