# SPDX-License-Identifier: MIT
"""Certificates and the way to a pinned root: what is on the way is checked, all of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from cryptography import x509 as made
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from powernode.base.errors import DataError
from powernode.trust.der import SEQUENCE, Reader, encode
from powernode.trust.x509 import CODE_SIGNING, MAX_CERTIFICATES, Certificate, find_path, read, read_pem
from unit.trust._parties import (
    CA_USAGE,
    ISSUER,
    START,
    YEARS,
    Extensions,
    Party,
    ca_extensions,
    certify,
    moment,
    name,
    p256,
    p384,
    signer_extensions,
    usage,
)

ME = "me@example.org"


@pytest.fixture(scope="module")
def root() -> Party:
    return certify("root", p384(), ca_extensions())


@pytest.fixture(scope="module")
def between(root: Party) -> Party:
    return certify("between", p256(), ca_extensions(), by=root)


def leaf(by: Party, extensions: Extensions | None = None, **more: Any) -> Party:
    return certify("leaf", p256(), signer_extensions(ME) if extensions is None else extensions, by=by, **more)


def way(party: Party, others: Sequence[Party], roots: Sequence[Party], *, at: int = START) -> str:
    """The last part of the code by which the way is refused; "" if there is one."""
    try:
        path = find_path(
            read(party.der), [read(o.der) for o in others], [read(r.der) for r in roots], at=at, purpose=CODE_SIGNING
        )
    except DataError as error:
        return error.code.removeprefix("trust.x509.")
    assert path[-1].der in [r.der for r in roots]
    return ""


def test_what_is_read(root: Party, between: Party) -> None:
    party = leaf(between, start=START, end=START + 60, serial=0x1234)
    certificate = read(party.der)
    assert (certificate.names, certificate.issuer_claim) == ((ME,), ISSUER)
    assert (certificate.not_before, certificate.not_after) == (START, START + 60)
    assert (certificate.serial, certificate.authority, certificate.is_self_issued) == (
        b"\x12\x34",
        (False, None),
        False,
    )
    assert certificate.issuer == party.certificate.issuer.public_bytes()
    assert certificate.key_usage == frozenset((0,))
    assert certificate.purposes == frozenset((CODE_SIGNING,))
    assert read(root.der).is_self_issued
    assert read(certify("x", p256(), ca_extensions(3)).der).authority == (True, 3)
    assert [item.der for item in read_pem((party.pem + root.pem).encode())] == [party.der, root.der]


def test_names_of_every_kind(root: Party) -> None:
    oid = made.ObjectIdentifier("1.3.6.1.4.1.57264.1.7")
    general: list[made.GeneralName] = [
        made.RFC822Name("a@example.org"),
        made.UniformResourceIdentifier("spiffe://example.org/x"),
        made.OtherName(oid, b"\x0c\x03bob"),
        made.OtherName(made.ObjectIdentifier("1.2.3.4"), b"\x0c\x03eve"),
        made.DNSName("example.org"),
        made.DirectoryName(name("mallory")),
    ]
    extensions = [*signer_extensions(ME)[:2], (made.SubjectAlternativeName(general), True)]
    assert read(leaf(root, extensions).der).names == ("a@example.org", "spiffe://example.org/x", "bob")


@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_ways_of_several_lengths(root: Party, length: int) -> None:
    chain = [root]
    for number in range(length):
        chain.append(certify(f"ca {number}", p256(), ca_extensions(), by=chain[-1]))
    signer = leaf(chain[-1])
    assert way(signer, chain[1:], [root]) == ""
    assert way(signer, chain[:0:-1], [root]) == ""
    assert way(signer, [*chain, certify("useless", p256(), ca_extensions())], [root]) == ""
    if length:
        assert way(signer, chain[2:], [root]) == "path"
        assert way(signer, chain[1:-1], [root]) == "path"


def test_way_that_is_too_long(root: Party) -> None:
    chain = [root]
    for number in range(5):
        chain.append(certify(f"ca {number}", p256(), ca_extensions(), by=chain[-1]))
    assert way(leaf(chain[4]), chain[1:], [root]) == ""
    assert way(leaf(chain[5]), chain[1:], [root]) == "path"


@pytest.mark.parametrize(
    "make", [p256, p384, ed25519.Ed25519PrivateKey.generate, lambda: rsa.generate_private_key(65537, 2048)]
)
def test_every_kind_of_ca(make: Any) -> None:
    ca = certify("ca", make(), ca_extensions())
    assert way(leaf(ca), [], [ca]) == ""


@pytest.mark.parametrize(
    ("padded", "digest", "expected"),
    [
        (padding.PKCS1v15(), hashes.SHA384(), ""),
        (padding.PKCS1v15(), hashes.SHA512(), ""),
        (padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256(), ""),
        (padding.PSS(padding.MGF1(hashes.SHA256()), 20), hashes.SHA256(), "path"),
        (padding.PSS(padding.MGF1(hashes.SHA384()), 48), hashes.SHA384(), "path"),
        (padding.PKCS1v15(), hashes.SHA224(), "path"),
    ],
)
def test_ways_to_sign_with_rsa(padded: Any, digest: Any, expected: str) -> None:
    ca = certify("ca", rsa.generate_private_key(65537, 2048), ca_extensions())
    builder = (
        made.CertificateBuilder().subject_name(name("leaf")).issuer_name(name("ca")).public_key(p256().public_key())
    )
    builder = builder.serial_number(1).not_valid_before(moment(START)).not_valid_after(moment(START + 60))
    for extension, is_critical in signer_extensions(ME):
        builder = builder.add_extension(extension, is_critical)
    assert isinstance(ca.key, rsa.RSAPrivateKey)
    signed = builder.sign(ca.key, digest, rsa_padding=padded)
    assert way(Party(key=p256(), certificate=signed), [], [ca]) == expected


class TestLeaf:
    def test_time(self, root: Party) -> None:
        signer = leaf(root, start=START, end=START + 60)
        assert [way(signer, [], [root], at=START + at) for at in (-1, 0, 60, 61)] == ["expired", "", "", "expired"]

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({0: None}, "usage"),
            ({0: (usage(content_commitment=True), True)}, "usage"),
            ({1: None}, "usage"),
            ({1: (made.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), False)}, "usage"),
            ({1: (made.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), False)}, "usage"),
            ({1: (made.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), True)}, ""),
            ({4: (made.BasicConstraints(ca=False, path_length=None), True)}, ""),
            ({4: (made.BasicConstraints(ca=True, path_length=None), True)}, "usage"),
            ({4: (made.UnrecognizedExtension(made.ObjectIdentifier("1.2.3.4"), b"\5\0"), False)}, ""),
            ({4: (made.UnrecognizedExtension(made.ObjectIdentifier("1.2.3.4"), b"\5\0"), True)}, "path"),
        ],
        ids=str,
    )
    def test_extensions(self, root: Party, change: dict[int, Any], expected: str) -> None:
        wanted = {**dict(enumerate(signer_extensions(ME))), **change}
        assert way(leaf(root, [item for item in wanted.values() if item is not None]), [], [root]) == expected

    def test_the_leaf_itself_is_pinned(self) -> None:
        """A root that signs is no CA; pin its key instead."""
        signer = certify("leaf", p256(), signer_extensions(ME))
        assert way(signer, [], [signer]) == "path"


PERMITTED = made.NameConstraints(permitted_subtrees=[made.RFC822Name("example.org")], excluded_subtrees=None)
UNKNOWN = made.UnrecognizedExtension(made.ObjectIdentifier("1.2.3.4"), b"\5\0")
TIMES_ONLY = made.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
CODE_ONLY = made.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])


class TestAuthorities:
    @pytest.mark.parametrize(
        ("extensions", "expected"),
        [
            (ca_extensions(), ""),
            ([(made.BasicConstraints(ca=False, path_length=None), True), (CA_USAGE, True)], "path"),
            ([(CA_USAGE, True)], "path"),
            (ca_extensions()[:1], "path"),
            ([ca_extensions()[0], (usage(digital_signature=True, crl_sign=True), True)], "path"),
            ([*ca_extensions(), (PERMITTED, True)], "path"),
            ([*ca_extensions(), (PERMITTED, False)], "path"),
            ([*ca_extensions(), (UNKNOWN, True)], "path"),
            ([*ca_extensions(), (UNKNOWN, False)], ""),
            ([*ca_extensions(), (TIMES_ONLY, False)], "path"),
            ([*ca_extensions(), (CODE_ONLY, False)], ""),
            ([], "path"),
        ],
        ids=[
            *("good", "CA false", "no basicConstraints", "no keyUsage", "may not certify", "name constraints"),
            *(
                "name constraints that may be overlooked",
                "unknown critical",
                "unknown",
                "for times",
                "for code",
                "nothing",
            ),
        ],
    )
    def test_extensions(self, root: Party, extensions: Extensions, expected: str) -> None:
        ca = certify("ca", p256(), extensions, by=root)
        assert way(leaf(ca), [ca], [root]) == expected
        itself = certify("itself", p256(), extensions)
        assert way(leaf(itself), [], [itself]) == expected

    def test_time(self, root: Party) -> None:
        ca = certify("ca", p256(), ca_extensions(), by=root, start=START, end=START + 60)
        assert [way(leaf(ca), [ca], [root], at=START + at) for at in (-1, 0, 60, 61)] == ["path", "", "", "path"]
        old = certify("old", p256(), ca_extensions(), start=START, end=START + 60)
        assert [way(leaf(old), [], [old], at=START + at) for at in (-1, 0, 60, 61)] == ["path", "", "", "path"]

    def test_length_of_the_way(self) -> None:
        top = certify("top", p256(), ca_extensions(1))
        one = certify("one", p256(), ca_extensions(), by=top)
        two = certify("two", p256(), ca_extensions(), by=one)
        assert way(leaf(top), [], [top]) == ""
        assert way(leaf(one), [one], [top]) == ""
        assert way(leaf(two), [one, two], [top]) == "path"
        zero = certify("zero", p256(), ca_extensions(0), by=top)
        assert way(leaf(zero), [zero], [top]) == ""
        assert way(leaf(certify("below", p256(), ca_extensions(), by=zero)), [zero], [top]) == "path"

    def test_right_name_and_wrong_key(self, root: Party) -> None:
        eve = certify("root", p384(), ca_extensions())
        assert way(leaf(eve), [eve], [root]) == "path"
        assert way(leaf(root, signing_key=p384()), [], [root]) == "path"

    def test_right_key_and_wrong_name(self, root: Party) -> None:
        renamed = certify("another", root.key, ca_extensions())
        assert way(leaf(renamed), [], [root]) == "path"

    def test_one_name_for_two_keys(self, root: Party) -> None:
        """A CA that changed its key: both are tried."""
        old, new = (certify("ca", p256(), ca_extensions(), by=root) for _ in range(2))
        for ca in (old, new):
            assert way(leaf(ca), [old, new], [root]) == ""
            assert way(leaf(ca), [new, old], [root]) == ""

    def test_circle(self) -> None:
        """Two CAs that certify each other lead nowhere, and end."""
        one, two = certify("one", p256(), ca_extensions()), certify("two", p256(), ca_extensions())
        crossed = [certify("one", one.key, ca_extensions(), by=two), certify("two", two.key, ca_extensions(), by=one)]
        assert way(leaf(one), crossed, [certify("root", p256(), ca_extensions())]) == "path"
        assert way(leaf(one), crossed, [two]) == ""

    def test_crowd(self, root: Party) -> None:
        """As many CAs of one name as may come: the work is bounded; one more is refused at once."""
        key = p256()
        crowd = [
            certify(
                "crowd",
                key,
                ca_extensions(),
                by=Party(key=key, certificate=certify("crowd", key, ca_extensions()).certificate),
                serial=n + 1,
            )
            for n in range(MAX_CERTIFICATES)
        ]
        assert way(leaf(crowd[0]), crowd, [root]) == "path"
        assert way(leaf(root), [*crowd, crowd[0]], [root]) == "path"

    def test_no_roots(self, root: Party, between: Party) -> None:
        assert way(leaf(between), [between, root], []) == "path"


def swapped(party: Party, old: str, new: str, *, count: int = -1) -> bytes:
    before, after = bytes.fromhex(old), bytes.fromhex(new)
    assert before in party.der
    assert len(before) == len(after)
    return party.der.replace(before, after, count)


ECDSA_SHA256, ECDSA_SHA384 = "2a8648ce3d040302", "2a8648ce3d040303"


class TestForms:
    def refused(self, der: bytes) -> str:
        with pytest.raises(DataError) as refusal:
            read(der)
        return refusal.value.code

    def test_another_algorithm_is_named(self, between: Party) -> None:
        """Inside and outside together: then the signature is not one. Only one of them: refused before that."""
        party = leaf(between)
        with pytest.raises(DataError) as refusal:
            find_path(
                read(swapped(party, ECDSA_SHA256, ECDSA_SHA384)),
                [],
                [read(between.der)],
                at=START,
                purpose=CODE_SIGNING,
            )
        assert refusal.value.code == "trust.x509.path"
        assert self.refused(swapped(party, ECDSA_SHA256, ECDSA_SHA384, count=1)) == "trust.x509.malformed"

    def test_algorithm_of_another_kind_of_key(self, between: Party) -> None:
        """RSA is announced, and the CA's key is ECDSA's."""
        party = leaf(between)
        tbs = party.certificate.tbs_certificate_bytes
        old = encode(SEQUENCE, encode(6, bytes.fromhex(ECDSA_SHA256)))
        new = encode(SEQUENCE, encode(6, bytes.fromhex("2a864886f70d01010b")) + b"\5\0")
        content = Reader(tbs, "it").content(SEQUENCE).replace(old, new)
        forged = encode(SEQUENCE, encode(SEQUENCE, content) + new + encode(3, b"\0" + party.certificate.signature))
        with pytest.raises(DataError) as refusal:
            find_path(read(forged), [], [read(between.der)], at=START, purpose=CODE_SIGNING)
        assert refusal.value.code == "trust.x509.path"
        assert refusal.value.message.count("no algorithm we take") == 1

    def test_version_1(self, root: Party) -> None:
        assert self.refused(swapped(root, "a003020102", "a003020100")) == "trust.x509.unsupported"

    def test_extension_twice(self, between: Party) -> None:
        assert self.refused(swapped(leaf(between), "551d25", "551d0f")) == "trust.x509.malformed"

    def test_key_we_do_not_use(self, root: Party) -> None:
        party = certify("x", ec.generate_private_key(ec.SECP521R1()), signer_extensions(ME), by=root)
        assert self.refused(party.der) == "trust.key"

    def test_too_long(self, root: Party) -> None:
        big = made.UnrecognizedExtension(made.ObjectIdentifier("1.2.3.4"), bytes(33000))
        assert self.refused(leaf(root, [(big, False)]).der) == "trust.x509.malformed"

    def test_every_cut_and_more(self, between: Party) -> None:
        party = leaf(between)
        for size in range(len(party.der)):
            assert self.refused(party.der[:size]) == "trust.der", size
        assert self.refused(party.der + b"\0") == "trust.der"

    def test_pem_with_something_else(self, root: Party) -> None:
        key = root.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        for pem, code in (
            (root.pem.encode() + key, "label"),
            (root.pem.encode() + b"hello", "pem"),
            (root.pem.encode()[:-30], "pem"),
            (root.pem.encode() * (MAX_CERTIFICATES + 1), "size"),
            (bytes(1 << 20), "size"),
        ):
            with pytest.raises(DataError) as refusal:
                read_pem(pem)
            assert refusal.value.code == f"trust.x509.{code}"


def test_every_changed_bit(root: Party, between: Party) -> None:
    """Of the signer's certificate and of the CA's: none leads to the root any more."""
    signer = leaf(between)
    roots = [read(root.der)]
    good = {signer.der: read(signer.der), between.der: read(between.der)}

    def leads(first: bytes, second: bytes) -> bool:
        try:
            certificates: list[Certificate] = [good.get(der) or read(der) for der in (first, second)]
            find_path(certificates[0], certificates[1:], roots, at=START, purpose=CODE_SIGNING)
        except DataError:
            return False
        return True

    assert leads(signer.der, between.der)
    for index in range(len(signer.der)):
        changed = bytearray(signer.der)
        changed[index] ^= 1 << index % 8
        assert not leads(bytes(changed), between.der), index
    for index in range(len(between.der)):
        changed = bytearray(between.der)
        changed[index] ^= 1 << index % 8
        assert not leads(signer.der, bytes(changed)), index


def test_years_before_1950_and_after_2049(root: Party) -> None:
    ca = certify("ca", p256(), ca_extensions(), start=START, end=START + 5 * YEARS)
    assert read(ca.der).not_after == START + 5 * YEARS
    assert way(leaf(ca), [], [ca], at=START + YEARS) == ""
