# SPDX-License-Identifier: MIT
"""Bundles that cosign, npm and others made with real services, from the packages Debian has of sigstore's own tests.

The right ones are believed for the right artifact and signer; another artifact, signer, issuer, key or root is refused,
and so is anything changed in them. npm names its packages by SHA-512 only, by which we do not know artifacts: of its
bundles the parts are shown to be right.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509 as oracle

from powernode.base.errors import DataError
from powernode.trust import rekor, sct, timestamp, x509
from powernode.trust.algorithms import is_by
from powernode.trust.artifact import Found, Identity, Kind, Policy, Proof, TimeSource, verify, verify_statement
from powernode.trust.keys import load_public_keys
from powernode.trust.pattern import exact
from powernode.trust.root import TrustRoot, read_trusted_root
from powernode.trust.unpack import unpack
from support.vectors import COSIGN, SIGSTORE_GO
from unit.trust._parties import p256, spki_pem
from unit.trust._public import from_archive

pytestmark = pytest.mark.usefixtures("door")

Document = dict[str, Any]
Way = tuple[str | int, ...]

NOW = 1_795_000_000  # after everything in them
IMAGE = "sha256:732112270d7e59418a8c080b134b24cabd67d250d0d0147a97ed95ba5c280aa4"  # an image without layers
ATTESTATION = "https://cosign.sigstore.dev/attestation/v1"
GITHUB = "https://github.com/login/oauth"
ACTIONS = "https://token.actions.githubusercontent.com"
RELEASE = "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main"
OIDC = "http://oidc.local:8080"
POD = "rekor-00001-deployment-56bf7777c9-jds5x"


@pytest.fixture(scope="session")
def cosign() -> Path:
    return from_archive(COSIGN)


@pytest.fixture(scope="session")
def sigstore_go() -> Path:
    return from_archive(SIGSTORE_GO)


def root_in(path: Path) -> TrustRoot:
    return read_trusted_root(path.read_bytes(), name=path.stem)


def by(subject: str, issuer: str, *roots: TrustRoot) -> Policy:
    return Policy(identities=(Identity(subject=exact(subject), issuer=exact(issuer)),), roots=roots)


def found_in(bundle: bytes) -> list[Found]:
    return [Found(kind=Kind.BUNDLE, where="a bundle", payload=bundle)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A right bundle, and all it takes to be believed."""

    bundle: bytes
    policy: Policy
    digest: str
    content: bytes | None = None
    """None: the bundle holds a statement about the digest."""

    def prove(self) -> Proof:
        found = found_in(self.bundle)
        if self.content is None:
            return verify_statement(self.digest, found, self.policy, predicate_type=ATTESTATION, now=NOW).proof
        return verify(self.digest, found, self.policy, now=NOW, content=self.content)

    def refusal(self, **changes: Any) -> str:
        """Why it is not believed any more, without "trust.artifact."; "" if it is."""
        try:
            replace(self, **changes).prove()
        except DataError as error:
            return error.code.removeprefix("trust.artifact.")
        return ""


@pytest.fixture(scope="session")
def image(cosign: Path) -> Case:
    """A statement about an image, made by a person with cosign and sigstore's public instance."""
    bundle = (cosign / "oci-attestation.sigstore.json").read_bytes()
    der = base64.b64decode(json.loads(bundle)["verificationMaterial"]["certificate"]["rawBytes"])
    names = oracle.load_der_x509_certificate(der).extensions.get_extension_for_class(oracle.SubjectAlternativeName)
    (name,) = names.value.get_values_for_type(oracle.RFC822Name)
    policy = by(name, GITHUB, root_in(cosign / "trusted_root_pgi.json"))
    return Case(bundle=bundle, policy=policy, digest=IMAGE)


