# SPDX-License-Identifier: MIT
"""From a folder to an artifact, with small packages: the same bytes everywhere, whole or not at all."""

from __future__ import annotations

import json
import locale
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from powernode.base.errors import DataError, MachineError, OperatorError
from powernode.composefs import image as images
from powernode.composefs.tree import RegularFile, walk
from powernode.debian.inputs import Inputs
from powernode.debian.lock import Lock
from powernode.manifest.model import from_document
from powernode.module import bootstrap, lock, provenance
from powernode.module import build as builds
from powernode.module import directory as modules
from powernode.module.build import Outcome, Request, Sources, build
from powernode.module.layer import write_layer
from powernode.module.stages import Compose, Pack, Plan, Publish, version_with
from powernode.oci.documents import Manifest
from powernode.oci.layout import Layout
from unit.module._fake_root import ARCH, BUILT_S, Debs, calls, fake_mmdebstrap

LARGE = bytes(range(256)) * 40
PACKAGES = {
    "base-files": {"/etc/motd": b"welcome\n", "/usr/bin/sh": b"", "/usr/share/doc/base-files/copyright": b"free\n"},
    "hello": {"/usr/bin/hello": LARGE, "/usr/share/doc/hello/readme": b"read me\n", "/etc/hello.conf": b"default\n"},
}
MANIFEST = """\
schema_version: 1
name: greeter
license: MIT
package_spec:
  - hello
file_spec:
  - "/usr/bin/hello"
  - "/etc/hello.conf"
build:
  remove:
    - "/usr/share/doc/**"
"""


