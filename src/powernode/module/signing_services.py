# SPDX-License-Identifier: MIT
"""Ask the services that vouch for signers and signatures: certificate authority, transparency log, timestamps.

Invariants: one question, one answer of bounded size; a redirect is refused, as a token would follow it; a token goes
over https, or to this machine; nothing is tried again, as a log would have the entry twice.

Out of scope: what is asked and what the answers mean (`signing.fulcio`, `.rekor`, `.timestamp`).

    services = Services(transport, tsa="https://tsa.example.org/api/v1/timestamp", rekor="https://rekor.example.org")
    signer = services.certified("https://fulcio.example.org", token)
    evidence = services.evidence(signed)
"""

from __future__ import annotations

import os

from cryptography.hazmat.primitives.asymmetric import ec

from powernode.base.errors import DataError, OperatorError
from powernode.net.http import Request, Url
from powernode.oci.client import base_url
from powernode.signing import fulcio, rekor, timestamp
from powernode.signing.artifact import Evidence, Signed, Signer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.net.http import Transport

__all__ = ["Services"]

_JSON = "application/json"
_CONFLICT = 409
_SHOWN = 300


class Services:
    """`rekor` and `tsa` are addresses; None asks neither."""

    def __init__(self, transport: Transport, *, rekor: str | None = None, tsa: str | None = None) -> None:
        self._transport = transport
        self._rekor = rekor
        self._tsa = tsa

    def certified(self, url: str, token: bytes) -> Signer:
        """A new key with a certificate of the authority at `url` for whom the token names."""
        parsed = Url.parse(url)
        if parsed.scheme == "http" and base_url(parsed.authority).scheme == "https":
            raise OperatorError(
                "module.services.plain-http",
                "whoever can read an identity token can sign with it",
                expected="an authority at https://…",
                found=str(parsed),
            )
        key = ec.generate_private_key(ec.SECP256R1())
        address = url.rstrip("/") + fulcio.PATH
        answer = self._post(address, fulcio.request(token, key), _JSON, fulcio.MAX_ANSWER)
        certificate, chain = fulcio.read_answer(answer, key)
        return Signer(key=key, certificate=certificate, chain=chain)

    def evidence(self, signed: Signed) -> Evidence:
        """What the log and the timestamp authority say of the signature."""
        stamp = None
        if self._tsa:
            nonce = os.urandom(8)
            body = timestamp.request(signed.signature, nonce)
            stamp = self._post(self._tsa, body, timestamp.REQUEST_TYPE, timestamp.MAX_ANSWER)
            timestamp.require_answer(stamp, signed.signature, nonce)
        entry = None
        if self._rekor:
            address = self._rekor.rstrip("/") + rekor.PATH
            entry = rekor.read_entry(self._post(address, rekor.request(signed), _JSON, rekor.MAX_ANSWER), signed)
        return Evidence(log=entry, timestamp=stamp)

    def _post(self, address: str, body: bytes, content_type: str, most: int) -> bytes:
        url = Url.parse(address)
        headers = (("Content-Type", content_type), ("Accept", _JSON if content_type == _JSON else "*/*"))
        with self._transport.open(Request("POST", url, headers=headers, body=body, max_body=most)) as response:
            data, status, location = response.read_all(), response.status, response.headers.get("location")
        if status == _CONFLICT and location is not None and url.join(location).origin == url.origin:
            # The log has this very signature: it says where.
            existing = Request("GET", url.join(location), headers=(("Accept", _JSON),), max_body=most)
            with self._transport.open(existing) as response:
                data, status = response.read_all(), response.status
        if status not in (200, 201):
            raise (DataError if status >= 500 else OperatorError)(
                "module.services.refused",
                f"{address} did not do what was asked",
                expected="status 200 or 201",
                found=f"status {status}: {data[:_SHOWN].decode('utf-8', 'replace')!r}",
            )
        return data
