# SPDX-License-Identifier: MIT
"""The manifest's values: what is taken, what is refused and how, and that nothing gets lost on the way."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powernode.base import canonical
from powernode.base.errors import DataError
from powernode.manifest._shapes import Items, Object
from powernode.manifest._table import MANIFEST
from powernode.manifest._words import CAPABILITIES
from powernode.manifest.model import ModuleManifest, from_document, problems, to_document
from powernode.manifest.problem import path_text
from unit.manifest._documents import DOCUMENTS, EVERYTHING, JSON

if TYPE_CHECKING:
    from powernode.manifest._shapes import Shape

LEAST: dict[str, Any] = {"schema_version": 1, "name": "x"}


def found(document: Any) -> set[tuple[str, str]]:
    return {(path_text(problem.path), problem.code) for problem in problems(document)}


def with_value(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """The document that uses everything, with another value in one place."""
    document = deepcopy(EVERYTHING)
    target: Any = document
    for part in path[:-1]:
        target = target[part]
    target[path[-1]] = value
    return document


def test_everything() -> None:
    manifest = from_document(EVERYTHING)
    assert to_document(manifest) == EVERYTHING
    assert manifest.services[0].health is not None
    assert manifest.services[0].health.interval_s == 5
    assert manifest.services[1].dependencies == ()
    assert manifest.build.options[0].packages == ("openssh-server",)
    assert manifest.dependencies.requires[2] == "capability:tls@>=1.2, <3"


def test_the_document_with_everything_leaves_nothing_out() -> None:
    """No field is missing from it, and none has its default: so the tests above see all of them."""

    def walk(shape: Shape, value: Any, path: str) -> None:
        if isinstance(shape, Items):
            for entry in value:
                walk(shape.item, entry, path)
        elif isinstance(shape, Object):
            seen.update(f"{path}.{name}" for name in value)
            for field in shape.fields:
                every.add(f"{path}.{field.name}")
                if field.name in value:
                    walk(field.shape, value[field.name], f"{path}.{field.name}")

    every: set[str] = set()
    seen: set[str] = set()
    walk(MANIFEST, EVERYTHING, "")
    assert every - seen == {".init.restart"}


def test_the_least() -> None:
    manifest = from_document(LEAST)
    assert to_document(manifest) == LEAST
    assert manifest == ModuleManifest(schema_version=1, name="x")
    assert manifest.file_spec is None
    assert (manifest.build.suite, manifest.security.privileged, manifest.reboot_required) == ("trixie", False, False)


def test_the_table_and_the_classes_have_the_same_fields() -> None:
    def walk(shape: Shape) -> None:
        if isinstance(shape, Items):
            walk(shape.item)
        elif isinstance(shape, Object):
            classes.append(shape.build.__name__)
            assert [field.name for field in shape.fields] == [field.name for field in fields(shape.build)]
            for field in shape.fields:
                walk(field.shape)

    classes: list[str] = []
    walk(MANIFEST)
    assert len(classes) == len(set(classes)) == 12


@given(DOCUMENTS)
def test_documents_survive(document: dict[str, Any]) -> None:
    manifest = from_document(document)
    assert problems(document) == []
    spelled = canonical.encode(to_document(manifest))
    again = from_document(canonical.decode(spelled, what="it", max_bytes=1 << 20))
    assert again == manifest
    assert canonical.encode(to_document(again)) == spelled


@settings(max_examples=200)
@given(DOCUMENTS, st.data())
def test_one_value_replaced_by_anything(document: dict[str, Any], data: st.DataObject) -> None:
    """Reading and finding problems always agree, and nothing but a DataError ever comes out."""
    target: Any = document
    while True:
        keys = list(target) if isinstance(target, dict) else list(range(len(target)))
        key = data.draw(st.sampled_from([*keys, "x"] if isinstance(target, dict) else keys))
        if not data.draw(st.booleans()) and key in keys and isinstance(target[key], dict | list) and target[key]:
            target = target[key]
            continue
        target[key] = data.draw(JSON)
        break
    listed = problems(document)
    if listed:
        with pytest.raises(DataError) as caught:
            from_document(document)
        assert caught.value.code == listed[0].code
    else:
        assert from_document(document)


@given(JSON)
def test_anything_at_all(value: Any) -> None:
    assert problems(value)


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        (("schema_version",), 2, "manifest.value"),
        (("schema_version",), "1", "manifest.type"),
        (("schema_version",), True, "manifest.type"),
        (("name",), "My-Redis", "manifest.value"),
        (("name",), "1redis", "manifest.value"),
        (("name",), "redis-", "manifest.value"),
        (("name",), "a" * 65, "manifest.value"),
        (("name",), "", "manifest.value"),
        (("name",), "redis\n", "manifest.character"),
        (("name",), None, "manifest.type"),
        (("display_name",), "two\nlines", "manifest.character"),
        (("display_name",), "a" * 129, "manifest.value"),
        (("display_name",), "half \ud800", "manifest.character"),
        (("description",), "a\x00b", "manifest.character"),
        (("license",), "BSD 3-Clause", "license.syntax"),
        (("package_spec",), "redis", "manifest.type"),
        (("package_spec", 0), "redis=7.4", "manifest.package"),
        (("package_spec", 0), "redis:amd64", "manifest.package"),
        (("package_spec", 0), "Redis", "manifest.package"),
        (("package_spec", 0), "redis;rm", "manifest.package"),
        (("package_spec", 0), "-y", "manifest.package"),
        (("package_spec", 0), "nginx-", "manifest.package"),  # to apt: remove it
        (("package_spec", 1), "redis-server", "manifest.duplicate"),
        (("file_spec",), [], "manifest.value"),
        (("file_spec",), None, "manifest.type"),
        (("file_spec", 0), "etc/redis", "glob.anchor"),
        (("file_spec", 0), "/etc/***", "glob.stars"),
        (("file_spec", 0), "/etc/../x", "glob.component"),
        (("file_spec", 0), "/home/**", "manifest.home"),
        (("file_spec", 0), "/home/", "manifest.home"),
        (("file_spec", 0), "/hom[e]/x", "manifest.home"),
        (("file_spec", 0), "/h?me/x", "manifest.home"),
        (("mask", 0), "!/etc", "glob.anchor"),
        (("protected_spec", 0), 5, "manifest.type"),
        (("dependency_spec", 0), {"name": "system-base"}, "manifest.type"),
        (("dependencies", "requires", 0), "a/b/c", "dependency.requirement"),
        (("dependencies", "requires", 0), "a@latest", "constraint.syntax"),
        (("dependencies", "requires", 0), "other/my-redis", "dependency.self"),
        (("dependencies", "provides", 0), "Redis", "dependency.tag"),
        (("dependencies", "provides", 0), "redis@7.4", "constraint.version"),
        (("init", "start"), "systemctl start a && b", "command.shell"),
        (("init", "start"), "redis-server", "command.program"),
        (("services", 0, "name"), "Redis", "manifest.value"),
        (("services", 0, "name"), "sentinel", "manifest.duplicate"),
        (("services", 0, "unit_body"), "[Unit]", "manifest.service-start"),
        (("services", 0, "restart_policy"), "sometimes", "manifest.value"),
        (("services", 0, "env"), {"a b": "x"}, "manifest.value"),
        (("services", 0, "env"), {"PORT": 80}, "manifest.type"),
        (("services", 0, "exposed_ports", 0), 6379, "manifest.type"),
        (("services", 0, "exposed_ports", 0), "6379", "manifest.port"),
        (("services", 0, "exposed_ports", 0), "65536/tcp", "manifest.port"),
        (("services", 0, "exposed_ports", 0), "0/udp", "manifest.port"),
        (("services", 0, "health", "interval_s"), 0, "manifest.value"),
        (("services", 0, "health", "method"), "HEAD", "manifest.value"),
        (("services", 0, "health", "endpoint"), "ftp://x", "manifest.value"),
        (("services", 0, "health", "endpoint"), "http://127.0.0.1/", "manifest.health"),
        (("services", 0, "health", "method"), "POST", "manifest.health"),
        (("services", 0, "health"), {"endpoint": "127.0.0.1:80"}, "manifest.health"),
        (("services", 0, "dependencies", 0, "service"), "nobody", "manifest.service-unknown"),
        (("services", 0, "dependencies", 0, "service"), "redis", "manifest.service-cycle"),
        (("services", 0, "working_directory"), "var/lib", "manifest.path"),
        (("users", 0, "home"), "/etc/redis", "manifest.user-home"),
        (("users", 0, "home"), "/var/lib/../etc", "manifest.path"),
        (("users", 0, "home"), "/rootkit", "manifest.user-home"),
        (("users", 0, "name"), "Redis", "manifest.value"),
        (("users", 0, "name"), "somebody", "manifest.sudo-user"),
        (("groups", 0, "name"), "a:b", "manifest.value"),
        (("sudoers", 0, "commands"), [], "manifest.value"),
        (("sudoers", 0, "commands", 0), "ALL", "manifest.sudo-all"),
        (("sudoers", 0, "commands", 0), "/usr/bin/*", "manifest.sudo-command"),
        (("sudoers", 0, "commands", 0), "/usr/bin/vi ^.+$", "manifest.sudo-command"),
        (("sudoers", 0, "commands", 0), "systemctl reload x", "manifest.sudo-command"),
        (("sudoers", 0, "commands", 0), "/usr/bin/a, /bin/sh", "manifest.sudo-command"),
        (("sudoers", 0, "commands", 0), "/usr/bin/../bin/sh", "manifest.path"),
        (("sudoers", 0, "flags", 0), "NOPASS", "manifest.value"),
        (("security", "capabilities", 0), "NET_ADMIN", "manifest.value"),
        (("security", "capabilities", 0), "cap_net_admin", "manifest.value"),
        (("security", "selinux_profile"), "redis.pp", "manifest.path"),
        (("security", "egress_allow", 0), "https://mirror.example.com", "manifest.egress"),
        (("security", "egress_allow", 0), "*.example.com", "manifest.egress"),
        (("security", "egress_allow", 0), "a:b:c", "manifest.egress"),
        (("security", "egress_allow", 0), "host:70000", "manifest.egress"),
        (("security", "egress_allow", 0), "[::1", "manifest.egress"),
        (("security", "egress_allow", 0), "[dead::zz]:80", "manifest.egress"),
        (("security", "egress_allow", 0), '[fe80::1%"; x]:80', "manifest.egress"),
        (("security", "egress_allow", 0), "10.0.0.0/8", "manifest.egress"),
        (("security", "privileged"), "yes", "manifest.type"),
        (("reboot_required",), 0, "manifest.type"),
        (("skills", 0), "x" * 70000, "manifest.value"),
        (("skills", 0), [[[[[[[[[[]]]]]]]]]], "json.depth"),
        (("build", "ubuntu_digest"), "sha256:abc", "manifest.value"),
        (("build", "apt_snapshot"), "2026-04-15", "manifest.value"),
        (("build", "suite"), "trixie main", "manifest.value"),
        (("build", "directories", 0), "persist", "manifest.path"),
        (("build", "directories", 0), "/persist/", "manifest.path"),
        (("build", "options", 0, "packages", 0), "a b", "manifest.package"),
    ],
)
def test_one_wrong_value(path: tuple[str | int, ...], value: Any, code: str) -> None:
    codes = [problem.code for problem in problems(with_value(path, value))]
    assert codes == [code]


@pytest.mark.parametrize("path", [("category",), ("services", 0, "exec"), ("build", "options", 0, "files")])
def test_unknown_keys(path: tuple[str | int, ...]) -> None:
    (problem,) = problems(with_value(path, "x"))
    assert (problem.code, problem.path, problem.at_key) == ("manifest.unknown-key", path, True)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("https://mirror.example.com:443", "scheme"),
        ("10.0.0.0/8", "networks"),
        ("2001:db8::1", "brackets"),
        ("*.example.com", "wildcards"),
        ("host:0", ""),
    ],
)
def test_what_to_write_instead_of_what_is_no_host(text: str, hint: str) -> None:
    (problem,) = problems(with_value(("security", "egress_allow", 0), text))
    assert hint in (problem.hint or "")
    assert bool(problem.hint) == bool(hint)


def test_a_service_has_no_capability_that_the_module_does_not_name() -> None:
    document: dict[str, Any] = {**LEAST, "services": [{**EVERYTHING["services"][1], "capabilities": ["CAP_KILL"]}]}
    assert found(document) == {("services[0].capabilities[0]", "manifest.service-capability")}
    for security in ({"capabilities": ["CAP_KILL"]}, {"privileged": True}):
        assert found({**document, "security": security}) == set()
    wrong = {"capabilities": ["KILL"]}  # perhaps it is meant to be the one
    assert found({**document, "security": wrong}) == {("security.capabilities[0]", "manifest.value")}


def test_a_wrong_name_is_not_its_values_fault() -> None:
    (problem,) = problems(with_value(("services", 0, "env"), {"a b": "x"}))
    assert problem.at_key


def test_all_problems_at_once() -> None:
    document = {
        "name": "My Redis",
        "license": "none of your business",
        "mask": ["etc", "/ok", 5],
        "init": {"start": "a | b", "stopp": "x"},
        "services": [{"name": "a"}, {"name": "a", "start_command": "/bin/x", "extra": 1}],
        "sudoers": [{"grant_id": "g", "service_user": "u", "commands": ["/x"]}],
        "colour": "red",
    }
    assert found(document) == {
        ("the document", "manifest.missing"),
        ("name", "manifest.value"),
        ("license", "license.syntax"),
        ("mask[0]", "glob.anchor"),
        ("mask[2]", "manifest.type"),
        ("init.start", "command.shell"),
        ("init.stopp", "manifest.unknown-key"),
        ("services[1].name", "manifest.duplicate"),
        ("services[1].extra", "manifest.unknown-key"),
        ("services[0]", "manifest.service-start"),
        ("sudoers[0].service_user", "manifest.sudo-user"),
        ("colour", "manifest.unknown-key"),
    }


def test_a_refusal_says_how_many_more_there_are() -> None:
    with pytest.raises(DataError, match="and 2 more problems"):
        from_document({"name": "X", "mask": 5})


def test_rules_between_members_wait_for_sound_values() -> None:
    """A user whose entry has a problem may be the one a grant is for; nothing is said until that is known."""
    document: dict[str, Any] = {**LEAST, "users": [{"name": "u", "home": "x"}], "sudoers": [EVERYTHING["sudoers"][0]]}
    assert found(document) == {("users[0].home", "manifest.path")}


def test_a_cycle_of_services_is_told_with_its_path() -> None:
    def service(name: str, *after: str) -> dict[str, Any]:
        return {"name": name, "start_command": "/x", "dependencies": [{"service": other} for other in after]}

    document: dict[str, Any] = {
        **LEAST,
        "services": [service("a", "b"), service("b", "c"), service("c", "b"), service("d", "a")],
    }
    (problem,) = problems(document)
    assert (problem.code, problem.found) == ("manifest.service-cycle", "b -> c -> b")


def test_limits_stop_long_lists_before_they_cost_anything() -> None:
    (problem,) = problems({**LEAST, "mask": ["/x"] * 10_001})
    assert (problem.path, problem.code) == (("mask",), "manifest.value")


def test_no_home_is_below_home_but_other_names_are_no_home() -> None:
    for glob in ("/homes/x", "/home", "/**", "/", "/etc/home/x", "/*/x"):
        assert problems({**LEAST, "file_spec": [glob]}) == []


def test_capabilities_are_those_of_the_kernel() -> None:
    assert len(CAPABILITIES) == len(set(CAPABILITIES)) == 41
    assert list(CAPABILITIES) == sorted(CAPABILITIES)


def test_defaults_are_never_written() -> None:
    for field in MANIFEST.fields:
        default = MANIFEST.default(field.name)
        if default is not MISSING and default is not None:
            assert to_document(from_document({**LEAST, field.name: field.shape.document(default)})) == LEAST