class Workshop:
    """A module's folder and all that a build of it needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.debs = Debs(folder / "debs", PACKAGES)
        self.module = folder / "module"
        (self.module / "rootfs/etc").mkdir(parents=True)
        (self.module / "rootfs/etc/hello.conf").write_text("ours\n")
        self.write(MANIFEST)
        self.obtained: list[str] = []
        self.said: list[str] = []

    def write(self, manifest: str) -> None:
        (self.module / "manifest.yaml").write_text(manifest)

    @property
    def out(self) -> Path:
        return self.module / "build"

    def build(self, out: Path | None = None, **changes: object) -> Outcome:
        request = Request(folder=self.module, version="0.1.0", arches=(ARCH,))
        sources = Sources(cache=self.folder / "cache", obtain=self._obtain, inputs=self._inputs)
        return build(replace(request, **changes), sources, out or self.out, report=self.said.append)  # type: ignore[arg-type]

    def tree(self) -> dict[str, object]:
        image = (self.out / ARCH / "image.erofs").read_bytes()
        return {path.decode(): node for path, node in walk(images.to_tree(image))}

    def _obtain(self, request: lock.Request, arch: str) -> Lock:
        self.obtained.append(arch)
        return self.debs.lock("base-files", requests=request.packages)

    def _inputs(self, pinned: Lock) -> Inputs:
        class Here(Inputs):
            deb = staticmethod(self.debs.deb)

        return Here(pinned, self.folder / "cache")


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = fake_mmdebstrap(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def workshop(tmp_path: Path, tool: Path) -> Workshop:
    return Workshop(tmp_path)


def test_a_build_has_all_its_parts(workshop: Workshop) -> None:
    outcome = workshop.build()
    assert sorted(path.name for path in workshop.out.iterdir()) == sorted([ARCH, "build.json", "logs", "oci"])
    assert "installing" in (workshop.out / f"logs/{ARCH}.log").read_text()
    module = modules.read(workshop.out / ARCH)
    assert (module.facts.name, module.facts.version, module.facts.architecture) == ("greeter", "0.1.0", ARCH)
    assert (module.facts.effective_priority, module.facts.file_spec) == (500_000, ("/usr/bin/hello", "/etc/hello.conf"))
    assert modules.merge_root([module]).digest == module.digest
    layout = Layout(workshop.out / "oci")
    assert layout.resolve("v0.1.0").digest == outcome.published.index.digest
    about = outcome.published.manifests[ARCH]
    manifest = Manifest.parse(layout.read(about, max_bytes=1 << 20))
    assert manifest.annotations["org.opencontainers.image.created"] == "2020-09-13T12:26:40Z"
    kinds = {found.artifact_type for found in layout.referrers(about.digest)}
    assert kinds == {"application/vnd.cyclonedx+json", "application/vnd.in-toto+json"}
    document = json.loads((workshop.out / "build.json").read_text())
    assert document == outcome.as_dict()
    assert document["architectures"][ARCH]["composefs"] == str(module.digest)


def test_what_ships(workshop: Workshop) -> None:
    workshop.build()
    tree = workshop.tree()
    assert set(tree) == {"/", "/etc", "/etc/hello.conf", "/usr", "/usr/bin", "/usr/bin/hello"}
    conf, hello = tree["/etc/hello.conf"], tree["/usr/bin/hello"]
    assert isinstance(conf, RegularFile)
    assert isinstance(hello, RegularFile)
    assert (conf.content, conf.mtime_s, conf.mode) == (b"ours\n", BUILT_S, 0o644)
    assert (hello.size, hello.mode) == (len(LARGE), 0o755)
    objects = [path for path in (workshop.out / ARCH / "objects").rglob("*") if path.is_file()]
    assert len(objects) == 1  # of what ships, and nothing else


def test_the_lock_is_made_once_and_kept(workshop: Workshop) -> None:
    workshop.build()
    workshop.build()
    assert workshop.obtained == [ARCH]
    assert any("keep it with the module" in line for line in workshop.said)
    assert lock.path_of(workshop.module, ARCH).is_file()


def test_a_lock_of_another_manifest_is_refused(workshop: Workshop) -> None:
    workshop.build()
    workshop.write(MANIFEST.replace("  - hello\n", "  - hello\n  - world\n"))
    with pytest.raises(OperatorError) as caught:
        workshop.build()
    assert caught.value.code == "module.lock.stale"


def test_another_rootfs_installs_nothing_again(workshop: Workshop, tool: Path) -> None:
    first = workshop.build().published.index.digest
    (workshop.module / "rootfs/etc/hello.conf").write_text("changed\n")
    assert workshop.build().published.index.digest != first
    assert calls(tool) == 1


def test_a_left_out_file_spec_is_written_out(workshop: Workshop) -> None:
    lines = MANIFEST.splitlines(keepends=True)
    start = lines.index("file_spec:\n")
    workshop.write("".join(lines[:start] + lines[start + 3 :]))
    outcome = workshop.build()
    assert set(workshop.tree()) == {"/", "/etc", "/etc/hello.conf", "/usr", "/usr/bin", "/usr/bin/hello"}
    written = ("/etc/hello.conf", "/usr/bin/hello")
    assert modules.read(workshop.out / ARCH).facts.file_spec == written
    layout = Layout(workshop.out / "oci")
    manifest = Manifest.parse(layout.read(outcome.published.manifests[ARCH], max_bytes=1 << 20))
    config = json.loads(layout.read(manifest.config, max_bytes=1 << 20))
    assert config["module"]["file_spec"] == list(written)


def test_a_module_without_packages_needs_no_lock_and_no_tool(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    workshop.write("schema_version: 1\nname: greeter\n")
    workshop.build(arches=("amd64", "arm64"))
    assert workshop.obtained == []
    conf = workshop.tree()["/etc/hello.conf"]
    assert isinstance(conf, RegularFile)
    assert conf.mtime_s == 0
    assert sorted(path.name for path in workshop.out.iterdir()) == ["amd64", "arm64", "build.json", "logs", "oci"]
    assert len(Layout(workshop.out / "oci").referrers(workshop.build().published.manifests[ARCH].digest)) == 2


@pytest.fixture
def elsewhere() -> Iterator[None]:
    before = os.umask(0), locale.setlocale(locale.LC_ALL)
    yield
    os.umask(before[0])
    locale.setlocale(locale.LC_ALL, before[1])
    time.tzset()


@pytest.mark.usefixtures("elsewhere", "tool")
def test_the_same_bytes_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other folders, other cache, zone, umask, locale, order of files, a clock that has moved on."""
    digests: list[object] = []
    for number, (zone, umask, language) in enumerate((("UTC", 0o022, "C"), ("Asia/Tokyo", 0o077, "C.UTF-8"))):
        monkeypatch.setenv("TZ", zone)
        monkeypatch.setenv("LC_ALL", language)
        time.tzset()
        locale.setlocale(locale.LC_ALL, language)
        os.umask(umask)
        workshop = Workshop(tmp_path / f"{'x' * number}place")
        names = ["b", "a", "ä"] if number else ["ä", "a", "b"]
        for name in names:
            (workshop.module / f"rootfs/etc/{name}").write_bytes(name.encode())
            os.utime(workshop.module / f"rootfs/etc/{name}", (number * 1000, number * 1000))
        workshop.write(MANIFEST.replace('  - "/etc/hello.conf"', '  - "/etc/**"'))
        outcome = workshop.build(jobs=1 + number)
        made = outcome.made[0]
        digests.append((outcome.published.index.digest, made.plan.digest, str(made.built.composed.module.digest)))
        files = {path.relative_to(workshop.out / "oci"): path for path in (workshop.out / "oci").rglob("*")}
        contents = {name: path.read_bytes() for name, path in files.items() if path.is_file()}
        digests.append(tuple(sorted((str(name), str(hash(data))) for name, data in contents.items())))
    assert digests[:2] == digests[2:]


