# SPDX-License-Identifier: MIT
"""cosign 2.5 verifies what we sign and we verify what it signs, in a registry with a list of referrers (ours) and in
one without (Debian's docker-registry): by key, by a certificate of a private authority, at cosign's tag, as bundles."""

from __future__ import annotations

import json
import random
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path

import pytest

from powernode import native
from powernode.base.errors import DataError
from powernode.cli import main
from powernode.module.artifact import TITLE, VERSION
from powernode.module.sign import sign
from powernode.module.signatures import gather
from powernode.module.signing_services import Services
from powernode.module.signing_stores import RegistryStore
from powernode.module.verify import read_policy, verify_reference
from powernode.net.http import Request, Url
from powernode.net.transport import HttpTransport
from powernode.oci.client import Registry
from powernode.oci.documents import IMAGE_CONFIG, IMAGE_INDEX, IMAGE_MANIFEST, Descriptor, Index, Manifest, Platform
from powernode.oci.reference import Reference
from powernode.oci.server.handler import Handler
from powernode.oci.server.listen import Listener
from powernode.oci.server.storage import Storage
from powernode.signing import artifact, authority, ca, keys
from powernode.signing.artifact import Evidence, Signed, Signer, certificates_pem
from powernode.signing.oidc import Identity
from powernode.trust.artifact import Kind, verify_statement
from support.oci_peers import LOGIN, Peers, Result, registry
from unit.signing._services import FULCIO, REKOR, TSA, Network
from unit.signing._tokens import GITEA
from unit.signing._tokens import SUBJECT as TOKEN_SUBJECT

if native.library() is None:
    pytest.skip(f"signatures need the C library: {native.reason()}", allow_module_level=True)

