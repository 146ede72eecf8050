# SPDX-License-Identifier: MIT
"""powernode keys new"""

from __future__ import annotations

from powernode.cli.options import Arguments, Command, Option, one_of

_KINDS = ("ed25519", "ecdsa-p256", "ecdsa-p384", "rsa")

COMMAND = Command(
    "keys new",
    "NAME",
    "Makes a signing key: NAME.key is the secret half (for you alone), NAME.pub the public one, which goes into images "
    "with --fleet-root and to verifiers with --key. Neither file may exist. The passphrase of an encrypted key is "
    "taken from COSIGN_PASSWORD, or asked for.",
    options=(
        Option("--kind", "KIND", f"{', '.join(_KINDS)} (default ed25519; ecdsa-p256 for cosign)", one_of(*_KINDS)),
        Option(
            "--format",
            "FORMAT",
            "pkcs8 (default), or cosign: what `cosign sign --key` takes, always encrypted",
            one_of("pkcs8", "cosign"),
            default="pkcs8",
        ),
        Option("--encrypt", None, "encrypt a pkcs8 key with a passphrase"),
        Option("--json", None, "one JSON object for machines"),
    ),
    example="powernode keys new fleet\npowernode keys new --format=cosign publisher",
    least=1,
    most=1,
)


def run(arguments: Arguments) -> int:
    from powernode.cli.keys.files import passphrase, write_new
    from powernode.signing import keys

    name = arguments.operands[0]
    is_encrypted = arguments.encrypt or arguments.format == "cosign"
    kind = arguments.kind or ("ecdsa-p256" if arguments.format == "cosign" else "ed25519")
    secret = passphrase(f"{name}.key", is_new=True) if is_encrypted else None
    private, public = keys.generate(kind, form=arguments.format, passphrase=secret)
    write_new({f"{name}.key": (private, True), f"{name}.pub": (public, False)})
    identifier = keys.key_id(keys.load(private, secret))
    if arguments.json:
        import json

        document = {"key": f"{name}.key", "public": f"{name}.pub", "id": identifier}
        print(json.dumps({**document, "kind": kind, "format": arguments.format, "encrypted": is_encrypted}))
    else:
        print(f"{name}.key and {name}.pub, {kind}, id {identifier}")
    return 0
