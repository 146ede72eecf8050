# SPDX-License-Identifier: MIT
"""`powernode keys`: what is written, who may read it, and what is never overwritten."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from powernode.cli.keys import ca, new
from powernode.signing import authority, issuers, keys
from unit.cli._command import Run

URL = "https://git.example.org"


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COSIGN_PASSWORD", raising=False)


def mode(path: str) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


class TestNew:
    def test_a_key(self, run: Run) -> None:
        answer = run("keys", "new", "fleet", "--json")
        assert answer.json == {
            "key": "fleet.key",
            "public": "fleet.pub",
            "id": keys.key_id(keys.load(Path("fleet.key").read_bytes())),
            "kind": "ed25519",
            "format": "pkcs8",
            "encrypted": False,
        }
        assert mode("fleet.key") == 0o600
        assert Path("fleet.pub").read_bytes().startswith(b"-----BEGIN PUBLIC KEY-----")

    def test_for_cosign(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COSIGN_PASSWORD", "secret")
        assert run("keys", "new", "--format=cosign", "publisher").out.startswith(
            b"publisher.key and publisher.pub, ecdsa"
        )
        private = Path("publisher.key").read_bytes()
        assert private.startswith(b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----")
        assert keys.public_pem(keys.load(private, b"secret").public_key()) == Path("publisher.pub").read_bytes()
        assert mode("publisher.key") == 0o600

    def test_encrypted(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COSIGN_PASSWORD", "secret")
        assert run("keys", "new", "--encrypt", "--kind=rsa", "a").status == 0
        assert keys.load(Path("a.key").read_bytes(), b"secret")
        monkeypatch.setenv("COSIGN_PASSWORD", "")
        assert run("keys", "new", "--encrypt", "b").code == "signing.passphrase"
        assert not Path("b.key").exists()

    @pytest.mark.parametrize("options", [["--format=cosign"], ["--encrypt"]])
    def test_without_a_passphrase_there_is_no_key(self, run: Run, options: list[str]) -> None:
        answer = run("keys", "new", *options, "x")
        assert (answer.status, answer.code) == (2, "cli.keys.no-passphrase")
        assert not Path("x.key").exists()

    def test_a_passphrase_that_is_typed(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        typed = iter(["one", "two", "one", "one"])
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr("getpass.getpass", lambda _: next(typed))
        assert run("keys", "new", "--encrypt", "x").code == "cli.keys.passphrase-differs"
        assert run("keys", "new", "--encrypt", "x").status == 0
        assert keys.load(Path("x.key").read_bytes(), b"one")

    @pytest.mark.parametrize("there", ["x.key", "x.pub"])
    def test_nothing_is_overwritten(self, run: Run, there: str) -> None:
        Path(there).write_text("precious")
        answer = run("keys", "new", "x")
        assert (answer.status, answer.code) == (2, "cli.keys.exists")
        assert [path.name for path in Path().iterdir()] == [there]
        assert Path(there).read_text() == "precious"

    def test_a_link_that_leads_nowhere_is_there_too(self, run: Run, tmp_path: Path) -> None:
        Path("x.key").symlink_to(tmp_path / "elsewhere")
        assert run("keys", "new", "x").code == "cli.keys.exists"
        assert not Path("elsewhere").exists()


def test_the_kinds_are_those_of_the_library() -> None:
    """The commands list them themselves: their help does not wait for `cryptography`."""
    assert (new._KINDS, ca._KINDS) == (keys.KINDS, issuers.KINDS)


class TestAuthority:
    def test_a_folder(self, run: Run) -> None:
        answer = run("keys", "ca", f"--issuer=gitea={URL}", "--name=Example", "ca", "--json")
        assert answer.status == 0, answer.err
        assert answer.json["name"] == "Example"
        assert answer.json["files"] == sorted(path.name for path in Path("ca").iterdir())
        made, (issuer,) = authority.load(Path("ca"))
        assert (issuer.url, issuer.kind) == (URL, "gitea")
        assert answer.json["root"] == keys.key_id(keys.load(Path("ca/root.key").read_bytes()))
        assert made.intermediate.not_valid_after_utc.timestamp() == answer.json["until"]
        assert mode("ca") == 0o700
        assert {mode(f"ca/{name}.key") for name in ("root", "intermediate", "timestamp")} == {0o600}

    def test_the_root_can_be_encrypted(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COSIGN_PASSWORD", "secret")
        answer = run("keys", "ca", "--encrypt", "deep")
        assert b"it takes no tokens yet" in answer.out
        example = answer.out.decode().partition("such as ")[2]
        assert issuers.parse(example.encode())[0].kind == "gitea"
        assert keys.load(Path("deep/root.key").read_bytes(), b"secret")
        assert authority.load(Path("deep"))[1] == ()

    def test_refusals(self, run: Run) -> None:
        Path("there").mkdir()
        assert run("keys", "ca", "there").code == "cli.keys.exists"
        for issuer in (URL, f"forge={URL}"):
            assert run("keys", "ca", f"--issuer={issuer}", "x").code == "cli.option"
        assert run("keys", "ca", "--issuer=gitea=git.example.org", "x").code == "signing.issuers"
        assert not Path("x").exists()


class TestShow:
    def test_secret_and_public_halves(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        run("keys", "new", "--kind=ecdsa-p384", "x")
        for path, what in (("x.key", "secret key, not encrypted"), ("x.pub", "public key")):
            answer = run("keys", "show", path, "--json")
            (found,) = answer.json["keys"]
            assert (found["what"], found["kind"]) == (what, "ecdsa-p384")
            assert run("keys", "show", "--public", path).out == Path("x.pub").read_bytes()
        monkeypatch.setenv("COSIGN_PASSWORD", "secret")
        run("keys", "new", "--format=cosign", "y")
        assert run("keys", "show", "y.key").out.startswith(b"secret key, encrypted, ecdsa-p256, id ")
        monkeypatch.setenv("COSIGN_PASSWORD", "wrong")
        wrong = run("keys", "show", "y.key")
        assert (wrong.status, wrong.code) == (2, "signing.passphrase")
        assert "the passphrase does not open y.key" in wrong.err
        assert "in COSIGN_PASSWORD" in wrong.err

    def test_certificates(self, run: Run) -> None:
        run("keys", "ca", "--name=Example", "ca")
        answer = run("keys", "show", "ca/chain.pem")
        assert answer.out.count(b"certificate of an authority, ecdsa-p384") == 2
        assert b"subject: CN=Example signing,O=Example" in answer.out
        public = run("keys", "show", "--public", "ca/chain.pem").out
        assert public.count(b"BEGIN PUBLIC KEY") == 2

    def test_what_is_no_key(self, run: Run) -> None:
        Path("x").write_text("hello")
        answer = run("keys", "show", "x")
        assert (answer.status, answer.code) == (2, "signing.key")
        assert "x holds no key" in answer.err
        Path("cut").write_text("-----BEGIN PRIVATE KEY-----\n?\n-----END PRIVATE KEY-----\n")
        damaged = run("keys", "show", "cut").err
        assert "cut: this is not a secret key" in damaged
        assert "found: a damaged PRIVATE KEY" in damaged
        Path("large").write_bytes(bytes((1 << 20) + 1))
        assert run("keys", "show", "large").code == "cli.keys.size"
        missing = run("keys", "show", "--json", "nowhere")
        assert (missing.status, json.loads(missing.err)["error"]["code"]) == (2, "cli.keys.no-file")
