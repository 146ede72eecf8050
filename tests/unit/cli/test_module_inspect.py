# SPDX-License-Identifier: MIT
"""`powernode module inspect` with modules as directories and in layouts, and with names that want to be commands."""

from __future__ import annotations

import json
import random
import secrets
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from powernode.composefs.tree import Directory
from powernode.net.transport import HttpTransport
from powernode.oci.client import Registry
from powernode.oci.documents import Index, Manifest
from powernode.oci.layout import Layout
from powernode.oci.reference import Reference
from powernode.oci.server.handler import Handler
from powernode.oci.server.listen import Listener
from powernode.oci.server.storage import Storage
from unit.cli._command import Run
from unit.module._described import REDIS
from unit.module._published import TIME, file, link, publish, tree, write

ESCAPE = b"\x1b[2J\xff"
SERVER = b"\x7fELF" * 1000


def root() -> Directory:
    return tree(
        etc__motd=file(b"hello\n"),
        usr__bin__redis=file(SERVER, mode=0o755),
        usr__bin__check=link(b"redis"),
        var=Directory(mtime_s=TIME, entries={ESCAPE: file(b"odd")}),
    )


def utf8_root() -> Directory:
    return tree(
        usr__bin__redis=file(SERVER), var=Directory(mtime_s=TIME, entries={b"\x1b[2J": link("\u009b".encode())})
    )


@pytest.fixture
def oci(tmp_path: Path) -> Path:
    layout = Layout.create(tmp_path / "oci")
    odd = replace(REDIS, files=frozenset({b"/usr/bin/redis"}))
    publish(
        layout,
        tmp_path,
        tree(usr__bin__redis=file(SERVER, mode=0o755), etc__motd=file(b"hello\n")),
        arches=("amd64", "arm64"),
        packages=(odd,),
        license="BSD-3-Clause",
        dependencies={"requires": ["powernode/base@^1.0"]},
        init={"start": "systemctl start redis"},
        services=[{"name": "redis", "start_command": "/usr/bin/redis", "exposed_ports": ["6379/tcp"]}],
        security={"capabilities": ["CAP_NET_BIND_SERVICE"]},
        reboot_required=True,
    )
    return tmp_path / "oci"


def test_a_layout(run: Run, oci: Path) -> None:
    answer = run("module", "inspect", f"{oci}:v0.1.0")
    assert answer.status == 0, answer.err
    text = answer.out.decode()
    assert [line for line in text.splitlines() if not line.startswith(" ")] == [
        "my-redis 0.1.0 for amd64",
        "",
        "my-redis 0.1.0 for arm64",
    ]
    for line in (
        "  contents    2 files, 4 directories, 0 links, 4.0 kB in 1 objects",
        "  signatures  none",
        "  licence     BSD-3-Clause",
        "  ships       /**",
        "  requires    powernode/base@^1.0",
        "  init        start: systemctl start redis",
        "  service     redis (exposed_ports: 6379/tcp; start_command: /usr/bin/redis)",
        "  security    capabilities: CAP_NET_BIND_SERVICE",
        "  reboot      is needed after a change",
        "  packages    redis-server 5:8.0.2-3+b1, 1 files",
        "  licences    BSD-3-Clause (1), and 1 of their own",
        "  largest        4.0 kB  /usr/bin/redis",
    ):
        assert text.count(f"{line}\n") == 2, line


def test_one_architecture(run: Run, oci: Path) -> None:
    answer = run("module", "inspect", "--arch=arm64", "--json", f"{oci}:v0.1.0")
    (part,) = answer.json["architectures"].values()
    assert (part["name"], part["version"], part["contents"]["objects"]) == ("my-redis", "0.1.0", 1)
    assert part["manifest"]["license"] == "BSD-3-Clause"
    assert part["packages"][0]["licence"] == "BSD-3-Clause AND LicenseRef-Debian-public-domain"
    assert [each["kind"] for each in part["attached"]] == ["application/vnd.cyclonedx+json"]
    again = run("module", "inspect", "--json", f"{oci}@{part['manifest_digest']}").json["architectures"]["arm64"]
    assert again == part | {"index": None}


