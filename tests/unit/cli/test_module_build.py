# SPDX-License-Identifier: MIT
"""`powernode module build`: its options, its words and its JSON. The stages have tests of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from powernode.module import lock
from unit.cli._command import Run
from unit.module._fake_root import ARCH, Debs, fake_mmdebstrap

CONFIG = "schema_version: 1\nname: site-config\n"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POWERNODE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "module/rootfs/etc").mkdir(parents=True)
    (tmp_path / "module/rootfs/etc/motd").write_text("hello\n")
    (tmp_path / "module/manifest.yaml").write_text(CONFIG)
    return tmp_path / "module"


def test_for_people(run: Run, module: Path) -> None:
    answer = run("module", "build", module, "--version=1.0.0")
    assert answer.status == 0
    first, manifest, composefs, index = answer.out.decode().splitlines()
    assert first == f"site-config 1.0.0: {module}/build"
    assert manifest.startswith(f"  {ARCH}  manifest sha256:")
    assert "composefs sha256:" in composefs
    assert index.startswith("  index  sha256:")
    assert f"{ARCH}: 1 files in 3 entries ship" in answer.err


def test_for_machines(run: Run, module: Path, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere"
    answer = run("module", "build", module, "--version=1.0.0", "--arch=arm64,amd64", f"--out={out}", "--json")
    document = answer.json
    assert document.pop("out") == str(out)
    assert document == json.loads((out / "build.json").read_text())
    assert set(document["architectures"]) == {"amd64", "arm64"}
    assert document["architectures"]["arm64"]["shipped"]["files"] == 1


def test_here(run: Run, module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(module)
    assert run("module", "build", "--version=1.0.0").status == 0
    assert (module / "build/oci/index.json").is_file()


def test_from_the_lock_and_the_cache_alone(run: Run, module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No archive is asked for what is pinned and here."""
    folder = module.parent
    monkeypatch.setenv("PATH", str(fake_mmdebstrap(folder / "bin")))
    debs = Debs(folder / "debs", {"base-files": {"/etc/issue": b""}, "hello": {"/usr/bin/hello": b"#!/bin/sh\n"}})
    (folder / "cache/debs").mkdir(parents=True)
    for package in debs.packages:
        debs.deb(package.name).rename(folder / f"cache/debs/{package.sha256}.deb")
    lock.write(module, debs.lock("base-files", requests=("hello",)))
    (module / "manifest.yaml").write_text(CONFIG + "package_spec: [hello]\n")
    answer = run("module", "build", module, "--version=1.0.0", "--archive=http://127.0.0.1:1/debian")
    assert answer.status == 0, answer.err
    assert f"{ARCH}: install 2 packages" in answer.err
    assert (module / f"build/{ARCH}/module.json").is_file()


@pytest.mark.parametrize(
    ("manifest", "words", "code"),
    [
        ("package_spec: [hello]\n", [], "module.version.unpinned"),
        ("build: {options: [{name: ssh, packages: [hello]}]}\n", ["--option=ssh"], "module.version.unpinned"),
        ("build: {options: [{name: ssh, packages: [hello]}]}\n", [], None),
        ("package_spec: [hello]\n", ["--containerfile"], "module.containerfile.missing"),
    ],
)
def test_a_tag_that_does_not_pin_what_is_built(
    run: Run, module: Path, manifest: str, words: list[str], code: str | None
) -> None:
    (module / "manifest.yaml").write_text(CONFIG + manifest)
    for command in ("init", "add .", "-c user.name=x -c user.email=x@example commit -m x", "tag v1.0.0"):
        subprocess.run(["git", *command.split()], cwd=module, check=True, capture_output=True)
    answer = run("module", "build", module, *words)
    assert (f"code: {code}" in answer.err) if code else (answer.status == 0), answer.err


def test_the_same_bytes_whatever_the_order_of_sets(module: Path) -> None:
    """Two processes with other hash seeds, packages from the cache, and a feed."""
    folder = module.parent
    tools = fake_mmdebstrap(folder / "bin")
    hello = {f"/usr/bin/hello-{number}": b"#!/bin/sh\n" for number in range(9)}
    debs = Debs(folder / "debs", {"base-files": {"/etc/issue": b""}, "hello": hello})
    (folder / "cache/debs").mkdir(parents=True)
    for package in debs.packages:
        debs.deb(package.name).rename(folder / f"cache/debs/{package.sha256}.deb")
    lock.write(module, debs.lock("base-files", requests=("hello",)))
    (module / "manifest.yaml").write_text(CONFIG + "package_spec: [hello]\n")
    (folder / "feed").mkdir()
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]
    affected = [
        {"package": {"ecosystem": "Debian:13", "name": "hello"}, "ranges": ranges, "versions": [f"{number}.0", "1.0"]}
        for number in range(9)
    ]
    advisory = {"id": "DSA-1", "modified": "2026-01-01T00:00:00Z", "affected": affected, "aliases": ["CVE-1", "CVE-2"]}
    (folder / "feed/a.json").write_text(json.dumps(advisory))
    command = [sys.executable, "-m", "powernode.cli", "module", "build", str(module), "--version=1.0.0"]
    found = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PATH": str(tools)}
        words = [f"--out={folder}/{seed}", f"--advisories={folder}/feed"]
        subprocess.run([*command, *words], env=environment, check=True, capture_output=True)
        files = (path for path in (folder / seed).rglob("*") if path.is_file())
        found.append({path.relative_to(folder / seed): path.read_bytes() for path in files})
    assert found[0] == found[1]
    assert any(b"openvex.dev" in data for data in found[0].values())


def test_what_is_not_looked_at_is_said(run: Run, module: Path) -> None:
    (module / "manifest.yaml").write_text(CONFIG + f"build:\n  ubuntu_digest: sha256:{'ab' * 32}\n")
    assert "build.ubuntu_digest is for the Containerfile" in run("module", "build", module, "--version=1.0.0").err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], "module.version.none"),
        (["--version=1.0"], "module.version.given"),
        (["--version=1.0.0", "--arch=mips"], "cli.option"),
        (["--version=1.0.0", "--arch=amd64,"], "cli.option"),
        (["--version=1.0.0", "--option=ssh"], "module.build.option"),
        (["--version=1.0.0", "--containerfile"], "module.containerfile.missing"),
        (["--version=1.0.0", "--advisories=/nowhere"], "module.feed.folder"),
    ],
)
def test_refusals(run: Run, module: Path, words: list[str], code: str) -> None:
    answer = run("module", "build", module, *words)
    assert (answer.code, answer.out) == (code, b"")
    assert not (module / "build").exists()


def test_no_module(run: Run, tmp_path: Path) -> None:
    assert run("module", "build", tmp_path, "--version=1.0.0").code == "module.source.missing"
