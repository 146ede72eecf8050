# SPDX-License-Identifier: MIT
"""`powernode module sign`: who signs, what is signed, and what is asked of whom over the network."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from powernode import native
from powernode.oci.documents import Index
from powernode.signing import keys
from powernode.signing.artifact import certificates_pem
from unit.cli._command import Run
from unit.module._stores import fill, layout_store
from unit.signing._tokens import GITEA, SUBJECT, TokenIssuer


@pytest.fixture(autouse=True)
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A layout with one module, in the current folder; its index's digest."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COSIGN_PASSWORD", "secret")
    store, made = layout_store(tmp_path)
    index, _ = fill(store, made)
    private, public = keys.generate("ed25519")
    Path("x.key").write_bytes(private)
    Path("x.pub").write_bytes(public)
    return index.digest


@pytest.mark.skipif(native.library() is None, reason="signatures need the C library")
def test_with_a_key(run: Run, layout: str) -> None:
    answer = run("module", "sign", "--key=x.key", "layout", "--json")
    assert answer.status == 0, answer.err
    assert answer.json["digest"] == layout
    assert answer.json["signer"] == {"key": keys.key_id(keys.load_public(Path("x.pub").read_bytes()))}
    assert [each["what"] for each in answer.json["signatures"]] == [
        "manifest of amd64",
        "manifest of amd64: https://cyclonedx.org/bom",
        "manifest of amd64: https://slsa.dev/provenance/v1",
        "index",
    ]
    verified = run("module", "verify", "--key=x.pub", "layout")
    assert verified.out.decode().splitlines()[0] == f"verified {layout}"


def test_for_people(run: Run, layout: str) -> None:
    lines = run("module", "sign", "--key=x.key", "--cosign-tag", "layout:v1.0.0").out.decode().splitlines()
    assert f"signed index {layout}" in lines
    identity = keys.key_id(keys.load_public(Path("x.pub").read_bytes()))
    assert lines[-1] == f"6 signatures by key {identity}"
    assert f"  tag sha256-{layout[7:]}.sig" in lines


def test_an_encrypted_key(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("y.key").write_bytes(keys.generate("ecdsa-p256", form="cosign", passphrase=b"secret")[0])
    assert run("module", "sign", "--key=y.key", "layout").status == 0
    monkeypatch.setenv("COSIGN_PASSWORD", "wrong")
    assert run("module", "sign", "--key=y.key", "layout").code == "signing.passphrase"
    monkeypatch.delenv("COSIGN_PASSWORD")
    assert run("module", "sign", "--key=y.key", "layout").code == "cli.keys.no-passphrase"


def authority_files(run: Run) -> list[str]:
    """An authority, a token that is good now, and the options that name them."""
    now = int(time.time())
    issuer = TokenIssuer()
    Path("token").write_bytes(issuer.token({"iat": now, "nbf": now, "exp": now + 300}) + b"\n")
    Path("jwks.json").write_bytes(issuer.jwks)
    assert run("keys", "ca", f"--issuer=gitea={GITEA}", "ca").status == 0
    return ["--ca=ca", "--identity-token=token", "--jwks=jwks.json"]


@pytest.mark.skipif(native.library() is None, reason="signatures need the C library")
def test_with_a_certificate_of_a_private_authority(run: Run, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = run("module", "sign", "--cosign-tag", *authority_files(run), "layout", "--json")
    assert answer.status == 0, answer.err
    assert answer.json["signer"]["subject"] == SUBJECT
    verify = ("module", "verify", f"--identity={SUBJECT}", f"--issuer={GITEA}", "--json", "layout")
    said = run(*verify, "--ca-chain=ca/chain.pem").json
    assert (said["digest"], said["signer"], said["issuer"]) == (layout, SUBJECT, GITEA)
    assert (said["authority"], said["time_from"]) == ("ca/chain.pem", "clock")
    assert said["until"] == answer.json["signer"]["until"]
    assert "signed_at" not in said
    stamped = run(*verify, "--trust-root=ca/trusted_root.json").json
    assert "signed_at" in stamped
    assert "checked_at" not in stamped
    year = time.time() + 365 * 86400
    monkeypatch.setattr("time.time", lambda: year)
    assert run(*verify, "--trust-root=ca/trusted_root.json").json["time_from"] == "timestamp"
    assert json.loads(run(*verify, "--ca-chain=ca/chain.pem").err)["error"]["code"] == "trust.artifact.expired"


def test_a_token_of_somebody_else(run: Run) -> None:
    options = authority_files(run)
    Path("jwks.json").write_bytes(TokenIssuer().jwks)
    assert run("module", "sign", *options, "layout").code == "signing.token.signature"
    Path("token").write_bytes(TokenIssuer().token({"iss": "https://elsewhere.example"}))
    assert run("module", "sign", *options, "layout").code == "signing.token.issuer"


def test_a_token_that_is_over(run: Run) -> None:
    options, issuer = authority_files(run), TokenIssuer()
    Path("jwks.json").write_bytes(issuer.jwks)
    Path("token").write_bytes(issuer.token({"exp": 1_795_297_946}))
    answer = run("module", "sign", *options, "layout")
    assert answer.code == "signing.token.expired"
    assert "powernode: token: the token is over" in answer.err
    assert "expected: before 2026-11-21T21:52:26Z" in answer.err
    Path("jwks.json").write_text("{}")
    assert "powernode: jwks.json: " in run("module", "sign", *options, "layout").err


def test_the_public_half_does_not_sign(run: Run) -> None:
    answer = run("module", "sign", "--key=x.pub", "layout")
    assert (answer.status, answer.code) == (2, "signing.key")
    assert "x.pub is a public key" in answer.err
    assert "that may be x.key" in answer.err


def test_an_issuer_does_not_speak_for_another(run: Run) -> None:
    """The token of one that names the other as its issuer, with the keys it was signed with."""
    now = int(time.time())
    other = "https://other.example"
    options = ["--ca=both", "--identity-token=token", "--jwks=jwks.json", "layout"]
    assert run("keys", "ca", f"--issuer=gitea={GITEA}", f"--issuer=gitea={other}", "both").status == 0
    issuer = TokenIssuer()
    Path("jwks.json").write_bytes(issuer.jwks)
    Path("token").write_bytes(issuer.token({"iss": other, "iat": now, "nbf": now, "exp": now + 300}))
    asked = run("module", "sign", *options)
    assert asked.code == "cli.module.signer"
    assert f"--issuer={GITEA} or --issuer={other}" in asked.err
    assert run("module", "sign", f"--issuer={GITEA}", *options).code == "signing.token.issuer"
    assert run("module", "sign", f"--issuer={other}", *options).status == 0
    assert run("module", "sign", "--issuer=https://elsewhere.example", *options).code == "cli.module.signer"
    assert run("keys", "ca", "none").status == 0
    nobody = run("module", "sign", "--ca=none", *options[1:]).err
    assert "found: an empty list" in nobody
    Path("none/issuers.json").write_text(nobody.partition("none/issuers.json: ")[2].splitlines()[0].rstrip(")"))
    assert run("module", "sign", "--ca=none", *options[1:]).code == "signing.token.issuer"


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--key=x.key", "--ca=ca"],
        ["--key=x.key", "--fulcio=https://fulcio.example"],
        ["--ca=ca"],
        ["--ca=ca", "--identity-token=token"],
        ["--fulcio=https://fulcio.example"],
    ],
)
def test_who_signs_must_be_plain(run: Run, options: list[str]) -> None:
    answer = run("module", "sign", *options, "layout")
    assert (answer.status, answer.code) == (2, "cli.module.signer")


@pytest.mark.parametrize(
    ("artifact", "code"),
    [
        ("layout:v2", "module.sign.no-such-artifact"),
        ("layout@sha256:" + "0" * 64, "module.sign.no-such-artifact"),
        (".", "cli.module.no-layout"),
        ("nowhere", "oci.reference.registry"),
        ("registry.example.com/acme/redis", "cli.module.which"),
    ],
)
def test_what_cannot_be_signed(run: Run, artifact: str, code: str) -> None:
    answer = run("module", "sign", "--key=x.key", artifact)
    assert (answer.status, answer.code) == (2, code)


def test_a_layout_with_two_modules(run: Run, layout: str, tmp_path: Path) -> None:
    store, made = layout_store(tmp_path)
    found = store.find("v1.0.0")
    assert found is not None
    made.add(found.with_annotations({}), "latest")
    assert run("module", "sign", "--key=x.key", "layout").status == 0, "two names of one thing"
    other = Index(manifests=(), annotations={"another": "one"})
    made.add(made.put(other.encode(), other.media_type), "v2.0.0")
    answer = run("module", "sign", "--key=x.key", "layout")
    assert answer.code == "module.push.which"
    assert "latest, v1.0.0, v2.0.0" in answer.err
    assert run("module", "sign", "--key=x.key", f"layout@{layout}").status == 0


def test_certificates_are_told_from_keys(run: Run) -> None:
    from unit.signing._authority import AUTHORITY

    Path("chain.pem").write_bytes(certificates_pem(AUTHORITY.chain))
    assert run("module", "sign", "--key=chain.pem", "layout").code == "signing.key"
