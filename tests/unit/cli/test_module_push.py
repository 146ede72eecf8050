# SPDX-License-Identifier: MIT
"""`powernode module push`: what is meant, where it goes, and what is said about it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from powernode.module.refer import blobs_of
from powernode.oci.layout import Layout
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


@pytest.fixture(scope="module")
def unsigned(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same module as nobody has signed it."""
    layout = Layout.create(tmp_path_factory.mktemp("unsigned") / "layout")
    for each in (*blobs_of(made.layout.document(made.index)), *made.manifests, made.index):
        layout.put(made.layout.read(each, max_bytes=1 << 20), each.media_type)
    for manifest in made.manifests:
        for blob in blobs_of(made.layout.document(manifest)):
            layout.put(made.layout.read(blob, max_bytes=1 << 20), blob.media_type)
    layout.add(made.index, TAG)
    return Path(layout.path)


class TestWarnings:
    """What is pushed all the same, and who asks for it is refused."""

    def test_none(self, run: Run, made: Made, address: str) -> None:
        answer = run("module", "push", made.folder, f"{address}/acme/redis", "--tag=latest", "--json")
        assert (answer.json["warnings"], answer.json["moved"]) == ([], {})

    def test_unsigned(self, run: Run, made: Made, unsigned: Path, address: str) -> None:
        answer = run("module", "push", unsigned, f"{address}/acme/redis")
        assert answer.status == 0
        assert answer.err == (
            "warning: nobody has signed it, so nobody can verify or pull it: "
            f"`powernode module sign --key=FILE {address}/acme/redis@{made.index.digest}`\n"
        )

    def test_signed_where_it_is(self, run: Run, made: Made, unsigned: Path, address: str) -> None:
        run("module", "push", made.folder, f"{address}/acme/redis")
        assert run("module", "push", unsigned, f"{address}/acme/redis", "--json").json["warnings"] == []

    def test_another_name(self, run: Run, made: Made, address: str) -> None:
        answer = run("module", "push", made.folder, f"{address}/acme/nginx")
        assert answer.status == 0
        assert answer.err == (
            f"warning: the module is redis, the repository nginx: push it to {address}/acme/redis, "
            "or pull with --module=redis\n"
        )

    def test_another_version(self, run: Run, made: Made, address: str) -> None:
        answer = run("module", "push", made.folder, f"{address}/acme/redis:v0.9.0", "--tag=v0.1.0-amd64", "--json")
        assert answer.json["warnings"] == [
            "the tag v0.9.0 is not that of version 0.1.0, and pull refuses it: push it as v0.1.0"
        ]

    def test_tags_that_move(self, run: Run, made: Made, address: str) -> None:
        manifest = f"{made.folder}@{made.manifests[0].digest}"
        for tag in (TAG, "latest"):
            run("module", "push", manifest, f"{address}/acme/redis:{tag}")
        answer = run("module", "push", made.folder, f"{address}/acme/redis", "--tag=latest")
        assert answer.out.decode().count(f", which named {made.manifests[0].digest}\n") == 2
        assert answer.err == (
            f"warning: the tag {TAG} named {made.manifests[0].digest} until now: give what has changed a new version\n"
        )
        assert run("module", "push", made.folder, f"{address}/acme/redis", "--json").json["moved"] == {}


def test_the_operands_the_wrong_way_round(run: Run, made: Made, address: str) -> None:
    answer = run("module", "push", f"{address}/acme/redis", f"{made.folder}:{TAG}")
    assert (answer.status, answer.code) == (2, "cli.module.swapped")
    assert f"try: powernode module push {made.folder}:{TAG} {address}/acme/redis\n" in answer.err


def test_who_waits_is_told_for_what(run: Run, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr("random.random", lambda: 1.0)
    answer = run("module", "push", made.folder, "127.0.0.1:1/acme/redis", "--jobs=1")
    assert answer.err.splitlines()[:4] == [
        f"127.0.0.1:1 cannot be reached (Connection refused), trying again in {seconds} s ({number} of 5)"
        for seconds, number in (("1.0", 2), ("2.0", 3), ("4.0", 4), ("8.0", 5))
    ]
    assert "  try: nothing listens there: start it, or look at the port" in answer.err.splitlines()
    quiet = run("module", "push", made.folder, "127.0.0.1:1/acme/redis", "--jobs=1", "--json")
    assert quiet.err.count("\n") == 1


def test_a_bad_tag_is_refused_before_anything_is_sent(run: Run, made: Made, address: str, tmp_path: Path) -> None:
    answer = run("module", "push", made.folder, f"{address}/acme/redis", "--tag=../x")
    assert answer.code == "oci.reference.tag"
    assert not (tmp_path / "registry").exists()