def test_what_is_no_build_is_not_replaced(workshop: Workshop) -> None:
    workshop.out.mkdir()
    (workshop.out / "thesis.tex").write_text("")
    with pytest.raises(OperatorError) as caught:
        workshop.build()
    assert caught.value.code == "module.build.out"
    assert (workshop.out / "thesis.tex").exists()


def test_two_at_once_leave_one_whole_build(workshop: Workshop, tool: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        digests = set(pool.map(lambda _: workshop.build().published.index.digest, range(3)))
    assert len(digests) == 1
    assert calls(tool) == 1
    modules.read(workshop.out / ARCH)
    assert Layout(workshop.out / "oci").resolve("v0.1.0").digest in digests
    assert not [path for path in workshop.module.iterdir() if path.name.startswith(".")]


def test_a_failed_build_leaves_the_old_one(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = workshop.build().published.index.digest

    def fail(*_: object, **__: object) -> object:
        raise MachineError("test.failure", "no")

    monkeypatch.setattr(builds, "publish", fail)
    with pytest.raises(MachineError):
        workshop.build(version="0.2.0")
    assert json.loads((workshop.out / "build.json").read_text())["index"] == digest
    assert sorted(path.name for path in workshop.module.iterdir()) == [
        *("build", "manifest.yaml", "packages.lock", "rootfs")
    ]


def test_an_object_that_rots_is_not_published(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    def rot(module: modules.Module, *rest: Any, **options: Any) -> object:
        path = next(path for path in module.objects.glob("*/*") if path.is_file())
        path.chmod(0o644)
        path.write_bytes(bytes(path.stat().st_size))
        return write_layer(module, *rest, **options)

    monkeypatch.setattr(builds, "write_layer", rot)
    with pytest.raises(DataError) as refused:
        workshop.build()
    assert refused.value.code == "module.check.composefs-image"
    assert not workshop.out.exists()


def test_a_filesystem_that_cannot_exchange(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop.build()
    before = (workshop.out / "build.json").read_bytes()
    monkeypatch.setattr("powernode.linux.files._RENAME_EXCHANGE", 1 << 20)
    with pytest.raises(MachineError) as refused:
        workshop.build(version="0.2.0")
    assert refused.value.code == "module.place.exchange"
    assert (workshop.out / "build.json").read_bytes() == before


def test_all_architectures_are_looked_at_before_one_is_built(workshop: Workshop, tool: Path) -> None:
    workshop.build()
    before = len(workshop.said)
    other = ({"amd64", "arm64"} - {ARCH}).pop()
    pinned = replace(workshop.debs.lock("base-files", requests=("goodbye",)), arch=other)
    lock.write(workshop.module, pinned)
    with pytest.raises(OperatorError) as caught:
        workshop.build(out=workshop.folder / "new", arches=(ARCH, other))
    assert caught.value.code == "module.lock.stale"
    assert (calls(tool), workshop.said[before:]) == (1, [])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"builder": "me"}, "module.build.builder"),
        ({"builder": "https://ci.example.com/a b"}, "module.build.builder"),
        ({"advisories": Path("/nowhere")}, "module.feed.folder"),
    ],
)
def test_what_the_last_stage_would_refuse_is_refused_first(
    workshop: Workshop, tool: Path, changes: dict[str, object], code: str
) -> None:
    with pytest.raises(OperatorError) as caught:
        workshop.build(**changes)  # type: ignore[arg-type]
    assert caught.value.code == code
    assert calls(tool) == 0


