# SPDX-License-Identifier: MIT
"""`powernode module verify`: what it says of a good signature, and its refusals' codes and exit statuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from powernode import native
from powernode.module.sign import sign
from powernode.module.signing_stores import LayoutStore
from powernode.signing import keys
from powernode.signing.artifact import Signer, certificates_pem
from powernode.signing.authority import trusted_root
from unit.cli._command import Run
from unit.module._artifacts import small_artifact, small_module, small_part
from unit.module._stores import fill, layout_store
from unit.signing._authority import AUTHORITY, certified
from unit.signing._tokens import GITEA, NOW, SUBJECT

if native.library() is None:
    pytest.skip(f"signatures need the C library: {native.reason()}", allow_module_level=True)

KEY = keys.new_key("ecdsa-p256")
WHO = (f"--identity={SUBJECT}", f"--issuer={GITEA}")


@pytest.fixture(autouse=True)
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A layout with a module that KEY has signed, in the current folder; its index's digest."""
    monkeypatch.chdir(tmp_path)
    store, made = layout_store(tmp_path)
    index, _ = fill(store, made)
    list(sign(store, "v1.0.0", Signer(key=KEY), cosign_tag=True))
    Path("x.pub").write_bytes(keys.public_pem(KEY.public_key()))
    Path("other.pub").write_bytes(keys.generate("ed25519")[1])
    Path("chain.pem").write_bytes(certificates_pem(AUTHORITY.chain))
    Path("root.json").write_bytes(trusted_root(AUTHORITY))
    return index.digest


def test_by_a_key(run: Run, digest: str) -> None:
    answer = run("module", "verify", "--key=other.pub", "--key=x.pub", "layout", "--json")
    assert answer.status == 0, answer.err
    said = answer.json
    assert said.pop("found").startswith("referrer sha256:")
    assert said == {"digest": digest, "key": keys.key_id(KEY)}
    people = run("module", "verify", "--key=x.pub", "layout:v1.0.0").out.decode().splitlines()
    assert people[:2] == [f"verified {digest}", f"  key: {keys.key_id(KEY)}"]


@pytest.mark.parametrize("root", ["--ca-chain=chain.pem", "--trust-root=root.json"])
def test_by_a_certificate(run: Run, digest: str, tmp_path: Path, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store, _ = layout_store(tmp_path)
    list(sign(store, "v1.0.0", certified()))
    monkeypatch.setattr("time.time", lambda: NOW + 300.5)
    said = run("module", "verify", *WHO, root, "layout", "--json").json
    assert (said["digest"], said["signer"], said["issuer"]) == (digest, SUBJECT, GITEA)
    assert said["authority"] == root.partition("=")[2]
    assert said["until"] == "2027-01-15T08:10:00Z"
    # It has no timestamp: all that is known is that the certificate is valid now.
    assert said["checked_at"] == "2027-01-15T08:05:00Z"
    assert "signed_at" not in said
    monkeypatch.setattr("time.time", lambda: NOW + 601.0)
    over = run("module", "verify", *WHO, root, "layout")
    assert over.code == "trust.artifact.expired"
    assert "expected 2027-01-15T08:00:00Z to 2027-01-15T08:10:00Z; found 2027-01-15T08:10:01Z" in over.err
    assert over.err.index(": expired: ") < over.err.index(": key: "), "what says most comes first"


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ([], 2, "module.verify.no-policy"),
        (["--identity=x", "--issuer=y"], 2, "module.verify.incomplete-policy"),
        (["--ca-chain=chain.pem"], 2, "module.verify.incomplete-policy"),
        (["--identity=x", "--identity-regexp=x", "--issuer=y"], 2, "module.verify.two-patterns"),
        (["--identity-regexp=(", "--issuer=y", "--ca-chain=chain.pem"], 2, "trust.pattern.syntax"),
        (["--key=other.pub"], 3, "trust.artifact.key"),
        (["--key=x.pub", "--require-log"], 2, "trust.artifact.policy"),
        (["--key=x.pub", "--require-log", "--trust-root=root.json"], 2, "trust.artifact.policy"),
        (["--key=chain.pem"], 2, "trust.keys.label"),
        (["--key=nowhere.pub"], 2, "cli.keys.no-file"),
    ],
)
def test_refusals(run: Run, options: list[str], status: int, code: str) -> None:
    answer = run("module", "verify", *options, "layout")
    assert (answer.status, answer.code, answer.out) == (status, code, b"")


