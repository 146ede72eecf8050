# SPDX-License-Identifier: MIT
"""`powernode image build`, `plan` and `verify` as they are typed, with a small variant and an archive of our own."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from powernode import native
from powernode.archive import cpio
from powernode.debian.lock import path_of
from powernode.image.manifest import MANIFEST, SUMS
from powernode.image.plan import Plan, Workspace
from powernode.image.request import CHECKOUT
from powernode.image.steps.initramfs import INITRAMFS
from powernode.image.variants import VARIANTS
from powernode.module.directory import Module
from powernode.signing import keys
from unit.cli._command import Answer, Run
from unit.image import _small_builds as small
from unit.image._small_builds import ARCH, Archive, needs_e2fsprogs
from unit.image.test_kconfig import GOOD

OTHER = {"amd64": "arm64", "arm64": "amd64"}[ARCH]
NOWHERE = "http://127.0.0.1:1"


@dataclass(frozen=True)
class Builder:
    """The command with everything it needs below one folder."""

    run: Run
    folder: Path
    archive: Archive
    lock: Path

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def image(self) -> Path:
        return self.folder / "out/small" / ARCH

    def build(self, *words: object) -> Answer:
        return self.run("image", "build", f"--arch={ARCH}", f"--out={self.folder / 'out'}", *self._common(), *words)

    def plan(self, *words: object) -> Answer:
        return self.run("image", "plan", f"--arch={ARCH}", *self._common(), *words)

    def verify(self, *words: object) -> Answer:
        return self.run("image", "verify", self.image, *self._common()[1:], *words)

    def _common(self) -> list[str]:
        return ["--variant=small", f"--lock={self.lock}", f"--archive={self.archive.url}", "--room=1"]

    def sums(self) -> None:
        """As somebody writes them who changed a file."""
        lines = [
            f"{sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
            for path in sorted(self.image.iterdir())
            if path.name != SUMS
        ]
        (self.image / SUMS).write_text("".join(lines))


@pytest.fixture
def builder(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Builder]:
    monkeypatch.setitem(VARIANTS, "small", small.plan)
    monkeypatch.setenv("POWERNODE_CACHE", str(tmp_path / "cache"))
    with small.serve(tmp_path / "archive") as archive:
        lock = small.write_lock(tmp_path / "lock.json", small.lock_of(archive))
        yield Builder(run, tmp_path, archive, lock)


@pytest.fixture
def module(tmp_path: Path) -> Module:
    return small.module_in(tmp_path)


def refuses(answer: Answer, status: int, code: str) -> str:
    assert (answer.status, answer.code, answer.out) == (status, code, b"")
    return answer.err


class TestBuild:
    def test_for_people(self, builder: Builder) -> None:
        answer = builder.build()
        assert answer.status == 0
        lines = answer.out.decode().splitlines()
        assert lines[0].startswith(f"small for {ARCH} in ")
        assert lines[0].endswith(str(builder.image))
        assert [line.split()[0] for line in lines[1:4]] == ["cmdline", INITRAMFS, "vmlinuz"]
        assert "take the kernel" in answer.err
        assert sha256((builder.image / "vmlinuz").read_bytes()).hexdigest() in lines[3]

    def test_for_machines(self, builder: Builder) -> None:
        (image,) = builder.build("--json", "--variant=small").json["images"]
        assert image["folder"] == str(builder.image)
        assert image["plan"]["variant"] == "small"
        assert {item["name"] for item in image["artifacts"]} == {"cmdline", INITRAMFS, "vmlinuz"}
        assert image["plan"]["sha256"] == builder.plan("--json").json["plans"][0]["sha256"]

    def test_again_is_the_same(self, builder: Builder) -> None:
        def content() -> dict[str, bytes]:
            return {path.name: path.read_bytes() for path in builder.image.iterdir()}

        assert builder.build().status == 0
        before = content()
        shutil.rmtree(builder.archive.folder)  # everything is in the cache
        assert builder.build().status == 0
        assert content() == before

    @needs_e2fsprogs
    def test_with_a_module(self, builder: Builder, module: Module) -> None:
        (image,) = builder.build("--json", f"--modules={module.directory}").json["images"]
        assert image["root"] == {"digest": str(module.digest), "modules": [f"tiny 1 {module.digest}"]}
        assert (builder.image / "persist.img").stat().st_mode == 0o100644

    def test_a_wrong_digest(self, builder: Builder) -> None:
        path = next(builder.archive.folder.rglob("linux*.deb"))
        path.write_bytes(path.read_bytes()[::-1])
        answer = builder.build("--json")
        assert (answer.status, answer.out) == (3, b"")
        error = json.loads(answer.err.splitlines()[-1])["error"]
        assert error["code"] == "debian.input.digest"
        assert not builder.image.exists()

    def test_an_output_that_is_a_file(self, builder: Builder) -> None:
        (builder.folder / "out").write_text("precious")
        answer = builder.build()
        assert (answer.status, answer.code) == (4, "image.build.place")
        assert "--out" in answer.err
        assert (builder.folder / "out").read_text() == "precious"

    def test_an_output_that_is_no_build(self, builder: Builder) -> None:
        builder.image.mkdir(parents=True)
        (builder.image / "thesis").write_text("years")
        refuses(builder.build(), 2, "image.build.out")
        assert [path.name for path in builder.image.iterdir()] == ["thesis"]

    def test_a_cache_that_cannot_be_written(self, builder: Builder) -> None:
        builder.cache.write_text("no folder")
        answer = builder.build()
        assert (answer.status, answer.code) == (4, "image.build.place")
        assert f"POWERNODE_CACHE (now {builder.cache})" in answer.err

    def test_an_interrupt_leaves_nothing_behind(self, builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
        @dataclass(frozen=True, slots=True, kw_only=True)
        class Interrupt:
            def describe(self) -> str:
                return "interrupt"

            def run(self, workspace: Workspace) -> None:
                (workspace.out / "half").touch()
                raise KeyboardInterrupt

        def plan(*given: object) -> Plan:
            made = small.plan(*given)  # type: ignore[arg-type]
            return replace(made, steps=(*made.steps, Interrupt()))

        monkeypatch.setitem(VARIANTS, "small", plan)
        answer = builder.build()
        assert (answer.status, answer.out) == (130, b"")
        assert "Traceback" not in answer.err
        assert list((builder.folder / "out/small").iterdir()) == []


class TestPlan:
    def test_for_people(self, builder: Builder) -> None:
        text = builder.plan().out.decode()
        assert text.startswith(f"small for {ARCH}, board qemu, plan ")
        assert "  busybox-static 1 " in text
        assert f"  1. take the kernel of {small.KERNEL}" in text

    @pytest.mark.parametrize("arch", ["amd64", "arm64"])
    def test_nothing_is_downloaded(
        self, run: Run, arch: str, tmp_path: Path, module: Module, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The real variants with the real lock; the same from anywhere."""
        cache = tmp_path / "cache"
        cache.mkdir()
        monkeypatch.setenv("POWERNODE_CACHE", str(cache))
        words = ["image", "plan", f"--arch={arch}", f"--archive={NOWHERE}", "--json"]
        words += [f"--modules={module.directory}"] * (arch == ARCH)
        first = run(*words)
        monkeypatch.chdir(tmp_path)
        second = run(*words)
        assert first.status == 0
        assert first.out == second.out
        assert list(cache.iterdir()) == []
        assert {plan["variant"] for plan in first.json["plans"]} == set(VARIANTS)
        assert {plan["arch"] for plan in first.json["plans"]} == {arch}

    def test_without_any_cache(self, builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("POWERNODE_CACHE", "XDG_CACHE_HOME", "HOME"):
            monkeypatch.delenv(name, raising=False)
        assert builder.plan().status == 0
        refuses(builder.build(), 2, "debian.input.cache")

    def test_variants_are_planned_once(self, builder: Builder) -> None:
        plans = builder.plan("--json", "--variant=kernel-initrd", "--variant=small").json["plans"]
        assert [plan["variant"] for plan in plans] == ["small", "kernel-initrd"]


class TestWhatIsRefused:
    """By plan, hence by build, before anything is downloaded."""

    @pytest.mark.parametrize(
        ("words", "code"),
        [
            (["--arch=m68k"], "cli.option"),
            (["--variant=floppy"], "image.variant"),
            (["--board=toaster"], "image.board.unknown"),
            (["--board=../board/qemu"], "image.board.unknown"),
            (["--kernel=kernel-large"], "debian.lock.group"),
            (["--variant=kernel-initrd", "--kernel=initramfs"], "image.request.kernel"),
            (["--policy=soft"], "cli.option"),
            (["--room=-1"], "cli.option"),
            (["--room=999999"], "image.request.room"),
            (["--modules=/nowhere"], "module.directory.no-module"),
            (["--config=/nowhere"], "image.request.file"),
            (["--fleet-root=/nowhere"], "image.request.file"),
            (["--lock=/nowhere"], "image.request.file"),
            (["--lock=/"], "image.request.file"),
        ],
    )
    def test_options(self, builder: Builder, words: list[str], code: str) -> None:
        if "--kernel=kernel-large" in words:
            words = [*words, "--variant=kernel-initrd"]
        error = refuses(builder.plan(*words), 2, code)
        assert error == refuses(builder.build(*words), 2, code)
        assert "Traceback" not in error
        assert not builder.cache.exists()

    def test_no_architecture(self, builder: Builder) -> None:
        for verb in ("plan", "build"):
            assert "--arch=arm64" in refuses(builder.run("image", verb), 2, "cli.option")

    def test_a_lock_of_another_architecture(self, builder: Builder) -> None:
        path = CHECKOUT / path_of(OTHER)
        error = refuses(builder.plan(f"--lock={path}"), 2, "cli.image.lock")
        assert f"expected: {ARCH}" in error
        assert f"found: {OTHER}" in error

    def test_a_damaged_lock(self, builder: Builder) -> None:
        builder.lock.write_bytes(builder.lock.read_bytes()[:-10])
        refuses(builder.plan(), 3, "json.syntax")

    def test_a_damaged_module(self, builder: Builder, module: Module) -> None:
        module.image.write_bytes(module.image.read_bytes()[:-1] + b"?")
        refuses(builder.plan(f"--modules={module.directory}"), 3, "module.directory.digest")

    def test_a_configuration_with_a_typing_error(self, builder: Builder) -> None:
        path = builder.folder / "config.json"
        path.write_text('{"recovery":{"secconds":1}}')
        assert "secconds" in refuses(builder.plan(f"--config={path}"), 3, "agent.config.unknown-key")


@pytest.mark.skipif(native.library() is None, reason="keys are examined by the C library")
class TestFleetRoot:
    def test_public_keys_are_taken(self, builder: Builder) -> None:
        path = builder.folder / "keys.pem"
        path.write_bytes(b"".join(keys.generate(kind)[1] for kind in ("ed25519", "ecdsa-p256")))
        words = ["--variant=kernel-initrd", f"--lock={CHECKOUT / path_of(ARCH)}"]
        answer = builder.plan("--json", f"--fleet-root={path}", *words)
        (plan,) = [plan for plan in answer.json["plans"] if plan["variant"] == "kernel-initrd"]
        assert plan["steps"][1]["files"]["etc/powernode/fleet-root.pem"] == sha256(path.read_bytes()).hexdigest()

    @pytest.mark.parametrize(
        ("content", "status", "code"),
        [
            (keys.generate("ed25519")[0], 3, "trust.keys.label"),
            (keys.generate("ed25519")[1][:-30], 3, "trust.keys.pem"),
            (b"", 2, "cli.image.no-keys"),
            (b"# later\n", 2, "cli.image.no-keys"),
        ],
        ids=["a-secret-key", "cut-off", "empty", "a-comment"],
    )
    def test_other_files_are_not(self, builder: Builder, content: bytes, status: int, code: str) -> None:
        path = builder.folder / "keys.pem"
        path.write_bytes(content)
        error = refuses(builder.plan(f"--fleet-root={path}"), status, code)
        assert content.decode() == "" or content.decode() not in error


class TestVerify:
    def test_a_good_build(self, builder: Builder) -> None:
        builder.build()
        answer = builder.verify()
        assert (answer.status, answer.out[:10]) == (0, b"identical:")
        found = builder.verify("--json").json
        assert (found["identical"], found["differences"]) == (True, [])
        assert found["plan"] == builder.plan("--json").json["plans"][0]["sha256"]

    def test_what_was_unpacked_and_packed_before_is_not_believed(self, builder: Builder) -> None:
        """Somebody changed the cache, and built."""
        builder.build()
        next((builder.cache / "trees").rglob("busybox")).write_bytes(b"backdoor")
        builder.build()
        answer = builder.verify()
        assert (answer.status, answer.code) == (3, "image.verify.differs")
        assert "in usr/bin/busybox; it comes from busybox-static 1" in answer.err

    def test_a_damaged_build(self, builder: Builder) -> None:
        builder.build()
        (builder.image / "cmdline").write_text("init=/bin/sh\n")
        refuses(builder.verify(), 3, "image.sums.differ")

    @needs_e2fsprogs
    def test_everything_that_was_changed_is_named(self, builder: Builder, module: Module) -> None:
        """By somebody who knows of the sums and of the manifest's digests."""
        words = [f"--modules={module.directory}"]
        assert builder.build(*words).status == 0
        image = builder.image
        disk = bytearray((image / "persist.img").read_bytes())
        at = disk.index(next(path for path in module.objects.rglob("*") if path.is_file()).read_bytes()) + 100
        disk[at] ^= 1
        (image / "persist.img").write_bytes(disk)
        (image / "vmlinuz").write_bytes((image / "vmlinuz").read_bytes()[:-1] + b"?")
        (image / "cmdline").write_text("console=smell\n")
        packed = (image / INITRAMFS).read_bytes()
        (image / INITRAMFS).write_bytes(small.repack(packed, [cpio.file(small.MODULE, b"rootkit")]))
        builder.sums()
        answer = builder.verify("--json", *words)
        assert answer.status == 3
        found = {item.pop("artifact"): item for item in answer.json["differences"]}
        assert found["vmlinuz"] == {"offset": 11999, "inside": None, "origin": f"{small.KERNEL} 1"}
        assert found["cmdline"] == {"offset": 10, "inside": None, "origin": "board/qemu/board.toml"}
        assert found[INITRAMFS]["inside"] == small.MODULE
        assert found[INITRAMFS]["origin"] == f"{small.KERNEL} 1"
        assert found["persist.img"]["offset"] == at
        assert found["persist.img"]["inside"].startswith("/var/lib/powernode/objects/")
        assert found["persist.img"]["origin"] == "module tiny 1"
        text = builder.verify(*words).err
        assert f"persist.img differs from byte {at} on, in /var/lib/powernode/objects/" in text

    def test_a_manifest_that_lies(self, builder: Builder) -> None:
        builder.build()
        self.edit(builder, lambda document: document["tools"].update(zstd="0.1"))
        answer = builder.verify()
        assert (answer.status, answer.code) == (3, "image.verify.differs")
        assert f"{MANIFEST} differs from byte" in answer.err

    def test_another_compiler_is_said(self, builder: Builder) -> None:
        builder.build()
        self.edit(builder, lambda document: document["tools"].update(powernode="0.0"))
        assert "it says it was built with powernode '0.0', not " in builder.verify().err

    def test_another_plan(self, builder: Builder, module: Module) -> None:
        builder.build()
        error = refuses(builder.verify(f"--modules={module.directory}"), 2, "image.verify.plan")
        assert "with other steps" in error
        lock = replace(small.lock_of(builder.archive, GOOD + "\n"), suite="sid")
        small.write_lock(builder.lock, lock)
        error = refuses(builder.verify(), 2, "image.verify.plan")
        assert "with other packages[0]" in error

    @pytest.mark.parametrize(
        ("change", "status", "code"),
        [
            ({"version": 2}, 3, "image.manifest.version"),
            ({"version": "1"}, 3, "image.manifest.type"),
            ({"plan": None}, 3, "image.manifest.type"),
            (
                {"plan": {"arch": "../x", "board": "qemu", "variant": "small", "sha256": "0" * 64}},
                3,
                "image.manifest.value",
            ),
            (
                {"plan": {"arch": ARCH, "board": "../x", "variant": "small", "sha256": "0" * 64}},
                2,
                "image.board.unknown",
            ),
            ({"plan": {"arch": ARCH, "board": "qemu", "variant": "\x1b", "sha256": "0" * 64}}, 2, "image.variant"),
            ({"plan": {"arch": ARCH, "board": "qemu", "variant": "small", "sha256": "0" * 64}}, 2, "image.verify.plan"),
        ],
    )
    def test_a_hostile_manifest(self, builder: Builder, change: dict[str, object], status: int, code: str) -> None:
        builder.build()
        self.edit(builder, lambda document: document.update(change))
        error = refuses(builder.verify(), status, code)
        assert error.replace("\n", "").isprintable()

    def test_no_build_at_all(self, builder: Builder) -> None:
        refuses(builder.verify(), 2, "image.manifest.no-build")
        builder.image.mkdir(parents=True)
        refuses(builder.verify(), 2, "image.manifest.no-build")

    def test_nothing_is_left_behind(self, builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
        scratch = builder.folder / "tmp"
        scratch.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(scratch))
        builder.build()
        before = {path: path.stat().st_mtime_ns for path in builder.image.iterdir()}
        assert builder.verify().status == 0
        assert os.listdir(scratch) == []
        assert {path: path.stat().st_mtime_ns for path in builder.image.iterdir()} == before

    @staticmethod
    def edit(builder: Builder, change: Callable[[dict[str, Any]], object]) -> None:
        path = builder.image / MANIFEST
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
        builder.sums()
