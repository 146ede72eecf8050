# SPDX-License-Identifier: MIT
"""`powernode module pull`: verified before it is used, or loudly not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from powernode import native
from powernode.module import directory as modules
from powernode.oci.layout import Layout
from support._oci_modules import TAG, Made, make
from support.registry import listening
from unit.cli._command import Run

NEEDS_LIBRARY = pytest.mark.skipif(native.library() is None, reason="signatures are checked by the C library")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    (folder / "tree/etc").mkdir(parents=True)
    (folder / "tree/etc/motd").write_bytes(b"hello" * 100)
    for path in (folder / "tree/etc/motd", folder / "tree/etc", folder / "tree"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return make(folder, folder / "tree")


@pytest.fixture
def reference(run: Run, made: Made, tmp_path: Path) -> Iterator[str]:
    """The module in a registry, signed by somebody."""
    with listening(tmp_path / "registry") as address:
        assert run("module", "push", made.folder, f"{address}/acme/redis").status == 0
        yield f"{address}/acme/redis:{TAG}"


@pytest.fixture
def keys(run: Run, tmp_path: Path) -> tuple[Path, Path]:
    assert run("keys", "new", tmp_path / "publisher").status == 0
    return tmp_path / "publisher.key", tmp_path / "publisher.pub"


@NEEDS_LIBRARY
def test_verified(run: Run, reference: str, made: Made, keys: tuple[Path, Path], tmp_path: Path) -> None:
    key, public = keys
    assert run("module", "sign", f"--key={key}", reference).status == 0
    answer = run("module", "pull", f"--key={public}", "--arch=amd64", reference, tmp_path / "redis", "--json").json
    assert (answer["digest"], answer["verified"], answer["unchanged"]) == (made.index.digest, True, False)
    assert answer["composefs"] == str(made.module.digest)
    assert modules.read(tmp_path / "redis").digest == made.module.digest
    again = run("module", "pull", f"--key={public}", "--arch=amd64", reference, tmp_path / "redis", "--json").json
    assert (again["unchanged"], again["layer_bytes"]) == (True, 0)
    assert again["traffic"]["received_bytes"] > 0


@NEEDS_LIBRARY
def test_not_signed(run: Run, reference: str, made: Made, keys: tuple[Path, Path], tmp_path: Path) -> None:
    bare = Layout.create(tmp_path / "bare")
    shutil.copytree(made.folder / "blobs", tmp_path / "bare/blobs", dirs_exist_ok=True)
    bare.add(made.index, "v1")
    reference = reference.replace("redis:v0.1.0", "bare:v1")
    assert run("module", "push", tmp_path / "bare", reference).status == 0
    answer = run("module", "pull", f"--key={keys[1]}", reference, tmp_path / "redis")
    assert answer.code == "trust.artifact.unsigned"
    assert not (tmp_path / "redis").exists()


@NEEDS_LIBRARY
def test_by_somebody_else(run: Run, reference: str, keys: tuple[Path, Path], tmp_path: Path) -> None:
    answer = run("module", "pull", f"--key={keys[1]}", reference, tmp_path / "redis")
    assert answer.code.startswith("trust.artifact.")
    assert not (tmp_path / "redis").exists()


def test_without_a_policy(run: Run, reference: str, tmp_path: Path) -> None:
    assert run("module", "pull", reference, tmp_path / "redis").code == "module.verify.no-policy"
    loud = run("module", "pull", "--insecure-unverified", "--arch=arm64", reference, tmp_path / "redis")
    assert loud.status == 0
    assert loud.err == "warning: --insecure-unverified: nobody knows who made this module\n"
    assert "NOT VERIFIED" in loud.out.decode()
    assert modules.read(tmp_path / "redis").facts.architecture == "arm64"


@pytest.mark.parametrize("layout", [[], ["--layout"]], ids=["directory", "layout"])
def test_another_module_than_was_asked_for(
    run: Run, reference: str, made: Made, tmp_path: Path, layout: list[str]
) -> None:
    """Whoever may push can give a good module another's name, or an old one a new version's."""
    registry = reference.partition("/")[0]
    go = ["module", "pull", "--insecure-unverified", "--arch=amd64", *layout]
    for name in ("nginx:v0.1.0", "redis:v0.2.0", "nginx:stable"):
        assert run("module", "push", made.folder, f"{registry}/acme/{name}").status == 0
    assert run(*go, f"{registry}/acme/nginx:v0.1.0", tmp_path / "x").code == "module.pull.other-module"
    assert run(*go, f"{registry}/acme/redis:v0.2.0", tmp_path / "x").code == "module.pull.other-version"
    assert (
        run(*go, "--module=redis", f"{registry}/acme/redis:v0.2.0", tmp_path / "x").code == "module.pull.other-version"
    )
    assert run(*go, "--module=redis", f"{registry}/acme/nginx:stable", tmp_path / "one").status == 0
    assert run(*go, f"{registry}/acme/nginx@{made.index.digest}", tmp_path / "two").status == 0
    pinned = [f"{registry}/acme/redis@{made.index.digest}", tmp_path / "x"]
    assert run(*go, "--module=nginx", *pinned).code == "module.pull.other-module"


@NEEDS_LIBRARY
def test_another_module_with_a_good_signature(
    run: Run, reference: str, made: Made, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    registry = reference.partition("/")[0]
    for name, cause in (("nginx:v0.1.0", "other-module"), ("redis:v0.2.0", "other-version")):
        there = f"{registry}/acme/{name}"
        assert run("module", "push", made.folder, there).status == 0
        assert run("module", "sign", f"--key={keys[0]}", there).status == 0
        assert run("module", "verify", f"--key={keys[1]}", there).code == f"module.verify.{cause}"
        assert (
            run("module", "pull", f"--key={keys[1]}", "--arch=amd64", there, tmp_path / "x").code
            == f"module.pull.{cause}"
        )
        pinned = f"{there.rpartition(':')[0]}@{made.index.digest}"
        assert run("module", "verify", f"--key={keys[1]}", pinned).status == 0
    nginx = f"{registry}/acme/nginx:v0.1.0"
    assert run("module", "verify", f"--key={keys[1]}", "--module=redis", nginx).status == 0
    assert run("module", "verify", f"--key={keys[1]}", "--module=nginx", pinned).code == "module.verify.other-module"


def test_a_layout(run: Run, reference: str, made: Made, tmp_path: Path) -> None:
    words = ["module", "pull", "--insecure-unverified", "--layout", reference, tmp_path / "layout", "--json"]
    assert run(*words).json["unchanged"] is False
    assert run(*words).json["unchanged"] is True
    layout = Layout(tmp_path / "layout")
    assert layout.resolve(TAG).digest == made.index.digest
    for manifest in made.manifests:
        expected = {each.digest for each in made.layout.referrers(manifest.digest)}
        assert {each.digest for each in layout.referrers(manifest.digest)} == expected


@NEEDS_LIBRARY
def test_for_people(run: Run, reference: str, keys: tuple[Path, Path], tmp_path: Path) -> None:
    key, public = keys
    assert run("module", "sign", f"--key={key}", reference).status == 0
    words = ["module", "pull", f"--key={public}", "--arch=amd64", reference, tmp_path / "redis"]
    first = run(*words).out.decode().splitlines()
    identity = run("keys", "show", public, "--json").json["keys"][0]["id"]
    assert first[1] == f"  verified: signed by key {identity}"
    assert "  was there already: no" in first
    assert "  objects fetched: 1" in first
    assert "  was there already: yes" in run(*words).out.decode().splitlines()


def test_a_recheck(run: Run, reference: str, tmp_path: Path) -> None:
    words = ["module", "pull", "--insecure-unverified", "--arch=amd64", reference, tmp_path / "redis", "--json"]
    assert run(*words).status == 0
    (changed,) = [path for path in (tmp_path / "redis/objects").rglob("*") if path.is_file()]
    changed.chmod(0o644)
    changed.write_bytes(b"HELLO" * 100)
    assert run(*words).json["unchanged"] is True
    assert run(*words, "--recheck").json["unchanged"] is False
    assert changed.read_bytes() == b"hello" * 100


def test_a_store(run: Run, reference: str, tmp_path: Path) -> None:
    words = ["module", "pull", "--insecure-unverified", f"--store={tmp_path}/store", "--arch=amd64", reference]
    assert run(*words, tmp_path / "one", "--json").json["fetched_objects"] == 1
    assert run(*words, tmp_path / "two", "--json").json["fetched_objects"] == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--insecure-unverified", "--layout", "--store=x", "REFERENCE"], "cli.option"),
        (["--insecure-unverified", "--key=x", "REFERENCE"], "cli.module.pull"),
        (["--insecure-unverified", "registry.example.com/acme/redis"], "cli.module.which"),
        (["--insecure-unverified", "acme/redis:v1"], "oci.reference.registry"),
        (["--insecure-unverified", "REFERENCE-none"], "oci.not-found"),
        (["--key=none", "REFERENCE"], "cli.keys.no-file"),
        (["--insecure-unverified", "--layout", "--recheck", "REFERENCE"], "cli.option"),
    ],
)
def test_refused(run: Run, reference: str, tmp_path: Path, words: list[str], code: str) -> None:
    answer = run("module", "pull", *(word.replace("REFERENCE", reference) for word in words), tmp_path / "redis")
    assert answer.code == code
    assert not (tmp_path / "redis").exists()
