# SPDX-License-Identifier: MIT
"""The client and blobs: sent once, resumed in either direction, mounted, and never believed."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from powernode.base.errors import DataError, MachineError, PowernodeError
from powernode.net.http import Headers, Request, Response
from powernode.oci.client import FileSource, Registry
from powernode.oci.documents import describe
from powernode.oci.server.messages import Answer
from support.registry import Direct, client
from unit.oci._answers import BLOB, DATA, LOST, Once, answer, fetched


class TestBlobs:
    @pytest.mark.parametrize("size", [0, 1, 65536, 65537, len(DATA)])
    def test_there_and_back(self, registry: Registry, size: int) -> None:
        descriptor = describe(DATA[:size], "application/x")
        assert not registry.has_blob(descriptor)
        registry.push_blob(descriptor, DATA[:size])
        assert registry.has_blob(descriptor)
        assert fetched(registry, descriptor) == DATA[:size]
        assert registry.read_blob(descriptor, max_bytes=size) == DATA[:size]

    def test_pieces(self, registry: Registry, direct: Direct) -> None:
        registry.push_blob(BLOB, FileSource(lambda: io.BytesIO(DATA)))
        assert [request.method for request in direct.seen] == ["POST", "PATCH", "PATCH", "PATCH", "PATCH", "PUT"]
        ranges = [dict(request.headers)["Content-Range"] for request in direct.seen[1:5]]
        assert ranges == ["0-65535", "65536-131071", "131072-196607", "196608-262143"]

    def test_a_registry_that_wants_larger_pieces(self, registry: Registry, direct: Direct) -> None:
        def after(request: Request, answer: Answer) -> Answer:
            answer.headers += [("OCI-Chunk-Min-Length", "131072")] if request.method == "POST" else []
            return answer

        direct.after = after
        registry.push_blob(BLOB, DATA)
        assert [request.method for request in direct.seen] == ["POST", "PATCH", "PATCH", "PUT"]

    @pytest.mark.parametrize(
        ("match", "act", "methods"),
        {
            "lost before a piece came": ("PATCH", LOST, "POST PATCH GET PATCH PATCH PATCH PATCH PUT"),
            "busy at a piece": ("PATCH", 503, "POST PATCH GET PATCH PATCH PATCH PATCH PUT"),
            "lost at the start": ("POST", LOST, "POST POST PATCH PATCH PATCH PATCH PUT"),
            "lost at the end": ("PUT", LOST, "POST PATCH PATCH PATCH PATCH PUT GET PUT"),
            "another part was expected": ("PATCH", 416, "POST PATCH GET PATCH PATCH PATCH PATCH PUT"),
            "the upload is gone": ("PATCH", 404, "POST PATCH HEAD POST PATCH PATCH PATCH PATCH PUT"),
        }.values(),
    )
    def test_uploads_go_on(self, registry: Registry, direct: Direct, match: str, act: object, methods: str) -> None:
        direct.change = Once(match, act)
        registry.push_blob(BLOB, DATA)
        assert " ".join(request.method for request in direct.seen) == methods
        assert fetched(registry) == DATA

    def test_a_piece_that_came_though_the_connection_was_lost(self, registry: Registry, direct: Direct) -> None:
        def after(request: Request, answer: Answer) -> Answer:
            if request.method == "PATCH":
                direct.after = lambda _, answer: answer
                raise LOST
            return answer

        direct.after = after
        registry.push_blob(BLOB, DATA)
        assert [request.method for request in direct.seen] == ["POST", "PATCH", "GET", "PATCH", "PATCH", "PATCH", "PUT"]

    def test_the_end_that_came_though_the_connection_was_lost(self, registry: Registry, direct: Direct) -> None:
        def after(request: Request, answer: Answer) -> Answer:
            if request.method == "PUT":
                raise LOST
            return answer

        direct.after = after
        registry.push_blob(describe(b"x", "a/b"), b"x")
        assert [request.method for request in direct.seen] == ["POST", "PUT", "HEAD"]

    @pytest.mark.parametrize(
        ("match", "act", "code"),
        [
            ("PATCH", LOST, "net.lost"),
            ("PATCH", 503, "oci.unavailable"),
            ("PATCH", 404, "oci.upload.lost"),
            ("PATCH", 416, "oci.status"),
            ("PATCH", 400, "oci.status"),
            ("PATCH", (202, ("Range", "0-99999999")), "oci.upload.range"),
            ("PATCH", (202, ("Range", "5-6")), "oci.upload.range"),
            ("POST", 403, "oci.auth.forbidden"),
            ("POST", 202, "oci.redirect.nowhere"),
            ("POST", (202, ("Location", "ftp://evil.example/")), "oci.redirect.nowhere"),
            ("POST", (201, ("Location", "/v2/x")), "oci.status"),
        ],
    )
    def test_uploads_end(self, registry: Registry, direct: Direct, match: str, act: object, code: str) -> None:
        direct.change = Once(match, act, times=1000)
        with pytest.raises(PowernodeError) as caught:
            registry.push_blob(BLOB, DATA)
        assert caught.value.code == code
        assert len(direct.seen) < 60

    @pytest.mark.parametrize(("size", "match"), [(1, "PUT"), (len(DATA), "PATCH")], ids=["in one piece", "in several"])
    @pytest.mark.parametrize("status", [400, 503, 507])
    def test_what_is_given_up_is_cancelled(
        self, registry: Registry, direct: Direct, tmp_path: Path, size: int, match: str, status: int
    ) -> None:
        """It would fill the registry's disk for a day."""
        direct.change = Once(match, status, times=1000)
        with pytest.raises(PowernodeError):
            registry.push_blob(describe(DATA[:size], "a/b"), DATA[:size])
        assert direct.seen[-1].method == "DELETE"
        assert list(tmp_path.rglob("uploads/*")) == []

    def test_who_cannot_be_reached_is_told_nothing(self, registry: Registry, direct: Direct) -> None:
        direct.change = Once("PATCH", LOST, times=1000)
        with pytest.raises(MachineError):
            registry.push_blob(BLOB, DATA)
        assert "DELETE" not in {request.method for request in direct.seen}

    def _patient(self, direct: Direct, change: Callable[[Request], Response | None]) -> None:
        """Answers by `change`, but not for ever."""

        def bounded(request: Request) -> Response | None:
            assert len(direct.seen) < 60
            return change(request)

        direct.change = bounded

    def test_a_registry_that_takes_next_to_nothing(self, registry: Registry, direct: Direct) -> None:
        taken = itertools.count()

        def change(request: Request) -> Response | None:
            return answer(request, 202, b"", ("Range", f"0-{next(taken)}")) if request.method == "PATCH" else None

        self._patient(direct, change)
        with pytest.raises(MachineError) as caught:
            registry.push_blob(BLOB, DATA)
        assert caught.value.code == "oci.upload.lost"

    def test_a_registry_that_forgets(self, registry: Registry, direct: Direct) -> None:
        def change(request: Request) -> Response | None:
            if request.method == "GET":
                return answer(request, 204, b"", ("Range", "0-0"))
            is_first = dict(request.headers).get("Content-Range", "").startswith("0-")
            if request.method == "PATCH":
                return answer(request, 202, b"", ("Range", "0-65535")) if is_first else answer(request, 416)
            return None

        self._patient(direct, change)
        with pytest.raises(MachineError) as caught:
            registry.push_blob(BLOB, DATA)
        assert caught.value.code == "oci.upload.lost"

    def test_other_content_than_was_said(self, registry: Registry) -> None:
        with pytest.raises(DataError) as caught:
            registry.push_blob(describe(b"other", "a/b"), b"OTHER")
        assert (caught.value.code, "DIGEST_INVALID" in str(caught.value)) == ("oci.status", True)

    def test_from_a_neighbour(self, direct: Direct, registry: Registry) -> None:
        client(direct, "localhost/acme/base").push_blob(BLOB, DATA)
        direct.seen.clear()
        assert registry.mount_blob(BLOB, "acme/base")
        assert direct.methods() == [
            f"POST acme/redis/blobs/uploads/?mount={BLOB.digest.replace(':', '%3A')}&from=acme%2Fbase"
        ]
        assert fetched(registry) == DATA

    def test_a_neighbour_that_has_it_not(self, direct: Direct, registry: Registry) -> None:
        assert not registry.mount_blob(BLOB, "acme/base")
        assert [request.method for request in direct.seen] == ["POST", "DELETE"]

    def test_ranges(self, registry: Registry) -> None:
        registry.push_blob(BLOB, DATA)
        assert registry.read_range(BLOB, 1000, 70_000) == DATA[1000:71_000]
        assert registry.read_range(BLOB, len(DATA) - 1, 1) == DATA[-1:]
        assert registry.read_range(BLOB, 5, 0) == b""

    def test_ranges_go_on_after_a_loss(self, registry: Registry, direct: Direct) -> None:
        registry.push_blob(BLOB, DATA)
        direct.change = Once("GET", LOST, times=2)
        assert registry.read_range(BLOB, 1, 2) == DATA[1:3]

    def test_a_registry_without_ranges(self, registry: Registry, direct: Direct) -> None:
        registry.push_blob(BLOB, DATA)
        direct.change = lambda request: answer(request, 200, DATA) if request.method == "GET" else None
        with pytest.raises(DataError) as caught:
            registry.read_range(BLOB, 1000, 1000)
        assert caught.value.code == "oci.range.unsupported"

    def test_downloads_go_on_where_they_broke_off(self, registry: Registry, direct: Direct) -> None:
        registry.push_blob(BLOB, DATA)
        direct.seen.clear()
        breaks = iter([70_000, 100])

        def change(request: Request) -> Response | None:
            cut = next(breaks, None)
            if cut is None:
                return None
            start = int(dict(request.headers).get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
            headers = [("Content-Length", str(len(DATA) - start))]
            headers += [("Content-Range", f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")] if start else []
            return Response(request, 206 if start else 200, Headers(headers), io.BytesIO(DATA[start : start + cut]))

        direct.change = change
        assert fetched(registry) == DATA
        ranges = [dict(request.headers).get("Range") for request in direct.seen]
        assert ranges == [None, "bytes=70000-262143", "bytes=70100-262143"]

    def test_going_on_with_a_registry_without_ranges(self, registry: Registry, direct: Direct) -> None:
        bodies = iter([DATA[:70_000], DATA])
        direct.change = lambda request: Response(
            request, 200, Headers([("Content-Length", str(len(DATA)))]), io.BytesIO(next(bodies))
        )
        assert fetched(registry) == DATA

    def test_going_on_from_an_earlier_day(self, registry: Registry) -> None:
        registry.push_blob(BLOB, DATA)
        sink = io.BytesIO()
        registry.fetch_blob(BLOB, sink, offset=100, sofar=sha256(DATA[:100]))
        assert sink.getvalue() == DATA[100:]
        with pytest.raises(DataError) as caught:
            registry.fetch_blob(BLOB, sink, offset=100, sofar=sha256(b"x" * 100))
        assert caught.value.code == "oci.blob.digest"

    def test_what_is_not_there(self, registry: Registry) -> None:
        with pytest.raises(PowernodeError) as whole:
            fetched(registry)
        with pytest.raises(PowernodeError) as part:
            registry.read_range(BLOB, 0, 1)
        assert whole.value.code == part.value.code == "oci.blob.missing"

    def test_too_large_is_not_even_asked_for(self, registry: Registry, direct: Direct) -> None:
        with pytest.raises(DataError) as caught:
            registry.read_blob(BLOB, max_bytes=10)
        assert (caught.value.code, direct.seen) == ("oci.blob.too-large", [])
