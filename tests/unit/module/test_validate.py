# SPDX-License-Identifier: MIT
"""Findings: each with its code, its line and its column, all at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from powernode.base.errors import DataError, OperatorError
from powernode.module import directory
from powernode.module.lock import Request
from powernode.module.source import read_source
from powernode.module.validate import Report, validate
from unit.module._sources import HEAD, knowing, look, nothing, source, told

TUTORIAL = """\
schema_version: 1

# Identity: flat keys.
name: my-redis
display_name: "Redis 7.4"
description: "Redis 7.4 with TLS + persistence"
license: "BSD-3-Clause"

package_spec:
  - redis-server
  - redis-tools

file_spec:
  - "/etc/redis/**"
  - "/var/lib/redis/.gitkeep"

mask:
  - "/etc/redis/sentinel.conf"

protected_spec:
  - "/etc/redis/redis.conf"

dependencies:
  requires:
    - "powernode/powernode-base-ruby@^1.0"
    - "powernode/security-hardening@^1.0"
  provides: []

init:
  start: "systemctl start redis-server"
  stop:  "systemctl stop redis-server"
  restart: "systemctl restart redis-server"

reboot_required: false

build:
  ubuntu_digest: null    # the Containerfile's default
  apt_snapshot: null
"""
OLD = """\
schema_version: 1
identity:
  name: my-redis
  category: userland
  variety: subscription
  description: Redis 7.4 with TLS + persistence
  cosign_identity_regexp: '^https://registry\\.example\\.com/me/my-redis@.*$'
  cosign_issuer_regexp: '^https://gitea\\.example\\.com$'
package_spec:
  - redis-server
  - redis-tools
file_spec:
  include:
    - "/etc/redis/**"
  exclude:
    - "/etc/redis/sentinel.conf"
protected_spec:
  - "/etc/redis/redis.conf"
dependency_spec:
  - name: system-base
  - name: security-hardening
