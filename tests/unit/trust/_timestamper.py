# SPDX-License-Identifier: MIT
"""A timestamp authority: RFC 3161 responses, put together by hand."""

from __future__ import annotations

import hashlib

from powernode.trust.der import INTEGER, NULL, OBJECT, OCTET_STRING, SEQUENCE, SET, encode
from unit.trust._parties import (
    SHA256,
    TST_INFO,
    Party,
    moment,
    sign,
)


def timestamp_response(
    signer: Party,
    message: bytes,
    time: int,
    *,
    status: int = 0,
    embed: tuple[Party, ...] = (),
    content_type: bytes = TST_INFO,
    attribute_type: bytes | None = None,
    named: Party | None = None,
) -> bytes:
    """An RFC 3161 response. `named`: whom the signed attribute names, if not the signer."""

    def sequence(*parts: bytes) -> bytes:
        return encode(SEQUENCE, b"".join(parts))

    def attribute(oid: str, value: bytes) -> bytes:
        return sequence(encode(OBJECT, bytes.fromhex(oid)), encode(SET, value))

    sha256 = sequence(encode(OBJECT, SHA256), encode(NULL, b""))
    generalized = encode(24, moment(time).strftime("%Y%m%d%H%M%SZ").encode())
    content = sequence(
        encode(INTEGER, b"\1"),
        encode(OBJECT, bytes.fromhex("2b0601040183bf3002")),
        sequence(sha256, encode(OCTET_STRING, hashlib.sha256(message).digest())),
        encode(INTEGER, b"\7"),
        generalized,
        sequence(encode(INTEGER, b"\1")),  # accuracy
        encode(INTEGER, b"\x55"),  # nonce
    )
    certificate_id = sequence(encode(OCTET_STRING, hashlib.sha256((named or signer).der).digest()))
    attributes = b"".join(
        (
            attribute("2a864886f70d010903", encode(OBJECT, attribute_type or content_type)),
            attribute("2a864886f70d010904", encode(OCTET_STRING, hashlib.sha256(content).digest())),
            attribute("2a864886f70d010910022f", sequence(sequence(certificate_id))),
        )
    )
    ecdsa = sequence(encode(OBJECT, bytes.fromhex("2a8648ce3d040302")))
    serial = signer.certificate.serial_number
    signer_info = sequence(
        encode(INTEGER, b"\1"),
        sequence(
            signer.certificate.issuer.public_bytes(),
            encode(INTEGER, serial.to_bytes(serial.bit_length() // 8 + 1, "big")),
        ),
        sha256,
        encode(0xA0, attributes),
        ecdsa,
        encode(OCTET_STRING, sign(signer.key, encode(SET, attributes))),
    )
    certificates = encode(0xA0, b"".join(party.der for party in embed)) if embed else b""
    signed_data = sequence(
        encode(INTEGER, b"\3"),
        encode(SET, sha256),
        sequence(encode(OBJECT, content_type), encode(0xA0, encode(OCTET_STRING, content))),
        certificates,
        encode(SET, signer_info),
    )
    token = sequence(encode(OBJECT, bytes.fromhex("2a864886f70d010702")), encode(0xA0, signed_data))
    return sequence(sequence(encode(INTEGER, bytes((status,)))), token)
