# SPDX-License-Identifier: MIT
"""`powernode composefs merge` and `explain` with modules as a person would write them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from powernode.composefs import image
from unit.cli._command import Run


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`base` and above it `site`, which brings its own motd and leaves its secret out."""
    monkeypatch.chdir(tmp_path)
    for module, files in {
        "base": {"etc/motd": b"base", "etc/hosts": b"hosts", "usr/tool": b"tool" * 100},
        "site": {"etc/motd": b"site", "etc/secret": b"s", "usr/extra": b"x" * 200},
    }.items():
        for name, content in files.items():
            path = tmp_path / module / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            os.utime(path, ns=(0, 0))
        for folder in ("", "etc", "usr"):
            os.utime(tmp_path / module / folder, ns=(0, 0))
    (tmp_path / "site.json").write_text(json.dumps({"file_spec": ["/etc/**", "/usr/**"], "mask": ["/etc/secret"]}))
    (tmp_path / "protect.json").write_text(json.dumps({"file_spec": ["/**"], "protected_spec": ["/etc/motd"]}))
    return tmp_path


BASE = "--module=base,priority=1000,tree=base"
SITE = "--module=site,priority=5000,tree=site,rules=site.json"


def test_merge(run: Run, modules: Path) -> None:
    answer = run("composefs", "merge", BASE, SITE, "--report", "root.cfs")
    assert answer.status == 0
    data = (modules / "root.cfs").read_bytes()
    digest, *report = answer.out.decode().splitlines()
    assert digest == image.digest(data).hex
    assert any("/etc/motd of base" in line for line in report)
    assert any("/etc/secret of site" in line for line in report)
    paths = [line.split(b"\t")[0].rstrip(b"/") for line in image.listing(data).splitlines()]
    assert paths == [b"/etc", b"/etc/hosts", b"/etc/motd", b"/usr", b"/usr/extra", b"/usr/tool"]
    assert b" site " in image.dump(data, only=[b"etc"])


def test_the_order_on_the_command_line_does_not_matter(run: Run, modules: Path) -> None:
    assert run("composefs", "merge", BASE, SITE).out == run("composefs", "merge", SITE, BASE).out


def test_trees_may_be_directories_images_or_dumps(run: Run, modules: Path) -> None:
    expected = run("composefs", "merge", BASE, SITE).out
    run("composefs", "create", "--hardlinks", "base", "base.cfs")
    (modules / "base.dump").write_bytes(run("composefs", "dump", "base.cfs").out)
    for tree in ("base.cfs", "base.dump"):
        assert run("composefs", "merge", f"--module=base,priority=1000,tree={tree}", SITE).out == expected


def test_json(run: Run, modules: Path) -> None:
    answer = run("composefs", "merge", "--json", BASE, SITE, "root.cfs").json
    data = (modules / "root.cfs").read_bytes()
    assert (answer["digest"], answer["size_bytes"]) == (image.digest(data).hex, len(data))
    losses = {(loss["path"], loss["loser"], loss["winner"], loss["rule"]) for loss in answer["lost"]}
    assert ("/etc/motd", "base", "site", "higher") in losses
    assert ("/etc/secret", "site", None, "mask") in losses


def test_two_modules_that_protect_the_same_path(run: Run, modules: Path) -> None:
    given = [
        f"--module={name},priority={at},tree={name},rules=protect.json" for at, name in enumerate(("base", "site"))
    ]
    answer = run("composefs", "merge", *given, "root.cfs")
    assert (answer.status, answer.code, answer.out) == (2, "merge.conflict", b"")
    assert "/etc/motd is protected by" in answer.err
    assert "base" in answer.err
    assert "site" in answer.err
    assert not (modules / "root.cfs").exists()


def test_protected_by_the_lower_one(run: Run, modules: Path) -> None:
    given = ["--module=base,priority=1000,tree=base,rules=protect.json", SITE]
    answer = run("composefs", "explain", "/etc/motd", "--json", *given)
    assert answer.status == 0
    assert "base" in json.dumps(answer.json)
    run("composefs", "merge", *given, "root.cfs")
    assert b" base " in image.dump((modules / "root.cfs").read_bytes(), only=[b"etc"])


def test_explain(run: Run, modules: Path) -> None:
    answer = run("composefs", "explain", "/etc/motd", BASE, SITE)
    assert answer.status == 0
    assert b"site" in answer.out
    assert b"base" in answer.out
    answer = run("composefs", "explain", "/etc/secret", BASE, SITE)
    assert answer.status == 1
    assert b"mask" in answer.out
    assert run("composefs", "explain", "/nowhere", BASE, SITE).status == 1


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], "cli.module"),
        (["--module=base"], "cli.module"),
        (["--module=base,tree=base"], "cli.module"),
        (["--module=base,priority=high,tree=base"], "cli.module"),
        (["--module=base,priority=1,tree=base,colour=red"], "cli.module"),
        (["--module=base,priority=1,tree=base,locked=no"], "cli.module"),
        (["--module=base,priority=1,tree=base,tree=site"], "cli.module"),
        (["--module=base,priority=1,tree=base,rules="], "cli.module"),
        ([f"--module=base,priority={'9' * 5000},tree=base"], "cli.module"),
        (["--module=base,priority=1,tree=base,rules=broken.json"], "cli.rules"),
        (["--module=base,priority=1,tree=base,rules=list.json"], "cli.rules"),
        (["--module=base,priority=1,tree=base,rules=other.json"], "cli.rules"),
        (["--module=base,priority=1,tree=base,rules=text.json"], "cli.rules"),
        (["--module=base,priority=1,tree=base,rules=deep.json"], "cli.rules"),
    ],
)
def test_modules_that_cannot_be_understood(run: Run, modules: Path, words: list[str], code: str) -> None:
    rules = {
        "broken": "{",
        "list": "[]",
        "other": '{"colour": []}',
        "text": '{"mask": "/etc"}',
        "deep": "[" * 100_000,
    }
    for name, text in rules.items():
        (modules / f"{name}.json").write_text(text)
    answer = run("composefs", "merge", *words)
    assert (answer.status, answer.code) == (2, code)


def test_files_that_are_not_there(run: Run, modules: Path) -> None:
    assert run("composefs", "merge", "--module=a,priority=1,tree=nowhere").status == 4
    assert run("composefs", "merge", "--module=a,priority=1,tree=base,rules=nowhere").status == 4