"""


class TestManifest:
    def test_the_tutorials_is_right(self, tmp_path: Path) -> None:
        files = ["etc/redis/redis.conf", "var/lib/redis/.gitkeep", ".gitkeep"]
        report = look(tmp_path, TUTORIAL, files, knowing("redis-server", "redis-tools"))
        assert told(report) == []
        assert report.unchecked == ()

    def test_everything_wrong_at_once(self, tmp_path: Path) -> None:
        report = look(
            tmp_path,
            "schema_version: 1\n"
            "name: My Redis\n"
            "licence: MIT\n"
            "file_spc: []\n"
            "mask: [etc, /ok]\n"
            "reboot_required: yes\n"
            "init:\n"
            "  start: redis-server &\n"
            "security:\n"
            "  capabilities: [CAP_NET_ADMN]\n"
            "name: again\n",
        )
        assert told(report) == [
            (2, 7, "manifest.value"),
            (3, 1, "manifest.unknown-key"),
            (4, 1, "manifest.unknown-key"),
            (5, 8, "glob.anchor"),
            (6, 18, "yaml.boolean"),
            (8, 10, "command.shell"),
            (10, 18, "manifest.value"),
            (11, 1, "yaml.duplicate-key"),
        ]
        hints = [finding.problem.hint for finding in report.findings]
        assert hints[1:3] == ["did you mean license?", "did you mean file_spec?"]
        assert hints[6] == "did you mean CAP_NET_ADMIN?"
        assert report.unchecked == ("globs, packages and other modules, until these errors are gone",)
        assert report.errors == 8

    def test_a_trap_is_told_once(self, tmp_path: Path) -> None:
        assert told(look(tmp_path, HEAD + "display_name: 7.4\nmask: *x\n")) == [
            (3, 15, "yaml.float"),
            (4, 7, "yaml.alias"),
        ]

    def test_a_trap_hides_nothing_but_its_own_value(self, tmp_path: Path) -> None:
        text = "%YAML 1.1\n---\nschema_version: 1\nname: !x Site\ninit: &a\n  start: a | b\ncolour: &b [red]\n---\n"
        assert told(look(tmp_path, text)) == [
            (1, 1, "yaml.directive"),
            (4, 7, "yaml.tag"),
            (5, 7, "yaml.anchor"),
            (6, 10, "command.shell"),
            (7, 9, "yaml.anchor"),
            (8, 1, "yaml.documents"),
        ]
        assert told(look(tmp_path, "yes\n")) == [(1, 1, "yaml.boolean")]

    def test_names_are_pointed_at(self, tmp_path: Path) -> None:
        text = "services:\n  - name: a\n    start_command: /x\n    env: {OK: x, a b: z}\n"
        assert told(look(tmp_path, HEAD + text)) == [(6, 18, "manifest.value")]

    def test_what_cannot_be_read_to_its_end(self, tmp_path: Path) -> None:
        report = look(tmp_path, HEAD + "mask: [\n")
        assert told(report) == [(4, 1, "yaml.syntax")]
        assert report.unchecked

    def test_no_manifest(self, tmp_path: Path) -> None:
        with pytest.raises(OperatorError) as caught:
            validate(tmp_path, ask=nothing)
        assert caught.value.code == "module.source.missing"

    @pytest.mark.parametrize(
        ("text", "hint"),
        [
            ("packages: [x]", "did you mean package_spec?"),
            ("Display-Name: x", "did you mean display_name?"),
            ("version: 1.0.0", "a version is not written here"),
            ("start: x", "it goes below init: init.start"),
            ("egress_allow: [x]", "it goes below security: security.egress_allow"),
            ("requires: [x]", "it goes below dependencies: dependencies.requires"),
            ("init: {reboot_required: true}", "reboot_required is a key of the top"),
            ("init: {begin: x}", None),
            ("init: {restrat: x}", "did you mean restart?"),
            ("services: [{name: x, exec: /y}]", "did you mean start_command?"),
            ("services: [{name: x, health_endpoint: z}]", "health is a mapping of its own"),
            ("users: [{name: x, uid: 7}]", "ids are given by the platform"),
        ],
    )
    def test_suggestions(self, tmp_path: Path, text: str, hint: str | None) -> None:
        (problem,) = [
            finding.problem
            for finding in look(tmp_path, HEAD + text + "\n").findings
            if finding.problem.code == "manifest.unknown-key"
        ]
        assert (problem.hint or "").startswith(hint or "")
        assert (problem.hint is None) == (hint is None)

    def test_the_old_layout_key_by_key(self, tmp_path: Path) -> None:
        assert told(look(tmp_path, OLD)) == [
            (2, 1, "layout.identity"),
            (3, 3, "layout.identity"),
            (4, 3, "layout.category"),
            (5, 3, "layout.variety"),
            (6, 3, "layout.identity"),
            (7, 3, "layout.trust"),
            (8, 3, "layout.trust"),
            (12, 1, "layout.file-spec"),
            (13, 3, "layout.file-spec"),
            (15, 3, "layout.file-spec"),
            (20, 5, "layout.dependency"),
            (21, 5, "layout.dependency"),
        ]

    def test_the_old_layout_says_where_things_are_now(self, tmp_path: Path) -> None:
        hints = "\n".join(finding.problem.hint or "" for finding in look(tmp_path, OLD).findings)
        for part in (
            "write name: …",
            "registered",
            "put these globs into mask",
            'write dependencies: {requires: ["OWNER/system-base@^1.0"]}',
        ):
            assert part in hints

    def test_keys_that_are_not_the_modules_to_say(self, tmp_path: Path) -> None:
        text = "category: x\nvariety: config\npriority: 5\nbuild: {k3s_version: 1, firmware_ref: x}\n"
        codes = [code for *_, code in told(look(tmp_path, HEAD + text))]
        assert codes == [f"layout.{name}" for name in ("category", "variety", "priority", "vendored", "vendored")]

    def test_a_finding_as_text(self, tmp_path: Path) -> None:
        (finding,) = look(tmp_path, HEAD + "licence: MIT\n").findings
        assert str(finding) == (
            f"{tmp_path}/site/manifest.yaml:3:1: manifest.unknown-key: licence is no key of a module manifest "
            "(hint: did you mean license?)"
        )
        assert finding.as_dict() == {
            "severity": "error",
            "file": f"{tmp_path}/site/manifest.yaml",
            "line": 3,
            "column": 1,
            "path": "licence",
            "code": "manifest.unknown-key",
            "message": "licence is no key of a module manifest",
            "hint": "did you mean license?",
        }


class TestPackages:
    def test_unknown_with_a_suggestion(self, tmp_path: Path) -> None:
        text = "package_spec: [redis-server, redis-tols]\nbuild: {options: [{name: ssh, packages: [opensh]}]}\n"
        report = look(tmp_path, HEAD + text, known=knowing("redis-server", "redis-tools"))
        assert told(report) == [(3, 30, "module.package"), (4, 42, "module.package")]
        assert report.findings[0].problem.hint == "did you mean redis-tools?"

    def test_not_asked_is_said(self, tmp_path: Path) -> None:
        report = look(tmp_path, HEAD + "package_spec: [xx]\n")
        assert report.unchecked == ("whether the packages exist: nobody was asked",)

    def test_nobody_is_asked_without_packages(self, tmp_path: Path) -> None:
        def never(request: Request) -> str:
            raise AssertionError

        assert validate(source(tmp_path / "site", HEAD), ask=never).unchecked == ()

    def test_a_stale_lock_is_an_error_as_in_the_build(self, tmp_path: Path) -> None:
        def stale(request: Request) -> str:
            raise OperatorError("module.lock.stale", "not the lock of this manifest", hint="powernode module lock")

        report = validate(source(tmp_path / "site", HEAD + "package_spec: [xx]\n"), ask=stale)
        assert told(report) == [(3, 15, "module.lock.stale")]
        assert (report.errors, report.warnings) == (1, 0)
        assert report.unchecked == ("whether the packages exist, until the lock is renewed",)

    def test_a_broken_lock_is_no_finding(self, tmp_path: Path) -> None:
        def broken(request: Request) -> str:
            raise DataError("debian.lock.type", "no lock")

        with pytest.raises(DataError):
            validate(source(tmp_path / "site", HEAD + "package_spec: [xx]\n"), ask=broken)


class TestOthers:
    def against(self, tmp_path: Path, mine: str, *others: str, files: Sequence[str] = ()) -> Report:
        folder = source(tmp_path / "site", HEAD + mine, files)
        folders = [
            source(tmp_path / f"other{number}", f"schema_version: 1\n{text}") for number, text in enumerate(others)
        ]
        return validate(folder, ask=nothing, others=folders)

    def test_what_another_protects(self, tmp_path: Path) -> None:
        mine = "package_spec: [xx]\nfile_spec: [/etc/a/x.conf, /etc/**]\n"
        report = self.against(tmp_path, mine, "name: base\nprotected_spec: [/etc/a/]\n")
        assert told(report) == [(4, 13, "module.owner.protected")]
        assert "base" in report.findings[0].problem.message

    def test_a_file_that_another_protects(self, tmp_path: Path) -> None:
        mine = "file_spec: [/etc/**]\n"
        report = self.against(tmp_path, mine, "name: base\nprotected_spec: [/etc/a]\n", files=["etc/a/b", "etc/c"])
        assert told(report) == [(3, 12, "module.owner.protected")]

    def test_both_protect(self, tmp_path: Path) -> None:
        mine = "package_spec: [xx]\nprotected_spec: [/etc/a/b, /etc/c]\n"
        report = self.against(tmp_path, mine, "name: base\nprotected_spec: [/etc/a/]\n")
        assert told(report) == [(4, 18, "module.owner.both-protect")]

    def test_a_module_is_no_stranger_to_itself(self, tmp_path: Path) -> None:
        mine = "package_spec: [xx]\nfile_spec: [/etc/a]\nprotected_spec: [/etc/a]\n"
        assert told(self.against(tmp_path, mine, f"name: site\n{mine}")) == []

    def test_cycles(self, tmp_path: Path) -> None:
        mine = "package_spec: [xx]\ndependencies:\n  requires:\n    - c\n    - me/a@^1\n"
        report = self.against(
            tmp_path,
            mine,
            "name: a\ndependencies: {requires: [you/b]}\n",
            "name: b\ndependencies: {requires: [site]}\n",
            "name: c\n",
        )
        assert told(report) == [(7, 7, "dependency.cycle")]
        assert report.findings[0].problem.found == "a -> b -> site -> a"

    def test_cycles_of_others(self, tmp_path: Path) -> None:
        others = ("name: a\ndependencies: {requires: [b]}\n", "name: b\ndependencies: {requires: [a]}\n")
        assert told(self.against(tmp_path, "package_spec: [xx]\n", *others)) == [(1, 1, "dependency.cycle")]

    def test_versions_of_built_modules(self, tmp_path: Path) -> None:
        (tmp_path / "tree").mkdir()
        facts = directory.Facts(
            name="base", version="1.2.0", architecture="all", effective_priority=1, protected_spec=("/etc/x",)
        )
        directory.write(tmp_path / "base", facts, directory.from_tree(tmp_path / "tree"))
        mine = "package_spec: [xx]\nfile_spec: [/etc/x]\ndependencies: {requires: [me/base@^2.0]}\n"
        report = validate(source(tmp_path / "site", HEAD + mine), ask=nothing, others=[tmp_path / "base"])
        assert told(report) == [(4, 13, "module.owner.protected"), (5, 27, "dependency.conflict")]
        assert report.findings[1].problem.found == "base@1.2.0"

    def test_what_is_no_module(self, tmp_path: Path) -> None:
        with pytest.raises(OperatorError) as caught:
            validate(source(tmp_path / "site", HEAD), ask=nothing, others=[tmp_path])
        assert caught.value.code == "module.validate.other"

    def test_another_with_a_fault_of_its_own(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"other0/manifest\.yaml:2:7"):
            self.against(tmp_path, "package_spec: [xx]\n", "name: yes\n")


def test_a_source_in_hand_has_no_fault(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_source(source(tmp_path / "site", HEAD + "mask:\n  - etc\ncolour: red\n"))
    assert caught.value.code == "glob.anchor"
    assert caught.value.message.startswith(f"{tmp_path}/site/manifest.yaml:4:5: mask[0]: ")
    assert caught.value.hint == f"powernode module validate {tmp_path}/site"


def test_the_page_lists_every_finding_of_ours() -> None:
    root = Path(__file__).parents[3]
    sources = [
        root / "src/powernode/module" / name for name in ("validate.py", "_cross.py", "_globcheck.py", "source.py")
    ]
    codes = {code for path in sources for code in re.findall(r'"((?:module|dependency)\.[a-z.-]+)"', path.read_text())}
    page = (root / "docs/module-manifest.md").read_text("utf-8").split("## What validate finds")[1]
    listed = set(re.findall(r"`((?:module|dependency)\.[a-z.-]+)`", page))
    assert codes - {"module.validate.other", "module.source.missing", "module.source.type"} == listed
