# SPDX-License-Identifier: MIT
"""Our client against docker-registry, and the container tools against our registry: both ends with a stranger."""

from __future__ import annotations

import io
import json
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from powernode import native
from powernode.base.errors import PowernodeError
from powernode.module.pull import pull, pull_layout
from powernode.module.push import push
from powernode.module.signing_stores import LayoutStore, RegistryStore
from powernode.module.verify import read_policy, verify_reference
from powernode.net.transport import HttpTransport
from powernode.oci.client import FileSource, Registry
from powernode.oci.credentials import Credentials
from powernode.oci.documents import EMPTY, EMPTY_CONFIG, IMAGE_MANIFEST, Descriptor, Index, Manifest, describe
from powernode.oci.layout import Layout
from powernode.oci.server.access import Passwords
from support._oci_modules import TAG, make
from support.oci_peers import LOGIN, Peers
from support.oci_peers import registry as docker_registry_in
from support.registry import client, listening

DATA = random.Random(4).randbytes(3_000_000)
BLOB = describe(DATA, "application/x")
CONFIG = describe(EMPTY, EMPTY_CONFIG)
MANIFEST = Manifest(config=CONFIG, layers=(BLOB,), artifact_type="application/vnd.example").encode()
SUBJECT = describe(MANIFEST, IMAGE_MANIFEST)