def test_packages_of_an_option_that_is_not_asked_for_are_not_installed(workshop: Workshop, tool: Path) -> None:
    workshop.write("schema_version: 1\nname: greeter\nbuild:\n  options:\n    - name: tls\n      packages: [hello]\n")
    workshop.build()
    assert (calls(tool), workshop.obtained) == (0, [])
    assert set(workshop.tree()) == {"/", "/etc", "/etc/hello.conf"}


def test_packing_much_is_told_by_quarters() -> None:
    said: list[str] = []
    assert builds._packing(1000, said.append) is None
    progress = builds._packing(400_000_000, said.append)
    assert progress is not None
    for done in (0, 90_000_000, 110_000_000, 120_000_000, 390_000_000, 400_000_000):
        progress(1, done)
    assert said == [f"{percent} % of 400 MB are packed" for percent in (25, 75, 100)]


def test_the_provenance_says_what_was_asked_for(workshop: Workshop) -> None:
    workshop.write(MANIFEST + "  options:\n    - name: tls\n      packages: []\n")
    (workshop.module / "rootfs-tls/etc").mkdir(parents=True)
    groups = {**(pinned := workshop.debs.lock("base-files", requests=("hello",))).groups}
    groups["module-tls"] = groups["module"]
    lock.write(
        workshop.module, replace(pinned, groups=groups, requests={"module": ("hello",), "module-tls": ("hello",)})
    )
    about = workshop.build(options=("tls",)).published.manifests[ARCH]
    layout = Layout(workshop.out / "oci")
    (found,) = (each for each in layout.referrers(about.digest) if each.artifact_type == provenance.MEDIA_TYPE)
    blob = Manifest.parse(layout.read(found, max_bytes=1 << 20)).layers[0]
    definition = json.loads(layout.read(blob, max_bytes=1 << 20))["predicate"]["buildDefinition"]
    text = (workshop.module / "manifest.yaml").read_bytes()
    assert definition["externalParameters"] == {
        "manifest": {"sha256": sha256(text).hexdigest()},
        "version": "0.1.0+tls",
        "architecture": ARCH,
        "options": ["tls"],
        "method": "packages",
    }
    folders = [each["name"] for each in definition["resolvedDependencies"] if each["uri"].endswith(":rootfs")]
    assert folders == ["rootfs", "rootfs-tls"]


