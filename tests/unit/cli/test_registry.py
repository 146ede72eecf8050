# SPDX-License-Identifier: MIT
"""`powernode registry serve` as a process: it says where it is, serves, and ends in order."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pytest

from powernode.cli.registry import serve
from powernode.net.transport import HttpTransport, tls_context
from powernode.oci.client import Registry
from powernode.oci.credentials import Credentials
from powernode.oci.documents import describe
from powernode.oci.reference import Reference
from unit.cli._command import PROGRAM, Run

BLOB = describe(b"hello", "application/x")


@contextmanager
def served(*words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address it prints, and the process, which is asked to end at the end."""
    command = [*PROGRAM, "registry", "serve", "--listen=127.0.0.1:0", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("registry on http")
        yield line.split()[2].removesuffix(","), process
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()


def connect(url: str, *, ca: str | None = None, credentials: Credentials | None = None) -> Registry:
    scheme, _, address = url.partition("://")
    return Registry(
        HttpTransport(time.monotonic, tls=lambda: tls_context(ca_file=ca)),
        Reference.parse(f"{address}/acme/redis"),
        credentials,
        sleep=time.sleep,
        chance=lambda: 0.0,
        plain_http=scheme == "http",
    )


def test_what_was_pushed_is_there_after_a_kill(tmp_path: Path) -> None:
    root = f"--root={tmp_path}/registry"
    with served(root) as (url, process):
        connect(url).push_blob(BLOB, b"hello")
        assert process.stderr is not None
        assert process.stderr.readline() == "202 POST /v2/acme/redis/blobs/uploads/\n"
        assert process.stderr.readline().startswith("201 PUT /v2/acme/redis/blobs/uploads/")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        with served(root, "--read-only") as (again, _):
            assert connect(again).has_blob(BLOB)
        process.returncode = 0


def test_a_second_writer_is_refused(run: Run, tmp_path: Path) -> None:
    root = f"--root={tmp_path}/registry"
    with served(root) as (first, _):
        assert run("registry", "serve", "--listen=127.0.0.1:0", root).code == "cli.registry.in-use"
        connect(first).push_blob(BLOB, b"hello")
        with served(root, "--read-only") as (second, _):
            assert connect(second).has_blob(BLOB)


def test_with_tls_and_passwords(tmp_path: Path) -> None:
    certificate, key, passwords = (str(tmp_path / name) for name in ("cert.pem", "key.pem", "passwords"))
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=x"
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command.split(), *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    Path(passwords).write_text("builder:secret\n")
    Path(passwords).chmod(0o600)
    options = [f"--root={tmp_path}/registry", f"--tls-cert={certificate}", f"--tls-key={key}", f"--auth={passwords}"]
    with served(*options) as (url, _):
        assert url.startswith("https://")
        credentials = Credentials(username="builder", password="secret")
        registry = connect(url, ca=certificate, credentials=credentials)
        registry.push_blob(BLOB, b"hello")
        assert registry.has_blob(BLOB)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--listen=5000"], "cli.option"),
        (["--listen=:5000"], "cli.option"),
        (["--listen=127.0.0.1:http"], "cli.option"),
        (["--listen=127.0.0.1:70000"], "cli.option"),
        (["--tls-cert=x"], "cli.registry.tls"),
        (["--tls-cert=x", "--tls-key=y"], "cli.registry.tls"),
        (["--auth=none"], "cli.system"),
        (["--root=/dev/null/registry"], "cli.system"),
        (["folder"], "cli.operands"),
    ],
)
def test_refused(run: Run, words: list[str], code: str) -> None:
    assert run("registry", "serve", "--listen=127.0.0.1:0", *words).code == code


def test_the_commands_of_the_documentation_can_be_typed() -> None:
    text = (Path(__file__).parents[3] / "docs/registry.md").read_text()
    commands = re.findall(r"^    \$ powernode (.*)$", text, re.M)
    assert len(commands) == 3
    for command in commands:
        group, verb, *words = shlex.split(command)
        assert import_module(f"powernode.cli.{group}.{verb}").COMMAND.parse(words) is not None
    codes = set(re.findall(r"`(oci\.[a-z.-]+|net\.[a-z-]+)`", text))
    sources = "".join(path.read_text() for path in (Path(__file__).parents[3] / "src/powernode").rglob("*.py"))
    assert [code for code in codes if f'"{code}"' not in sources] == []


def test_an_address_that_is_taken(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        answer = run("registry", "serve", f"--root={tmp_path}/registry", f"--listen={address}")
    assert (answer.status, answer.code) == (4, "cli.registry.listen")
    assert answer.err.startswith(f"powernode: cannot listen on {address}\n  found: Address already in use\n")


def test_the_help_says_the_defaults() -> None:
    arguments = serve.COMMAND.parse([])
    assert arguments is not None
    host, port = arguments.listen
    text = " ".join(serve.COMMAND.help_text().split())
    assert "(default: ./registry)" in text
    assert f"(default: {host}:{port})" in text


@pytest.mark.parametrize(
    ("words", "warned"),
    [
        ([], ""),
        (["--listen=[::1]:5000", "--auth=x"], ""),
        (["--listen=0.0.0.0:5000"], "--auth"),
        (["--listen=0.0.0.0:5000", "--read-only"], ""),
        (["--listen=0.0.0.0:5000", "--auth=x"], "--tls-cert"),
        (["--listen=0.0.0.0:5000", "--auth=x", "--tls-cert=y", "--tls-key=z"], ""),
    ],
)
def test_what_others_can_reach(words: list[str], warned: str) -> None:
    arguments = serve.COMMAND.parse(words)
    assert arguments is not None
    found = list(serve._warnings(arguments))
    assert ["without " + warned in each for each in found] == ([True] if warned else [])


def test_passwords_that_others_may_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "passwords").write_text("builder:secret\n")
    (tmp_path / "passwords").chmod(0o644)
    assert run("registry", "serve", f"--auth={tmp_path}/passwords").code == "cli.registry.auth"
