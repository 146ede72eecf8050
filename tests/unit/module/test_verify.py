# SPDX-License-Identifier: MIT
"""Signatures are found in each of the three places and judged by the policy, whose absence is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from powernode import native
from powernode.base.errors import DataError, OperatorError
from powernode.module.expected import Expected
from powernode.module.sign import sign
from powernode.module.signatures import Gathered, gather
from powernode.module.signing_stores import LayoutStore
from powernode.module.verify import Verified, read_policy, verify_reference
from powernode.oci.documents import EMPTY_CONFIG, IMAGE_MANIFEST, Descriptor, Index, Manifest, describe
from powernode.signing import artifact, keys
from powernode.signing.artifact import Signer, certificates_pem
from powernode.trust.artifact import Kind, Policy, verify_statement
from unit.module._stores import SBOM, BareRegistry, fill, layout_store
from unit.signing._authority import AUTHORITY, certified
from unit.signing._tokens import GITEA, NOW, SUBJECT

if native.library() is None:
    pytest.skip(f"signatures need the C library: {native.reason()}", allow_module_level=True)

KEY = keys.new_key("ecdsa-p256")
PUBLIC = keys.public_pem(KEY.public_key())
BY_KEY = read_policy(keys=[PUBLIC])
CHAIN = ("ca", certificates_pem(AUTHORITY.chain))
BY_NAME = read_policy(identity=SUBJECT, issuer=GITEA, ca_chains=[CHAIN])


def signed_store(signer: Signer, *, cosign_tag: bool = False) -> tuple[BareRegistry, Descriptor]:
    store = BareRegistry()
    index, _ = fill(store)
    list(sign(store, "v1.0.0", signer, cosign_tag=cosign_tag))
    return store, index


def verify(store: LayoutStore | BareRegistry, policy: Policy, now: int = NOW, version: str = "v1.0.0") -> Verified:
    return verify_reference(store, version, policy, now=now)


def refusal_of(store: LayoutStore | BareRegistry, policy: Policy, now: int = NOW) -> DataError:
    with pytest.raises(DataError) as refusal:
        verify(store, policy, now)
    return refusal.value


class TestPlaces:
    def test_a_referrer_in_a_layout(self, tmp_path: Path) -> None:
        store, layout = layout_store(tmp_path)
        index, manifest = fill(store, layout)
        list(sign(store, "v1.0.0", Signer(key=KEY)))
        verified = verify(store, BY_KEY)
        assert (verified.digest, verified.proof.key_id) == (index.digest, keys.key_id(KEY))
        assert verified.proof.where.startswith("referrer sha256:")
        assert verify(store, BY_KEY, version=manifest.digest).digest == manifest.digest

    def test_the_fallback_tag(self) -> None:
        store, index = signed_store(Signer(key=KEY))
        assert verify(store, BY_KEY).proof.where.startswith(f"tag sha256-{index.digest[7:19]} sha256:")

    def test_cosigns_tag(self) -> None:
        store, index = signed_store(Signer(key=KEY), cosign_tag=True)
        del store.tags[index.digest.replace(":", "-")]
        proof = verify(store, BY_KEY).proof
        assert (proof.where, proof.kind) == (f"tag sha256-{index.digest[7:19]}.sig", Kind.SIMPLE)

    def test_the_one_good_signature_among_others(self) -> None:
        store, _ = signed_store(Signer(key=keys.new_key("ed25519")), cosign_tag=True)
        list(sign(store, "v1.0.0", Signer(key=KEY), cosign_tag=True))
        assert verify(store, BY_KEY).proof.key_id == keys.key_id(KEY)

    def test_attestations_are_signed_too(self, tmp_path: Path) -> None:
        store, layout = layout_store(tmp_path)
        _, manifest = fill(store, layout)
        list(sign(store, "v1.0.0", Signer(key=KEY), attest=True))
        found = gather(store, manifest.digest).found
        for predicate_type in ("https://cyclonedx.org/bom", "https://slsa.dev/provenance/v1"):
            statement = verify_statement(manifest.digest, found, BY_KEY, predicate_type=predicate_type, now=NOW)
            assert statement.predicate_type == predicate_type


class TestRefusals:
    def test_not_signed(self) -> None:
        store = BareRegistry()
        fill(store)
        assert refusal_of(store, BY_KEY).code == "trust.artifact.unsigned"

    def test_an_attestation_signs_nothing(self, tmp_path: Path) -> None:
        store, layout = layout_store(tmp_path)
        _, manifest = fill(store, layout)
        signed = artifact.sign_statement(Signer(key=KEY), artifact.statement(manifest.digest, "https://x/y", {}))
        blob = store.put(artifact.bundle(signed, artifact.Evidence()), artifact.BUNDLE_TYPE)
        bare = Descriptor(media_type=IMAGE_MANIFEST, digest=manifest.digest, size=manifest.size)
        config = store.put(b"{}", EMPTY_CONFIG)
        store.publish(Manifest(config=config, layers=(blob,), artifact_type=artifact.BUNDLE_TYPE, subject=bare))
        with pytest.raises(DataError) as refusal:
            verify(store, BY_KEY, version=manifest.digest)
        assert refusal.value.code.startswith("trust.artifact.")

    def test_signed_by_somebody_else(self) -> None:
        store, _ = signed_store(Signer(key=keys.new_key("ecdsa-p256")), cosign_tag=True)
        assert refusal_of(store, BY_KEY).code == "trust.artifact.key"

    @pytest.mark.parametrize("suffix", ["", ".sig"])
    def test_signatures_of_another_artifact(self, suffix: str) -> None:
        store, index = signed_store(Signer(key=KEY), cosign_tag=True)
        other = store.put(Index(manifests=(), annotations={"other": "artifact"}).encode(), index.media_type)
        store.tags[f"sha256-{other.digest[7:]}{suffix}"] = store.tags[f"sha256-{index.digest[7:]}{suffix}"]
        store.tags["v1.0.0"] = other
        assert refusal_of(store, BY_KEY).code == "trust.artifact.digest"

    def test_no_such_artifact(self) -> None:
        with pytest.raises(OperatorError) as refusal:
            verify(BareRegistry(), BY_KEY)
        assert refusal.value.code == "module.verify.no-such-artifact"


class TestWhatWasAskedFor:
    """The signature is good each time."""

    def _moved(self, tag: str) -> BareRegistry:
        store, index = signed_store(Signer(key=KEY))
        store.tags[tag] = index
        return store

    @pytest.mark.parametrize("tag", ["v1.0.1", "v0.9.9", "1.0.1", "v1.0.0-rc.1", "v1.0.1-amd64", "v1.0.0_7"])
    def test_a_tag_that_is_another_version(self, tag: str) -> None:
        with pytest.raises(DataError) as refusal:
            verify(self._moved(tag), BY_KEY, version=tag)
        assert (refusal.value.code, refusal.value.expected) == ("module.verify.other-version", tag)
        assert refusal.value.found == "1.0.0"

    @pytest.mark.parametrize("tag", ["v1.0.0", "1.0.0", "v1.0.0-arm64", "latest", "v1", "v1.1", "sha256-0"])
    def test_a_tag_that_promises_this_version_or_none(self, tag: str) -> None:
        assert verify(self._moved(tag), BY_KEY, version=tag)

    def test_another_module(self) -> None:
        store, index = signed_store(Signer(key=KEY))
        expected = Expected(name="nginx")
        with pytest.raises(DataError) as refusal:
            verify_reference(store, index.digest, BY_KEY, now=NOW, expected=expected)
        assert (refusal.value.code, refusal.value.found) == ("module.verify.other-module", "redis")
        assert verify_reference(store, index.digest, BY_KEY, now=NOW, expected=Expected(name="redis"))

    def test_what_the_publisher_signed_and_is_no_module(self) -> None:
        store = BareRegistry()
        store.tags["v1.0.0"] = store.put(Index(manifests=()).encode(), Index(manifests=()).media_type)
        list(sign(store, "v1.0.0", Signer(key=KEY)))
        with pytest.raises(DataError) as refusal:
            verify(store, BY_KEY)
        assert refusal.value.code == "module.verify.no-module"
        assert verify(store, BY_KEY, version=store.tags["v1.0.0"].digest)

    def test_what_is_not_signed_is_not_asked_for_its_name(self) -> None:
        store = BareRegistry()
        index, _ = fill(store)
        store.tags["v9.9.9"] = index
        with pytest.raises(DataError) as refusal:
            verify(store, BY_KEY, version="v9.9.9")
        assert refusal.value.code == "trust.artifact.unsigned"


class TestCertificates:
    @pytest.mark.parametrize("cosign_tag", [False, True])
    def test_whom_the_authority_names(self, cosign_tag: bool) -> None:
        store, index = signed_store(certified(), cosign_tag=cosign_tag)
        if cosign_tag:
            del store.tags[index.digest.replace(":", "-")]
        proof = verify(store, BY_NAME).proof
        assert (proof.subject, proof.issuer, proof.root) == (SUBJECT, GITEA, "ca")
        assert proof.kind is (Kind.SIMPLE if cosign_tag else Kind.BUNDLE)

    @pytest.mark.parametrize(
        ("defect", "changes", "now", "code"),
        [
            ("another name", {"identity": SUBJECT + "x"}, NOW, "identity"),
            (
                "a part of the name",
                {"identity": None, "identity_regexp": "https://git.example.org/acme"},
                NOW,
                "identity",
            ),
            ("another issuer", {"issuer": GITEA + "/"}, NOW, "issuer"),
            ("a part of the issuer", {"issuer": None, "issuer_regexp": "https://git"}, NOW, "issuer"),
            ("over", {}, NOW + 601, "expired"),
            ("not valid yet", {}, NOW - 1, "expired"),
        ],
    )
    def test_refusals(self, defect: str, changes: dict[str, Any], now: int, code: str) -> None:
        store, _ = signed_store(certified(), cosign_tag=True)
        wanted: dict[str, Any] = {"identity": SUBJECT, "issuer": GITEA, "ca_chains": [CHAIN], **changes}
        assert refusal_of(store, read_policy(**wanted), now).code == f"trust.artifact.{code}", defect

    def test_an_authority_that_is_not_ours(self) -> None:
        from powernode.signing import ca

        other, _ = ca.new("Example", now=NOW)  # of the same name
        store, _ = signed_store(certified(authority=other))
        assert refusal_of(store, BY_NAME).code == "trust.artifact.root"

    def test_a_pattern_for_the_whole_name(self) -> None:
        store, _ = signed_store(certified())
        pattern = r"https://git\.example\.org/acme/.*@refs/tags/v[0-9.]+"
        policy = read_policy(identity_regexp=pattern, issuer_regexp="https://git.example.org/.*", ca_chains=[CHAIN])
        assert verify(store, policy).proof.subject == SUBJECT

    def test_sigstores_form_of_the_root(self) -> None:
        from powernode.signing.authority import trusted_root

        store, _ = signed_store(certified())
        policy = read_policy(identity=SUBJECT, issuer=GITEA, trust_roots=[("ours", trusted_root(AUTHORITY))])
        assert verify(store, policy).proof.root == "ours"


class TestPolicy:
    @pytest.mark.parametrize(
        ("defect", "options", "code"),
        [
            ("nothing", {}, "no-policy"),
            ("an identity alone", {"identity": "x"}, "incomplete-policy"),
            ("no issuer", {"identity": "x", "ca_chains": [CHAIN]}, "incomplete-policy"),
            ("no identity", {"issuer": "x", "ca_chains": [CHAIN]}, "incomplete-policy"),
            ("no authority", {"identity": "x", "issuer": "y"}, "incomplete-policy"),
            ("an authority beside a key", {"keys": [PUBLIC], "ca_chains": [CHAIN]}, "incomplete-policy"),
            ("a file without keys", {"keys": [b"# none\n"]}, "no-policy"),
            ("two identities", {"identity": "x", "identity_regexp": "x"}, "two-patterns"),
            ("two issuers", {"issuer": "x", "issuer_regexp": "x"}, "two-patterns"),
        ],
    )
    def test_policies_that_are_none(self, defect: str, options: dict[str, Any], code: str) -> None:
        with pytest.raises(OperatorError) as refusal:
            read_policy(**options)
        assert refusal.value.code == f"module.verify.{code}", defect

    def test_beside_a_key_roots_may_be_there_for_their_logs_alone(self) -> None:
        policy = read_policy(keys=[PUBLIC], ca_chains=[CHAIN], require_log=True)
        assert (policy.identities, policy.require_log, len(policy.roots)) == ((), True, 1)
        with pytest.raises(OperatorError) as refusal:
            read_policy(keys=[PUBLIC], issuer="x", ca_chains=[CHAIN], require_log=True)
        assert refusal.value.code == "module.verify.incomplete-policy"

    def test_an_empty_name_matches_nobody(self) -> None:
        with pytest.raises(OperatorError) as refusal:
            read_policy(identity="", issuer="x", ca_chains=[CHAIN])
        assert refusal.value.code == "trust.pattern.empty"


class CountingRegistry(BareRegistry):
    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    def blob(self, descriptor: Descriptor, *, max_bytes: int) -> bytes:
        self.read.append(descriptor.digest)
        return super().blob(descriptor, max_bytes=max_bytes)


class TestGathering:
    DIGEST = "sha256:" + "00" * 32
    TAG = DIGEST.replace(":", "-")

    def listed(self, store: BareRegistry, *entries: Descriptor) -> Gathered:
        store.tags[self.TAG] = store.put(Index(manifests=entries).encode(), Index(manifests=()).media_type)
        return gather(store, self.DIGEST)

    def signature(self, store: BareRegistry, payload: bytes = b"x", *, kind: str | None = None) -> Descriptor:
        layer = store.put(payload, artifact.SIMPLE_TYPE)
        manifest = Manifest(config=store.put(b"{}", EMPTY_CONFIG), layers=(layer,), artifact_type=kind)
        data = manifest.encode()
        store.put(data, IMAGE_MANIFEST)
        return describe(data, IMAGE_MANIFEST, artifact_type=kind)

    def test_what_says_that_it_is_something_else_is_not_fetched(self) -> None:
        store = CountingRegistry()
        entry = self.signature(store, kind=SBOM)
        assert self.listed(store, entry) == Gathered(found=(), unreadable=())
        assert entry.digest not in store.read

    @pytest.mark.parametrize(
        "kind", [None, EMPTY_CONFIG, artifact.BUNDLE_TYPE, "application/vnd.dev.cosign.artifact.sig.v1+json"]
    )
    def test_what_may_be_a_signature(self, kind: str | None) -> None:
        store = BareRegistry()
        assert len(self.listed(store, self.signature(store, kind=kind)).found) == 1

    def test_the_same_in_two_places_counts_once(self) -> None:
        store = BareRegistry()
        entry = self.signature(store)
        assert len(self.listed(store, entry, entry).found) == 1

    def test_what_cannot_be_read_hides_nothing(self) -> None:
        store = BareRegistry()
        good = self.signature(store)
        gone = describe(b"gone", IMAGE_MANIFEST)
        broken = store.put(b"{", IMAGE_MANIFEST)
        lost_layer = Manifest(config=good, layers=(describe(b"lost", artifact.SIMPLE_TYPE),)).encode()
        huge_layer = Descriptor(media_type=artifact.SIMPLE_TYPE, digest=self.DIGEST, size=60 << 20)
        huge = Manifest(config=good, layers=(huge_layer,)).encode()
        others = [store.put(data, IMAGE_MANIFEST) for data in (lost_layer, huge)]
        gathered = self.listed(store, gone, broken, *others, good)
        assert (len(gathered.found), len(gathered.unreadable)) == (1, 4)

    def test_what_cannot_be_read_is_told(self) -> None:
        store = BareRegistry()
        index, _ = fill(store)
        store.tags[f"sha256-{index.digest[7:]}.sig"] = describe(b"gone", IMAGE_MANIFEST)
        error = refusal_of(store, BY_KEY)
        assert error.code == "trust.artifact.unsigned"
        assert "oci.blob" not in (error.found or "")
        assert "not what it should be" in (error.found or "")

    @pytest.mark.parametrize(
        ("defect", "manifests", "layers"), [("manifests", 65, 1), ("layers", 1, 65), ("both", 33, 2)]
    )
    def test_too_many(self, defect: str, manifests: int, layers: int) -> None:
        store = BareRegistry()
        entries = []
        for number in range(manifests):
            blobs = tuple(store.put(b"%d %d" % (number, each), artifact.SIMPLE_TYPE) for each in range(layers))
            entries.append(store.put(Manifest(config=blobs[0], layers=blobs).encode(), IMAGE_MANIFEST))
        with pytest.raises(DataError) as refusal:
            self.listed(store, *entries)
        assert refusal.value.code == "module.signatures.too-many", defect

    def test_too_much(self) -> None:
        store = BareRegistry()
        layer = Descriptor(media_type=artifact.SIMPLE_TYPE, digest=self.DIGEST, size=65 << 20)
        entry = store.put(Manifest(config=layer, layers=(layer,)).encode(), IMAGE_MANIFEST)
        with pytest.raises(DataError) as refusal:
            self.listed(store, entry)
        assert refusal.value.code == "module.signatures.too-many"
