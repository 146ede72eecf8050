# SPDX-License-Identifier: MIT
"""What signing adds beside an artifact, and that it takes nothing away."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import pytest

from powernode.base.errors import DataError, OperatorError
from powernode.module.sign import sign
from powernode.module.signatures import gather
from powernode.module.signing_stores import LayoutStore
from powernode.module.verify import read_policy, verify_reference
from powernode.oci.documents import IMAGE_CONFIG, Descriptor, Manifest
from powernode.signing import artifact, keys
from powernode.signing.artifact import Evidence, Signed, Signer
from unit.module._stores import IN_TOTO, SBOM, BareRegistry, fill, layout_store

SIGNER = Signer(key=keys.new_key("ecdsa-p256"))


def store_of(kind: str, folder: Path) -> LayoutStore | BareRegistry:
    if kind == "registry":
        store = BareRegistry()
        fill(store)
        return store
    layouts, layout = layout_store(folder)
    fill(layouts, layout)
    return layouts


def manifest_of(store: LayoutStore | BareRegistry, version: str) -> Manifest:
    found = store.find(version)
    assert found is not None
    return Manifest.parse(store.document(found))


@pytest.mark.parametrize("kind", ["layout", "registry"])
def test_everything_that_is_published_is_signed(kind: str, tmp_path: Path) -> None:
    store = store_of(kind, tmp_path)
    done = list(sign(store, "v1.0.0", SIGNER, attest=True))
    documents = ["https://cyclonedx.org/bom", "https://slsa.dev/provenance/v1"]
    assert [each.what for each in done] == [
        "manifest of amd64",
        *(f"manifest of amd64: {predicate}" for predicate in documents),
        "index",
    ]
    index = store.find("v1.0.0")
    assert index is not None
    assert done[-1].digest == index.digest
    for each in done:
        referrer = manifest_of(store, each.where.removeprefix("referrer "))
        assert referrer.artifact_type == "application/vnd.dev.sigstore.bundle.v0.3+json"
        assert referrer.subject is not None
        assert referrer.subject.digest == each.digest
        assert referrer.annotations["dev.sigstore.bundle.content"] == "dsse-envelope"
        (layer,) = referrer.layers
        bundle = json.loads(store.blob(layer, max_bytes=1 << 16))
        assert bundle["mediaType"] == layer.media_type == referrer.artifact_type


def test_an_attestation_is_the_document_in_a_statement(tmp_path: Path) -> None:
    store = store_of("layout", tmp_path)
    done = {each.what.rpartition(": ")[2]: each for each in sign(store, "v1.0.0", SIGNER, attest=True)}
    for predicate_type, expected in (
        ("https://slsa.dev/provenance/v1", {"by": "us"}),
        ("https://cyclonedx.org/bom", {"bomFormat": "CycloneDX"}),
    ):
        payload = json.loads(b64decode(json.loads(done[predicate_type].signed.content)["payload"]))
        assert payload["predicate"] == expected
        assert payload["predicateType"] == predicate_type
        algorithm, _, digits = done[predicate_type].digest.partition(":")
        assert payload["subject"] == [{"digest": {algorithm: digits}}]


def test_what_others_may_have_added_is_not_attested(tmp_path: Path) -> None:
    for kind in ("layout", "registry"):
        done = list(sign(store_of(kind, tmp_path / kind), "v1.0.0", SIGNER))
        assert [each.what for each in done] == ["manifest of amd64", "index"]


def test_documents_too_large_and_signed_ones(tmp_path: Path) -> None:
    store, layout = layout_store(tmp_path)
    _, manifest = fill(store, layout)
    about = Descriptor(media_type=manifest.media_type, digest=manifest.digest, size=manifest.size)
    config = store.put(b"{}", IMAGE_CONFIG)
    added = {}
    for name, data, kind in (
        ("large", b'{"bomFormat":"%b"}' % (b"x" * (4 << 20)), SBOM),
        ("signed", b'{"payload":"","payloadType":"","signatures":[]}', IN_TOTO),
    ):
        layers = (store.put(data, kind),)
        added[name] = store.publish(Manifest(config=config, layers=layers, artifact_type=kind, subject=about)).digest
    done = {each.what: each for each in sign(store, "v1.0.0", SIGNER, attest=True)}
    large = done["manifest of amd64: application/vnd.cyclonedx+json, too large to attest"]
    assert large.digest == added["large"]
    policy = read_policy(keys=[keys.public_pem(SIGNER.key.public_key())])
    assert verify_reference(store, added["large"], policy, now=0).digest == added["large"]
    assert not gather(store, added["signed"]).found
    assert len(done) == 5


@pytest.mark.parametrize("kind", ["layout", "registry"])
def test_a_second_time_changes_nothing(kind: str, tmp_path: Path) -> None:
    store = store_of(kind, tmp_path)
    first = list(sign(store, "v1.0.0", SIGNER, cosign_tag=True, attest=True))
    before = [gather(store, each.digest) for each in first]
    assert list(sign(store, "v1.0.0", SIGNER, cosign_tag=True, attest=True)) == first
    assert [gather(store, each.digest) for each in first] == before


@pytest.mark.parametrize("kind", ["layout", "registry"])
def test_cosigns_tag_keeps_what_it_has(kind: str, tmp_path: Path) -> None:
    store = store_of(kind, tmp_path)
    others = Signer(key=keys.new_key("ed25519"))
    for signer in (SIGNER, others):
        done = list(sign(store, "v1.0.0", signer, name="registry/x", cosign_tag=True))
    tag = done[-1].where.removeprefix("tag ")
    assert tag == f"sha256-{done[-1].digest.removeprefix('sha256:')}.sig"
    image = manifest_of(store, tag)
    assert image.config.media_type == IMAGE_CONFIG
    assert [layer.media_type for layer in image.layers] == [artifact.SIMPLE_TYPE] * 2
    config = json.loads(store.blob(image.config, max_bytes=1 << 16))
    assert config["rootfs"]["diff_ids"] == [layer.digest for layer in image.layers]
    for signer, layer in zip((SIGNER, others), image.layers, strict=True):
        signed = artifact.sign_simple(signer, done[-1].digest, "registry/x")
        assert store.blob(layer, max_bytes=1 << 16) == signed.content
        assert layer.annotations == artifact.layer_annotations(signed, Evidence())


def test_a_tag_that_is_something_else() -> None:
    """It is somebody's, and is not replaced."""
    store = BareRegistry()
    index, _ = fill(store)
    tag = f"sha256-{index.digest[7:]}.sig"
    store.tags[tag] = index
    with pytest.raises(DataError) as refusal:
        list(sign(store, "v1.0.0", SIGNER, cosign_tag=True))
    assert refusal.value.code == "module.sign.tag"
    assert store.tags[tag] == index