MODULE = "application/vnd.powernode.module.v1"
CONFIG = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":{}}'
ISSUER, SUBJECT = "https://git.example.org", "https://git.example.org/acme/x/.gitea/workflows/b.yaml@refs/tags/v1"
PASSWORD = {"COSIGN_PASSWORD": "hunter2"}
"""Of every key here that is encrypted."""
OFFLINE = ("--allow-http-registry", "--insecure-ignore-tlog")
SIGNATURE_BUNDLE = ("--new-bundle-format", "--type", artifact.SIGNATURE_PREDICATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A repository of its own in one of the registries, with a module at v1."""

    name: str
    store: RegistryStore
    index: Descriptor
    manifest: Descriptor


class Cosign:
    """cosign in a work folder that holds keys and certificates."""

    def __init__(self, tools: Peers, work: Path) -> None:
        self._tools = tools
        self.work = work
        self.public = self.write("other.pub", keys.generate("ecdsa-p256")[1])

    def write(self, name: str, data: bytes) -> str:
        (self.work / name).write_bytes(data)
        return name

    def __call__(self, *words: str, check: bool = True, **environment: str) -> Result:
        return self._tools.run("cosign", *words, work=self.work, env={**PASSWORD, **environment}, check=check)

    def refuses(self, *words: str, **environment: str) -> str:
        """What it says when it does not verify."""
        result = self(*words, check=False, **environment)
        assert result.code != 0, f"cosign accepted {' '.join(words)}"
        return result.stderr


@pytest.fixture(scope="module")
def our_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    storage = Storage(str(tmp_path_factory.mktemp("ours")))
    ids = random.Random(4)
    handler = Handler(storage, new_id=lambda: f"{ids.getrandbits(128):032x}", now=time.time)
    with Listener(handler, ("127.0.0.1", 0)) as listener:
        yield listener.address


@pytest.fixture(params=["docker-registry", "ours"])
def place(request: pytest.FixtureRequest) -> Place:
    address = request.getfixturevalue("docker_registry" if request.param == "docker-registry" else "our_registry")
    name = f"{address}/acme/{request.node.originalname.replace('_', '-')}"
    store = RegistryStore(
        Registry(
            HttpTransport(time.monotonic),
            Reference.parse(name),
            sleep=time.sleep,
            chance=random.random,
            plain_http=True,
        )
    )
    layer = store.put(request.node.name.encode(), "application/octet-stream")
    config = store.put(CONFIG, IMAGE_CONFIG)
    manifest = store.publish(Manifest(config=config, layers=(layer,), artifact_type=MODULE))
    bill = store.put(b'{"bomFormat":"CycloneDX"}', "application/vnd.cyclonedx+json")
    about = Descriptor(media_type=IMAGE_MANIFEST, digest=manifest.digest, size=manifest.size)
    store.publish(Manifest(config=config, layers=(bill,), artifact_type=bill.media_type, subject=about))
    platform = Platform(architecture="amd64")
    entry = Descriptor(media_type=IMAGE_MANIFEST, digest=manifest.digest, size=manifest.size, platform=platform)
    said = {TITLE: name.rpartition("/")[2], VERSION: "1.0.0"}
    index = Index(manifests=(entry,), artifact_type=MODULE, annotations=said).encode()
    client = Registry(
        HttpTransport(time.monotonic), Reference.parse(name), sleep=time.sleep, chance=random.random, plain_http=True
    )
    client.push_manifest(index, IMAGE_INDEX, tag="v1")
    found = store.find("v1")
    assert found is not None
    return Place(name=name, store=store, index=found, manifest=manifest)


@pytest.fixture
def cosign(oci_peers: Peers, tmp_path: Path) -> Cosign:
    return Cosign(oci_peers, tmp_path)


@pytest.fixture(scope="module")
def private_authority() -> ca.Authority:
    return ca.new("Example", now=int(time.time()) - 60)[0]


def certify(issuing: ca.Authority, key: keys.PrivateKey) -> Signer:
    identity = Identity(
        issuer=ISSUER, subject=SUBJECT, is_email=False, challenge="x", extensions={2: "push", 14: "refs/tags/v1"}
    )
    certificate = ca.issue(issuing, key.public_key(), ca.prove(key, "x"), identity, now=int(time.time()))
    return Signer(key=key, certificate=certificate, chain=issuing.chain)


def now() -> int:
    return int(time.time())


@contextmanager
def served(network: Network) -> Iterator[str]:
    """The three servers at one address, over HTTP."""

    class OverHttp(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            host = REKOR if self.path.startswith("/api/v1/log") else TSA[:-6] if self.path == "/stamp" else FULCIO
            body = self.rfile.read(int(self.headers["Content-Length"]))
            url = Url.parse(host + self.path)
            response = network.open(Request("POST", url, headers=self.headers.items(), body=body, max_body=1 << 22))
            self.send_response(response.status)
            kinds = response.headers.all("content-type") or ("application/json",)
            data = response.read_all()
            for name, value in (("Content-Type", kinds[0]), ("Content-Length", f"{len(data)}"), ("Location", "/1")):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), OverHttp) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class TestKeys:
    @pytest.mark.parametrize("kind", keys.KINDS)
    def test_cosign_opens_ours(self, cosign: Cosign, kind: str) -> None:
        private, public = keys.generate(kind, form="cosign", passphrase=b"hunter2")
        cosign.write("k.key", private)
        assert cosign("public-key", "--key", "k.key").stdout == public

    def test_we_open_cosigns(self, cosign: Cosign) -> None:
        cosign("generate-key-pair", "--output-key-prefix", "k")
        key = keys.load((cosign.work / "k.key").read_bytes(), b"hunter2")
        assert keys.public_pem(key.public_key()) == (cosign.work / "k.pub").read_bytes()

    def test_a_wrong_passphrase(self, cosign: Cosign) -> None:
        cosign.write("k.key", keys.generate("ed25519", form="cosign", passphrase=b"another")[0])
        assert "decrypt" in cosign.refuses("public-key", "--key", "k.key")


class TestCosignVerifiesOurs:
    @pytest.mark.parametrize("kind", keys.KINDS)
    def test_with_a_key_at_its_tag(self, cosign: Cosign, place: Place, kind: str) -> None:
        key = keys.new_key(kind)
        public = cosign.write("k.pub", keys.public_pem(key.public_key()))
        list(sign(place.store, "v1", Signer(key=key), name=place.name, cosign_tag=True))
        # cosign 2 takes SHA-256 for every key unless told otherwise; cosign 3 goes by the curve, as we do.
        options = ["--signature-digest-algorithm", "sha384"] if kind == "ecdsa-p384" else []
        for version in (":v1", f"@{place.manifest.digest}"):
            cosign("verify", *OFFLINE, *options, "--key", public, place.name + version)
        cosign.refuses("verify", *OFFLINE, "--key", cosign.public, f"{place.name}:v1")

    def test_with_a_key_as_a_bundle(self, cosign: Cosign, place: Place, private_authority: ca.Authority) -> None:
        key = keys.new_key("ecdsa-p256")
        public = cosign.write("k.pub", keys.public_pem(key.public_key()))
        root = cosign.write("root.json", authority.trusted_root(private_authority))
        list(sign(place.store, "v1", Signer(key=key), attest=True))
        words = ("verify-attestation", *OFFLINE, "--trusted-root", root)
        cosign(*words, *SIGNATURE_BUNDLE, "--key", public, f"{place.name}:v1")
        cosign.refuses(*words, *SIGNATURE_BUNDLE, "--key", cosign.public, f"{place.name}:v1")
        # What it says of the SBOM: an attestation about the manifest.
        kind = ("--new-bundle-format", "--type", "cyclonedx")
        cosign(*words, *kind, "--key", public, f"{place.name}@{place.manifest.digest}")
        cosign.refuses(*words, *kind, "--key", public, f"{place.name}:v1")

    def test_with_a_certificate_at_its_tag(self, cosign: Cosign, place: Place, private_authority: ca.Authority) -> None:
        chain = cosign.write("chain.pem", certificates_pem(private_authority.chain))
        signer = certify(private_authority, keys.new_key("ecdsa-p256"))
        list(sign(place.store, "v1", signer, cosign_tag=True))
        words = ("verify", *OFFLINE, "--insecure-ignore-sct", "--certificate-chain", chain)
        who = ("--certificate-identity", SUBJECT, "--certificate-oidc-issuer", ISSUER)
        said = cosign(*words, *who, "--certificate-github-workflow-trigger", "push", f"{place.name}:v1")
        assert SUBJECT in said.text
        for wrong in (("--certificate-identity", "x", *who[2:]), (*who[:2], "--certificate-oidc-issuer", "x")):
            assert "none of the expected identities" in cosign.refuses(*words, *wrong, f"{place.name}:v1")
        other = cosign.write("other.pem", certificates_pem(ca.new("Example", now=now())[0].chain))
        cosign.refuses(*words[:-1], other, *who, f"{place.name}:v1")

    def test_with_a_certificate_as_a_bundle(
        self, cosign: Cosign, place: Place, private_authority: ca.Authority
    ) -> None:
        chain = cosign.write("chain.pem", certificates_pem(private_authority.chain))
        root = cosign.write("root.json", authority.trusted_root(private_authority))
        list(sign(place.store, "v1", certify(private_authority, keys.new_key("ecdsa-p256"))))
        options = (*OFFLINE, "--insecure-ignore-sct", "--trusted-root", root)
        words = ("verify-attestation", *options, *SIGNATURE_BUNDLE, "--certificate-oidc-issuer", ISSUER)
        # It goes by the trust root, but cannot start without some authorities: it would fetch the public ones.
        cosign(*words, "--certificate-identity", SUBJECT, f"{place.name}:v1", SIGSTORE_ROOT_FILE=chain)
        said = cosign.refuses(*words, "--certificate-identity", "x", f"{place.name}:v1", SIGSTORE_ROOT_FILE=chain)
        assert "no matching CertificateIdentity found" in said

    def test_with_our_own_timestamp(self, cosign: Cosign, place: Place, private_authority: ca.Authority) -> None:
        chain = cosign.write("chain.pem", certificates_pem(private_authority.chain))
        stamps = (private_authority.stamper.certificate, private_authority.chain[1])
        stamp_chain = cosign.write("stamps.pem", certificates_pem(stamps))
        root = cosign.write("root.json", authority.trusted_root(private_authority))

        def evidence(signed: Signed) -> Evidence:
            return Evidence(timestamp=private_authority.stamper.stamp(signed.signature, now=now()))

        signer = certify(private_authority, keys.new_key("ecdsa-p256"))
        list(sign(place.store, "v1", signer, evidence=evidence, cosign_tag=True))
        who = ("--certificate-identity", SUBJECT, "--certificate-oidc-issuer", ISSUER, "--insecure-ignore-sct")
        words = (*OFFLINE, *who, "--use-signed-timestamps", f"{place.name}:v1")
        cosign("verify", "--certificate-chain", chain, "--timestamp-certificate-chain", stamp_chain, *words)
        bundle = ("verify-attestation", *SIGNATURE_BUNDLE, *words)
        cosign(*bundle, "--trusted-root", root, SIGSTORE_ROOT_FILE=chain)
        other = ca.new("Example", now=now())[0]
        cosign.write("other.pem", certificates_pem((other.stamper.certificate, other.chain[1])))
        cosign.refuses("verify", "--certificate-chain", chain, "--timestamp-certificate-chain", "other.pem", *words)

    def test_with_a_log_and_a_timestamp(self, cosign: Cosign, place: Place, private_authority: ca.Authority) -> None:
        """Nothing is ignored but certificate logs, which a private authority does not have."""
        folder = cosign.work / "services"
        folder.mkdir()
        network = Network(folder, now=now(), certificates=private_authority)
        services = Services(network, rekor=REKOR, tsa=TSA)
        token = network.tokens.token({"iat": now(), "nbf": now(), "exp": now() + 300})
        list(sign(place.store, "v1", services.certified(FULCIO, token), evidence=services.evidence, cosign_tag=True))
        log = cosign.write("log.pub", keys.public_pem(network.log.key.public_key()))
        root = cosign.write("root.json", network.trusted_root())
        chain = cosign.write("chain.pem", certificates_pem(private_authority.chain))
        who = ("--certificate-identity", TOKEN_SUBJECT, "--certificate-oidc-issuer", GITEA, "--insecure-ignore-sct")
        name = f"{place.name}:v1"
        at_tag = ("verify", "--allow-http-registry", "--offline", *who, "--certificate-chain", chain)
        stamps = ("--use-signed-timestamps", "--timestamp-certificate-chain", "services/chain")
        cosign(*at_tag, *stamps, name, SIGSTORE_REKOR_PUBLIC_KEY=log)
        other = cosign.write("other-log.pub", keys.generate("ecdsa-p256")[1])
        cosign.refuses(*at_tag, *stamps, name, SIGSTORE_REKOR_PUBLIC_KEY=other)
        bundle = ("verify-attestation", "--allow-http-registry", *who, *SIGNATURE_BUNDLE, "--use-signed-timestamps")
        cosign(*bundle, "--trusted-root", root, name, SIGSTORE_ROOT_FILE=chain)
        without = json.loads(network.trusted_root()) | {"tlogs": []}
        cosign.write("without.json", json.dumps(without).encode())
        cosign.refuses(*bundle, "--trusted-root", "without.json", name, SIGSTORE_ROOT_FILE=chain)


class TestCommand:
    """`powernode module sign` and `verify` with a registry."""

    def run(self, capfd: pytest.CaptureFixture[str], *words: str) -> dict[str, str]:
        status = main([*words, "--json"])
        out, err = capfd.readouterr()
        document: dict[str, str] = json.loads(out if status == 0 else err)
        return document

    def test_in_a_registry(
        self, cosign: Cosign, place: Place, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(cosign.work)
        monkeypatch.setenv("COSIGN_PASSWORD", PASSWORD["COSIGN_PASSWORD"])
        cosign("generate-key-pair", "--output-key-prefix", "k")
        name = f"{place.name}:v1"
        unsigned = self.run(capfd, "module", "verify", "--key=k.pub", name)
        assert "trust.artifact.unsigned" in str(unsigned)
        assert self.run(capfd, "module", "sign", "--key=k.key", "--cosign-tag", name)["digest"] == place.index.digest
        assert self.run(capfd, "module", "verify", "--key=k.pub", name)["digest"] == place.index.digest
        cosign("verify", *OFFLINE, "--key", "k.pub", name)

    def test_with_a_login(
        self, oci_peers: Peers, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "k.pub").write_bytes(keys.generate("ed25519")[1])
        user, password = LOGIN
        with registry(oci_peers, tmp_path / "storage", login=True) as address:
            words = ("module", "verify", f"--key={tmp_path}/k.pub", f"{address}/acme/x:v1")
            monkeypatch.setenv("REGISTRY_AUTH_FILE", f"{tmp_path}/none.json")
            assert "oci." in str(self.run(capfd, *words)["error"])
            monkeypatch.setattr("sys.stdin", StringIO(f"{password}\n"))
            answer = self.run(capfd, *words, f"--username={user}", "--password-stdin")
            assert "module.verify.no-such-artifact" in str(answer)
            auth = b64encode(f"{user}:{password}".encode()).decode()
            (tmp_path / "auth.json").write_text(json.dumps({"auths": {address: {"auth": auth}}}))
            monkeypatch.setenv("REGISTRY_AUTH_FILE", f"{tmp_path}/auth.json")
            assert "module.verify.no-such-artifact" in str(self.run(capfd, *words))


class TestWeVerifyCosigns:
    @pytest.fixture
    def key(self, cosign: Cosign) -> keys.PrivateKey:
        """cosign's own, in k.key."""
        cosign("generate-key-pair", "--output-key-prefix", "k")
        return keys.load((cosign.work / "k.key").read_bytes(), b"hunter2")

    @pytest.mark.parametrize("kind", ["ecdsa-p256", "ed25519", "rsa"])
    def test_with_our_key_at_its_tag(self, cosign: Cosign, place: Place, kind: str) -> None:
        private, public = keys.generate(kind, form="cosign", passphrase=b"hunter2")
        cosign.write("k.key", private)
        name = f"{place.name}@{place.index.digest}"
        cosign("sign", "--yes", "--allow-http-registry", "--tlog-upload=false", "--key", "k.key", name)
        verified = verify_reference(place.store, "v1", read_policy(keys=[public]), now=now())
        assert (verified.digest, verified.proof.kind) == (place.index.digest, Kind.SIMPLE)
        with pytest.raises(DataError) as refusal:
            verify_reference(place.store, place.manifest.digest, read_policy(keys=[public]), now=now())
        assert refusal.value.code == "trust.artifact.unsigned"
        other = read_policy(keys=[(cosign.work / cosign.public).read_bytes()])
        with pytest.raises(DataError) as refusal:
            verify_reference(place.store, "v1", other, now=now())
        assert refusal.value.code == "trust.artifact.key"

    def test_as_a_referrer(self, cosign: Cosign, place: Place, key: keys.PrivateKey) -> None:
        words = ("sign", "--yes", "--allow-http-registry", "--tlog-upload=false", "--key", "k.key")
        name = f"{place.name}@{place.index.digest}"
        cosign(*words, "--registry-referrers-mode=oci-1-1", name, COSIGN_EXPERIMENTAL="1")
        policy = read_policy(keys=[keys.public_pem(key.public_key())])
        proof = verify_reference(place.store, "v1", policy, now=now()).proof
        assert proof.kind is Kind.SIMPLE
        assert ".sig" not in proof.where

    def test_with_our_certificate_at_its_tag(
        self, cosign: Cosign, place: Place, key: keys.PrivateKey, private_authority: ca.Authority
    ) -> None:
        signer = certify(private_authority, key)
        assert signer.certificate is not None
        cosign.write("leaf.pem", certificates_pem([signer.certificate]))
        chain = certificates_pem(signer.chain)
        cosign.write("chain.pem", chain)
        words = ("sign", "--yes", "--allow-http-registry", "--tlog-upload=false", "--key", "k.key")
        name = f"{place.name}@{place.index.digest}"
        cosign(*words, "--certificate", "leaf.pem", "--certificate-chain", "chain.pem", name)
        policy = read_policy(identity=SUBJECT, issuer=ISSUER, ca_chains=[("ca", chain)])
        proof = verify_reference(place.store, "v1", policy, now=now()).proof
        assert (proof.subject, proof.issuer, proof.kind) == (SUBJECT, ISSUER, Kind.SIMPLE)

    def test_with_a_certificate_that_cosign_gets_from_our_authority(
        self, cosign: Cosign, place: Place, private_authority: ca.Authority
    ) -> None:
        folder = cosign.work / "services"
        folder.mkdir()
        network = Network(folder, now=now(), certificates=private_authority)
        cosign.write("token", network.tokens.token({"iat": now(), "nbf": now(), "exp": now() + 300}))
        log = cosign.write("log.pub", keys.public_pem(network.log.key.public_key()))
        # It looks for a log of certificates, which a private authority does not have, unless told not to.
        words = ("sign", "--yes", "--allow-http-registry", "--insecure-skip-verify", "--identity-token", "token")
        with served(network) as url:
            services = ("--fulcio-url", url, "--rekor-url", url, "--timestamp-server-url", f"{url}/stamp")
            cosign(*words, *services, f"{place.name}@{place.index.digest}", SIGSTORE_REKOR_PUBLIC_KEY=log)
        roots = [("ours", network.trusted_root())]
        policy = read_policy(identity=TOKEN_SUBJECT, issuer=GITEA, trust_roots=roots)
        proof = verify_reference(place.store, "v1", policy, now=now() + 365 * 86400).proof
        assert (proof.subject, proof.kind, proof.log_index) == (TOKEN_SUBJECT, Kind.SIMPLE, 0)

    @pytest.mark.parametrize("options", [[], ["--new-bundle-format"]], ids=["att tag", "bundle"])
    def test_attestations(self, cosign: Cosign, place: Place, key: keys.PrivateKey, options: list[str]) -> None:
        cosign.write("predicate.json", b'{"bomFormat":"CycloneDX"}')
        words = ("attest", "--yes", "--allow-http-registry", "--tlog-upload=false", "--key", "k.key")
        name = f"{place.name}@{place.index.digest}"
        cosign(*words, *options, "--predicate", "predicate.json", "--type", "cyclonedx", name)
        found = gather(place.store, place.index.digest).found
        policy = read_policy(keys=[keys.public_pem(key.public_key())])
        statement = verify_statement(
            place.index.digest, found, policy, predicate_type="https://cyclonedx.org/bom", now=now()
        )
        assert statement.proof.kind is (Kind.BUNDLE if options else Kind.DSSE)

    def test_a_signature_as_cosign_3_makes_them(self, cosign: Cosign, place: Place, key: keys.PrivateKey) -> None:
        """A bundle round a statement with cosign's own predicate type, which `cosign sign` writes from 3.0 on."""
        cosign.write("predicate.json", b"{}")
        words = ("attest", "--yes", "--allow-http-registry", "--tlog-upload=false", "--key", "k.key")
        name = f"{place.name}@{place.index.digest}"
        cosign(*words, *SIGNATURE_BUNDLE, "--predicate", "predicate.json", name)
        policy = read_policy(keys=[keys.public_pem(key.public_key())])
        assert verify_reference(place.store, "v1", policy, now=now()).proof.kind is Kind.BUNDLE