@pytest.fixture(scope="session")
def blob(sigstore_go: Path) -> Case:
    """A file signed with a private instance of sigstore, by somebody who has a user name and no address.

    Nobody told that instance's log its own address, so that it calls itself by its container in its checkpoints.
    """
    root = root_in(sigstore_go / "trusted-roots/scaffolding.json")
    root = replace(root, logs=tuple(replace(log, origin=POD) for log in root.logs))
    content = b"blob\n"
    return Case(
        bundle=(sigstore_go / "bundles/othername.sigstore.json").read_bytes(),
        policy=by("foo!oidc.local", OIDC, root),
        digest=f"sha256:{sha256(content).hexdigest()}",
        content=content,
    )


@pytest.fixture(scope="session")
def keyed(sigstore_go: Path) -> Case:
    """A file signed by a key, with a timestamp."""
    keys = load_public_keys((sigstore_go / "public-keys/public-key-validity.pem").read_bytes())
    content = b"test content"
    return Case(
        bundle=(sigstore_go / "bundles/public-key-validity.sigstore.json").read_bytes(),
        policy=Policy(keys=tuple(keys)),
        digest=f"sha256:{sha256(content).hexdigest()}",
        content=content,
    )


CASES = ("image", "blob", "keyed")


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    result: Case = request.getfixturevalue(request.param)
    return result


class TestRightOnes:
    def test_image(self, image: Case, sigstore_go: Path) -> None:
        proof = image.prove()
        assert (proof.digest, proof.issuer, proof.log_index) == (IMAGE, GITHUB, 175508996)
        assert (proof.signed_at, proof.time_source) == (1740770291, TimeSource.LOG)
        assert image.policy.identities[0].subject.matches(proof.subject or "")
        other = replace(image.policy, roots=(root_in(sigstore_go / "trusted-roots/public-good.json"),))
        assert replace(image, policy=other).prove().log_index == proof.log_index

    def test_blob(self, blob: Case) -> None:
        proof = blob.prove()
        assert (proof.subject, proof.issuer, proof.signed_at) == ("foo!oidc.local", OIDC, 1720811189)

    def test_keyed(self, keyed: Case) -> None:
        proof = keyed.prove()
        assert (proof.key_id, proof.signed_at) == (keyed.policy.keys[0].key_id, None)

    def test_its_timestamp(self, keyed: Case, sigstore_go: Path) -> None:
        root = root_in(sigstore_go / "trusted-roots/public-key-validity.json")
        material = unpack(found_in(keyed.bundle)[0], content=keyed.content)
        (stamp,) = material.timestamps
        assert timestamp.verify(stamp, material.signature, root.timestamp_authorities) == 1780595009
        with pytest.raises(DataError) as refusal:
            timestamp.verify(stamp, material.signature + b"\0", root.timestamp_authorities)
        assert refusal.value.code == "trust.timestamp.other"


