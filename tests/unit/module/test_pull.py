# SPDX-License-Identifier: MIT
"""Pull: the same module comes out, only what is missing is fetched, and a registry that lies changes nothing."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path

import pytest

from powernode import native
from powernode.base.errors import DataError, MachineError, OperatorError
from powernode.composefs import image as images
from powernode.module import directory as modules
from powernode.module.expected import Expected
from powernode.module.place import put
from powernode.module.pull import ORIGIN, Pulled, entry_for, pull, pull_layout
from powernode.module.push import push
from powernode.module.signatures import gather
from powernode.module.signing_stores import LayoutStore, RegistryStore
from powernode.module.verify import read_policy, verify_reference
from powernode.net.http import Headers, Request, Response
from powernode.oci.client import Registry
from powernode.oci.documents import Descriptor, Manifest, describe
from powernode.oci.layout import Layout
from powernode.oci.reference import Reference
from powernode.trust.artifact import Kind
from support._oci_modules import TAG, Made
from support.registry import Direct, client
from unit.module._pulls import FILES, blob_requests, contents, layer_of, pulled

pytestmark = pytest.mark.usefixtures("quick_disk")


def test_the_same_module_comes_out(registry: Registry, versions: tuple[Made, Made], tmp_path: Path) -> None:
    old, _ = versions
    result = pulled(registry, "v1", tmp_path / "redis")
    assert result.module == modules.read(tmp_path / "redis")
    assert (result.module.digest, result.is_unchanged) == (old.module.digest, False)
    assert result.fetched_objects == result.objects == FILES
    assert contents(tmp_path / "redis") == contents(old.module.directory)
    facts = result.module.facts
    assert (facts.name, facts.version, facts.architecture) == ("redis", "0.1.0", "amd64")
    assert (facts.file_spec, facts.effective_priority) == (("/**",), 500_000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["redis", "registry"]


def test_an_unchanged_module_costs_only_manifests(registry: Registry, direct: Direct, tmp_path: Path) -> None:
    first = pulled(registry, "v1", tmp_path / "redis")
    direct.seen.clear()
    again = pulled(registry, "v1", tmp_path / "redis")
    assert again.is_unchanged
    assert again.module == first.module
    assert all("/manifests/" in each.url.path for each in direct.seen)


def test_an_update_fetches_only_what_is_new(
    registry: Registry, direct: Direct, versions: tuple[Made, Made], tmp_path: Path
) -> None:
    _, new = versions
    pulled(registry, "v1", tmp_path / "redis")
    direct.seen.clear()
    update = pulled(registry, "v2", tmp_path / "redis")
    assert update.fetched_objects == 2
    assert update.module.digest == new.module.digest
    assert contents(tmp_path / "redis") == contents(new.module.directory)
    assert all("Range" in dict(each.headers) for each in blob_requests(direct, new))
    assert update.layer_bytes < layer_of(new).size * 0.15
    back = pulled(registry, "v1", tmp_path / "redis")
    assert back.fetched_objects == 2


def test_a_shared_store(registry: Registry, versions: tuple[Made, Made], tmp_path: Path) -> None:
    one = pulled(registry, "v1", tmp_path / "one", store=tmp_path / "store")
    two = pulled(registry, "v2", tmp_path / "two", store=tmp_path / "store")
    assert (one.fetched_objects, two.fetched_objects) == (FILES, 2)
    assert (tmp_path / "two/objects").readlink() == tmp_path / "store"
    assert modules.read(tmp_path / "one") == one.module
    assert pulled(registry, "v2", tmp_path / "two", store=tmp_path / "store").is_unchanged


def test_most_of_it_comes_as_one_stream(
    registry: Registry, direct: Direct, versions: tuple[Made, Made], tmp_path: Path
) -> None:
    pulled(registry, "v1", tmp_path / "redis")
    whole = [each for each in blob_requests(direct, versions[0]) if "Range" not in dict(each.headers)]
    assert len(whole) == 1


def test_what_does_not_fit_is_not_fetched(
    registry: Registry, direct: Direct, versions: tuple[Made, Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = list(os.statvfs("/"))
    about[4] = 1  # f_bavail
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(about))
    with pytest.raises(MachineError) as refused:
        pulled(registry, "v1", tmp_path / "redis")
    assert refused.value.code == "module.pull.no-space"
    assert all("Range" in dict(each.headers) for each in blob_requests(direct, versions[0]))  # for the table alone
    assert sorted(path.name for path in tmp_path.iterdir()) == ["registry"]


def test_a_registry_without_ranges(
    registry: Registry, direct: Direct, versions: tuple[Made, Made], tmp_path: Path
) -> None:
    _, new = versions
    pulled(registry, "v1", tmp_path / "redis")

    def change(request: Request) -> Response | None:
        if "Range" not in dict(request.headers):
            return None
        plain = Request("GET", request.url, max_body=request.max_body)
        return direct.open(plain)

    direct.change = change
    update = pulled(registry, "v2", tmp_path / "redis")
    assert (update.module.digest, update.fetched_objects) == (new.module.digest, 2)


def test_a_damaged_module_is_made_whole(registry: Registry, versions: tuple[Made, Made], tmp_path: Path) -> None:
    pulled(registry, "v1", tmp_path / "redis")
    objects = sorted(path for path in (tmp_path / "redis/objects").rglob("*") if path.is_file())
    objects[0].unlink()
    objects[1].chmod(0o644)
    objects[1].write_bytes(b"changed")
    again = pulled(registry, "v1", tmp_path / "redis")
    assert (again.is_unchanged, again.fetched_objects) == (False, 2)
    assert contents(tmp_path / "redis") == contents(versions[0].module.directory)


def _objects(store: Path) -> list[Path]:
    return sorted(path for path in store.rglob("*") if path.is_file())


def test_an_object_that_was_cut_short_is_not_unchanged(registry: Registry, tmp_path: Path) -> None:
    whole = pulled(registry, "v1", tmp_path / "redis")
    cut = _objects(tmp_path / "redis/objects")[0]
    cut.chmod(0o644)
    cut.write_bytes(b"")
    again = pulled(registry, "v1", tmp_path / "redis")
    assert (again.is_unchanged, again.fetched_objects, again.module) == (False, 1, whole.module)
    assert pulled(registry, "v1", tmp_path / "redis").is_unchanged


def test_changed_bytes_are_found_by_a_recheck(registry: Registry, versions: tuple[Made, Made], tmp_path: Path) -> None:
    pulled(registry, "v1", tmp_path / "redis")
    changed = _objects(tmp_path / "redis/objects")[0]
    changed.chmod(0o644)
    changed.write_bytes(changed.read_bytes()[::-1])
    again = pulled(registry, "v1", tmp_path / "redis", recheck=True)
    assert (again.is_unchanged, again.fetched_objects) == (False, 1)
    assert contents(tmp_path / "redis") == contents(versions[0].module.directory)
    assert pulled(registry, "v1", tmp_path / "redis", recheck=True).is_unchanged


@pytest.mark.parametrize("data", [b"", None], ids=["cut-short", "changed"])
def test_a_damaged_shared_store_is_refused(registry: Registry, tmp_path: Path, data: bytes | None) -> None:
    pulled(registry, "v1", tmp_path / "one", store=tmp_path / "store")
    damaged = _objects(tmp_path / "store")[0]
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes()[::-1] if data is None else data)
    with pytest.raises(DataError) as caught:
        pulled(registry, "v1", tmp_path / "two", store=tmp_path / "store")
    assert caught.value.code == "module.pull.store-damaged"
    assert caught.value.found == f"{damaged.parent.name}/{damaged.name}"
    assert not (tmp_path / "two").exists()


def test_another_pull_may_take_the_place_at_once(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put_and_lose(new: Path, place: Path) -> None:
        put(new, place)
        shutil.rmtree(place)

    monkeypatch.setattr("powernode.module.pull.put", put_and_lose)
    first = pulled(registry, "v1", tmp_path / "redis").module
    assert (first.directory, first.facts.version) == (tmp_path / "redis", "0.1.0")


def test_links_are_followed_and_what_cannot_be_replaced_is_refused(
    registry: Registry, direct: Direct, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("real", "dangling"):
        (tmp_path / f"to-{name}").symlink_to(tmp_path / name)
    (tmp_path / "real").mkdir()
    for name in ("real", "dangling"):
        assert pulled(registry, "v1", tmp_path / f"to-{name}").module.directory == tmp_path / name
        assert (tmp_path / f"to-{name}").is_symlink()
        assert modules.read(tmp_path / name).facts.name == "redis"
    (tmp_path / "file").touch()
    (tmp_path / "here").mkdir()
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    monkeypatch.chdir(tmp_path / "here")
    places = [(tmp_path / name, "exists") for name in ("file", "circle")]
    for place, code in (*places, (tmp_path / "here", "in-use"), (Path(), "in-use")):
        root = registry.manifest("v1").descriptor
        direct.seen.clear()
        with pytest.raises(OperatorError) as caught:
            pull(registry, root, place, arch="amd64")
        assert caught.value.code == f"module.pull.{code}"
        assert not direct.seen


def test_a_filesystem_that_cannot_replace(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pulled(registry, "v1", tmp_path / "redis")
    monkeypatch.setattr("powernode.linux.files._RENAME_EXCHANGE", 1 << 20)
    with pytest.raises(MachineError) as caught:
        pulled(registry, "v2", tmp_path / "redis")
    assert caught.value.code == "module.place.exchange"
    assert modules.read(tmp_path / "redis") == first.module
    assert sorted(path.name for path in tmp_path.iterdir()) == ["redis", "registry"]


def test_what_was_not_pulled_is_not_replaced(registry: Registry, versions: tuple[Made, Made], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter").touch()
    for directory in (tmp_path / "mine", versions[0].module.directory):
        before = sorted(directory.rglob("*"))
        with pytest.raises(OperatorError) as caught:
            pulled(registry, "v1", directory)
        assert caught.value.code == "module.pull.exists"
        assert sorted(directory.rglob("*")) == before
    (tmp_path / "empty").mkdir()
    assert pulled(registry, "v1", tmp_path / "empty").objects == FILES


def test_architectures(registry: Registry, versions: tuple[Made, Made], tmp_path: Path) -> None:
    root = registry.manifest("v1").descriptor
    arm = entry_for(registry, root, "arm64")
    assert arm.digest == versions[0].manifests[1].digest
    assert pull(registry, root, tmp_path / "arm", arch="arm64").module.facts.architecture == "arm64"
    with pytest.raises(OperatorError) as caught:
        entry_for(registry, root, "riscv64")
    assert (caught.value.code, caught.value.found) == ("module.pull.architecture", "amd64, arm64")
    with pytest.raises(DataError) as lied:
        pull(registry, arm, tmp_path / "lied", arch="amd64")
    assert lied.value.code == "module.pull.architecture"


def _requests(direct: Direct) -> list[str]:
    return [f"{each.method} {each.url.path.removeprefix('/v2/acme/redis/')}" for each in direct.seen]


@pytest.mark.skipif(native.library() is None, reason="signatures are checked by the C library")
def test_an_unchanged_verified_module_costs_manifests_and_signatures(
    direct: Direct, versions: tuple[Made, Made], tmp_path: Path
) -> None:
    """Everything that is asked for, in a process that knows nothing yet."""
    made = versions[0]
    policy = read_policy(keys=[made.public_key])

    def go() -> Pulled:
        registry = client(direct)
        verified = verify_reference(RegistryStore(registry), "v1", policy, now=0)
        return pull(registry, verified.descriptor, tmp_path / "redis", arch="amd64")

    go()
    direct.seen.clear()
    assert go().is_unchanged
    found = gather(LayoutStore(made.layout), made.index.digest).found
    signatures = {describe(each.payload, "").digest for each in found if each.kind is not Kind.BUNDLE}
    asked = _requests(direct)
    manifests = [each for each in asked if each.startswith("GET manifests/")]
    lists = [each for each in asked if each.startswith("GET referrers/")]
    blobs = [each for each in asked if each.startswith("GET blobs/")]
    assert sorted(asked) == sorted([*manifests, *lists, *blobs])
    assert lists == [f"GET referrers/{made.index.digest}"]
    bundles = {
        layer.digest
        for referrer in made.layout.referrers(made.index.digest)
        for layer in _manifest(made, referrer).layers
    }
    assert {each.removeprefix("GET blobs/") for each in blobs} == bundles | signatures
    assert len(blobs) == 2
    assert len(manifests) <= 8


@pytest.mark.skipif(native.library() is None, reason="signatures are checked by the C library")
def test_a_signature_that_is_listed_and_gone_hides_no_other(
    registry: Registry, direct: Direct, versions: tuple[Made, Made]
) -> None:
    made = versions[0]
    gone = made.layout.referrers(made.index.digest)[0].digest

    def change(request: Request) -> Response | None:
        return Response(request, 404, Headers(), io.BytesIO()) if request.url.path.endswith(gone) else None

    direct.change = change
    found = gather(RegistryStore(registry), made.index.digest)
    assert ([each.kind for each in found.found], len(found.unreadable)) == ([Kind.SIMPLE], 1)
    policy = read_policy(keys=[made.public_key])
    assert verify_reference(RegistryStore(registry), "v1", policy, now=0).digest == made.index.digest


def _manifest(made: Made, descriptor: Descriptor) -> Manifest:
    document = made.layout.document(descriptor)
    assert isinstance(document, Manifest)
    return document


class TestUnchanged:
    """The artifact is the same; what is asked for beside it is not."""

    def test_another_priority(self, registry: Registry, tmp_path: Path) -> None:
        root = registry.manifest("v1").descriptor
        pull(registry, root, tmp_path / "redis", arch="amd64")
        again = pull(registry, root, tmp_path / "redis", arch="amd64", effective_priority=7)
        assert (again.is_unchanged, again.fetched_objects) == (False, 0)
        assert modules.read(tmp_path / "redis").facts.effective_priority == 7
        assert pull(registry, root, tmp_path / "redis", arch="amd64", effective_priority=7).is_unchanged

    def test_with_a_store_from_now_on(self, registry: Registry, tmp_path: Path) -> None:
        pulled(registry, "v1", tmp_path / "redis")
        again = pulled(registry, "v1", tmp_path / "redis", store=tmp_path / "store")
        assert (again.is_unchanged, again.fetched_objects) == (False, 0)
        assert (tmp_path / "redis/objects").readlink() == tmp_path / "store"
        assert pulled(registry, "v1", tmp_path / "redis", store=tmp_path / "store").is_unchanged

    def test_with_another_store(self, registry: Registry, tmp_path: Path) -> None:
        pulled(registry, "v1", tmp_path / "redis", store=tmp_path / "one")
        again = pulled(registry, "v1", tmp_path / "redis", store=tmp_path / "two")
        assert (again.is_unchanged, again.fetched_objects) == (False, 0)
        assert (tmp_path / "redis/objects").readlink() == tmp_path / "two"
        back = pulled(registry, "v1", tmp_path / "redis")
        assert not back.is_unchanged
        assert not (tmp_path / "redis/objects").is_symlink()

    def test_with_a_store_that_is_gone(self, registry: Registry, tmp_path: Path) -> None:
        pulled(registry, "v1", tmp_path / "redis", store=tmp_path / "store")
        shutil.rmtree(tmp_path / "store")
        again = pulled(registry, "v1", tmp_path / "redis", store=tmp_path / "store")
        assert (again.is_unchanged, again.fetched_objects) == (False, FILES)

    def test_a_store_is_found_from_anywhere(
        self, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        pulled(registry, "v1", Path("modules/redis"), store=Path("store"))
        monkeypatch.chdir("/")
        assert modules.read(tmp_path / "modules/redis")
        assert pulled(registry, "v1", tmp_path / "modules/redis", store=tmp_path / "store").is_unchanged


class TestWhatWasAskedFor:
    @pytest.mark.parametrize(
        ("reference", "code"),
        [
            ("localhost/acme/redis:v0.1.0", None),
            ("localhost/acme/redis:v0.1.1", "module.pull.other-version"),
            ("localhost/acme/nginx:v0.1.0", "module.pull.other-module"),
        ],
    )
    @pytest.mark.parametrize("is_there", [False, True], ids=["new", "unchanged"])
    def test_names(self, registry: Registry, tmp_path: Path, reference: str, code: str | None, is_there: bool) -> None:
        root = registry.manifest("v1").descriptor
        expected = Expected.by(Reference.parse(reference))
        if is_there:
            pull(registry, root, tmp_path / "redis", arch="amd64")
        for action in (
            lambda: pull(registry, root, tmp_path / "redis", arch="amd64", expected=expected),
            lambda: pull_layout(registry, root, Layout.create(tmp_path / "layout"), name=None, expected=expected),
        ):
            if code is None:
                action()
                continue
            with pytest.raises(DataError) as caught:
                action()
            assert caught.value.code == code
        assert (tmp_path / "redis").exists() is (is_there or code is None)

    def test_a_layer_that_is_too_large(self, registry: Registry, versions: tuple[Made, Made], tmp_path: Path) -> None:
        manifest = _manifest(versions[0], versions[0].manifests[0])
        layer = manifest.layers[0]
        large = Descriptor(
            media_type=layer.media_type, digest=layer.digest, size=(32 << 30) + 1, annotations=layer.annotations
        )
        data = Manifest(
            config=manifest.config,
            layers=(large,),
            artifact_type=manifest.artifact_type,
            annotations=manifest.annotations,
        ).encode()
        registry.push_manifest(data, manifest.media_type)
        with pytest.raises(DataError) as caught:
            pull(registry, describe(data, manifest.media_type), tmp_path / "redis", arch="amd64")
        assert caught.value.code == "module.pull.too-large"


class TestLayouts:
    def test_a_blob_that_lies(self, direct: Direct, versions: tuple[Made, Made], tmp_path: Path) -> None:
        """What was fetched by others at the same time may stay; nothing has a name, and nothing wrong is kept."""
        registry = client(direct)
        root = registry.manifest("v1").descriptor
        wrong = layer_of(versions[0])

        def change(request: Request) -> Response | None:
            if not request.url.path.endswith(wrong.digest):
                return None
            return Response(request, 200, Headers(), io.BytesIO(bytes(wrong.size)))

        direct.change = change
        layout = Layout.create(tmp_path / "layout")
        with pytest.raises(DataError) as caught:
            pull_layout(registry, root, layout, name="v1")
        assert caught.value.code == "oci.blob.digest"
        assert layout.entries() == ()
        assert not layout.has(wrong)
        assert not list((tmp_path / "layout/blobs/sha256").glob(".*"))

    def test_everything_comes_along(self, registry: Registry, versions: tuple[Made, Made], tmp_path: Path) -> None:
        old, _ = versions
        layout = Layout.create(tmp_path / "layout")
        root = registry.manifest("v1").descriptor
        assert pull_layout(registry, root, layout, name="v1") > 0
        assert layout.resolve("v1").digest == old.index.digest
        assert layout.read(old.index, max_bytes=1 << 20) == old.layout.read(old.index, max_bytes=1 << 20)
        for manifest in old.manifests:
            expected = {each.digest for each in old.layout.referrers(manifest.digest)}
            assert {each.digest for each in layout.referrers(manifest.digest)} == expected
        names = {path.name for path in (tmp_path / "layout/blobs/sha256").iterdir()}
        assert names == {path.name for path in (old.folder / "blobs/sha256").iterdir()}
        assert pull_layout(registry, root, layout, name="v1") == 0

    def test_one_architecture(self, registry: Registry, versions: tuple[Made, Made], tmp_path: Path) -> None:
        layout = Layout.create(tmp_path / "layout")
        pull_layout(registry, registry.manifest("v1").descriptor, layout, name="v1", arch="arm64")
        assert layout.resolve("v1").digest == versions[0].manifests[1].digest

    def test_there_and_back(
        self, registry: Registry, direct: Direct, versions: tuple[Made, Made], tmp_path: Path
    ) -> None:
        layout = Layout.create(tmp_path / "layout")
        pull_layout(registry, registry.manifest("v1").descriptor, layout, name=TAG)
        pushed = push(layout, layout.resolve(TAG), client(direct, "localhost/copy"), tags=[TAG])
        assert pushed.digest == versions[0].index.digest
        assert pushed.referrers == len(layout.entries()) - 1 - 3  # the artifact and the tags of three signatures


def test_where_it_came_from_is_written_down(registry: Registry, versions: tuple[Made, Made], tmp_path: Path) -> None:
    pulled(registry, "v1", tmp_path / "redis")
    origin = json.loads((tmp_path / "redis" / ORIGIN).read_text())
    assert origin == {
        "from": "localhost/acme/redis",
        "manifest": versions[0].manifests[0].digest,
        "root": versions[0].index.digest,
    }
    image = (tmp_path / "redis/image.erofs").read_bytes()
    assert images.digest(image) == versions[0].module.digest
