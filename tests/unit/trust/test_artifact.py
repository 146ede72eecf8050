# SPDX-License-Identifier: MIT
"""Signatures of artifacts: what is proven by good ones, and for what reason bad ones are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography import x509 as made

from powernode.base.errors import DataError, OperatorError
from powernode.trust.artifact import (
    COSIGN_SIGNATURE,
    MAX_FOUND,
    Found,
    Identity,
    Kind,
    Policy,
    Proof,
    TimeSource,
    verify,
    verify_statement,
)
from powernode.trust.pattern import exact, matching
from powernode.trust.root import private_root
from unit.trust._cases import CONTENT, DIGEST, LATER, ME, OTHER, SBOM, Document, code, policy, public
from unit.trust._parties import (
    ISSUER,
    LIFE,
    START,
    Party,
    b64,
    compact,
    p256,
    sign,
    signer_extensions,
    spki_pem,
)
from unit.trust._world import (
    World,
    dsse1,
    found_in,
    hashedrekord,
    hashedrekord2,
    intoto2,
    pae,
    simple_payload,
    statement,
)

pytestmark = pytest.mark.usefixtures("door")


class TestGood:
    @pytest.mark.parametrize("version", ["0.1", "0.2", "0.3"])
    def test_bundle_over_the_bytes(self, world: World, me: Party, version: str) -> None:
        found = found_in(world.bundle_document(me, CONTENT, version=version))
        proof = verify(DIGEST, [found], policy(world), now=LATER, content=CONTENT)
        assert proof == Proof(
            digest=DIGEST,
            kind=Kind.BUNDLE,
            where="referrer",
            subject=ME,
            issuer=ISSUER,
            certificate=me.der,
            root="the world",
            signed_at=START + 5,
            time_source=TimeSource.LOG,
            log_index=int(json.loads(found.payload)["verificationMaterial"]["tlogEntries"][0]["logIndex"]),
        )

    def test_rekor_2_and_a_timestamp(self, world: World, me: Party) -> None:
        found = found_in(world.bundle_document(me, CONTENT, time=None))
        proof = verify(DIGEST, [found], policy(world), now=LATER, content=CONTENT)
        assert (proof.signed_at, proof.time_source) == (START + 7, TimeSource.TIMESTAMP)

    def test_simple_signing(self, world: World, me: Party) -> None:
        proof = verify(DIGEST, [world.simple(me, DIGEST)], policy(world), now=LATER)
        assert (proof.subject, proof.issuer, proof.signed_at, proof.log_index) == (ME, ISSUER, START + 5, 7)

    def test_statement_that_it_is_signed(self, world: World, me: Party) -> None:
        found = found_in(world.envelope_document(me, statement(DIGEST, COSIGN_SIGNATURE)))
        assert verify(DIGEST, [found], policy(world), now=LATER).subject == ME

    def test_intoto_entry(self, world: World, me: Party) -> None:
        payload = statement(DIGEST, SBOM, {"score": 7.5})
        document = world.envelope_document(me, payload)
        signature = sign(me.key, pae(payload))
        document["dsseEnvelope"]["signatures"][0]["sig"] = b64(signature)
        entry = world.log.entry(compact(intoto2(payload, signature, me.pem.encode())), START + 5)
        document["verificationMaterial"]["tlogEntries"] = [entry]
        found = verify_statement(DIGEST, [found_in(document)], policy(world), predicate_type=SBOM, now=LATER)
        assert (found.payload, found.predicate_type, found.proof.subject) == (payload, SBOM, ME)

    def test_envelope_as_cosign_attaches_it(self, world: World, me: Party) -> None:
        payload = statement(DIGEST, SBOM)
        signature = sign(me.key, pae(payload))
        envelope = {"payload": b64(payload), "payloadType": "application/vnd.in-toto+json"}
        blob = compact({**envelope, "signatures": [{"keyid": "", "sig": b64(signature)}]})
        body = compact(dsse1(payload, signature, me.pem.encode()))
        inside = {"body": b64(body), "integratedTime": START, "logIndex": 9, "logID": world.log.log_id.hex()}
        bundle = {"SignedEntryTimestamp": b64(world.log.promise(body, START, 9)), "Payload": inside}
        stamp = {"SignedRFC3161Timestamp": b64(world.timestamp(blob, START + 9))}
        annotations = {
            "dev.cosignproject.cosign/signature": "",
            "dev.sigstore.cosign/certificate": me.pem,
            "dev.sigstore.cosign/chain": world.between.pem,
            "dev.sigstore.cosign/bundle": compact(bundle).decode(),
            "dev.sigstore.cosign/rfc3161timestamp": compact(stamp).decode(),
        }
        found = Found.in_layer(Kind.DSSE.value, where="att", payload=blob, annotations=annotations)
        assert found is not None
        proven = verify_statement(DIGEST, [found], policy(world), predicate_type=SBOM, now=LATER)
        assert proven.proof.time_source is TimeSource.TIMESTAMP

    def test_key(self, world: World) -> None:
        key = p256()
        payload = simple_payload(DIGEST)
        found = Found(kind=Kind.SIMPLE, where="tag", payload=payload, signature=b64(sign(key, payload)))
        proof = verify(DIGEST, [found], Policy(keys=(public(p256()), public(key))), now=0)
        assert (proof.key_id, proof.subject, proof.signed_at) == (public(key).key_id, None, None)

    def test_key_and_log(self, world: World) -> None:
        key = p256()
        found = key_bundle(world, key)
        wanted = policy(world, identities=(), keys=(public(key),), require_log=True)
        proof = verify(DIGEST, [found_in(found)], wanted, now=0, content=CONTENT)
        assert (proof.signed_at, proof.time_source) == (START, TimeSource.LOG)

    def test_private_ca_while_the_certificate_is_valid(self, world: World, me: Party) -> None:
        root = private_root((world.root.pem + world.between.pem).encode(), name="acme")
        found = Found(
            kind=Kind.SIMPLE,
            where="tag",
            payload=simple_payload(DIGEST),
            signature=b64(sign(me.key, simple_payload(DIGEST))),
            certificate=me.pem,
        )
        wanted = policy(world, roots=(root,), within=60)
        for now, expected in ((START, START), (START + LIFE, START + LIFE), (START + LIFE + 60, START + LIFE)):
            proof = verify(DIGEST, [found], wanted, now=now)
            assert (proof.root, proof.signed_at, proof.time_source) == ("acme", expected, TimeSource.CLOCK)
        assert code([found], wanted, now=START - 1) == "expired"
        assert code([found], wanted, now=START + LIFE + 61) == "expired"
        assert code([found], policy(world, roots=(root,)), now=START + LIFE + 1) == "expired"

    def test_one_good_signature_suffices(self, world: World, me: Party) -> None:
        bad = Found(kind=Kind.BUNDLE, where="somewhere", payload=b"{")
        wrong = world.simple(world.signer("somebody@example.org"), DIGEST)
        good = world.simple(me, DIGEST)
        assert verify(DIGEST, [bad, wrong, good], policy(world), now=LATER).subject == ME

    def test_patterns(self, world: World) -> None:
        subject = "https://git.example.org/acme/redis/.gitea/workflows/build.yaml@refs/tags/v1.2.3"
        found = world.simple(world.signer(subject), DIGEST)
        pattern = matching(r"^https://git\.example\.org/acme/[^/]+/.*@refs/tags/v[0-9.]+$")
        identity = Identity(subject=pattern, issuer=exact(ISSUER))
        assert verify(DIGEST, [found], policy(world, identities=(identity,)), now=LATER).subject == subject

    def test_other_name_and_raw_issuer(self, world: World) -> None:
        extensions = signer_extensions(ME, None)
        user = made.OtherName(made.ObjectIdentifier("1.3.6.1.4.1.57264.1.7"), b"\x0c\x04user")
        extensions[2] = (made.SubjectAlternativeName([user]), True)
        raw = made.UnrecognizedExtension(made.ObjectIdentifier("1.3.6.1.4.1.57264.1.1"), ISSUER.encode())
        found = world.simple(world.signer("", extensions=[*extensions, (raw, False)]), DIGEST)
        assert verify(DIGEST, [found], policy(world, "user"), now=LATER).issuer == ISSUER


def key_bundle(world: World, key: Any) -> Document:
    """A bundle by a bare key, in the log."""
    signature = sign(key, CONTENT)
    entry = world.log.entry(compact(hashedrekord(CONTENT, signature, spki_pem(key))), START)
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": "x"}, "tlogEntries": [entry]},
        "messageSignature": {"signature": b64(signature)},
    }


class TestIdentity:
    @pytest.mark.parametrize(
        "subject",
        ["me@example.or", "e@example.org", "ME@example.org", "me@example.org\n", "me@example.org ", "*", ".*", "me@.*"],
    )
    def test_exact_is_exact(self, world: World, me: Party, subject: str) -> None:
        assert code([world.simple(me, DIGEST)], policy(world, subject)) == "identity"

    @pytest.mark.parametrize("signed_by", ["me@example.org.evil.com", "xme@example.org", "Me@example.org"])
    def test_certificate_with_more_around_the_name(self, world: World, signed_by: str) -> None:
        found = world.simple(world.signer(signed_by), DIGEST)
        assert code([found], policy(world)) == "identity"
        identity = Identity(subject=matching("me@example.org"), issuer=exact(ISSUER))
        assert code([found], policy(world, identities=(identity,))) == "identity"

    @pytest.mark.parametrize("issuer", [f"{ISSUER}/", f"{ISSUER}.evil.com", ISSUER[:-1], ISSUER.upper(), None])
    def test_another_issuer(self, world: World, issuer: str | None) -> None:
        assert code([world.simple(world.signer(ME, issuer=issuer), DIGEST)], policy(world)) == "issuer"

    def test_name_of_one_identity_and_issuer_of_another(self, world: World, me: Party) -> None:
        one = Identity(subject=exact(ME), issuer=exact("https://other.example.org"))
        two = Identity(subject=exact("you@example.org"), issuer=exact(ISSUER))
        assert code([world.simple(me, DIGEST)], policy(world, identities=(one, two))) == "issuer"

    def test_two_issuers_in_one_certificate(self, world: World) -> None:
        raw = made.UnrecognizedExtension(made.ObjectIdentifier("1.3.6.1.4.1.57264.1.1"), b"https://other.example.org")
        found = world.simple(world.signer(ME, extensions=[*signer_extensions(ME), (raw, False)]), DIGEST)
        assert code([found], policy(world)) == "malformed"


class TestDigest:
    def test_of_another_artifact(self, world: World, me: Party) -> None:
        documents = [
            world.bundle_document(me, b"another"),
            world.envelope_document(me, statement(OTHER, COSIGN_SIGNATURE)),
        ]
        for found in (world.simple(me, OTHER), *map(found_in, documents)):
            assert code([found], policy(world)) == "digest"

    def test_digest_of_the_right_length_that_differs_in_one_digit(self, world: World, me: Party) -> None:
        near = DIGEST[:-1] + ("0" if DIGEST[-1] != "0" else "1")
        assert code([world.simple(me, near)], policy(world)) == "digest"
        assert code([world.simple(me, DIGEST.upper().replace("SHA", "sha"))], policy(world)) == "digest"

    def test_bytes_that_are_not_given(self, world: World, me: Party) -> None:
        found = found_in(world.bundle_document(me, CONTENT))
        with pytest.raises(DataError) as refusal:
            verify(DIGEST, [found], policy(world), now=LATER)
        assert refusal.value.code == "trust.artifact.digest"

    def test_bytes_of_another_digest(self, world: World, me: Party) -> None:
        with pytest.raises(DataError) as refusal:
            verify(DIGEST, [world.simple(me, DIGEST)], policy(world), now=LATER, content=b"another")
        assert refusal.value.code == "trust.artifact.digest"

    def test_hint_in_the_bundle_that_is_wrong(self, world: World, me: Party) -> None:
        document = world.bundle_document(me, CONTENT)
        document["messageSignature"]["messageDigest"]["digest"] = b64(bytes(32))
        assert code([found_in(document)], policy(world)) == "digest"

    @pytest.mark.parametrize("digest", ["", "sha256:", "sha512:" + "0" * 64, DIGEST.removeprefix("sha256:")])
    def test_no_digest(self, world: World, me: Party, digest: str) -> None:
        assert code([world.simple(me, digest)], policy(world), digest=digest) == "digest"


class TestStatements:
    def test_an_sbom_signs_nothing(self, world: World, me: Party) -> None:
        found = found_in(world.envelope_document(me, statement(DIGEST, SBOM)))
        assert code([found], policy(world)) == "unsigned"

    def test_a_statement_of_another_type(self, world: World, me: Party) -> None:
        found = found_in(world.envelope_document(me, statement(DIGEST, SBOM)))
        for other in (f"{SBOM}/", SBOM[:-1], COSIGN_SIGNATURE):
            with pytest.raises(DataError) as refusal:
                verify_statement(
                    DIGEST, [found, world.simple(me, DIGEST)], policy(world), predicate_type=other, now=LATER
                )
            assert refusal.value.code == "trust.artifact.unsigned"

    def test_a_payload_of_another_type(self, world: World, me: Party) -> None:
        document = world.envelope_document(me, statement(DIGEST, COSIGN_SIGNATURE))
        document["dsseEnvelope"]["payloadType"] = "application/json"
        assert code([found_in(document)], policy(world)) == "malformed"


class TestKeys:
    def test_nobody_we_know(self, world: World) -> None:
        payload = simple_payload(DIGEST)
        found = Found(kind=Kind.SIMPLE, where="tag", payload=payload, signature=b64(sign(p256(), payload)))
        assert code([found], Policy(keys=(public(p256()),))) == "key"
        assert code([found], policy(world)) == "key"

    def test_a_certificate_where_keys_are_asked_for(self, world: World, me: Party) -> None:
        assert code([world.simple(me, DIGEST)], Policy(keys=(public(p256()),), roots=(world.trust_root(),))) == "key"

    def test_a_certificate_beside_the_signature_of_another_key(self, world: World, me: Party) -> None:
        found = world.simple(me, DIGEST)
        other = world.simple(world.signer("you@example.org"), DIGEST)
        stolen = Found(
            kind=Kind.SIMPLE,
            where="tag",
            payload=other.payload,
            signature=other.signature,
            certificate=found.certificate,
            bundle=other.bundle,
        )
        assert code([stolen], policy(world)) == "key"

    def test_not_in_the_log(self, world: World) -> None:
        key = p256()
        document = key_bundle(world, key)
        del document["verificationMaterial"]["tlogEntries"]
        wanted = policy(world, identities=(), keys=(public(key),), require_log=True)
        assert code([found_in(document)], wanted) == "log"
        assert code([found_in(document)], Policy(keys=(public(key),))) == ""

    def test_entry_of_a_certificate_for_a_key(self, world: World, me: Party) -> None:
        """The same key, but the log knows it by a certificate: not the same claim."""
        document = key_bundle(world, me.key)
        signature = sign(me.key, CONTENT)
        document["messageSignature"]["signature"] = b64(signature)
        body = compact(hashedrekord(CONTENT, signature, me.pem.encode()))
        document["verificationMaterial"]["tlogEntries"] = [world.log.entry(body, START)]
        wanted = policy(world, identities=(), keys=(public(me.key),), require_log=True)
        assert code([found_in(document)], wanted) == "log"


class TestPolicy:
    def test_policies_by_which_nothing_can_be_believed(self, world: World) -> None:
        root = private_root(world.root.pem.encode(), name="acme")
        key = public(p256())
        for wanted in (
            Policy(),
            Policy(roots=(root,)),
            policy(world, roots=()),
            Policy(keys=(key,), require_log=True),
            Policy(keys=(key,), roots=(root,), require_log=True),
            Policy(keys=(key,), within=-1),
        ):
            with pytest.raises(OperatorError) as refusal:
                verify(DIGEST, [], wanted, now=0)
            assert refusal.value.code == "trust.artifact.policy"

    def test_nothing_found(self, world: World) -> None:
        assert code([], policy(world)) == "unsigned"

    def test_too_much_found(self, world: World, me: Party) -> None:
        assert code([world.simple(me, DIGEST)] * (MAX_FOUND + 1), policy(world)) == "malformed"

    def test_every_reason_is_told(self, world: World, me: Party) -> None:
        bad = Found(kind=Kind.BUNDLE, where="the first place", payload=b"{")
        other = world.simple(me, OTHER)
        wrong = world.simple(world.signer("you@example.org"), DIGEST)
        with pytest.raises(DataError) as refusal:
            verify(DIGEST, [bad, wrong, other], policy(world), now=LATER)
        assert refusal.value.code == "trust.artifact.identity"
        assert refusal.value.found is not None
        for part in ("the first place: malformed", "tag: digest", "tag: identity", "'you@example.org'"):
            assert part in refusal.value.found


class TestForms:
    @pytest.mark.parametrize(
        "change",
        [
            {"type": "atomic container signature"},
            {"image": {}},
            {"image": {"docker-manifest-digest": 7}},
            {"identity": None},
            {"identity": {"docker-reference": "x", "unknown": 1}},
            {"unknown": 1},
        ],
        ids=str,
    )
    def test_simple_signing_that_says_something_else(self, world: World, me: Party, change: Document) -> None:
        assert code([world.simple(me, DIGEST, **change)], policy(world)) == "malformed"

    def test_a_member_twice(self, world: World, me: Party) -> None:
        """Two readers might take two different digests from it."""
        payload = simple_payload(OTHER).replace(
            b'"image":', b'"image":{"docker-manifest-digest":"%b"},"image":' % DIGEST.encode()
        )
        found = Found(kind=Kind.SIMPLE, where="tag", payload=payload, signature=b64(sign(me.key, payload)))
        assert code([found], Policy(keys=(public(me.key),))) == "malformed"

    @pytest.mark.parametrize("signature", ["", "?", "AA=A", "\ud800"])
    def test_signature_that_is_none(self, world: World, signature: str) -> None:
        found = Found(kind=Kind.SIMPLE, where="tag", payload=simple_payload(DIGEST), signature=signature)
        assert code([found], Policy(keys=(public(p256()),))) == ("key" if not signature else "malformed")

    def test_chain_in_the_newest_bundles(self, world: World, me: Party) -> None:
        document = world.bundle_document(me, CONTENT)
        chain = {"certificates": [document["verificationMaterial"].pop("certificate")]}
        document["verificationMaterial"]["x509CertificateChain"] = chain
        assert code([found_in(document)], policy(world)) == "malformed"

    def test_signature_and_envelope_in_one(self, world: World, me: Party) -> None:
        document = world.bundle_document(me, CONTENT)
        document["dsseEnvelope"] = world.envelope_document(me, statement(DIGEST, COSIGN_SIGNATURE))["dsseEnvelope"]
        assert code([found_in(document)], policy(world)) == "malformed"

    def test_two_signatures_in_one_envelope(self, world: World, me: Party) -> None:
        document = world.envelope_document(me, statement(DIGEST, COSIGN_SIGNATURE))
        document["dsseEnvelope"]["signatures"] *= 2
        assert code([found_in(document)], policy(world)) == "malformed"

    def test_rekor_2_entry_of_an_envelope(self, world: World, me: Party) -> None:
        payload = statement(DIGEST, COSIGN_SIGNATURE)
        document = world.envelope_document(me, payload, time=None)
        assert code([found_in(document)], policy(world)) == ""
        wrong = hashedrekord2(payload, b"", me.der)
        wrong["spec"]["hashedRekordV002"]["signature"]["content"] = document["dsseEnvelope"]["signatures"][0]["sig"]
        document["verificationMaterial"]["tlogEntries"] = [world.log2.entry(compact(wrong), None)]
        assert code([found_in(document)], policy(world)) == "log"

    def test_layers_that_are_no_signatures(self) -> None:
        assert Found.in_layer("application/json", where="", payload=b"", annotations={}) is None
        for media_type in ("application/vnd.dev.sigstore.bundle+json;version=0.2", Kind.BUNDLE.value):
            found = Found.in_layer(media_type, where="x", payload=b"{}", annotations={})
            assert found == Found(kind=Kind.BUNDLE, where="x", payload=b"{}")
