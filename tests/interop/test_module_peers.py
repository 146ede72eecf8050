# SPDX-License-Identifier: MIT
"""A module that we made, read by the tools everybody has; and their layers, read by us.

What the tools do differently among themselves is excepted by name: podman gives the top directory an owner and a mode
of its own, and its partial pull loses the owner and time of symbolic links and the time of directories.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from powernode import verity
from powernode.composefs import image as images
from powernode.composefs.store import ObjectStore
from powernode.module import directory, layer
from powernode.module.pull import pull
from powernode.module.signing_stores import RegistryStore
from powernode.module.verify import read_policy, verify_reference
from powernode.oci.documents import Descriptor, Manifest
from powernode.oci.layout import Layout
from support._oci_modules import PROVENANCE, SBOM, TAG, VEX, Made, client, make, own_registry, publish
from support._oci_trees import described, described_image, make_tree
from support._oci_wire import metered
from support.oci_peers import Peers

SIGNATURE = "application/vnd.dev.sigstore.bundle.v0.3+json"
STORAGE = """[storage]
driver = "overlay"
graphroot = "{work}/containers"
runroot = "/run/containers"
[storage.options.pull_options]
enable_partial_images = "{partial}"
"""


@pytest.fixture(scope="module")
def tree(oci_peers: Peers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "tree"
    make_tree(folder)
    return folder


@pytest.fixture(scope="module")
def made(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("made"), tree)


@pytest.fixture(scope="module", params=["docker-registry", "powernode"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The `host:port` of a registry: one without the referrers API, and ours."""
    if request.param == "powernode":
        with own_registry(tmp_path_factory.mktemp("own")) as address:
            yield address
    else:
        yield request.getfixturevalue("docker_registry")


@pytest.fixture(scope="module")
def published(server: str, made: Made) -> str:
    """The artifact's name in the registry, without a tag."""
    name = f"{server}/acme/redis"
    publish(made, name)
    return name


def test_skopeo_brings_it_back_from_a_registry_with_every_digest(
    oci_peers: Peers, published: str, made: Made, tmp_path: Path
) -> None:
    source = f"docker://{published}:{TAG}"
    copy = ("skopeo", "copy", "--quiet", "--all", "--preserve-digests", "--src-tls-verify=false")
    oci_peers.run(*copy, source, f"oci:back:{TAG}", work=tmp_path)
    back = Layout(tmp_path / "back")
    assert back.resolve(TAG).digest == made.index.digest
    for descriptor in made.manifests:
        manifest = back.document(descriptor)
        assert isinstance(manifest, Manifest)
        for blob in (manifest.config, *manifest.layers):
            with back.open_verified(blob) as ours, made.layout.open_verified(blob) as theirs:
                assert ours.read() == theirs.read()


def test_skopeo_takes_it_from_the_layout_to_a_registry_with_every_digest(
    oci_peers: Peers, server: str, made: Made
) -> None:
    copy = ("skopeo", "copy", "--quiet", "--all", "--preserve-digests", "--dest-tls-verify=false")
    target = f"docker://{server}/acme/copied:{TAG}"
    oci_peers.run(*copy, f"oci:{made.folder}:{TAG}", target, work=made.folder)
    raw = oci_peers.run("skopeo", "inspect", "--raw", "--tls-verify=false", target, work=made.folder).stdout
    assert raw == made.layout.read(made.index, max_bytes=1 << 20)


def test_skopeo_inspect_shows_the_module(oci_peers: Peers, published: str, tmp_path: Path) -> None:
    for arch in ("amd64", "arm64"):
        words = ("skopeo", "inspect", "--tls-verify=false", "--override-arch", arch, f"docker://{published}:{TAG}")
        said = json.loads(oci_peers.run(*words, work=tmp_path).stdout)
        assert said["Architecture"] == arch
        assert said["Labels"]["org.opencontainers.image.title"] == "redis"
        assert said["Created"] == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize("partial", [False, True], ids=["whole", "partial"])
