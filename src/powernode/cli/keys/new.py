# SPDX-License-Identifier: MIT
"""powernode keys new"""

from __future__ import annotations

from powernode.base.errors import OperatorError
from powernode.cli.options import Arguments, Command, Option, one_of

_KINDS = ("ed25519", "ecdsa-p256", "ecdsa-p384", "rsa")

COMMAND = Command(
    "keys new",
    "NAME",
    "Makes a signing key: NAME.key is the secret half (for you alone, not encrypted), NAME.pub the public one, which "
    "goes into images with --fleet-root. Neither file may exist.",
    options=(
        Option("--kind", "KIND", f"{', '.join(_KINDS)} (default ed25519)", one_of(*_KINDS), default="ed25519"),
        Option("--json", None, "one JSON object for machines"),
    ),
    example="powernode keys new fleet",
    least=1,
    most=1,
)


def run(arguments: Arguments) -> int:
    import os

    from powernode.signing import keys

    name = arguments.operands[0]
    private, public = keys.generate(arguments.kind)
    for path, data, mode in ((f"{name}.key", private, 0o600), (f"{name}.pub", public, 0o644)):
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        except FileExistsError:
            raise OperatorError(
                "cli.keys.exists", f"{path} is there already", hint="choose another name, or move it away"
            ) from None
        with open(fd, "wb") as file:
            file.write(data)
    identifier = keys.key_id(keys.load(private))
    if arguments.json:
        import json

        print(json.dumps({"key": f"{name}.key", "public": f"{name}.pub", "id": identifier}))
    else:
        print(f"{name}.key and {name}.pub, {arguments.kind}, id {identifier}")
    return 0