def test_a_tag_that_is_full(tmp_path: Path) -> None:
    store = BareRegistry()
    index, _ = fill(store)
    layer = store.put(b"x", artifact.SIMPLE_TYPE)
    layers = tuple(layer.with_annotations({"number": str(number)}) for number in range(64))
    store.publish(Manifest(config=layer, layers=layers), tag=f"sha256-{index.digest[7:]}.sig")
    with pytest.raises(DataError) as refusal:
        list(sign(store, "v1.0.0", SIGNER, cosign_tag=True))
    assert refusal.value.code == "module.sign.too-many"


def test_every_signature_gets_its_evidence() -> None:
    asked: list[Signed] = []

    def evidence(signed: Signed) -> Evidence:
        asked.append(signed)
        return Evidence(timestamp=b"stamp %d" % len(asked))

    store = BareRegistry()
    fill(store)
    done = list(sign(store, "v1.0.0", SIGNER, evidence=evidence, cosign_tag=True))
    assert asked == [each.signed for each in done]
    stamped = [gather(store, each.digest) for each in done]
    assert "c3RhbXAgMQ==" in str(stamped[0].found[0].payload)
    assert "c3RhbXAgMg==" in stamped[0].found[-1].timestamp


def test_nothing_to_sign() -> None:
    with pytest.raises(OperatorError) as refusal:
        list(sign(BareRegistry(), "v9", SIGNER))
    assert refusal.value.code == "module.sign.no-such-artifact"
