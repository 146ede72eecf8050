# SPDX-License-Identifier: MIT
"""Certificate authority, transparency log and timestamp authority, as servers behind the transport port.

The log is a real one in small: entries in a Merkle tree, signed entry timestamps, signed checkpoints; the timestamps
are openssl's. `break_with` makes any of them answer something else.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from powernode.base import canonical
from powernode.net.http import Headers, Request, Response
from powernode.signing import authority, ca, jwks, keys, oidc
from powernode.signing.artifact import certificates_pem
from powernode.signing.issuers import Issuer
from unit.signing._authority import AUTHORITY
from unit.signing._tokens import GITEA, TokenIssuer

FULCIO, REKOR, TSA = "https://fulcio.example", "https://rekor.example", "https://tsa.example/stamp"
Answer = tuple[int, list[tuple[str, str]], bytes]


class _Body:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, size: int, /) -> bytes:
        piece, self._data = self._data[:size], self._data[size:]
        return piece

    def close(self) -> None:
        self._data = b""


class Network:
    """Carries requests to the three servers; `now` is their clock."""

    def __init__(self, folder: Path, *, now: int, certificates: ca.Authority = AUTHORITY) -> None:
        self.now = now
        self.tokens = TokenIssuer()
        self.certificates = certificates
        self.log = Log(now)
        self.folder = folder
        self.asked: list[Request] = []
        self._broken: dict[str, Answer] = {}
        _prepare_stamps(folder)

    def break_with(self, host: str, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self._broken[host] = (status, list(headers), body)

    def open(self, request: Request) -> Response:
        self.asked.append(request)
        servers: dict[str, Callable[[Request], Answer]] = {
            "fulcio.example": self._fulcio,
            "rekor.example": self.log.answer,
            "tsa.example": self._tsa,
        }
        host = request.url.host
        status, headers, body = self._broken.get(host) or servers[host](request)
        return Response(request, status, Headers([*headers, ("content-length", str(len(body)))]), _Body(body))

    def trusted_root(self) -> bytes:
        """What verifiers get: the authority, the log and the timestamps."""
        root = json.loads(authority.trusted_root(self.certificates))
        start = {"start": "2020-01-01T00:00:00Z"}
        public = {
            "rawBytes": _text(keys.public_der(self.log.key.public_key())),
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
        }
        root["tlogs"] = [
            {
                "baseUrl": REKOR,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {**public, "validFor": start},
                "logId": {"keyId": _text(self.log.log_id)},
            }
        ]
        stamper = x509.load_pem_x509_certificates((self.folder / "chain").read_bytes())
        chain = [{"rawBytes": _text(each.public_bytes(serialization.Encoding.DER))} for each in stamper]
        subject = {"organization": "Example", "commonName": "tsa"}
        root["timestampAuthorities"] = [
            {"subject": subject, "uri": TSA, "certChain": {"certificates": chain}, "validFor": start}
        ]
        return json.dumps(root).encode()

    def _fulcio(self, request: Request) -> Answer:
        asked = json.loads(_body(request))
        if request.url.target == "/api/v1/signingCert":  # which cosign 2 still asks
            token = dict(request.headers)["Authorization"].removeprefix("Bearer ").encode()
            public, proof = b64decode(asked["publicKey"]["content"]), b64decode(asked["signedEmailAddress"])
            chain = self._issue(token, public, proof)
            return 201, [("Content-Type", "application/pem-certificate-chain")], "".join(chain).encode()
        assert (request.method, request.url.target) == ("POST", "/api/v2/signingCert")
        wanted = asked["publicKeyRequest"]
        token = asked["credentials"]["oidcIdentityToken"].encode()
        chain = self._issue(token, wanted["publicKey"]["content"].encode(), b64decode(wanted["proofOfPossession"]))
        return 200, [], json.dumps({"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}).encode()

    def _issue(self, token: bytes, public: bytes, proof: bytes) -> list[str]:
        issuer = Issuer.of(GITEA, "gitea")
        identity = oidc.verify(token, issuer, jwks.parse(self.tokens.jwks), now=self.now)
        leaf = ca.issue(self.certificates, keys.load_public(public), proof, identity, now=self.now)
        return [certificates_pem([each]).decode() for each in (leaf, *self.certificates.chain)]

    def _tsa(self, request: Request) -> Answer:
        assert ("Content-Type", "application/timestamp-query") in request.headers
        (self.folder / "question").write_bytes(_body(request))
        command = ["openssl", "ts", "-reply", "-config", "conf", "-queryfile", "question", "-out", "answer"]
        subprocess.run(
            [*command, "-signer", "signer", "-inkey", "key", "-chain", "chain"],
            cwd=self.folder,
            capture_output=True,
            check=True,
        )
        return 200, [("content-type", "application/timestamp-reply")], (self.folder / "answer").read_bytes()


class Log:
    """Rekor, version 1."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.key = keys.new_key("ecdsa-p256")
        self.log_id = hashlib.sha256(keys.public_der(self.key.public_key())).digest()
        self.bodies: list[bytes] = []

    def answer(self, request: Request) -> Answer:
        if request.method == "GET":
            return 200, [], self._entry(int(request.url.target.rpartition("/")[2]))
        assert request.url.target == "/api/v1/log/entries"
        body = self._canonical(json.loads(_body(request)))
        if body in self.bodies:
            at = self.bodies.index(body)
            return 409, [("location", f"/api/v1/log/entries/{at}")], b'{"code":409,"message":"there already"}'
        self.bodies.append(body)
        return 201, [], self._entry(len(self.bodies) - 1)

    @staticmethod
    def _canonical(asked: dict[str, object]) -> bytes:
        spec = asked["spec"]
        assert isinstance(spec, dict)
        if asked["kind"] == "dsse":
            content = spec["proposedContent"]
            envelope = json.loads(content["envelope"])
            spec = {
                "envelopeHash": {"algorithm": "sha256", "value": _sha256(content["envelope"].encode())},
                "payloadHash": {"algorithm": "sha256", "value": _sha256(b64decode(envelope["payload"]))},
                "signatures": [
                    {"signature": envelope["signatures"][0]["sig"], "verifier": content["verifiers"][0]},
                ],
            }
        return canonical.encode({"apiVersion": asked["apiVersion"], "kind": asked["kind"], "spec": spec})  # type: ignore[dict-item]

    def _entry(self, index: int) -> bytes:
        body = _text(self.bodies[index])
        promised = {"body": body, "integratedTime": self.now, "logID": self.log_id.hex(), "logIndex": index}
        promise = keys.sign(self.key, json.dumps(promised, sort_keys=True, separators=(",", ":")).encode())
        leaves = [hashlib.sha256(b"\0" + each).digest() for each in self.bodies]
        root, path = _tree(leaves), _path(leaves, index)
        note = f"rekor.example - 1\n{len(leaves)}\n{_text(root)}\n"
        signature = _text(self.log_id[:4] + keys.sign(self.key, note.encode()))
        proof = {
            "checkpoint": f"{note}\n\N{EM DASH} rekor.example {signature}\n",
            "hashes": [each.hex() for each in path],
            "logIndex": index,
            "rootHash": root.hex(),
            "treeSize": len(leaves),
        }
        verification = {"inclusionProof": proof, "signedEntryTimestamp": _text(promise)}
        return json.dumps({"uuid": {**promised, "verification": verification}}).encode()


