# SPDX-License-Identifier: MIT
"""powernode keys ca"""

from __future__ import annotations

from powernode.cli.options import Arguments, Command, Option

_KINDS = ("github", "gitea", "gitlab", "email", "uri")


def _issuer(text: str) -> tuple[str, str]:
    kind, equals, url = text.partition("=")
    if not equals or kind not in _KINDS:
        raise ValueError(f"KIND=URL with a kind of {', '.join(_KINDS)}")
    return kind, url


COMMAND = Command(
    "keys ca",
    "DIR",
    "Makes a private certificate authority for signers in a new folder: a root, an intermediate that gives whoever has "
    "an identity token of one of the issuers a certificate for ten minutes, and a key for timestamps. Keep root.key "
    "offline: nothing needs it again. Verifiers get trusted_root.json (`module verify --trust-root`).",
    options=(
        Option("--issuer", "KIND=URL", f"whose tokens are taken; {', '.join(_KINDS)}; repeat", _issuer, repeat=True),
        Option("--name", "TEXT", "what its certificates call it (default: the folder's name)"),
        Option("--encrypt", None, "encrypt root.key with a passphrase: COSIGN_PASSWORD, or asked for"),
        Option("--json", None, "one JSON object for machines"),
    ),
    example="powernode keys ca --issuer=gitea=https://git.example.org ca",
    least=1,
    most=1,
)


def run(arguments: Arguments) -> int:
    import os
    import time

    from powernode.base.errors import OperatorError
    from powernode.cli.keys.files import passphrase, write_new
    from powernode.signing import authority, ca, keys
    from powernode.signing.issuers import EXAMPLE, Issuer

    folder = arguments.operands[0]
    name = arguments.name or os.path.basename(os.path.abspath(folder))
    issuers = [Issuer.of(url, kind) for kind, url in arguments.issuer]
    made, root_key = ca.new(name, now=int(time.time()))
    secret = passphrase("root.key", is_new=True) if arguments.encrypt else None
    files = authority.files(made, root_key, issuers, passphrase=secret)
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        raise OperatorError(
            "cli.keys.exists", f"{folder} is there already", hint="choose another name, or move it away"
        ) from None
    write_new({f"{folder}/{path}": (content.data, content.is_secret) for path, content in files.items()})
    identifier = keys.key_id(root_key)
    if arguments.json:
        import json

        end = int(made.intermediate.not_valid_after_utc.timestamp())
        print(json.dumps({"folder": folder, "name": name, "root": identifier, "until": end, "files": sorted(files)}))
        return 0
    print(f"{folder}: authority {name!r}, root id {identifier}")
    print(f"it can issue until {made.intermediate.not_valid_after_utc:%Y-%m-%d}; now move {folder}/root.key to a safe")
    if not issuers:
        print(f"it takes no tokens yet: name issuers in {folder}/issuers.json, such as [{EXAMPLE}]")
    return 0
