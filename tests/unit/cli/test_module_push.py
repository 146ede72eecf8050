# SPDX-License-Identifier: MIT
"""`powernode module push`: what is meant, where it goes, and what is said about it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support._oci_modules import TAG, Made, make
from support.registry import listening
from unit.cli._command import Run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    (folder / "tree/etc").mkdir(parents=True)
    (folder / "tree/etc/motd").write_bytes(b"hello" * 100)
    for path in (folder / "tree/etc/motd", folder / "tree/etc", folder / "tree"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return make(folder, folder / "tree")


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with listening(tmp_path / "registry") as address:
        yield address


def test_for_people(run: Run, made: Made, address: str) -> None:
    answer = run("module", "push", made.folder, f"{address}/acme/redis")
    assert (answer.status, answer.err) == (0, "")
    lines = answer.out.decode().splitlines()
    assert lines[:2] == [f"pushed {address}/acme/redis@{made.index.digest}", f"  tag {address}/acme/redis:{TAG}"]
    again = run("module", "push", made.folder, f"{address}/acme/redis").out.decode().splitlines()
    assert again[2].startswith("  blobs: 0 sent, 0 mounted, ")
    assert again[3].startswith("  manifests: 0 sent, ")


def test_for_machines(run: Run, made: Made, address: str) -> None:
    answer = run("module", "push", f"{made.folder}:{TAG}", f"{address}/acme/redis:v9", "--tag=latest", "--json").json
    assert answer["reference"] == f"{address}/acme/redis@{made.index.digest}"
    assert answer["tags"] == ["v9", "latest"]
    assert answer["blobs"]["sent"] > 0
    about = [made.index, *made.manifests]
    assert answer["referrers"] == sum(len(made.layout.referrers(each.digest)) for each in about) >= 6
    assert answer["traffic"]["sent_bytes"] > answer["blobs"]["sent_bytes"] > 0
    mounted = run(
        "module", "push", made.folder, f"{address}/acme/copy", "--mount-from=acme/redis", "--jobs=1", "--json"
    ).json
    assert (mounted["blobs"]["sent"], mounted["blobs"]["mounted"]) == (0, answer["blobs"]["sent"])


def test_the_build_of_a_module_s_folder(run: Run, made: Made, address: str, tmp_path: Path) -> None:
    (tmp_path / "module/build").mkdir(parents=True)
    (tmp_path / "module/build/oci").symlink_to(made.folder)
    answer = run("module", "push", tmp_path / "module", f"{address}/acme/redis", "--json").json
    assert answer["digest"] == made.index.digest


def test_by_its_digest(run: Run, made: Made, address: str) -> None:
    """It has a name there; a signature has none."""
    answer = run("module", "push", f"{made.folder}@{made.index.digest}", f"{address}/acme/redis", "--json").json
    assert (answer["digest"], answer["tags"]) == (made.index.digest, [TAG])
    signature = f"{made.folder}@{made.layout.referrers(made.index.digest)[0].digest}"
    assert run("module", "push", signature, f"{address}/acme/redis").code == "cli.module.push"
    assert run("module", "push", signature, f"{address}/acme/redis", "--tag=x", "--json").json["tags"] == ["x"]


@pytest.mark.parametrize(
    ("layout", "reference", "code"),
    [
        ("LAYOUT", "acme/redis", "oci.reference.registry"),
        ("LAYOUT", "ADDRESS/acme/redis@sha256:" + "0" * 64, "cli.module.push"),
        ("LAYOUT:v7", "ADDRESS/acme/redis", "oci.layout.no-such-name"),
        ("nowhere", "ADDRESS/acme/redis", "cli.module.no-layout"),
        ("LAYOUT", "127.0.0.1:1/acme/redis", "net.unreachable"),
    ],
)
def test_refused(
    run: Run, made: Made, address: str, layout: str, reference: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    words = [layout.replace("LAYOUT", str(made.folder)), reference.replace("ADDRESS", address)]
    assert run("module", "push", *words).code == code


def test_a_bad_tag_is_refused_before_anything_is_sent(run: Run, made: Made, address: str, tmp_path: Path) -> None:
    answer = run("module", "push", made.folder, f"{address}/acme/redis", "--tag=../x")
    assert answer.code == "oci.reference.tag"
    assert not (tmp_path / "registry").exists()