def test_the_log_of_a_failed_containerfile_stays(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (workshop.module / "Containerfile").write_text("FROM scratch\n")
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/podman").write_text("#!/bin/sh\necho STEP 1/1: FROM scratch\necho no such image >&2\nexit 1\n")
    (tmp_path / "tools/podman").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/tools:{os.defpath}")
    with pytest.raises(MachineError) as caught:
        workshop.build(containerfile=True)
    assert caught.value.code == "module.containerfile.failed"
    assert f"{ARCH}: STEP 1/1: FROM scratch" in workshop.said
    log = Path(str(caught.value.hint).removeprefix("all it said is in "))
    assert "no such image" in log.read_text()


def test_a_full_disk_is_told(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> object:
        raise OSError(28, "No space left on device", "/somewhere")

    monkeypatch.setattr(builds, "compose", fail)
    with pytest.raises(MachineError) as caught:
        workshop.build()
    assert (caught.value.code, caught.value.found) == (
        "module.build.no-space",
        "/somewhere: No space left on device",
    )


def test_a_manifest_with_a_mistake_is_refused_first(workshop: Workshop) -> None:
    workshop.write(MANIFEST + "masks: []\n")
    with pytest.raises(DataError) as caught:
        workshop.build()
    assert caught.value.code == "manifest.unknown-key"
    assert not workshop.out.exists()


def test_options_add_packages_files_and_a_version(workshop: Workshop) -> None:
    workshop.write(MANIFEST + "  options:\n    - name: tls\n      packages: [hello]\n")
    (workshop.module / "rootfs-tls/etc").mkdir(parents=True)
    (workshop.module / "rootfs-tls/etc/hello.conf").write_text("secret\n")
    pinned = workshop.debs.lock("base-files", requests=("hello",))
    groups = {**pinned.groups, "module-tls": pinned.group("module")}
    requests = {"module": ("hello",), "module-tls": ("hello",)}
    lock.write(workshop.module, replace(pinned, groups=groups, requests=requests))
    outcome = workshop.build(options=("tls",))
    conf = workshop.tree()["/etc/hello.conf"]
    assert isinstance(conf, RegularFile)
    assert conf.content == b"secret\n"
    assert outcome.version == "0.1.0+tls"
    assert Layout(workshop.out / "oci").resolve("v0.1.0_tls").digest == outcome.published.index.digest
    with pytest.raises(OperatorError) as caught:
        workshop.build(options=("ssh",))
    assert (caught.value.code, caught.value.expected) == ("module.build.option", "tls")


def test_versions_of_options() -> None:
    assert version_with("1.0.0", ()) == "1.0.0"
    assert version_with("1.0.0", ("a", "b")) == "1.0.0+a.b"
    assert version_with("1.0.0+x", ("a",)) == "1.0.0+x.a"


def test_a_plan_says_all_that_counts_and_nothing_else(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    manifest = from_document({"schema_version": 1, "name": "greeter", "package_spec": ["hello"]})

    def plan(version: str = "0.1.0", folder: Path = workshop.module) -> Plan:
        first = bootstrap.Bootstrap(arch=ARCH, packages=workshop.debs.packages)
        second = Compose.of(folder, manifest, version=version, arch=ARCH, added=frozenset(("hello",)))
        return Plan(root=first, compose=second, pack=Pack(level=3))

    one = plan()
    assert one == plan()
    moved = workshop.module.rename(tmp_path / "elsewhere")
    assert plan(folder=moved).digest == one.digest
    assert str(tmp_path) not in json.dumps(one.as_dict())
    assert plan(folder=moved, version="0.2.0").digest != one.digest
    (moved / "rootfs/etc/hello.conf").write_text("new\n")
    assert plan(folder=moved).digest != one.digest
    assert one.describe().splitlines()[1:] == [
        f"  1. install 2 packages for {ARCH} (0 MB of .deb) with mmdebstrap",
        "  2. lay rootfs on top, and take what the packages add and rootfs/",
        "  3. pack the files as zstd:chunked, level 3",
        "  4. write the OCI layout, with SBOM and provenance",
    ]


def test_vex_is_promised_only_where_there_are_advisories() -> None:
    assert "VEX" not in Publish().describe()
    assert "VEX" in Publish(advisories=True).describe()
    assert Publish(advisories=True).as_dict() == Publish().as_dict()
