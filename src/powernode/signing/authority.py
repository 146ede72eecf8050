# SPDX-License-Identifier: MIT
"""An authority as a folder: keys, certificates, who may ask it, and what its verifiers need.

    root.key             the root's secret half: keep it offline, nothing here needs it again
    intermediate.key     what issues
    timestamp.key        what signs timestamps
    trusted_root.json    for `module verify --trust-root`, and tools that take sigstore's trust roots
    chain.pem            intermediate and root: for `--ca-chain`, and cosign's --certificate-chain
    timestamp-chain.pem  signer of timestamps and root: cosign's --timestamp-certificate-chain
    issuers.json         whose identity tokens are taken (see `issuers`)

Invariants: `load` gives an authority whose parts belong together, or refuses.

Out of scope: writing the folder (who may overwrite what is the command's business).

    for name, content in files(authority, root_key, issuers).items(): …
    authority, issuers = load(Path("ca"))
"""

from __future__ import annotations

import base64
import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from powernode.base import canonical
from powernode.base.errors import DataError, OperatorError
from powernode.signing import issuers as issuer_list
from powernode.signing import keys
from powernode.signing.artifact import certificates_pem
from powernode.signing.ca import Authority
from powernode.signing.stamp import Stamper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from powernode.base.canonical import Json
    from powernode.signing.issuers import Issuer

__all__ = ["Content", "files", "load", "trusted_root"]

_TRUSTED_ROOT = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
_SUBJECT = {"organization": NameOID.ORGANIZATION_NAME, "commonName": NameOID.COMMON_NAME}
_MAX_FILE = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    data: bytes
    is_secret: bool


def files(
    authority: Authority,
    root_key: ec.EllipticCurvePrivateKey,
    issuers: Sequence[Issuer],
    *,
    passphrase: bytes | None = None,
) -> dict[str, Content]:
    """The folder's content; a passphrase encrypts the root's key."""
    stamps = (authority.stamper.certificate, authority.chain[1])
    return {
        "root.key": Content(data=keys.private_pem(root_key, passphrase=passphrase), is_secret=True),
        "intermediate.key": Content(data=keys.private_pem(authority.key), is_secret=True),
        "timestamp.key": Content(data=keys.private_pem(authority.stamper.key), is_secret=True),
        "chain.pem": Content(data=certificates_pem(authority.chain), is_secret=False),
        "timestamp-chain.pem": Content(data=certificates_pem(stamps), is_secret=False),
        "trusted_root.json": Content(data=trusted_root(authority), is_secret=False),
        "issuers.json": Content(data=issuer_list.encode(issuers), is_secret=False),
    }


def load(folder: Path) -> tuple[Authority, tuple[Issuer, ...]]:
    """The authority that issues, without its root's key."""
    key, intermediate, root = _pair(folder, "intermediate.key", "chain.pem")
    stamp_key, stamping, same_root = _pair(folder, "timestamp.key", "timestamp-chain.pem")
    if same_root != root:
        raise _not_one(folder, "two roots")
    issuers = issuer_list.parse(_read(folder / "issuers.json"))
    stamper = Stamper(key=stamp_key, certificate=stamping.public_bytes(serialization.Encoding.DER))
    return Authority(root=root, intermediate=intermediate, key=key, stamper=stamper), issuers


def _pair(
    folder: Path, key_name: str, chain_name: str
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate, x509.Certificate]:
    """A key, its certificate, and the root that certified it."""
    key = keys.load(_read(folder / key_name))
    try:
        chain = x509.load_pem_x509_certificates(_read(folder / chain_name))
        if len(chain) != 2 or not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{chain_name} has two certificates, {key_name} an ECDSA key")
        certificate, root = chain
        if certificate.public_key() != key.public_key():
            raise ValueError(f"{key_name} is not for {chain_name}")
        certificate.verify_directly_issued_by(root)
        root.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature) as error:
        found = str(error) or f"a certificate in {chain_name} that was not signed by the next one"
        raise _not_one(folder, found) from error
    return key, certificate, root


def _not_one(folder: Path, found: str) -> DataError:
    return DataError("signing.ca.folder", f"{folder} is no authority", found=found)


def trusted_root(authority: Authority) -> bytes:
    """sigstore's trust root with this authority alone: its certificates and its timestamps, and no logs."""
    start = authority.root.not_valid_before_utc.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def entry(chain: Sequence[bytes]) -> dict[str, Json]:
        subject = x509.load_der_x509_certificate(chain[0]).subject
        names = {name: subject.get_attributes_for_oid(oid)[0].value for name, oid in _SUBJECT.items()}
        certificates: list[Json] = [{"rawBytes": base64.b64encode(der).decode()} for der in chain]
        return {
            "subject": {name: str(value) for name, value in names.items()},
            "uri": "",
            "certChain": {"certificates": certificates},
            "validFor": {"start": start},
        }

    return canonical.encode(
        {
            "mediaType": _TRUSTED_ROOT,
            "tlogs": [],
            "certificateAuthorities": [entry(authority.chain)],
            "ctlogs": [],
            "timestampAuthorities": [entry((authority.stamper.certificate, authority.chain[1]))],
        }
    )


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except FileNotFoundError:
        raise OperatorError(
            "signing.ca.folder",
            f"{path.parent} is no authority",
            expected=path.name,
            hint="`powernode keys ca` makes one",
        ) from None
    if len(data) > _MAX_FILE:
        raise DataError("signing.ca.folder", f"{path} is too long", expected=f"at most {_MAX_FILE} bytes")
    return data