@pytest.fixture(params=["docker-registry", "powernode"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The same with both registries."""
    if request.param == "docker-registry":
        yield request.getfixturevalue("docker_registry")
    else:
        with listening(tmp_path / "registry") as address:
            yield address


def ours(address: str, repository: str, *, credentials: Credentials | None = None) -> Registry:
    transport = HttpTransport(time.monotonic)
    return client(transport, f"{address}/{repository}", chunk_bytes=1_000_000, credentials=credentials)


def about(text: str) -> tuple[bytes, Descriptor]:
    manifest = Manifest(
        config=CONFIG, layers=(), artifact_type="application/vnd.note", subject=SUBJECT, annotations={"n": text}
    )
    data = manifest.encode()
    kind = "application/vnd.note"
    return data, describe(data, IMAGE_MANIFEST, artifact_type=kind, annotations={"n": text})


class TestOurClient:
    def test_blobs_and_manifests(self, address: str) -> None:
        registry = ours(address, "acme/one")
        registry.push_blob(CONFIG, EMPTY)
        assert not registry.has_blob(BLOB)
        registry.push_blob(BLOB, FileSource(lambda: io.BytesIO(DATA)))
        assert registry.has_blob(BLOB)
        sink = io.BytesIO()
        registry.fetch_blob(BLOB, sink)
        assert sink.getvalue() == DATA
        assert registry.read_range(BLOB, 1_000_000, 500_000) == DATA[1_000_000:1_500_000]
        assert registry.find("v1") is None
        registry.push_manifest(MANIFEST, IMAGE_MANIFEST, tag="v1")
        assert registry.manifest("v1").descriptor.digest == SUBJECT.digest
        assert registry.manifest(SUBJECT.digest).data == MANIFEST

    def test_mounting(self, address: str) -> None:
        ours(address, "acme/source").push_blob(BLOB, DATA)
        registry = ours(address, "acme/mounted")
        assert registry.mount_blob(BLOB, "acme/source")
        assert registry.has_blob(BLOB)
        assert not registry.mount_blob(describe(b"nowhere", "a/b"), "acme/source")

    def test_other_content_than_its_digest(self, address: str) -> None:
        with pytest.raises(PowernodeError) as caught:
            ours(address, "acme/wrong").push_blob(BLOB, DATA[::-1])
        assert "DIGEST_INVALID" in str(caught.value)

    def test_a_manifest_whose_blobs_are_not_there(self, address: str) -> None:
        with pytest.raises(PowernodeError) as caught:
            ours(address, "acme/early").push_manifest(MANIFEST, IMAGE_MANIFEST, tag="v1")
        assert "BLOB_UNKNOWN" in str(caught.value)

    def test_referrers(self, address: str) -> None:
        registry = ours(address, "acme/said")
        for data, blob in ((EMPTY, CONFIG), (DATA, BLOB)):
            registry.push_blob(blob, data)
        registry.push_manifest(MANIFEST, IMAGE_MANIFEST, tag="v1")
        notes = [about(str(number)) for number in range(4)]
        # Four at a time: with the fallback tag nobody's note may be lost for good.
        threads = [
            threading.Thread(target=ours(address, "acme/said").push_referrer, args=(*note, SUBJECT.digest))
            for note in notes
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for note in notes:
            registry.add_referrer(note[1], SUBJECT.digest)
        found = registry.referrers(SUBJECT.digest)
        assert {each.digest for each in found} == {descriptor.digest for _, descriptor in notes}
        assert {each.artifact_type for each in found} == {"application/vnd.note"}

    def test_logging_in(self, oci_peers: Peers, tmp_path: Path) -> None:
        name, password = LOGIN
        with docker_registry_in(oci_peers, tmp_path, login=True) as address:
            registry = ours(address, "acme/one", credentials=Credentials(username=name, password=password))
            registry.push_blob(BLOB, DATA)
            assert registry.has_blob(BLOB)
            for credentials, code in (
                (None, "oci.auth.required"),
                (Credentials(username=name, password="wrong"), "oci.auth.denied"),
            ):
                with pytest.raises(PowernodeError) as caught:
                    ours(address, "acme/one", credentials=credentials).has_blob(BLOB)
                assert caught.value.code == code


@pytest.mark.skipif(native.library() is None, reason="signatures are checked by the C library")
def test_a_module_there_and_back(address: str, tmp_path: Path) -> None:
    """Pushed, verified, pulled; then again, for the price of manifests and signatures."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_bytes(DATA)
    for path in (tmp_path / "tree/file", tmp_path / "tree"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    made = make(tmp_path, tmp_path / "tree")
    pushed = push(made.layout, made.index, ours(address, "acme/redis"), tags=[TAG])
    assert pushed.sent_bytes > len(DATA)
    again = push(made.layout, made.index, ours(address, "acme/redis"), tags=[TAG])
    assert (again.sent_bytes, again.sent_manifests) == (0, 0)
    policy = read_policy(keys=[made.public_key])
    for is_unchanged in (False, True):
        registry = ours(address, "acme/redis")
        verified = verify_reference(RegistryStore(registry), TAG, policy, now=1_800_000_000)
        pulled = pull(registry, verified.descriptor, tmp_path / "redis", arch="amd64")
        assert (pulled.module.digest, pulled.is_unchanged) == (made.module.digest, is_unchanged)
        transport = registry.transport
        assert isinstance(transport, HttpTransport)
        assert (transport.traffic.received_bytes < 100_000) == is_unchanged
    layout = Layout.create(tmp_path / "copy")
    pull_layout(ours(address, "acme/redis"), made.index, layout, name=TAG)
    assert verify_reference(LayoutStore(layout), TAG, policy, now=1_800_000_000).digest == made.index.digest


def small_layout(folder: Path) -> tuple[Layout, Descriptor]:
    """An image that tools accept: two architectures, and a note about one of them."""
    layout = Layout.create(folder)
    entries = []
    for arch in ("amd64", "arm64"):
        config = layout.put(
            json.dumps({"architecture": arch, "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).encode(),
            "application/vnd.oci.image.config.v1+json",
        )
        manifest = layout.put(Manifest(config=config, layers=(), annotations={"a": arch}).encode(), IMAGE_MANIFEST)
        entries.append(manifest)
    index = layout.put(Index(manifests=tuple(entries)).encode(), "application/vnd.oci.image.index.v1+json")
    layout.add(index, "v1")
    return layout, index


class TestOurRegistry:
    @pytest.fixture
    def served(self, tmp_path: Path) -> Iterator[str]:
        with listening(tmp_path / "registry") as address:
            yield address

    def test_skopeo_round_trip(self, oci_peers: Peers, served: str, tmp_path: Path) -> None:
        _, index = small_layout(tmp_path / "layout")
        place = f"docker://{served}/acme/tool:v1"
        oci_peers.run("skopeo", "copy", "--all", "--dest-tls-verify=false", "oci:layout:v1", place, work=tmp_path)
        raw = oci_peers.run("skopeo", "inspect", "--raw", "--tls-verify=false", place, work=tmp_path)
        assert describe(raw.stdout, "a/b").digest == index.digest
        oci_peers.run("skopeo", "copy", "--all", "--src-tls-verify=false", place, "oci:back:v1", work=tmp_path)
        assert Layout(tmp_path / "back").resolve("v1").digest == index.digest
        tags = oci_peers.run("skopeo", "list-tags", "--tls-verify=false", f"docker://{served}/acme/tool", work=tmp_path)
        assert json.loads(tags.text)["Tags"] == ["v1"]
        assert ours(served, "acme/tool").manifest("v1").descriptor.digest == index.digest
        oci_peers.run("skopeo", "delete", "--tls-verify=false", place, work=tmp_path)
        assert ours(served, "acme/tool").find("v1") is None

    def test_oras_push_attach_discover_pull(self, oci_peers: Peers, served: str, tmp_path: Path) -> None:
        (tmp_path / "file.txt").write_bytes(DATA)
        (tmp_path / "note.txt").write_text("a note")
        name = f"{served}/acme/oras"
        oci_peers.run("oras", "push", "--plain-http", f"{name}:v1", "file.txt:text/plain", work=tmp_path)
        command = ["oras", "attach", "--plain-http", "--artifact-type=application/vnd.note"]
        oci_peers.run(*command, f"{name}:v1", "note.txt:text/plain", work=tmp_path)
        found = oci_peers.run("oras", "discover", "--plain-http", "--format=json", f"{name}:v1", work=tmp_path)
        assert "application/vnd.note" in found.text
        oci_peers.run("oras", "pull", "--plain-http", "--output=out", f"{name}:v1", work=tmp_path)
        assert (tmp_path / "out/file.txt").read_bytes() == DATA
        registry = ours(served, "acme/oras")
        (note,) = registry.referrers(registry.manifest("v1").descriptor.digest)
        assert note.artifact_type == "application/vnd.note"
        tags = oci_peers.run("oras", "repo", "tags", "--plain-http", name, work=tmp_path)
        assert tags.text.split() == ["v1"]  # no fallback tag: the registry lists referrers itself
        names = oci_peers.run("oras", "repo", "ls", "--plain-http", served, work=tmp_path)
        assert names.text.split() == ["acme/oras"]

    def test_oras_finds_what_we_attached(self, oci_peers: Peers, address: str, tmp_path: Path) -> None:
        registry = ours(address, "acme/found")
        for data, blob in ((EMPTY, CONFIG), (DATA, BLOB)):
            registry.push_blob(blob, data)
        registry.push_manifest(MANIFEST, IMAGE_MANIFEST, tag="v1")
        data, descriptor = about("for oras")
        registry.push_referrer(data, descriptor, SUBJECT.digest)
        name = f"{address}/acme/found:v1"
        found = oci_peers.run("oras", "discover", "--plain-http", "--format=json", name, work=tmp_path)
        assert descriptor.digest in found.text

    def test_oras_mounts(self, oci_peers: Peers, served: str, tmp_path: Path) -> None:
        (tmp_path / "file.txt").write_bytes(DATA)
        oci_peers.run("oras", "push", "--plain-http", f"{served}/a:v1", "file.txt:text/plain", work=tmp_path)
        tls = ["--from-plain-http", "--to-plain-http"]
        oci_peers.run("oras", "copy", "--recursive", *tls, f"{served}/a:v1", f"{served}/b:v1", work=tmp_path)
        digests = {ours(served, name).manifest("v1").descriptor.digest for name in ("a", "b")}
        assert len(digests) == 1

    def test_tools_log_in(self, oci_peers: Peers, tmp_path: Path) -> None:
        (tmp_path / "file.txt").write_text("x")
        access = Passwords.parse(b"builder:let-me-in\n")
        with listening(tmp_path / "registry", access=access) as address:
            command = ["oras", "push", "--plain-http", "--username=builder"]
            words = [f"{address}/a:v1", "file.txt:text/plain"]
            oci_peers.run(*command, "--password-stdin", *words, work=tmp_path, stdin=b"let-me-in")
            refused = oci_peers.run(*command, "--password-stdin", *words, work=tmp_path, stdin=b"no", check=False)
            assert refused.code
            oci_peers.run(
                "skopeo", "inspect", "--raw", "--tls-verify=false", "--creds=builder:let-me-in",
                f"docker://{address}/a:v1", work=tmp_path,
            )  # fmt: skip