def _tree(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1."""
    if len(leaves) == 1:
        return leaves[0]
    split = _split(len(leaves))
    return hashlib.sha256(b"\1" + _tree(leaves[:split]) + _tree(leaves[split:])).digest()


def _path(leaves: list[bytes], index: int) -> list[bytes]:
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*_path(leaves[:split], index), _tree(leaves[split:])]
    return [*_path(leaves[split:], index - split), _tree(leaves[:split])]


def _split(size: int) -> int:
    """The largest power of two below the size."""
    return 1 << ((size - 1).bit_length() - 1)


def _prepare_stamps(folder: Path) -> None:
    """Keys and certificates of a timestamp authority: a root, and a signer below it."""
    (folder / "serial").write_text("01\n")
    (folder / "conf").write_text(
        "[tsa]\ndefault_tsa=t\n[t]\nserial=serial\nsigner_digest=sha256\ndefault_policy=1.2.3.4\ndigests=sha256\n"
        "accuracy=secs:1\ness_cert_id_alg=sha256\n"
        "[req]\ndistinguished_name=dn\n[dn]\n"
        "[ca]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n"
        "[leaf]\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
        "extendedKeyUsage=critical,timeStamping\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    )
    new = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config conf -days 2"
    for command in (
        f"{new} -keyout rootkey -out root -subj /O=Example/CN=tsa-root -extensions ca",
        f"{new} -keyout key -out signer -subj /O=Example/CN=tsa -extensions leaf -CA root -CAkey rootkey",
    ):
        subprocess.run(command.split(), cwd=folder, capture_output=True, check=True)
    (folder / "chain").write_bytes((folder / "signer").read_bytes() + (folder / "root").read_bytes())


def _body(request: Request) -> bytes:
    assert isinstance(request.body, bytes)
    return request.body


def _text(data: bytes) -> str:
    return b64encode(data).decode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
