# SPDX-License-Identifier: MIT
"""powernode keys show"""

from __future__ import annotations

from powernode.cli.options import Arguments, Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.signing.keys import PublicKey

COMMAND = Command(
    "keys show",
    "FILE",
    "Says what is in a file of keys: kind and id of a secret or public key, and for certificates whom they name and "
    "until when. An encrypted key is opened with COSIGN_PASSWORD, or the passphrase is asked for.",
    options=(
        Option("--public", None, "print the public half as PEM instead"),
        Option("--json", None, "one JSON object for machines"),
    ),
    example="powernode keys show fleet.pub",
    least=1,
    most=1,
)


def run(arguments: Arguments) -> int:
    import json

    from powernode.cli.keys.files import read
    from powernode.signing import keys

    path = arguments.operands[0]
    data = read(path)
    if b"-----BEGIN CERTIFICATE-----" in data:
        found = _certificates(data)
        publics = [item.pop("pem") for item in found]
    else:
        public, what = _key(path, data)
        found = [{"what": what, "kind": keys.kind(public), "id": keys.key_id(public)}]
        publics = [keys.public_pem(public).decode()]
    if arguments.public:
        print("".join(publics), end="")
    elif arguments.json:
        print(json.dumps({"file": path, "keys": found}))
    else:
        for item in found:
            print(f"{item.pop('what')}, {item.pop('kind')}, id {item.pop('id')}")
            for name, value in item.items():
                print(f"  {name}: {value}")
    return 0


def _key(path: str, data: bytes) -> tuple[PublicKey, str]:
    from powernode.base.errors import OperatorError
    from powernode.cli.keys.files import about, load_key
    from powernode.signing import keys

    if b"-----BEGIN PUBLIC KEY-----" in data:
        with about(path, is_argument=True):
            return keys.load_public(data), "public key"
    if b"PRIVATE KEY-----" not in data:
        raise OperatorError(
            "signing.key", f"{path} holds no key", expected="PEM of a secret or public key, or of certificates"
        )
    kind = "secret key, encrypted" if b"-----BEGIN ENCRYPTED " in data else "secret key, not encrypted"
    return load_key(path).public_key(), kind


def _certificates(data: bytes) -> list[dict[str, str]]:
    from powernode.signing import certificates

    return [
        {
            "what": "certificate of an authority" if item.is_authority else "certificate",
            "kind": item.kind,
            "id": item.key_id,
            "subject": item.subject,
            "issuer": item.issuer,
            "from": f"{item.not_before:%Y-%m-%d %H:%M:%S} UTC",
            "until": f"{item.not_after:%Y-%m-%d %H:%M:%S} UTC",
            "pem": item.public_pem.decode(),
        }
        for item in certificates.describe(data)
    ]
