# SPDX-License-Identifier: MIT
"""Requests to our registry without a socket, and what it answers."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from powernode.net.http import Headers
from powernode.oci.documents import (
    EMPTY,
    EMPTY_CONFIG,
    IMAGE_MANIFEST,
    Descriptor,
    Manifest,
    describe,
)
from powernode.oci.server.handler import Handler
from powernode.oci.server.messages import Incoming
from support.registry import body_of

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
