# SPDX-License-Identifier: MIT
"""Who we are to a registry, as docker, podman and oras keep it: `auths` in config.json or auth.json.

Invariants: a login is for the registry whose name is its key, exactly; nothing is written and no helper is started.

Out of scope: where the files are; credential helpers and identity tokens, which are refused with a reason.

    from_config(data, "registry.example.com", what="~/.docker/config.json")         # Credentials, or None
"""

from __future__ import annotations

from base64 import b64decode

from powernode.base import canonical
from powernode.base.errors import OperatorError
from powernode.base.fields import Fields
from powernode.oci.challenge import Credentials

__all__ = ["Credentials", "from_config"]

_MAX_BYTES = 1 << 20
_CODE = "oci.credentials"


def from_config(data: bytes, registry: str, *, what: str, repository: str = "") -> Credentials | None:
    """The login for the registry; podman's may be for a part of its repositories: the nearest one counts."""
    fields = Fields(canonical.decode(data, what=what, max_bytes=_MAX_BYTES), code=_CODE, what=what)
    auths = fields.fields("auths") if fields.has("auths") else None
    name = registry if repository == "" else f"{registry}/{repository}"
    while auths is not None:
        if auths.has(name):
            found = _login(auths.fields(name), f"the login for {name} in {what}")
            if found is not None:
                return found
        if "/" not in name:
            break
        name = name.rpartition("/")[0]
    helpers = fields.fields("credHelpers") if fields.has("credHelpers") else None
    if helpers is not None and helpers.has(registry):
        raise OperatorError(
            f"{_CODE}.helper",
            f"the login for {registry} is with a helper program, which is not started from here",
            hint="use --username and --password-stdin",
        )
    return None


def _login(fields: Fields, what: str) -> Credentials | None:
    if fields.has("identitytoken"):
        raise OperatorError(
            f"{_CODE}.identity-token", f"{what} is an identity token", hint="use --username and --password-stdin"
        )
    if not fields.has("auth"):
        return None  # a credential store has it
    text = fields.text("auth", longest=1 << 16)
    try:
        username, colon, password = b64decode(text, validate=True).decode("utf-8").rstrip("\0").partition(":")
    except ValueError:
        colon = ""
    if not colon:
        raise OperatorError(f"{_CODE}.auth", f"{what} cannot be read", expected="base64 of USER:PASSWORD")
    return Credentials(username=username, password=password)
