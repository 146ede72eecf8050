# SPDX-License-Identifier: MIT
"""powernode registry serve"""

from __future__ import annotations

import sys
from contextlib import contextmanager

from powernode.base.errors import MachineError, OperatorError
from powernode.cli.options import Arguments, Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from powernode.oci.server.access import Passwords
    from powernode.oci.server.handler import Handler
    from powernode.oci.server.listen import Listener


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise ValueError("HOST:PORT, where port 0 takes a free one")
    return host.removeprefix("[").removesuffix("]"), int(port)


COMMAND = Command(
    "registry serve",
    "",
    "Runs an OCI registry on a folder: for development, for tests, for a lab. It has the referrers API, resumes "
    "uploads, and survives being killed at any moment. Requests are listed on standard error. Stop it with Ctrl-C.",
    options=(
        Option("--root", "DIR", "where everything is kept (default: ./registry)", default="registry"),
        Option(
            "--listen", "HOST:PORT", "where to listen (default: 127.0.0.1:5000)", _address, default=("127.0.0.1", 5000)
        ),
        Option("--tls-cert", "FILE", "our certificate with its chain (PEM); then it is https"),
        Option("--tls-key", "FILE", "the certificate's key (PEM)"),
        Option("--auth", "FILE", "who may use it: a line NAME:PASSWORD each; only its owner may read the file"),
        Option("--read-only", None, "nobody may change anything"),
    ),
    example="powernode registry serve --root=/srv/registry --listen=127.0.0.1:5000",
    most=0,
)


def run(arguments: Arguments) -> int:
    import os
    import secrets
    import signal
    import time

    from powernode.oci.server.handler import Handler
    from powernode.oci.server.storage import Storage

    handler = Handler(
        Storage(arguments.root),
        new_id=lambda: secrets.token_hex(16),
        now=time.time,
        access=_passwords(arguments.auth) if arguments.auth else None,
        read_only=arguments.read_only,
    )
    tls = _tls(arguments)
    with _alone(arguments):
        listener = _listen(handler, arguments.listen, tls)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # either signal ends it in order
        try:
            scheme = "https" if tls else "http"
            print(f"registry on {scheme}://{listener.address}, kept in {os.path.abspath(arguments.root)}", flush=True)
            for warning in _warnings(arguments):
                print(f"warning: {warning}", file=sys.stderr)
            listener.serve()
        except KeyboardInterrupt:
            pass
        finally:
            listener.stop()
    return 0


def _listen(handler: Handler, address: tuple[str, int], tls: ssl.SSLContext | None) -> Listener:
    from powernode.oci.server.listen import Listener

    try:
        return Listener(handler, address, tls=tls, report=_report)
    except OSError as error:
        raise MachineError(
            "cli.registry.listen",
            f"cannot listen on {address[0]}:{address[1]}",
            found=error.strerror or str(error),
            hint="give another --listen; port 0 takes a free one",
        ) from error


@contextmanager
def _alone(arguments: Arguments) -> Iterator[None]:
    """One process writes; the kernel forgets the lock with its holder."""
    import os

    from powernode.linux.files import try_lock

    if arguments.read_only:
        yield
        return
    os.makedirs(arguments.root, exist_ok=True)
    fd = os.open(arguments.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not try_lock(fd):
            raise OperatorError(
                "cli.registry.in-use",
                f"another registry writes to {arguments.root}",
                hint="stop it, give another --root, or serve --read-only",
            )
        yield
    finally:
        os.close(fd)


def _warnings(arguments: Arguments) -> Iterator[str]:
    host, _ = arguments.listen
    if host in ("localhost", "::1") or host.startswith("127."):
        return
    if not arguments.auth and not arguments.read_only:
        yield "without --auth, whoever can reach it may change everything in it"
    if arguments.auth and not arguments.tls_cert:
        yield "without --tls-cert, passwords come in plain text"


def _report(method: str, target: str, status: int) -> None:
    shown = "".join(character if character.isprintable() else "?" for character in target)
    print(f"{status} {method} {shown}", file=sys.stderr, flush=True)


def _passwords(path: str) -> Passwords:
    import os

    from powernode.oci.server.access import Passwords

    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise OperatorError(
                "cli.registry.auth", f"others may read {path}", expected="mode 0600", hint=f"chmod 600 {path}"
            )
        return Passwords.parse(file.read())


def _tls(arguments: Arguments) -> ssl.SSLContext | None:
    if (arguments.tls_cert is None) != (arguments.tls_key is None):
        raise OperatorError("cli.registry.tls", "--tls-cert and --tls-key go together")
    if arguments.tls_cert is None:
        return None
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(arguments.tls_cert, arguments.tls_key)
    except (OSError, ssl.SSLError) as error:
        found = f"{arguments.tls_cert} {arguments.tls_key}"
        raise OperatorError("cli.registry.tls", f"cannot use {found}", found=str(error)[:200]) from error
    return context