def test_podman_sees_the_same_files(
    oci_peers: Peers, published: str, made: Made, tmp_path: Path, partial: bool
) -> None:
    said = podman_pull(oci_peers, f"{published}:{TAG}", tmp_path, partial=partial)
    assert ("Retrieved partial blob" in said) == partial, said
    expected, found = described_image(made.module.image.read_bytes()), described(tmp_path / "files")
    assert normal(found, partial=partial) == normal(expected, partial=partial)


def test_podman_takes_one_architecture_by_its_digest(
    oci_peers: Peers, published: str, made: Made, tmp_path: Path
) -> None:
    (arm64,) = (entry for entry in made.manifests if entry.platform and entry.platform.architecture == "arm64")
    podman_pull(oci_peers, f"{published}@{arm64.digest}", tmp_path, partial=True)
    expected, found = described_image(made.module.image.read_bytes()), described(tmp_path / "files")
    assert normal(found, partial=True) == normal(expected, partial=True)


def test_podman_fetches_only_what_an_update_changes(
    oci_peers: Peers, published: str, tree: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "tree"
    copy_tree(tree, changed)
    (changed / "etc/larger.conf").write_bytes(os.urandom(1000))
    os.utime(changed / "etc/larger.conf", (0, 1_700_000_000))
    publish(make(tmp_path, changed), published, "newer")
    podman_pull(oci_peers, f"{published}:{TAG}", tmp_path, partial=True)
    address, _, repository = published.partition("/")
    with metered(address) as wire:
        said = podman_pull(oci_peers, f"{wire.address}/{repository}:newer", tmp_path, partial=True)
    missing = re.search(r"Missing (\d+) bytes out of (\d+) ", said)
    assert missing is not None, said
    assert int(missing[1]) == 1000
    assert wire.received_bytes < 20_000


def copy_tree(tree: Path, copy: Path) -> None:
    subprocess.run(["cp", "-a", tree, copy], check=True)


def podman_pull(tools: Peers, name: str, work: Path, *, partial: bool) -> str:
    """What podman says of its work; the files as it mounts them are in `files` afterwards."""
    (work / "storage.conf").write_text(STORAGE.format(work=work, partial=str(partial).lower()))
    script = """
    podman --log-level=debug pull --quiet --tls-verify=false "$1" 2>log
    rm -rf files; mkdir files
    cp -a "$(podman image mount "$1")/." files
    """
    env = {"CONTAINERS_STORAGE_CONF": str(work / "storage.conf"), "PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}
    tools.run("sh", "-euc", script, "sh", name, work=work, env=env)
    return (work / "log").read_text()


def normal(lines: list[str], *, partial: bool) -> list[str]:
    """Without what podman does not keep: path, size, type and mode, links, owner, group, device, time, …"""
    out = []
    for line in lines[1:]:  # the first is the top directory's
        fields = line.split(" ")
        kind = int(fields[2], 8) & 0o170000
        if partial and kind == 0o120000:
            fields[4] = fields[5] = fields[7] = "-"
        elif partial and kind == 0o040000:
            fields[7] = "-"
        out.append(" ".join(fields))
    return out


def test_umoci_unpacks_the_same_image(oci_peers: Peers, made: Made, tmp_path: Path) -> None:
    """The layout for one architecture, as umoci wants it; then everything is the same, the top directory included."""
    oci_peers.run("skopeo", "copy", "--quiet", f"oci:{made.folder}:{TAG}", "oci:one:v1", work=made.folder.parent)
    oci_peers.run("umoci", "unpack", "--image", "one:v1", "bundle", work=made.folder.parent)
    assert described(made.folder.parent / "bundle/rootfs") == described_image(made.module.image.read_bytes())


def test_oras_discovers_the_documents(oci_peers: Peers, published: str, made: Made, tmp_path: Path) -> None:
    for manifest in made.manifests:
        name = f"{published}@{manifest.digest}"
        words = ("oras", "discover", "--plain-http", "--format", "json", name)
        found = json.loads(oci_peers.run(*words, work=tmp_path).stdout)["manifests"]
        assert sorted(entry["artifactType"] for entry in found) == sorted([SBOM, VEX, PROVENANCE, SIGNATURE])


def test_oras_discovers_the_documents_in_the_layout(oci_peers: Peers, made: Made) -> None:
    words = ("oras", "discover", "--oci-layout", "--format", "json", f"{made.folder}@{made.manifests[0].digest}")
    found = json.loads(oci_peers.run(*words, work=made.folder).stdout)["manifests"]
    assert sorted(entry["artifactType"] for entry in found) == sorted([SBOM, VEX, PROVENANCE, SIGNATURE])


def test_oras_pulls_a_document_as_a_file(oci_peers: Peers, published: str, made: Made, tmp_path: Path) -> None:
    (sbom,) = (entry for entry in made.layout.referrers(made.manifests[0].digest) if entry.artifact_type == SBOM)
    oci_peers.run("oras", "pull", "--plain-http", f"{published}@{sbom.digest}", work=tmp_path)
    assert (tmp_path / "sbom.cdx.json").read_bytes() == b'{"bomFormat":"CycloneDX"}'


def test_a_mirror_made_by_cosign_is_verified_and_pulled(
    oci_peers: Peers, server: str, published: str, made: Made, tmp_path: Path
) -> None:
    mirror = f"{server}/mirror/redis"
    oci_peers.run("cosign", "copy", "--allow-http-registry", f"{published}:{TAG}", f"{mirror}:{TAG}", work=tmp_path)
    policy = read_policy(keys=[made.public_key])
    verified = verify_reference(RegistryStore(client(mirror)), TAG, policy, now=0)
    assert verified.digest == made.index.digest
    pulled = pull(client(mirror), verified.descriptor, tmp_path / "module", arch="amd64")
    assert pulled.module.image.read_bytes() == made.module.image.read_bytes()


def buildah_layer(tools: Peers, tree: Path, work: Path, compression: str) -> tuple[Descriptor, Layout]:
    """The one layer of an image with the files of `tree` and a hard link; the files are in `tree` below `work`."""
    script = f"""
    container=$(buildah from scratch)
    cp -a tree/. "$(buildah mount $container)"
    buildah commit --quiet --format oci $container built
    buildah push --quiet --compression-format {compression} built oci:layout:v1
    """
    copy_tree(tree, work / "tree")
    (work / "tree/usr/bin/hard").hardlink_to(work / "tree/usr/bin/same")
    os.utime(work / "tree/usr/bin", (0, 1_700_000_000))
    tools.run("sh", "-euc", script, work=work)
    layout = Layout(work / "layout")
    manifest = layout.document(layout.resolve("v1"))
    assert isinstance(manifest, Manifest)
    (blob,) = manifest.layers
    return blob, layout


@pytest.mark.parametrize("compression", ["gzip", "zstd", "zstd:chunked"])
def test_a_layer_made_by_buildah_is_read(oci_peers: Peers, tree: Path, tmp_path: Path, compression: str) -> None:
    blob, layout = buildah_layer(oci_peers, tree, tmp_path, compression)
    assert blob.media_type.endswith(f"tar+{compression.partition(':')[0]}")
    store = ObjectStore.create(tmp_path / "objects", digest_fd=lambda fd: verity.digest_fd(fd).value)
    with layout.open(blob) as source, store.batch() as batch:
        found = layer.read_layer(source, batch)
    image = images.from_tree(found, min_version=directory.MIN_VERSION)
    assert store.missing(images.objects(image)) == []
    assert described_image(image)[1:] == described(tmp_path / "tree")[1:]  # buildah leaves the top directory out