def test_a_secret_key_for_a_public_one(run: Run) -> None:
    Path("x.key").write_bytes(keys.private_pem(KEY))
    answer = run("module", "verify", "--key=x.key", "layout")
    assert (answer.status, answer.code) == (2, "trust.keys.label")
    assert "x.key is no public key" in answer.err
    assert "found: PRIVATE KEY" in answer.err
    assert "that may be x.pub" in answer.err
    Path("x.pub").unlink()
    assert "powernode keys show --public x.key" in run("module", "verify", "--key=x.key", "layout").err


def test_which_keys_were_asked_for_and_which_signed(run: Run, tmp_path: Path) -> None:
    store, made = layout_store(tmp_path / "once")
    fill(store, made)
    list(sign(store, "v1.0.0", Signer(key=KEY)))
    other = keys.load_public(Path("other.pub").read_bytes())
    answer = run("module", "verify", "--key=other.pub", "once/layout").err
    assert f"expected: key {keys.key_id(other)}" in answer
    assert f"found: a signature that calls its key {keys.key_id(KEY)}" in answer


def test_a_pattern_for_less_than_the_whole_name(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, _ = layout_store(tmp_path)
    list(sign(store, "v1.0.0", certified()))
    monkeypatch.setattr("time.time", lambda: NOW + 300.5)
    words = ["module", "verify", "--trust-root=root.json", "layout"]
    answer = run(*words, f"--identity-regexp={SUBJECT.rpartition('/')[0]}", f"--issuer={GITEA}")
    assert answer.code == "trust.artifact.identity"
    assert "has to match the whole name: add .*" in answer.err
    answer = run(*words, "--identity-regexp=https://elsewhere.example", f"--issuer={GITEA}")
    assert answer.code == "trust.artifact.identity"
    assert "add .*" not in answer.err
    assert "a / at the end" in run(*words, f"--identity={SUBJECT}", f"--issuer={GITEA}/").err


def test_what_is_said_about_it(run: Run, tmp_path: Path) -> None:
    store, _ = layout_store(tmp_path)
    list(sign(store, "v1.0.0", Signer(key=KEY), attest=True))
    words = ("module", "verify", "--key=x.pub", "--attestation=sbom", "--attestation=provenance", "layout")
    found = run(*words, "--json").json["attestations"]
    assert [(each["kind"], each["key"]) for each in found] == [
        ("sbom", keys.key_id(KEY)),
        ("provenance", keys.key_id(KEY)),
    ]
    assert [each["document"] for each in found] == [{"bomFormat": "CycloneDX"}, {"by": "us"}]
    assert f"sbom of {found[0]['digest']}" in run(*words).out.decode()
    assert run("module", "verify", "--key=x.pub", "--attestation=vex", "layout").code == "trust.artifact.unsigned"
    assert run("module", "verify", "--key=x.pub", "--attestation=cats", "layout").code == "cli.option"


def test_contents(run: Run, tmp_path: Path) -> None:
    module = small_module(tmp_path / "m", {"etc/motd": b"hello " * 40})
    layout, index = small_artifact(tmp_path / "whole", small_part(tmp_path, module))
    list(sign(LayoutStore(layout), index.digest, Signer(key=KEY)))
    words = ("module", "verify", "--key=x.pub", "--contents", f"{layout.path}@{index.digest}")
    assert run(*words, "--json").json["contents"] == [{"architecture": "amd64", "entries": 3, "bytes": 240}]
    assert "contents for amd64: 3 entries, 240 bytes" in run(*words).out.decode()
    assert (
        run("module", "verify", "--key=x.pub", "--contents", "127.0.0.1:1/redis:v1.0.0").code == "cli.module.contents"
    )
    layer = max((Path(layout.path) / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    layer.write_bytes(layer.read_bytes()[:-1] + b"?")
    assert run(*words).status == 3


def test_not_signed(run: Run, tmp_path: Path) -> None:
    store, made = layout_store(tmp_path / "bare")
    fill(store, made)
    answer = run("module", "verify", "--key=x.pub", "--json", "bare/layout")
    assert (answer.status, answer.out) == (3, b"")
    assert json.loads(answer.err)["error"]["code"] == "trust.artifact.unsigned"


def test_a_certificate_does_not_do_for_a_key(run: Run, tmp_path: Path) -> None:
    answer = run("module", "verify", *WHO, "--ca-chain=chain.pem", "layout")
    assert answer.status == 3
    assert answer.code.startswith("trust.artifact.")
