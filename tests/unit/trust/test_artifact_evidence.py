# SPDX-License-Identifier: MIT
"""What a certificate needs beside it: logs, times, timestamps and roots, each of them wrong in every way."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from cryptography import x509 as made
from cryptography.x509.oid import ExtendedKeyUsageOID

from powernode.trust.artifact import (
    Found,
    Policy,
)
from powernode.trust.root import private_root
from unit.trust._cases import CONTENT, DIGEST, LATER, ME, Document, code, entry_of, policy, public, stamped
from unit.trust._parties import (
    LIFE,
    SIGNER_USAGE,
    STAMPING,
    START,
    Party,
    b64,
    ca_extensions,
    certify,
    compact,
    p256,
    rfc3339,
    sign,
    signer_extensions,
    spki_pem,
)
from unit.trust._timestamper import timestamp_response
from unit.trust._world import (
    World,
    found_in,
    hashedrekord,
)

pytestmark = pytest.mark.usefixtures("door")
Change = Callable[[World, Party, Document], None]


def no_entries(_world: World, _me: Party, document: Document) -> None:
    document["verificationMaterial"]["tlogEntries"] = []


def no_proof(_world: World, _me: Party, document: Document) -> None:
    del entry_of(document)["inclusionProof"]


def no_checkpoint(_world: World, _me: Party, document: Document) -> None:
    del entry_of(document)["inclusionProof"]["checkpoint"]


def proof_of_another_entry(world: World, me: Party, document: Document) -> None:
    body = compact(hashedrekord(b"x", sign(me.key, b"x"), me.pem.encode()))
    entry_of(document)["inclusionProof"] = world.log.entry(body, START)["inclusionProof"]


def another_place(_world: World, _me: Party, document: Document) -> None:
    proof = entry_of(document)["inclusionProof"]
    proof["logIndex"] = str(int(proof["logIndex"]) - 1)


def another_size(_world: World, _me: Party, document: Document) -> None:
    proof = entry_of(document)["inclusionProof"]
    proof["treeSize"] = str(int(proof["treeSize"]) + 1)


def one_hash_less(_world: World, _me: Party, document: Document) -> None:
    entry_of(document)["inclusionProof"]["hashes"].pop()


def one_hash_more(_world: World, _me: Party, document: Document) -> None:
    entry_of(document)["inclusionProof"]["hashes"].append(b64(bytes(32)))


def another_root(_world: World, _me: Party, document: Document) -> None:
    entry_of(document)["inclusionProof"]["rootHash"] = b64(bytes(32))


def checkpoint_of_another_log(world: World, _me: Party, document: Document) -> None:
    checkpoint = world.log2.checkpoint(world.log.leaves)
    entry_of(document)["inclusionProof"]["checkpoint"]["envelope"] = checkpoint


def checkpoint_that_nobody_signed(_world: World, _me: Party, document: Document) -> None:
    checkpoint = entry_of(document)["inclusionProof"]["checkpoint"]
    checkpoint["envelope"] = checkpoint["envelope"].replace("4711", "4712")


def promise_of_another_time(_world: World, _me: Party, document: Document) -> None:
    entry_of(document)["integratedTime"] = str(START + 6)


def promise_of_another_index(_world: World, _me: Party, document: Document) -> None:
    entry_of(document)["logIndex"] = "1"


def promise_without_time(_world: World, _me: Party, document: Document) -> None:
    del entry_of(document)["integratedTime"]


def entry_about_something_else(world: World, me: Party, document: Document) -> None:
    signature = document["messageSignature"]["signature"]
    body = hashedrekord(b"another", b"", me.pem.encode())
    body["spec"]["signature"]["content"] = signature
    document["verificationMaterial"]["tlogEntries"] = [world.log.entry(compact(body), START + 5)]


def entry_of_another_signature(world: World, me: Party, document: Document) -> None:
    body = hashedrekord(CONTENT, sign(me.key, CONTENT), me.pem.encode())
    document["verificationMaterial"]["tlogEntries"] = [world.log.entry(compact(body), START + 5)]


def entry_of_another_certificate(world: World, _me: Party, document: Document) -> None:
    body = hashedrekord(CONTENT, b"", world.signer(ME).pem.encode())
    body["spec"]["signature"]["content"] = document["messageSignature"]["signature"]
    document["verificationMaterial"]["tlogEntries"] = [world.log.entry(compact(body), START + 5)]


def entry_of_an_unknown_kind(world: World, _me: Party, document: Document) -> None:
    body = {"apiVersion": "0.0.1", "kind": "rpm", "spec": {}}
    document["verificationMaterial"]["tlogEntries"] = [world.log.entry(compact(body), START + 5)]


def entry_that_is_called_otherwise(_world: World, _me: Party, document: Document) -> None:
    entry_of(document)["kindVersion"]["kind"] = "dsse"


def log_that_nobody_knows(_world: World, _me: Party, document: Document) -> None:
    entry_of(document)["logId"]["keyId"] = b64(bytes(32))


LOG_ATTACKS: list[Change] = [
    no_entries,
    no_proof,
    no_checkpoint,
    proof_of_another_entry,
    another_place,
    another_size,
    one_hash_less,
    one_hash_more,
    another_root,
    checkpoint_of_another_log,
    checkpoint_that_nobody_signed,
    promise_of_another_time,
    promise_of_another_index,
    promise_without_time,
    entry_about_something_else,
    entry_of_another_signature,
    entry_of_another_certificate,
    entry_of_an_unknown_kind,
    entry_that_is_called_otherwise,
    log_that_nobody_knows,
]


class TestLog:
    @pytest.mark.parametrize("attack", LOG_ATTACKS, ids=lambda attack: attack.__name__)
    def test_attack(self, world: World, me: Party, attack: Change) -> None:
        document = world.bundle_document(me, CONTENT)
        assert code([found_in(copy.deepcopy(document))], policy(world)) == ""
        attack(world, me, document)
        assert code([found_in(document)], policy(world)) == "log"

    def test_key_of_the_log_at_another_time(self, world: World, me: Party) -> None:
        logs = copy.deepcopy(world.trusted_root()["tlogs"])
        found = found_in(world.bundle_document(me, CONTENT))
        for start, end, expected in (
            (START, START + 5, ""),
            (START + 5, START + 6, ""),
            (START + 6, START + 9, "log"),
            (START, START + 4, "log"),
        ):
            logs[0]["publicKey"]["validFor"] = {"start": rfc3339(start), "end": rfc3339(end)}
            assert code([found], policy(world, roots=(world.trust_root(tlogs=logs),))) == expected

    def test_key_of_rekor_2_at_another_time(self, world: World, me: Party) -> None:
        """It signs no time; that of the timestamp counts."""
        logs = copy.deepcopy(world.trusted_root()["tlogs"])
        found = found_in(world.bundle_document(me, CONTENT, time=None))
        for start, end, expected in ((START + 7, START + 7, ""), (START, START + 6, "log"), (START + 8, LATER, "log")):
            logs[1]["publicKey"]["validFor"] = {"start": rfc3339(start), "end": rfc3339(end)}
            assert code([found], policy(world, roots=(world.trust_root(tlogs=logs),))) == expected

    def test_key_of_the_log_between_its_time_and_the_timestamp(self, world: World, me: Party) -> None:
        logs = copy.deepcopy(world.trusted_root()["tlogs"])
        logs[0]["publicKey"]["validFor"] = {"start": rfc3339(START + 6)}
        document = stamped(world.bundle_document(me, CONTENT), lambda s: world.timestamp(s, START + 7))
        assert code([found_in(document)], policy(world)) == ""
        assert code([found_in(document)], policy(world, roots=(world.trust_root(tlogs=logs),))) == "log"

    def test_promise_alone_does_in_old_bundles_only(self, world: World, me: Party) -> None:
        for version, expected in (("0.1", ""), ("0.2", "log"), ("0.3", "log")):
            document = world.bundle_document(me, CONTENT, version=version)
            del entry_of(document)["inclusionProof"]
            assert code([found_in(document)], policy(world)) == expected

    def test_simple_signing_without_an_entry(self, world: World, me: Party) -> None:
        found = world.simple(me, DIGEST)
        bare = Found(
            kind=found.kind,
            where="tag",
            payload=found.payload,
            signature=found.signature,
            certificate=found.certificate,
            chain=found.chain,
        )
        assert code([bare], policy(world), now=START) == "log"

    def test_root_without_a_log_where_one_is_wanted(self, world: World, me: Party) -> None:
        """Then any log of the policy does; but it is not the one that the root would ask for the time."""
        private = private_root((world.root.pem + world.between.pem).encode(), name="acme")
        logs = world.trust_root(certificateAuthorities=[])
        found = world.simple(me, DIGEST)
        wanted = policy(world, roots=(private, logs), require_log=True)
        assert code([found], wanted, now=START + 1) == ""
        assert code([found], wanted) == "expired"
        bare = replace(found, bundle="")
        assert code([bare], wanted, now=START + 1) == "log"
        assert code([bare], replace(wanted, require_log=False), now=START + 1) == ""

    def test_key_of_the_log_where_a_bare_key_has_signed(self, world: World) -> None:
        """Of Rekor 2, which signs no time: without a timestamp it has to be valid now."""
        key = p256()
        signature = sign(key, CONTENT)
        body = compact(hashedrekord(CONTENT, signature, spki_pem(key)))
        document = {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"publicKey": {}, "tlogEntries": [world.log2.entry(body, None)]},
            "messageSignature": {"signature": b64(signature)},
        }
        logs = copy.deepcopy(world.trusted_root()["tlogs"])
        logs[1]["publicKey"]["validFor"] = {"start": rfc3339(START), "end": rfc3339(START + 9)}
        root = world.trust_root(tlogs=logs)
        wanted = Policy(keys=(public(key),), roots=(root,), require_log=True)
        assert code([found_in(document)], wanted, now=START + 9) == ""
        assert code([found_in(document)], wanted, now=START + 10) == "log"
        for time, expected in ((START + 9, ""), (START + 10, "log")):
            with_time = stamped(document, lambda s, time=time: world.timestamp(s, time))  # type: ignore[misc]
            assert code([found_in(with_time)], wanted) == expected

    def test_certificate_that_no_log_has_seen(self, world: World) -> None:
        found = world.simple(world.signer(ME, announced=False), DIGEST)
        assert code([found], policy(world)) == "log"
        assert code([found], policy(world, roots=(world.trust_root(ctlogs=[]),))) == ""

    def test_certificate_that_another_log_has_seen(self, world: World, me: Party) -> None:
        logs = world.trusted_root()["tlogs"]
        assert code([world.simple(me, DIGEST)], policy(world, roots=(world.trust_root(ctlogs=logs),))) == "log"


class TestTime:
    def test_log_outside_of_the_certificate(self, world: World, me: Party) -> None:
        for time, expected in ((START, ""), (START + LIFE, ""), (START - 1, "expired"), (START + LIFE + 1, "expired")):
            assert code([found_in(world.bundle_document(me, CONTENT, time=time))], policy(world)) == expected
            assert code([world.simple(me, DIGEST, time=time)], policy(world)) == expected

    @pytest.mark.parametrize("time", [START - 1, START + LIFE + 1])
    def test_timestamp_outside_of_the_certificate(self, world: World, me: Party, time: int) -> None:
        """Also if the log says otherwise: every proven time counts."""
        document = world.bundle_document(me, CONTENT)
        stamps = stamped(document, lambda signature: world.timestamp(signature, time))
        assert code([found_in(stamps)], policy(world)) == "expired"

    def test_two_timestamps_one_of_which_is_outside(self, world: World, me: Party) -> None:
        document = stamped(world.bundle_document(me, CONTENT, time=None), lambda s: world.timestamp(s, START + 7))
        stamps = document["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
        late = stamped(document, lambda s: world.timestamp(s, START + LIFE + 1))
        stamps += late["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
        assert code([found_in(document)], policy(world)) == "expired"

    def test_two_logs_one_of_whose_times_is_outside(self, world: World, me: Party) -> None:
        document = world.bundle_document(me, CONTENT)
        late = world.log.entry(base64.b64decode(entry_of(document)["canonicalizedBody"]), START + LIFE + 1)
        document["verificationMaterial"]["tlogEntries"].append(late)
        assert code([found_in(document)], policy(world)) == "expired"

    def test_rekor_2_without_a_timestamp(self, world: World, me: Party) -> None:
        document = world.bundle_document(me, CONTENT, time=None)
        del document["verificationMaterial"]["timestampVerificationData"]
        assert code([found_in(document)], policy(world)) == "expired"
        assert code([found_in(document)], policy(world), now=START + 1) == ""

    def test_unsigned_time_of_rekor_2(self, world: World, me: Party) -> None:
        """Whoever writes a time beside the entry proves nothing."""
        document = world.bundle_document(me, CONTENT, time=None)
        del document["verificationMaterial"]["timestampVerificationData"]
        entry_of(document)["integratedTime"] = str(START + 5)
        assert code([found_in(document)], policy(world)) == "expired"

    def test_authority_at_another_time(self, world: World, me: Party) -> None:
        authorities = copy.deepcopy(world.trusted_root()["certificateAuthorities"])
        found = world.simple(me, DIGEST)
        for start, end, expected in ((START + 5, START + 5, ""), (START + 6, START + 9, "expired"), (0, 1, "expired")):
            authorities[0]["validFor"] = {"start": rfc3339(start), "end": rfc3339(end)}
            root = world.trust_root(certificateAuthorities=authorities)
            assert code([found], policy(world, roots=(root,))) == expected


class TestTimestamps:
    def check(self, world: World, me: Party, make: Callable[[bytes], bytes], wanted: Policy | None = None) -> str:
        document = stamped(world.bundle_document(me, CONTENT, time=None), make)
        return code([found_in(document)], wanted or policy(world))

    def test_good_with_and_without_certificates(self, world: World, me: Party) -> None:
        for embed in ((), (world.tsa,), (world.tsa, world.tsa_root)):
            assert self.check(world, me, lambda s, embed=embed: world.timestamp(s, START, embed=embed)) == ""  # type: ignore[misc]

    def test_of_something_else(self, world: World, me: Party) -> None:
        assert self.check(world, me, lambda s: world.timestamp(s + b"x", START)) == "timestamp"

    def test_that_was_refused(self, world: World, me: Party) -> None:
        assert self.check(world, me, lambda s: world.timestamp(s, START, status=2)) == "timestamp"

    def test_of_another_type(self, world: World, me: Party) -> None:
        data = bytes.fromhex("2a864886f70d010701")
        assert self.check(world, me, lambda s: world.timestamp(s, START, content_type=data)) == "timestamp"

    def test_of_another_type_under_the_signature(self, world: World, me: Party) -> None:
        data = bytes.fromhex("2a864886f70d010701")
        assert self.check(world, me, lambda s: world.timestamp(s, START, attribute_type=data)) == "timestamp"

    def test_by_a_signer_that_is_not_for_times_alone(self, world: World, me: Party) -> None:
        """Which the certificate has to say critically (RFC 3161, 2.3)."""
        both = made.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.CODE_SIGNING])
        for purposes, is_critical, expected in (
            (STAMPING, True, ""),
            (both, True, "timestamp"),
            (STAMPING, False, "timestamp"),
        ):
            signer = certify("tsa", p256(), [(SIGNER_USAGE, True), (purposes, is_critical)], by=world.tsa_root)
            authorities = copy.deepcopy(world.trusted_root()["timestampAuthorities"])
            authorities[0]["certChain"]["certificates"] = [{"rawBytes": b64(world.tsa_root.der)}]
            wanted = policy(world, roots=(world.trust_root(timestampAuthorities=authorities),))
            response = partial(timestamp_response, signer, time=START, embed=(signer,))
            assert self.check(world, me, response, wanted) == expected

    def test_by_another_signer_of_the_same_authority(self, world: World, me: Party) -> None:
        """The trust root names its signer: then nobody else is."""
        other = certify("tsa 2", p256(), [(SIGNER_USAGE, True), (STAMPING, True)], by=world.tsa_root)
        assert self.check(world, me, lambda s: timestamp_response(other, s, START, embed=(other,))) == "timestamp"

    def test_that_names_another_signer(self, world: World, me: Party) -> None:
        assert self.check(world, me, lambda s: world.timestamp(s, START, named=world.tsa_root)) == "timestamp"

    def test_by_an_authority_that_nobody_knows(self, world: World, me: Party) -> None:
        other = World()
        embed = (other.tsa, other.tsa_root)
        assert self.check(world, me, lambda s: timestamp_response(other.tsa, s, START, embed=embed)) == "timestamp"

    def test_by_a_signer_of_code(self, world: World, me: Party) -> None:
        """A certificate of the CA is not one of a timestamper."""
        authorities = copy.deepcopy(world.trusted_root()["timestampAuthorities"])
        authorities[0]["certChain"]["certificates"] = [{"rawBytes": b64(world.root.der)}]
        wanted = policy(world, roots=(world.trust_root(timestampAuthorities=authorities),))
        embed = (me, world.between)
        assert self.check(world, me, lambda s: timestamp_response(me, s, START, embed=embed), wanted) == "timestamp"

    def test_authority_at_another_time(self, world: World, me: Party) -> None:
        authorities = copy.deepcopy(world.trusted_root()["timestampAuthorities"])
        for start, end, expected in ((START, START, ""), (START + 1, START + 2, "timestamp"), (0, 1, "timestamp")):
            authorities[0]["validFor"] = {"start": rfc3339(start), "end": rfc3339(end)}
            wanted = policy(world, roots=(world.trust_root(timestampAuthorities=authorities),))
            assert self.check(world, me, lambda s: world.timestamp(s, START), wanted) == expected

    def test_one_good_one_is_enough(self, world: World, me: Party) -> None:
        other = World()
        document = stamped(world.bundle_document(me, CONTENT, time=None), lambda s: other.timestamp(s, START))
        assert code([found_in(document)], policy(world)) == "timestamp"
        stamps = document["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
        stamps.append(
            stamped(document, lambda s: world.timestamp(s, START))["verificationMaterial"]["timestampVerificationData"][
                "rfc3161Timestamps"
            ][0]
        )
        assert code([found_in(document)], policy(world)) == ""

    @pytest.mark.parametrize("step", [3, 7])
    def test_every_cut(self, world: World, me: Party, step: int) -> None:
        response = world.timestamp(b"x", START)
        for size in range(0, len(response), step * 7):
            assert self.check(world, me, lambda _, size=size: response[:size]) == "timestamp"  # type: ignore[misc]


class TestRoots:
    def test_of_somebody_else(self, world: World, me: Party) -> None:
        other = World()
        assert code([world.simple(me, DIGEST)], policy(other)) == "root"
        both = policy(world, roots=(other.trust_root(), world.trust_root()))
        assert code([world.simple(me, DIGEST)], both) == ""

    def test_root_that_comes_along(self, world: World) -> None:
        """What comes with a signature never becomes a root, and has no place in a bundle."""
        other = World()
        eve = other.signer(ME)
        found = other.simple(eve, DIGEST)
        assert code([found], policy(world)) == "root"
        document = other.bundle_document(eve, CONTENT, version="0.2")
        chain = document["verificationMaterial"]["x509CertificateChain"]["certificates"]
        chain.extend({"rawBytes": b64(party.der)} for party in (other.between, other.root))
        assert code([found_in(document)], policy(world)) == "malformed"

    def test_signer_that_certifies(self, world: World, me: Party) -> None:
        eve_key = p256()
        eve = certify("", eve_key, signer_extensions("boss@example.org"), by=me, start=START, end=START + LIFE)
        found = world.simple(eve, DIGEST)
        longer = Found(
            kind=found.kind,
            where="tag",
            payload=found.payload,
            signature=found.signature,
            certificate=found.certificate,
            chain=me.pem + world.between.pem,
            bundle=found.bundle,
        )
        assert code([longer], policy(world, "boss@example.org")) == "root"

    def test_ca_as_a_signer(self, world: World) -> None:
        ca = certify(
            "", p256(), [*signer_extensions(ME)[1:], *ca_extensions()], by=world.between, start=START, end=START + LIFE
        )
        assert code([world.simple(ca, DIGEST)], policy(world)) == "root"
