# SPDX-License-Identifier: MIT
"""Pull from a registry that lies: the old module stays, and nothing else is left."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from powernode.base.errors import DataError, PowernodeError
from powernode.module.pull import pull
from powernode.net.http import Headers, Request, Response
from powernode.oci.documents import Index, Manifest, Platform, describe
from support._oci_modules import Made
from support.registry import Direct, client
from unit.module._pulls import contents, layer_of, pulled

pytestmark = pytest.mark.usefixtures("quick_disk")


def _other_bytes(data: bytes) -> bytes:
    return bytes(len(data))


class TestARegistryThatLies:
    """Whatever it changes, the old module stays as it was and nothing else is left."""

    def _attacked(
        self, direct: Direct, tmp_path: Path, change: Callable[[Request], Response | None], code: str
    ) -> None:
        registry = client(direct)
        pulled(registry, "v1", tmp_path / "redis")
        before = contents(tmp_path / "redis")
        root = registry.manifest("v2").descriptor
        direct.change = change
        with pytest.raises(PowernodeError) as caught:
            pull(registry, root, tmp_path / "redis", arch="amd64")
        assert caught.value.code == code
        assert contents(tmp_path / "redis") == before
        assert sorted(path.name for path in tmp_path.iterdir()) == ["redis", "registry"]

    @staticmethod
    def _instead(direct: Direct, path: str, change: Callable[[bytes], bytes]) -> Callable[[Request], Response | None]:
        def answer(request: Request) -> Response | None:
            if path not in request.url.path:
                return None
            direct.change = lambda _: None
            response = direct.open(request)
            direct.change = answer
            return Response(request, response.status, response.headers, io.BytesIO(change(response.read_all())))

        return answer

    def test_another_manifest(self, direct: Direct, versions: tuple[Made, Made], tmp_path: Path) -> None:
        old, new = versions
        other = old.layout.read(old.manifests[0], max_bytes=1 << 20)

        def change(request: Request) -> Response | None:
            if not request.url.path.endswith(new.manifests[0].digest):
                return None
            return Response(request, 200, Headers(), io.BytesIO(other))

        self._attacked(direct, tmp_path, change, "oci.manifest.digest")

    def test_another_configuration(self, direct: Direct, versions: tuple[Made, Made], tmp_path: Path) -> None:
        manifest = versions[1].layout.document(versions[1].manifests[0])
        assert isinstance(manifest, Manifest)
        change = self._instead(direct, manifest.config.digest, _other_bytes)
        self._attacked(direct, tmp_path, change, "oci.blob.digest")

    def test_another_table_of_contents(self, direct: Direct, versions: tuple[Made, Made], tmp_path: Path) -> None:
        change = self._instead(direct, layer_of(versions[1]).digest, _other_bytes)
        self._attacked(direct, tmp_path, change, "module.layer.toc-digest")

    def test_other_contents(self, direct: Direct, versions: tuple[Made, Made], tmp_path: Path) -> None:
        """The table of contents is right, and then a file is not what it says."""
        asked = 0

        def flip(data: bytes) -> bytes:
            nonlocal asked
            asked += 1
            return data if asked == 1 else data[:-30] + bytes([data[-30] ^ 1]) + data[-29:]

        change = self._instead(direct, layer_of(versions[1]).digest, flip)
        registry = client(direct)
        pulled(registry, "v1", tmp_path / "redis")
        before = contents(tmp_path / "redis")
        root = registry.manifest("v2").descriptor
        direct.change = change
        with pytest.raises(PowernodeError) as caught:
            pull(registry, root, tmp_path / "redis", arch="amd64")
        assert caught.value.code.startswith(("module.layer.", "archive."))
        assert contents(tmp_path / "redis") == before

    def test_an_artifact_that_contradicts_itself(
        self, versions: tuple[Made, Made], direct: Direct, tmp_path: Path
    ) -> None:
        """Signed or not: the annotation must be the digest of what is in the layer."""
        old, new = versions
        manifest = new.layout.document(new.manifests[0])
        assert isinstance(manifest, Manifest)
        name = "composefs.layer.erofs.v1.fsverity-sha256-12"
        lying = manifest.layers[0].with_annotations({**manifest.layers[0].annotations, name: old.module.digest.hex})
        data = Manifest(
            config=manifest.config,
            layers=(lying,),
            artifact_type=manifest.artifact_type,
            annotations=manifest.annotations,
        ).encode()
        registry = client(direct)
        registry.push_manifest(data, manifest.media_type)
        descriptor = describe(data, manifest.media_type, platform=Platform(architecture="amd64"))
        index = Index(manifests=(descriptor,)).encode()
        registry.push_manifest(index, "application/vnd.oci.image.index.v1+json", tag="lie")
        with pytest.raises(DataError) as caught:
            pulled(registry, "lie", tmp_path / "redis")
        assert caught.value.code == "module.pull.composefs"
        assert not (tmp_path / "redis").exists()