def test_a_module_directory(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "module", root())
    answer = run("module", "inspect", tmp_path / "module")
    assert b"\n  priority    500000\n" in answer.out
    assert b"signatures" not in answer.out


def test_files(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "module", root())
    assert run("module", "inspect", "--files", tmp_path / "module").out.decode().splitlines() == [
        "d 0755 0:0    0 /etc",
        "f 0644 0:0    6 /etc/motd",
        "d 0755 0:0    0 /usr",
        "d 0755 0:0    0 /usr/bin",
        "l 0777 0:0    0 /usr/bin/check -> redis",
        "f 0755 0:0 4000 /usr/bin/redis",
        "d 0755 0:0    0 /var",
        "f 0644 0:0    3 /var/\\x1b[2J\\xff",
    ]
    rows = run("module", "inspect", "--files", "--json", tmp_path / "module").json["files"]
    assert rows[-1]["path"].encode("utf-8", "surrogateescape") == b"/var/" + ESCAPE


def test_nothing_reaches_the_terminal_that_it_would_act_on(run: Run, tmp_path: Path) -> None:
    layout = Layout.create(tmp_path / "oci")
    publish(layout, tmp_path, utf8_root(), bill=_bill("x\x1b[31m\u202e\u009b"))
    for options in ([], ["--files"], ["--sbom"], ["--json"], ["--files", "--json"], ["--manifest"]):
        answer = run("module", "inspect", *options, f"{tmp_path / 'oci'}:v0.1.0")
        assert answer.status == 0
        text = answer.out.decode()
        assert all(character.isprintable() or character == "\n" for character in text), options
        if options == ["--sbom"]:
            assert json.loads(text)["components"][0]["name"] == "x\x1b[31m\u202e\u009b"


def _bill(name: str) -> bytes:
    component = {"type": "library", "name": name, "version": name, "bom-ref": name, "licenses": [{"expression": name}]}
    return json.dumps({"components": [component]}, ensure_ascii=False).replace("\x1b", "\\u001b").encode()


def test_the_manifest_and_the_sbom(run: Run, oci: Path) -> None:
    manifest = run("module", "inspect", "--arch=amd64", "--manifest", f"{oci}:v0.1.0").json
    assert manifest["services"][0]["name"] == "redis"
    sbom = run("module", "inspect", "--arch=amd64", "--sbom", f"{oci}:v0.1.0").json
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.6")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--files", "--sbom"], "cli.option"),
        (["--files"], "cli.module.which-arch"),
        (["--arch=riscv64"], "module.inspect.architecture"),
    ],
)
def test_what_cannot_be_shown(run: Run, oci: Path, options: list[str], code: str) -> None:
    answer = run("module", "inspect", *options, f"{oci}:v0.1.0")
    assert (answer.status, answer.code, answer.out) == (2, code, b"")


def test_a_module_directory_has_no_sbom(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "module", root())
    assert run("module", "inspect", "--sbom", tmp_path / "module").code == "cli.module.no-sbom"
    assert run("module", "inspect", "--arch=arm64", tmp_path / "module").code == "module.inspect.architecture"