class TestWrongOnes:
    def test_another_artifact(self, case: Case) -> None:
        other = case.content and case.content + b"\0"
        digest = f"sha256:{sha256(other or b'').hexdigest()}"
        assert case.refusal(digest=digest, content=other) == "digest"

    @pytest.mark.parametrize("name", ["image", "blob"])
    def test_another_signer(self, name: str, request: pytest.FixtureRequest) -> None:
        case: Case = request.getfixturevalue(name)
        (signer,) = case.policy.identities
        for subject in ("somebody@example.org", "foo@oidc.local", "oo!oidc.local"):
            wrong = replace(signer, subject=exact(subject))
            assert case.refusal(policy=replace(case.policy, identities=(wrong,))) == "identity"
        wrong = replace(signer, issuer=exact(ACTIONS))
        assert case.refusal(policy=replace(case.policy, identities=(wrong,))) == "issuer"

    def test_another_key(self, case: Case) -> None:
        key = load_public_keys(spki_pem(p256()))[0]
        assert case.refusal(policy=Policy(keys=(key,))) == "key"

    def test_another_instance(self, image: Case, blob: Case) -> None:
        assert image.refusal(policy=replace(image.policy, roots=blob.policy.roots)) == "root"
        assert blob.refusal(policy=replace(blob.policy, roots=image.policy.roots)) == "root"

    def test_another_log(self, image: Case, blob: Case) -> None:
        for case, other in ((image, blob), (blob, image)):
            roots = tuple(replace(root, logs=other.policy.roots[0].logs) for root in case.policy.roots)
            assert case.refusal(policy=replace(case.policy, roots=roots)) == "log"
            roots = tuple(
                replace(r, certificate_logs=other.policy.roots[0].certificate_logs) for r in case.policy.roots
            )
            assert case.refusal(policy=replace(case.policy, roots=roots)) == "log"

    def test_log_that_names_itself_otherwise(self, blob: Case, sigstore_go: Path) -> None:
        policy = replace(blob.policy, roots=(root_in(sigstore_go / "trusted-roots/scaffolding.json"),))
        assert blob.refusal(policy=policy) == "log"

    def test_signed_after_the_end_of_the_authority(self, image: Case) -> None:
        (root,) = image.policy.roots
        over = tuple(replace(authority, end=1740770290) for authority in root.authorities)
        policy = replace(image.policy, roots=(replace(root, authorities=over),))
        assert image.refusal(policy=policy) == "expired"

    def test_statement_is_no_signature(self, image: Case) -> None:
        with pytest.raises(DataError) as refusal:
            verify(IMAGE, found_in(image.bundle), image.policy, now=NOW)
        assert refusal.value.code == "trust.artifact.unsigned"

    def test_anything_changed(self, case: Case) -> None:
        document, wrong, count = json.loads(case.bundle), [], 0
        for way, value in leaves(document):
            expected = next(codes for name, codes in CODES.items() if name in way)
            for changed in changes(value):
                code = case.refusal(bundle=json.dumps(with_value(document, way, changed)).encode())
                count += 1
                if code not in expected:
                    wrong.append((way, changed, code))
        assert not wrong
        assert count > 12


CODES = {
    "mediaType": {"malformed"},
    "certificate": {"malformed", "root"},
    "tlogEntries": {"log"},
    "payload": {"malformed", "digest", "key"},
    "payloadType": {"malformed"},
    "signatures": {"key"},
    "algorithm": {"malformed"},
    "messageDigest": {"digest"},
    "messageSignature": {"key"},
    "hint": {""},  # which key it is; we try those we believe
    "timestampVerificationData": {""},  # a believed key needs no time
}
"""Why a bundle is refused with something changed in a member; the first that is on the way to it."""


def leaves(value: Any, way: Way = ()) -> Iterator[tuple[Way, str]]:
    if isinstance(value, str):
        yield way, value
        return
    for name, member in value.items() if isinstance(value, dict) else enumerate(value):
        yield from leaves(member, (*way, name))


