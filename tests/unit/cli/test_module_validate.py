# SPDX-License-Identifier: MIT
"""`powernode module validate` and `schema` as they are typed, and the examples in the repository."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from powernode.module.source import read_source
from unit.cli._command import Run

ROOT = Path(__file__).parents[3]
CONTAINERFILE = ROOT / "src/powernode/module/templates/common/Containerfile"
EXAMPLES = sorted(path.name for path in (ROOT / "examples/modules").iterdir())


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    (folder / "rootfs/etc").mkdir(parents=True)
    (folder / "rootfs/etc/a").touch()
    (folder / "manifest.yaml").write_text("schema_version: 1\nname: site\nfile_spec: [/etc/a]\n")
    return folder


def test_nothing_wrong(run: Run, site: Path) -> None:
    answer = run("module", "validate", site)
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.decode() == f"{site}: no errors, no warnings\n"


def test_in_the_folder_itself(run: Run, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(site)
    (site / "manifest.yaml").write_text("schema_version: 1\nname: Site\n")
    answer = run("module", "validate")
    assert answer.status == 3
    assert answer.out.decode().startswith("manifest.yaml:2:7: manifest.value: ")


def test_warnings_are_allowed(run: Run, site: Path) -> None:
    (site / "manifest.yaml").write_text("schema_version: 1\nname: site\nfile_spec: [/etc/a, /etc/a]\n")
    answer = run("module", "validate", site)
    assert answer.status == 0
    first, last = answer.out.decode().splitlines()
    assert first == f"{site}/manifest.yaml:3:21: warning: module.glob.duplicate: /etc/a is in file_spec twice"
    assert last == f"{site}: no errors, 1 warning"


def test_for_machines(run: Run, site: Path) -> None:
    (site / "manifest.yaml").write_text("schema_version: 1\nname: site\ncolour: red\nmask: [x]\n")
    answer = run("module", "validate", site, "--json")
    assert answer.status == 3
    assert (answer.json["errors"], answer.json["warnings"]) == (2, 0)
    assert [(each["line"], each["column"], each["code"]) for each in answer.json["findings"]] == [
        (3, 1, "manifest.unknown-key"),
        (4, 8, "glob.anchor"),
    ]
    assert answer.json["unchecked"]


def test_offline_says_what_it_does_not_know(run: Run, site: Path) -> None:
    (site / "manifest.yaml").write_text("schema_version: 1\nname: site\npackage_spec: [x1]\n")
    answer = run("module", "validate", site, "--offline")
    assert answer.status == 0
    assert b"not checked: whether the packages exist: there is no packages.lock, and --offline was given" in answer.out


class Empty(BaseHTTPRequestHandler):
    """An archive that has nothing."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


def test_no_archive_is_no_error(run: Run, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERNODE_CACHE", str(tmp_path / "cache"))
    (site / "manifest.yaml").write_text("schema_version: 1\nname: site\npackage_spec: [x1]\n")
    with ThreadingHTTPServer(("127.0.0.1", 0), Empty) as server:
        threading.Thread(target=server.serve_forever).start()
        answer = run("module", "validate", site, f"--archive=http://127.0.0.1:{server.server_port}/debian")
        server.shutdown()
    assert answer.status == 0
    assert b"the archive's index could not be had" in answer.out


def test_an_archive_that_cannot_be_one(run: Run, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERNODE_CACHE", str(tmp_path / "cache"))
    (site / "manifest.yaml").write_text("schema_version: 1\nname: site\npackage_spec: [x1]\n")
    answer = run("module", "validate", site, "--archive=ftp://x")
    assert (answer.status, answer.code) == (2, "debian.apt.url")


def test_a_lock_is_asked_first(run: Run, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERNODE_CACHE", str(tmp_path / "cache"))
    (site / "manifest.yaml").write_text("schema_version: 1\nname: site\npackage_spec: [x1]\n")
    package = {
        "name": "x1",
        "version": "1",
        "architecture": "all",
        "filename": "pool/x1.deb",
        "size": 1,
        "sha256": "0" * 64,
    }
    (site / "packages.lock").mkdir()
    lock = {"version": 1, "arch": "amd64", "suite": "trixie", "groups": {"base": [], "module": [package]}}
    (site / "packages.lock/amd64.json").write_text(json.dumps({**lock, "requests": {"module": ["x1"]}}))
    answer = run("module", "validate", site)
    assert (answer.status, answer.out.decode()) == (0, f"{site}: no errors, no warnings\n")
    (site / "manifest.yaml").write_text("schema_version: 1\nname: site\npackage_spec: [x1, x2]\n")
    answer = run("module", "validate", site, "--json")
    assert answer.status == 3
    assert [each["code"] for each in answer.json["findings"]] == ["module.lock.stale"]


def test_the_locks_of_all_architectures_have_to_fit(run: Run, site: Path) -> None:
    (site / "manifest.yaml").write_text("schema_version: 1\nname: site\npackage_spec: [x1]\n")
    (site / "packages.lock").mkdir()
    for arch, asked in (("amd64", ["x1"]), ("arm64", [])):
        lock = {"version": 1, "arch": arch, "suite": "trixie", "groups": {"base": [], "module": []}}
        (site / f"packages.lock/{arch}.json").write_text(json.dumps({**lock, "requests": {"module": asked}}))
    answer = run("module", "validate", site, "--json")
    (finding,) = answer.json["findings"]
    assert (finding["code"], finding["found"]) == ("module.lock.stale", "x1 is not in it")
    assert finding["hint"].endswith("--arch arm64")


def test_with_others(run: Run, site: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "manifest.yaml").write_text("schema_version: 1\nname: other\nprotected_spec: [/etc/]\n")
    answer = run("module", "validate", site, "--with", other, "--json")
    assert answer.status == 3
    assert {each["code"] for each in answer.json["findings"]} == {"module.owner.protected"}


def test_no_module(run: Run, tmp_path: Path) -> None:
    answer = run("module", "validate", tmp_path)
    assert (answer.status, answer.code) == (2, "module.source.missing")


def test_the_schema(run: Run) -> None:
    answer = run("module", "schema")
    assert answer.status == 0
    assert answer.out == (ROOT / "docs/formats/module-manifest.schema.json").read_bytes()


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples(run: Run, name: str) -> None:
    folder = ROOT / "examples/modules" / name
    answer = run("module", "validate", folder, "--offline", "--json")
    assert (answer.status, answer.json["findings"]) == (0, [])
    assert read_source(folder).manifest.name == {"redis": "my-redis"}.get(name, name)
    if name != "system-base":
        assert (folder / "Containerfile").read_bytes() == CONTAINERFILE.read_bytes()


def test_the_tutorial_says_what_the_examples_show() -> None:
    page = (ROOT / "docs/first-module.md").read_text("utf-8").split("## Others to read")[1].split("\n## ")[0]
    assert sorted(re.findall(r"^\| `([a-z0-9-]+)` \|", page, re.M)) == EXAMPLES


def test_the_seven_examples_go_together(run: Run) -> None:
    assert len(EXAMPLES) == 7
    for name in EXAMPLES:
        others = [f"--with={ROOT / 'examples/modules' / other}" for other in EXAMPLES if other != name]
        answer = run("module", "validate", ROOT / "examples/modules" / name, "--offline", "--json", *others)
        assert [each["message"] for each in answer.json["findings"]] == []
