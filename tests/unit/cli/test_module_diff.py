# SPDX-License-Identifier: MIT
"""`powernode module diff` for people and for machines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from powernode.composefs.tree import Directory
from powernode.oci.layout import Layout
from unit.cli._command import Run
from unit.module._described import REDIS
from unit.module._published import TIME, file, link, publish, tree, write

OLD, NEW = b"old!" * 1000, b"newer" * 1000


def before() -> Directory:
    return tree(
        etc__motd=file(b"hello\n"),
        etc__same=file(b"same"),
        usr__bin__redis=file(OLD),
        usr__bin__check=link(b"redis"),
    )


def after() -> Directory:
    return tree(
        etc__motd=file(b"hello\n", mode=0o600, uid=5),
        etc__same=file(b"same", mtime_s=TIME + 1),
        usr__bin__redis=file(NEW),
        usr__bin__odd=Directory(mtime_s=TIME, entries={b"\x1b[2J": link(b"x")}),
    )


@pytest.fixture
def oci(tmp_path: Path) -> Path:
    layout = Layout.create(tmp_path / "oci")
    old = replace(REDIS, version="5:8.0.2-3", files=frozenset({b"/usr/bin/redis"}))
    new = replace(old, version="5:8.0.2-4")
    publish(layout, tmp_path, before(), packages=(old,), arches=("amd64", "arm64"))
    publish(layout, tmp_path, after(), packages=(new,), version="0.2.0", mask=["/usr/share/\u00e9"])
    return tmp_path / "oci"


def test_two_versions(run: Run, oci: Path) -> None:
    answer = run("module", "diff", f"{oci}:v0.1.0", f"{oci}:v0.2.0")
    assert answer.status == 0, answer.err
    *lines, last = answer.out.decode().splitlines()
    transfer = lines[-2]
    assert lines == [
        "my-redis 0.1.0 -> 0.2.0, amd64",
        "manifest:",
        '  version: "0.1.0" -> "0.2.0"',
        '  mask: nothing -> ["/usr/share/\\u00e9"]',
        "packages:",
        "  ~ redis-server:amd64 5:8.0.2-3 -> 5:8.0.2-4 (upgraded)",
        "files:",
        "  ~ /etc/motd: mode 0644 -> 0600, owner 0:0 -> 5:0",
        "  - /usr/bin/check",
        "  + /usr/bin/odd",
        "  + /usr/bin/odd/\\x1b[2J",
        "  ~ /usr/bin/redis: size 4000 -> 5000, content",
        "  and 1 differ in their times only",
        transfer,
        "",
    ]
    assert transfer.startswith("an update reads 1 objects, 5.0 kB of 5.0 kB (")
    assert last == "only the first is for arm64"


def test_for_machines(run: Run, oci: Path) -> None:
    answer = run("module", "diff", "--json", f"{oci}:v0.1.0", f"{oci}:v0.2.0").json
    assert (answer["only_before"], answer["only_after"]) == (["arm64"], [])
    found = answer["architectures"]["amd64"]
    assert found["same_image"] is False
    assert found["packages"] == [
        {"name": "redis-server:amd64", "what": "upgraded", "before": "5:8.0.2-3", "after": "5:8.0.2-4"}
    ]
    files = {each["path"]: each for each in found["files"]}
    assert files["/etc/motd"]["details"] == {"mode": ["0644", "0600"], "owner": ["0:0", "5:0"]}
    assert files["/usr/bin/check"]["what"] == "removed"
    assert (found["transfer"]["objects"], found["transfer"]["size_bytes"]) == (1, 5000)


def test_a_module_directory_with_its_own_artifact(run: Run, oci: Path, tmp_path: Path) -> None:
    answer = run("module", "diff", "--arch=amd64", tmp_path / "amd64-0.1.0", f"{oci}:v0.1.0")
    head, *lines = answer.out.decode().splitlines()
    assert head == "my-redis 0.1.0 -> 0.1.0, amd64"
    assert lines == [
        "manifest: a module directory has only name, version and globs of it; the rest is not compared",
        "packages: one of the modules does not say which it has",
        "the files are the same: an update reads nothing",
    ]


def test_a_module_directory_with_another_artifact(run: Run, oci: Path, tmp_path: Path) -> None:
    """What is in both is compared, in either order."""
    operands = [tmp_path / "amd64-0.1.0", f"{oci}:v0.2.0"]
    found = run("module", "diff", "--json", *operands).json["architectures"]["amd64"]
    assert [each["field"] for each in found["manifest"]] == ["version", "mask"]
    back = run("module", "diff", "--arch=amd64", "--json", *reversed(operands)).json["architectures"]["amd64"]
    assert [each["after"] for each in back["manifest"]] == ["0.1.0", None]
    assert not found["whole_manifest"]


def test_no_architecture_in_common(run: Run, oci: Path, tmp_path: Path) -> None:
    write(tmp_path / "arm", before(), arch="arm64")
    answer = run("module", "diff", tmp_path / "arm", f"{oci}:v0.2.0")
    assert (answer.status, answer.code) == (2, "module.diff.architecture")
    assert run("module", "diff", "--arch=arm64", f"{oci}:v0.1.0", tmp_path / "arm").status == 0