def test_every_way_to_name_a_layout(run: Run, oci: Path, tmp_path: Path) -> None:
    (tmp_path / "own/build").mkdir(parents=True)
    (tmp_path / "own/build/oci").symlink_to(oci)
    expected = run("module", "inspect", "--json", f"{oci}:v0.1.0").json
    digest = expected["architectures"]["amd64"]["index"]
    for folder in (oci, tmp_path / "own"):
        for name in ("", ":v0.1.0", f"@{digest}"):
            assert run("module", "inspect", "--json", f"{folder}{name}").json == expected
    (tmp_path / "own/build/amd64").mkdir()
    for inside in ("own/build", "own/build/", "own/build/amd64"):
        answer = run("module", "inspect", f"{tmp_path}/{inside}")
        assert (answer.status, answer.code) == (2, "cli.module.no-layout")
        assert f"try: did you mean {tmp_path}/own/build/oci?\n" in answer.err


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("build/oc", "build/oci"),
        ("build/oc:v1", "build/oci"),
        ("./build/oc", "./build/oci"),
        ("../x", None),
        ("/nowhere/x.y/z", None),
        ("nowhere.d", None),
        ("acme/redis:v1", None),
    ],
)
def test_a_folder_that_is_not_there(
    run: Run, tmp_path: Path, oci: Path, monkeypatch: pytest.MonkeyPatch, text: str, near: str | None
) -> None:
    (tmp_path / "build").mkdir()
    (tmp_path / "build/oci").symlink_to(oci)
    monkeypatch.chdir(tmp_path)
    answer = run("module", "inspect", text)
    assert (answer.status, answer.code) == (2, "oci.reference.registry")
    lines = answer.err.splitlines()
    assert lines[0] == f"powernode: there is no folder {text}"
    assert ("registry.example.com" in lines[1]) if near is None else (lines[1] == f"  try: did you mean {near}?")


def test_what_is_no_module(run: Run, tmp_path: Path, oci: Path, registry: str) -> None:
    assert run("module", "inspect", tmp_path).code == "cli.module.no-layout"
    answer = run("module", "inspect", f"{oci}:v9")
    assert (answer.status, answer.code) == (2, "module.inspect.none")
    assert answer.err.splitlines()[:2] == [
        f"powernode: there is no artifact 'v9' in {oci}",
        "  expected: v0.1.0, v0.1.0-amd64, v0.1.0-arm64",
    ]
    repository = registry.rpartition(":")[0]
    answer = run("module", "diff", registry, f"{repository}:v9")
    assert answer.err.splitlines()[0] == f"powernode: there is no artifact 'v9' in {repository}"
    assert run("module", "inspect", "registry.example.com/acme/redis").code == "cli.module.which"


@pytest.fixture
def registry(oci: Path, tmp_path: Path) -> Iterator[str]:
    """What is in the layout, in a registry on this machine."""
    handler = Handler(Storage(tmp_path / "registry"), new_id=lambda: secrets.token_hex(16), now=time.time)
    with Listener(handler, ("127.0.0.1", 0)) as listener:
        reference = Reference.parse(f"{listener.address}/acme/redis:v0.1.0")
        target = Registry(HttpTransport(time.monotonic), reference, sleep=time.sleep, chance=random.random)
        layout = Layout(oci)
        index = layout.document(layout.resolve("v0.1.0"))
        assert isinstance(index, Index)
        referrers = [each for entry in index.manifests for each in layout.referrers(entry.digest)]
        for entry in (*index.manifests, *referrers):
            manifest = layout.document(entry)
            assert isinstance(manifest, Manifest)
            for blob in (manifest.config, *manifest.layers):
                target.push_blob(blob, layout.read(blob, max_bytes=1 << 20))
            target.push_manifest(layout.read(entry, max_bytes=1 << 20), entry.media_type)
        target.push_manifest(index.encode(), index.media_type, tag="v0.1.0")
        yield str(reference)


def test_a_registry_says_the_same_as_the_layout(run: Run, oci: Path, registry: str) -> None:
    for options in ([], ["--json"], ["--arch=arm64", "--files"], ["--arch=arm64", "--sbom"]):
        here, there = (run("module", "inspect", *options, where) for where in (f"{oci}:v0.1.0", registry))
        assert (there.status, there.err) == (0, "")
        assert there.out == here.out
    answer = run("module", "diff", registry, f"{oci}:v0.1.0")
    assert answer.out.decode().count("the files are the same: an update reads nothing") == 2
