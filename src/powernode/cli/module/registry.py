# SPDX-License-Identifier: MIT
"""How the verbs about modules reach a registry: options, logins, and the client."""

from __future__ import annotations

from powernode.base.errors import DataError, OperatorError
from powernode.cli.options import Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from powernode.cli.options import Arguments
    from powernode.net.http import Url
    from powernode.oci.client import Registry
    from powernode.oci.credentials import Credentials
    from powernode.oci.exchange import Pause
    from powernode.oci.reference import Reference

REGISTRY_OPTIONS = (
    Option("--plain-http", None, "speak HTTP without TLS with the registry (on this machine that is the default)"),
    Option("--ca-file", "FILE", "authorities (PEM) that may certify the servers, instead of the machine's"),
    Option("--username", "NAME", "who we are to the registry (default: the login of docker or podman)"),
    Option("--password-stdin", None, "read the password from standard input"),
)

_MAX_CONFIG = 1 << 20


def open_registry(reference: Reference, arguments: Arguments) -> Registry:
    """The repository of the reference, as REGISTRY_OPTIONS say; nothing is sent yet."""
    import os
    import random
    import time

    from powernode.net.transport import HttpTransport, tls_context
    from powernode.oci.client import Registry, base_url

    plain_http = True if arguments.plain_http else None
    transport = HttpTransport(
        time.monotonic,
        tls=lambda: tls_context(ca_file=arguments.ca_file),
        proxy=_proxy(base_url(reference.registry, plain_http=plain_http), os.environ),
    )
    return Registry(
        transport,
        reference,
        _credentials(reference, arguments, os.environ),
        sleep=time.sleep,
        chance=random.random,
        plain_http=plain_http,
        on_pause=(lambda _: None) if arguments.json else _tell,
    )


def _tell(pause: Pause) -> None:
    """Who waits is told for what: a registry may ask for minutes."""
    import sys

    from powernode.base.text import clean

    begin = "\r\x1b[K" if sys.stderr.isatty() else ""  # there may be a line of progress
    again = f"trying again in {pause.seconds:.1f} s ({pause.number} of {pause.most})"
    print(f"{begin}{clean(pause.why)}, {again}", file=sys.stderr, flush=True)


def _proxy(url: Url, environment: Mapping[str, str]) -> Url | None:
    """What HTTPS_PROXY and NO_PROXY say of the registry, as curl reads them; plain http is for one's own networks."""
    proxy = environment.get("https_proxy") or environment.get("HTTPS_PROXY")
    if url.scheme != "https" or not proxy:
        return None
    without = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    host = url.host.lower()
    for each in without.lower().split(","):
        name = each.strip().rpartition("*")[2].lstrip(".")
        if each.strip() == "*" or (name and (host == name or host.endswith(f".{name}"))):
            return None
    from powernode.net.http import Url

    try:
        found = Url.parse(proxy if "://" in proxy else f"http://{proxy}")
    except DataError:
        found = None
    if found is None or found.scheme != "http":
        raise OperatorError(
            "cli.registry.proxy",
            "cannot use the proxy that HTTPS_PROXY names",
            expected="http://HOST:PORT, no password",
        )
    return found


def _credentials(reference: Reference, arguments: Arguments, environment: Mapping[str, str]) -> Credentials | None:
    from powernode.oci.credentials import Credentials, from_config

    if (arguments.username is not None) != arguments.password_stdin:
        raise OperatorError("cli.registry.login", "--username and --password-stdin go together")
    if arguments.username is not None:
        import sys

        return Credentials(username=arguments.username, password=sys.stdin.readline().rstrip("\r\n"))
    for path in _login_files(environment):
        try:
            with open(path, "rb") as file:
                data = file.read(_MAX_CONFIG + 1)
        except (FileNotFoundError, NotADirectoryError):
            continue
        found = from_config(data, reference.registry, what=path, repository=reference.repository)
        if found is not None:
            return found
    return None


def _login_files(environment: Mapping[str, str]) -> Iterator[str]:
    """Where podman, skopeo and buildah keep logins, then where docker and oras do."""
    if explicit := environment.get("REGISTRY_AUTH_FILE"):
        yield explicit
        return
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        yield f"{runtime}/containers/auth.json"
    home = environment.get("HOME", "")
    if docker := environment.get("DOCKER_CONFIG") or (home and f"{home}/.docker"):
        yield f"{docker}/config.json"
