# SPDX-License-Identifier: MIT
"""The identity source `cloud` against metadata services on 169.254.169.254, in a network namespace of the test's own.

The services here are written by us, after the providers' documentation; the bad ones do what a broken or hostile
neighbour on the link could do.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from powernode.agent.identity.cascade import resolve
from powernode.agent.identity.model import ABSENT, FOUND, REFUSED, TIMEOUT, Attempt, Resolution
from powernode.agent.identity.secret import Secret
from powernode.agent.identity.surroundings import Surroundings
from root._metadata_service import ADDRESS, Answer, Handler, run_in_network, serving

UUID = "6f1c2b3a-0d4e-4f5a-8b6c-7d8e9fa0b1c2"
USER_DATA = json.dumps(
    {"instance_uuid": UUID, "platform_url": "https://p.example", "bootstrap_token": "s3cret"}
).encode()
LINES = f"instance_uuid={UUID}\nplatform_url=https://p.example\nbootstrap_token=s3cret\n".encode()
DMI = {
    "aws": ("sys_vendor", "Amazon EC2"),
    "gcp": ("product_name", "Google Compute Engine"),
    "azure": ("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77"),
    "openstack": ("product_name", "OpenStack Nova"),
}
SLACK_S = 1.0  # of a busy machine, not of the code


@pytest.fixture
def network() -> Callable[[Callable[[], None]], None]:
    if os.geteuid() != 0:
        pytest.skip("a network namespace needs root")
    if not shutil.which("ip"):
        pytest.skip("no ip command (package iproute2)")
    try:
        run_in_network(lambda: None)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespace with {ADDRESS[0]} here: {error}")
    return run_in_network


Network = Callable[[Callable[[], None]], None]


def ask(root: Path, provider: str, budget_s: float = 5) -> Resolution:
    name, value = DMI[provider]
    path = root / "sys/class/dmi/id" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{value}\n")
    around = Surroundings(
        root=str(root), clock=time.monotonic, sleep=time.sleep, network=lambda timeout_s: None, metadata=ADDRESS
    )
    return resolve(around, order=("cloud",), budget_s={"cloud": budget_s})


def check_found(found: Resolution, place: str) -> None:
    assert found.identity is not None, found.attempts
    assert found.identity.instance_uuid == UUID
    assert found.identity.platform_url == "https://p.example"
    assert found.identity.bootstrap_token == Secret("s3cret")
    assert str(found.identity.provenance["instance_uuid"]) == f"cloud: {place}"
    assert found.attempts[0].outcome == FOUND


def only(found: Resolution) -> Attempt:
    (attempt,) = found.attempts
    assert "s3cret" not in json.dumps(found.as_dict())
    return attempt


# The four providers as they should be ------------------------------------------------------------------------------


def aws(handler: Handler, user_data: bytes | None = USER_DATA) -> None:
    if handler.command == "PUT" and handler.path == "/latest/api/token":
        if not 1 <= int(handler.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "0")) <= 21600:
            return handler.reply(b"", 400)
        return handler.reply(b"AQAAAtoken==")
    if handler.headers.get("X-aws-ec2-metadata-token") != "AQAAAtoken==":
        return handler.reply(b"", 401)
    if handler.path == "/latest/user-data" and user_data is not None:
        return handler.reply(user_data, kind="application/octet-stream")
    return handler.reply(b"<html>404</html>", 404, "text/html")


def gcp(handler: Handler, user_data: bytes = USER_DATA) -> None:
    if handler.headers.get("Metadata-Flavor") != "Google":
        return handler.reply(b"", 403)
    if handler.path != "/computeMetadata/v1/instance/attributes/user-data":
        return handler.reply(b"", 404)
    return handler.reply(user_data, kind="application/text", Metadata_Flavor="Google")


def azure(handler: Handler, user_data: bytes = b"", custom_data: bytes = USER_DATA) -> None:
    path, _, query = handler.path.partition("?")
    if handler.headers.get("Metadata") != "true" or query != "api-version=2021-01-01&format=text":
        return handler.reply(b'{"error": "Bad request"}', 400, "application/json")
    for name, data in (("userData", user_data), ("customData", custom_data)):
        if path == f"/metadata/instance/compute/{name}":
            return handler.reply(base64.b64encode(data), kind="text/plain; charset=utf-8")
    return handler.reply(b"", 404)


def openstack(handler: Handler, meta: Any = None, user_data: bytes | None = LINES) -> None:
    if handler.path == "/openstack/latest/meta_data.json":
        document = {"uuid": "d8e02d56-2648-49a3-bf97-6be8f1204f38", "name": "node", "keys": [{"a": 1}], "meta": meta}
        return handler.reply(json.dumps(document).encode(), kind="application/json")
    if handler.path == "/openstack/latest/user_data" and user_data is not None:
        return handler.reply(user_data)
    return handler.reply(b"", 404)


def test_aws_with_a_session_token(network: Network, tmp_path: Path) -> None:
    def body() -> None:
        with serving(aws) as service:
            check_found(ask(tmp_path, "aws"), "user-data instance_uuid")
        assert service.paths() == ["PUT /latest/api/token", "GET /latest/user-data"]
        assert all(headers["host"] == ADDRESS[0] for _, _, headers in service.asked)

    network(body)


def test_gcp(network: Network, tmp_path: Path) -> None:
    def body() -> None:
        with serving(gcp):
            check_found(ask(tmp_path, "gcp"), "attribute user-data instance_uuid")

    network(body)


@pytest.mark.parametrize(("user_data", "name"), [(USER_DATA, "userData"), (b"", "customData")])
def test_azure(network: Network, tmp_path: Path, user_data: bytes, name: str) -> None:
    def body() -> None:
        with serving(lambda handler: azure(handler, user_data)):
            check_found(ask(tmp_path, "azure"), f"{name} instance_uuid")

    network(body)


def test_openstack_by_user_data(network: Network, tmp_path: Path) -> None:
    def body() -> None:
        with serving(openstack):
            check_found(ask(tmp_path, "openstack"), "user_data line 1")

    network(body)


def test_openstack_by_metadata_of_the_instance(network: Network, tmp_path: Path) -> None:
    def body() -> None:
        meta = {f"powernode.{key}": value for key, value in json.loads(USER_DATA).items()}
        with serving(lambda handler: openstack(handler, {**meta, "colour": "red"}, b"#cloud-config\n")):
            check_found(ask(tmp_path, "openstack"), "meta_data.json meta powernode.instance_uuid")

    network(body)


def test_relatives_that_speak_only_the_dialect_of_ec2(network: Network, tmp_path: Path) -> None:
    def relative(handler: Handler) -> None:
        handler.reply(
            LINES if handler.path == "/latest/user-data" else b"", 200 if "user-data" in handler.path else 404
        )

    def body() -> None:
        with serving(relative) as service:
            check_found(ask(tmp_path, "openstack"), "user-data line 1")
        assert service.paths() == ["GET /openstack/latest/meta_data.json", "GET /latest/user-data"]

    network(body)


# Services with nothing for us --------------------------------------------------------------------------------------

ABSENT_CASES: dict[str, tuple[str, Answer, str]] = {
    "aws without user data": ("aws", lambda h: aws(h, None), "aws: no user data"),
    "aws with somebody else's": ("aws", lambda h: aws(h, b"#cloud-config\n"), "aws: user-data is cloud-init's"),
    "aws switched off": (
        "aws",
        lambda h: h.reply(b"", 403),
        "aws: the metadata service is switched off for this instance",
    ),
    "gcp without the attribute": ("gcp", lambda h: h.reply(b"", 404), "gcp: no attribute user-data"),
    "azure without both": ("azure", lambda h: azure(h, b"", b""), "azure: no userData and no customData"),
    "openstack without": ("openstack", lambda h: openstack(h, None, None), "openstack: no user data"),
}


@pytest.mark.parametrize("case", ABSENT_CASES)
def test_nothing_for_us(network: Network, tmp_path: Path, case: str) -> None:
    provider, answer, reason = ABSENT_CASES[case]

    def body() -> None:
        with serving(answer):
            attempt = only(ask(tmp_path, provider))
        assert (attempt.outcome, attempt.code, attempt.reason) == (ABSENT, None, reason)

    network(body)


def test_nobody_listens(network: Network, tmp_path: Path) -> None:
    def body() -> None:
        attempt = only(ask(tmp_path, "aws"))
        assert (attempt.outcome, attempt.reason) == (ABSENT, "aws: no metadata service: Connection refused")
        assert attempt.seconds < 1 + SLACK_S

    network(body)


# Bad services ------------------------------------------------------------------------------------------------------


def raw(handler: Handler, data: bytes) -> None:
    handler.wfile.write(data)


def huge_header(handler: Handler) -> None:
    raw(handler, b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n")


def many_headers(handler: Handler) -> None:
    raw(handler, b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n")


def endless(handler: Handler) -> None:
    raw(handler, b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nMetadata-Flavor: Google\r\n\r\n")
    while True:
        handler.wfile.write(b"a" * 65536)


def endless_chunks(handler: Handler) -> None:
    raw(handler, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        handler.wfile.write(b"1000\r\n" + b"a" * 0x1000 + b"\r\n")


def cut(handler: Handler) -> None:
    raw(handler, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nMetadata-Flavor: Google\r\n\r\n" + USER_DATA)


def lying_length(handler: Handler) -> None:
    raw(handler, b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\nMetadata-Flavor: Google\r\n\r\n")
    with suppress(ConnectionError):
        while True:
            handler.wfile.write(b"a" * 65536)


def aws_token(body: bytes) -> Answer:
    return lambda handler: handler.reply(body)


def redirect(status: int) -> Answer:
    return lambda handler: handler.reply(b"", status, Location="http://169.254.169.254/elsewhere")


def google(body: bytes, **options: Any) -> Answer:
    return lambda handler: handler.reply(body, Metadata_Flavor="Google", **options)


REFUSED_CASES: dict[str, tuple[str, Answer, str]] = {
    "redirect": ("gcp", redirect(302), "identity.cloud.redirect"),
    "redirect that keeps the method": ("aws", redirect(307), "identity.cloud.redirect"),
    "page of a portal": ("gcp", google(b"<html>", kind="text/html; charset=utf-8"), "identity.cloud.content-type"),
    "endless body": ("gcp", endless, "identity.too-large"),
    "endless chunks": ("gcp", endless_chunks, "identity.too-large"),
    "length of a lie": ("gcp", lying_length, "identity.too-large"),
    "body that is cut": ("gcp", cut, "identity.cloud.protocol"),
    "huge header": ("gcp", huge_header, "identity.cloud.protocol"),
    "a thousand headers": ("gcp", many_headers, "identity.cloud.protocol"),
    "no HTTP": ("gcp", lambda h: raw(h, b"SSH-2.0-OpenSSH_9.2\r\n"), "identity.cloud.protocol"),
    "hangs up": ("gcp", lambda h: None, "identity.cloud.protocol"),
    "unauthorised": ("gcp", lambda h: h.reply(b"", 401), "identity.cloud.status"),
    "not Google": ("gcp", lambda h: h.reply(USER_DATA), "identity.cloud.flavor"),
    "no session tokens": ("aws", lambda h: h.reply(b"", 404), "identity.cloud.status"),
    "empty session token": ("aws", aws_token(b""), "identity.cloud.token"),
    "session token with a header in it": ("aws", aws_token(b"a\r\nX: y"), "identity.cloud.token"),
    "huge session token": ("aws", aws_token(b"a" * 1025), "identity.cloud.token"),
    "azure without base64": ("azure", lambda h: h.reply(USER_DATA), "identity.user-data"),
    "openstack without JSON": ("openstack", lambda h: h.reply(b"{"), "identity.user-data"),
    "meta that is no text": (
        "openstack",
        lambda h: openstack(h, {"powernode.instance_uuid": None}),
        "identity.uuid",
    ),
    "broken JSON": ("gcp", google(b'{"bootstrap_token": "s3cret"'), "identity.user-data"),
    "bad uuid": ("gcp", google(b'{"instance_uuid": "1"}'), "identity.uuid"),
}


@pytest.mark.parametrize("case", REFUSED_CASES)
def test_refused(network: Network, tmp_path: Path, case: str) -> None:
    provider, answer, code = REFUSED_CASES[case]

    def body() -> None:
        with serving(answer) as service:
            found = ask(tmp_path, provider)
        attempt = only(found)
        assert (attempt.outcome, attempt.code) == (REFUSED, code), attempt
        assert found.identity is None
        assert found.stopped_by is None
        assert "/elsewhere" not in str(service.asked)
        assert attempt.seconds < SLACK_S

    network(body)


@pytest.mark.parametrize(
    ("meta", "user_data", "code"),
    [
        ({}, b"platform_url=http://p.example\n", "identity.platform-url"),
        ({"powernode.platform_url": "https://a.example"}, b"platform_url=https://b.example\n", "identity.conflict"),
    ],
)
def test_a_bad_anchor_ends_the_cascade(
    network: Network, tmp_path: Path, meta: dict[str, str], user_data: bytes, code: str
) -> None:
    def body() -> None:
        with serving(lambda handler: openstack(handler, meta, user_data)):
            found = ask(tmp_path, "openstack")
        assert (only(found).outcome, only(found).code, found.stopped_by) == (REFUSED, code, "cloud")

    network(body)


@pytest.mark.parametrize("status", [500, 503, 429])
def test_server_errors_are_tried_three_times(network: Network, tmp_path: Path, status: int) -> None:
    def body() -> None:
        with serving(lambda handler: handler.reply(b"", status)) as service:
            attempt = only(ask(tmp_path, "gcp"))
        assert (attempt.outcome, attempt.code) == (REFUSED, "identity.cloud.status")
        assert f"status {status}" in attempt.reason
        assert len(service.asked) == 3
        assert 0.6 <= attempt.seconds < 0.6 + SLACK_S

    network(body)


def test_a_service_that_recovers(network: Network, tmp_path: Path) -> None:
    def body() -> None:
        statuses = [503, 500]

        def answer(handler: Handler) -> None:
            if statuses:
                handler.reply(b"", statuses.pop())
            else:
                gcp(handler)

        with serving(answer):
            check_found(ask(tmp_path, "gcp"), "attribute user-data instance_uuid")

    network(body)


def slowly(data: bytes, forever: bytes) -> Answer:
    def answer(handler: Handler) -> None:
        raw(handler, data)
        while True:
            raw(handler, forever)
            time.sleep(0.05)

    return answer


DRIPS: dict[str, Answer] = {
    "status line": slowly(b"", b"H"),
    "header": slowly(b"HTTP/1.1 200 OK\r\nX: ", b"a"),
    "continue": slowly(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": slowly(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"a"),
    "chunks": slowly(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    "silence": lambda handler: time.sleep(4),
}


@pytest.mark.parametrize("part", DRIPS)
def test_a_service_that_drips_ends_with_the_budget(network: Network, tmp_path: Path, part: str) -> None:
    def body() -> None:
        with serving(DRIPS[part]):
            attempt = only(ask(tmp_path, "gcp", budget_s=0.5))
        assert (attempt.outcome, attempt.code) == (TIMEOUT, None), attempt
        assert 0.5 <= attempt.seconds < 0.5 + SLACK_S

    network(body)


def test_one_slow_answer_does_not_cost_the_whole_budget(network: Network, tmp_path: Path) -> None:
    def body() -> None:
        first = threading.Event()

        def answer(handler: Handler) -> None:
            if first.is_set():
                gcp(handler)
            else:
                first.set()
                time.sleep(3)

        with serving(answer):
            found = ask(tmp_path, "gcp")
        check_found(found, "attribute user-data instance_uuid")
        assert 2 <= found.attempts[0].seconds < 2.5 + SLACK_S

    network(body)


def test_a_full_queue_of_connections(network: Network, tmp_path: Path) -> None:
    """A listener that never accepts: the kernel drops the SYN, connecting itself hangs."""

    def body() -> None:
        listener = socket.socket()
        listener.bind(ADDRESS)
        listener.listen(0)
        held = []
        for _ in range(4):
            peer = socket.socket()
            peer.setblocking(False)
            peer.connect_ex(ADDRESS)
            held.append(peer)
        try:
            attempt = only(ask(tmp_path, "gcp", budget_s=0.5))
        finally:
            for each in (*held, listener):
                each.close()
        assert attempt.outcome == TIMEOUT
        assert 0.5 <= attempt.seconds < 0.5 + SLACK_S

    network(body)