def changes(value: str) -> list[str]:
    """One bit of what is in base64, the next number, another text."""
    if value.isdigit():
        return [str(int(value) + 1)]
    try:
        data = base64.b64decode(value, validate=True) if len(value) >= 24 else b""
    except ValueError:
        data = b""
    if not data:
        found = [f"{value}x", value[:-1]]
        if "\n" in value:  # a checkpoint, which ends with a signature
            found.append(value[:-10] + ("B" if value[-10] == "A" else "A") + value[-9:])
        return found
    found = []
    for place in sorted({0, len(data) // 3, len(data) // 2, len(data) - 1}):
        changed = bytearray(data)
        changed[place] ^= 1
        found.append(base64.b64encode(changed).decode())
    return found


def with_value(document: Document, way: Way, value: str) -> Document:
    changed: Any = copy.deepcopy(document)
    inside = changed
    for name in way[:-1]:
        inside = inside[name]
    inside[way[-1]] = value
    result: Document = changed
    return result


class TestNpm:
    """Statements that npm made of packages."""

    def parts(self, bundle: bytes, root: TrustRoot) -> tuple[tuple[str, ...], str | None, int | None]:
        """Whatever there is to be checked but for the digest: the signer's names, the issuer, the log's time."""
        material = unpack(found_in(bundle)[0], content=None)
        leaf = material.leaf
        assert leaf is not None
        assert not material.digests
        assert is_by(leaf.key, material.message, material.signature)
        assert not is_by(leaf.key, material.message + b"\0", material.signature)
        path = self.path(leaf, root)
        sct.verify(leaf, path[1], root.certificate_logs)
        signed = rekor.Signed(
            message=material.message,
            signature=material.signature,
            payload=material.payload,
            certificate=leaf.der,
            spki=leaf.key.spki,
        )
        (entry,) = material.entries
        log = rekor.log_of(entry, root.logs)
        assert log is not None
        logged = rekor.verify(entry, signed, log, needs_proof=entry.inclusion is not None)
        with pytest.raises(DataError):
            rekor.verify(entry, replace(signed, payload=b"{}"), log, needs_proof=False)
        assert all(each.is_valid(logged.integrated_time or 0) for each in path)
        return leaf.names, leaf.issuer_claim, logged.integrated_time

    def path(self, leaf: x509.Certificate, root: TrustRoot) -> tuple[x509.Certificate, ...]:
        """By the authority that made the certificate; for some months there were two."""
        for authority in root.authorities:
            with suppress(DataError):
                between, at = authority.between, leaf.not_before
                path = x509.find_path(leaf, between, authority.roots, at=at, purpose=x509.CODE_SIGNING)
                assert authority.is_valid(at)
                return path
        raise AssertionError("by no authority")

    def test_parts(self, sigstore_go: Path) -> None:
        bundle = (sigstore_go / "bundles/sigstore.js@2.0.0-provenance.sigstore.json").read_bytes()
        root = root_in(sigstore_go / "trusted-roots/public-good.json")
        assert self.parts(bundle, root) == ((RELEASE,), ACTIONS, 1692374735)

    def test_no_sha256(self, sigstore_go: Path) -> None:
        bundle = (sigstore_go / "bundles/sigstore.js@2.0.0-provenance.sigstore.json").read_bytes()
        (subject,) = json.loads(base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"]))["subject"]
        policy = by(RELEASE, ACTIONS, root_in(sigstore_go / "trusted-roots/public-good.json"))
        for digest in (IMAGE, f"sha256:{subject['digest']['sha512'][:64]}"):
            with pytest.raises(DataError) as refusal:
                verify_statement(
                    digest, found_in(bundle), policy, predicate_type="https://slsa.dev/provenance/v1", now=NOW
                )
            assert refusal.value.code == "trust.artifact.digest"

    def test_one_that_brings_its_root(self, sigstore_go: Path) -> None:
        """An early one. What is in it is right all the same."""
        root = root_in(sigstore_go / "trusted-roots/public-good.json")
        bundle = (sigstore_go / "bundles/dsse.sigstore.json").read_bytes()
        with pytest.raises(DataError) as refusal:
            unpack(found_in(bundle)[0], content=None)
        assert refusal.value.code == "trust.sigstore.content"
        document = json.loads(bundle)
        del document["verificationMaterial"]["x509CertificateChain"]["certificates"][-1]
        names, issuer, time = self.parts(json.dumps(document).encode(), root)
        assert (len(names), issuer, time) == (1, GITHUB, 1668034836)

    def test_two_signatures(self, sigstore_go: Path) -> None:
        document = json.loads((sigstore_go / "bundles/dsse-2sigs.sigstore.json").read_bytes())
        del document["verificationMaterial"]["x509CertificateChain"]["certificates"][-1]
        with pytest.raises(DataError, match="one signature") as refusal:
            unpack(found_in(json.dumps(document).encode())[0], content=None)
        assert refusal.value.code == "trust.sigstore.content"
