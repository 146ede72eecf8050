# SPDX-License-Identifier: MIT
"""Documents about an artifact count if the one who signed them is believed, whatever lies beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from powernode import native
from powernode.base.errors import DataError
from powernode.module import sign as signing
from powernode.module.attested import Attested, read_attested
from powernode.module.sign import sign
from powernode.module.signing_stores import LayoutStore
from powernode.module.verify import read_policy
from powernode.oci.documents import EMPTY, EMPTY_CONFIG, Descriptor, Manifest
from powernode.signing import keys
from powernode.signing.artifact import Signer
from unit.module._stores import SBOM, fill, layout_store
from unit.signing._tokens import NOW

if native.library() is None:
    pytest.skip(f"signatures need the C library: {native.reason()}", allow_module_level=True)

KEY, OTHER = keys.new_key("ecdsa-p256"), keys.new_key("ed25519")
POLICY = read_policy(keys=[keys.public_pem(KEY.public_key())])


def read(store: LayoutStore, subject: Descriptor, kind: str) -> Attested:
    return read_attested(store, subject, kind, POLICY, now=NOW)


def refusal_of(store: LayoutStore, subject: Descriptor, kind: str) -> str:
    with pytest.raises(DataError) as refused:
        read(store, subject, kind)
    return refused.value.code


def test_what_the_signer_attested(tmp_path: Path) -> None:
    store, layout = layout_store(tmp_path)
    _, manifest = fill(store, layout)
    list(sign(store, "v1.0.0", Signer(key=KEY), attest=True))
    bill, made = read(store, manifest, "sbom"), read(store, manifest, "provenance")
    assert json.loads(bill.document) == {"bomFormat": "CycloneDX"}
    assert json.loads(made.document) == {"by": "us"}
    assert (bill.subject, bill.proof.key_id) == (manifest.digest, keys.key_id(KEY))
    assert refusal_of(store, manifest, "vex") == "trust.artifact.unsigned"


def test_a_document_that_was_too_large_for_a_statement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "_MAX_ATTESTED", 10)
    store, layout = layout_store(tmp_path)
    _, manifest = fill(store, layout)
    beside = Manifest(
        config=store.put(EMPTY, EMPTY_CONFIG),
        layers=(store.put(b'{"bomFormat":"by a stranger"}', SBOM),),
        artifact_type=SBOM,
        subject=manifest,
    )
    list(sign(store, "v1.0.0", Signer(key=KEY), attest=True))
    store.publish(beside)
    assert json.loads(read(store, manifest, "sbom").document) == {"bomFormat": "CycloneDX"}


def test_what_nobody_signed_or_somebody_else(tmp_path: Path) -> None:
    store, layout = layout_store(tmp_path)
    _, manifest = fill(store, layout)
    assert refusal_of(store, manifest, "sbom") == "trust.artifact.unsigned"
    list(sign(store, "v1.0.0", Signer(key=OTHER), attest=True))
    assert refusal_of(store, manifest, "sbom") == "trust.artifact.key"
    assert refusal_of(store, manifest, "provenance") == "trust.artifact.key"


def test_a_signed_document_about_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "_MAX_ATTESTED", 10)
    store, layout = layout_store(tmp_path)
    index, manifest = fill(store, layout)
    list(sign(store, "v1.0.0", Signer(key=KEY), attest=True))
    assert read(store, manifest, "sbom")
    assert refusal_of(store, index, "sbom") == "trust.artifact.unsigned"


class Broken(LayoutStore):
    """One manifest is listed, and not there."""

    gone = ""

    def document(self, descriptor: Descriptor) -> bytes:
        if descriptor.digest == self.gone:
            raise DataError("oci.manifest.missing", "it is not there")
        return super().document(descriptor)


def _strangers(store: LayoutStore, subject: Descriptor, count: int) -> list[Descriptor]:
    """Documents that nobody has signed."""
    about = Descriptor(media_type=subject.media_type, digest=subject.digest, size=subject.size)
    return [
        store.publish(
            Manifest(
                config=store.put(EMPTY, EMPTY_CONFIG),
                layers=(store.put(b"%d" % number, SBOM),),
                artifact_type=SBOM,
                subject=about,
            )
        )
        for number in range(count)
    ]


def test_one_that_is_listed_and_gone_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "_MAX_ATTESTED", 10)
    plain, layout = layout_store(tmp_path)
    store = Broken(layout)
    _, manifest = fill(plain, layout)
    own = next(each.digest for each in store.referrers(manifest.digest) if each.artifact_type == SBOM)
    list(sign(store, "v1.0.0", Signer(key=KEY), attest=True))
    (stranger,) = _strangers(store, manifest, 1)
    store.gone = stranger.digest
    store.referrers = lambda digest: sorted(  # type: ignore[method-assign]
        LayoutStore.referrers(store, digest), key=lambda each: each.digest != stranger.digest
    )
    assert json.loads(read(store, manifest, "sbom").document) == {"bomFormat": "CycloneDX"}
    store.gone = own
    with pytest.raises(DataError) as refused:
        read(store, manifest, "sbom")
    assert refused.value.code == "trust.artifact.unsigned"
    assert f"{own}: it is not there" in (refused.value.found or "")


def test_not_everything_that_strangers_put_there_is_looked_at(tmp_path: Path) -> None:
    store, layout = layout_store(tmp_path)
    _, manifest = fill(store, layout)
    _strangers(store, manifest, 65)
    asked: list[str] = []

    def document(descriptor: Descriptor) -> bytes:
        asked.append(descriptor.digest)
        return LayoutStore.document(store, descriptor)

    store.document = document  # type: ignore[method-assign]
    assert refusal_of(store, manifest, "sbom") == "module.signatures.too-many"
    assert len(asked) < 100


def test_the_refusal_says_who_would_write_a_vex(tmp_path: Path) -> None:
    store, layout = layout_store(tmp_path)
    _, manifest = fill(store, layout)
    with pytest.raises(DataError) as refused:
        read(store, manifest, "vex")
    assert "module build --advisories" in (refused.value.hint or "")
