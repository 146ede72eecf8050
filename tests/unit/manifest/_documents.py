# SPDX-License-Identifier: MIT
"""Valid manifests at random, and one that uses every field."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from powernode.manifest._words import CAPABILITIES

EVERYTHING: dict[str, Any] = {
    "schema_version": 1,
    "name": "my-redis",
    "display_name": "Redis 7.4",
    "description": "Redis 7.4 with TLS + persistence\nand a second line",
    "license": "BSD-3-Clause AND (MIT OR GPL-2.0-or-later WITH Classpath-exception-2.0)",
    "package_spec": ["redis-server", "redis-tools", "g++"],
    "file_spec": ["/etc/redis/**", "/var/lib/redis/.gitkeep"],
    "mask": ["/etc/redis/sentinel.conf"],
    "protected_spec": ["/etc/redis/redis.conf"],
    "dependency_spec": ["/etc/redis/conf.d/**"],
    "carve_waivers": ["/usr/share/doc/**"],
    "dependencies": {
        "requires": ["powernode/security-hardening@^1.0", "base", "capability:tls@>=1.2, <3"],
        "provides": ["database.redis@7.4.0", "cache"],
    },
    "init": {"start": "systemctl start redis-server", "stop": "/usr/bin/redis-cli shutdown 'no save'"},
    "services": [
        {
            "name": "redis",
            "start_command": "/usr/bin/redis-server /etc/redis/redis.conf",
            "stop_command": "/usr/bin/redis-cli shutdown",
            "restart_policy": "on-failure",
            "user": "redis",
            "working_directory": "/var/lib/redis",
            "env": {"LOG_LEVEL": "info", "_X": ""},
            "exposed_ports": ["6379/tcp"],
            "capabilities": ["CAP_NET_BIND_SERVICE"],
            "health": {
                "endpoint": "127.0.0.1:6379",
                "method": "TCP",
                "interval_s": 5,
                "timeout_s": 2,
                "initial_delay_s": 0,
            },
            "dependencies": [{"service": "sentinel", "kind": "softdep"}],
        },
        {"name": "sentinel", "unit_body": "[Service]\nExecStart=/usr/bin/redis-sentinel\n"},
    ],
    "users": [
        {
            "name": "redis",
            "description": "Redis server",
            "home": "/var/lib/redis",
            "shell": "/bin/sh",
            "group": "redis",
            "groups": ["ssl-cert"],
        }
    ],
    "groups": [{"name": "redis"}],
    "sudoers": [
        {
            "grant_id": "reload",
            "service_user": "redis",
            "commands": ["/usr/bin/systemctl reload redis-server"],
            "runas_user": "postgres",
            "runas_group": "postgres",
            "flags": ["NOPASSWD"],
        }
    ],
    "security": {
        "capabilities": ["CAP_NET_BIND_SERVICE"],
        "selinux_profile": "/usr/share/selinux/redis.pp",
        "apparmor_profile": "/etc/apparmor.d/redis",
        "seccomp_profile": "/usr/share/seccomp/redis.json",
        "egress_allow": ["mirror.example.com:443", "10.0.0.1", "[2001:db8::1]:80"],
        "privileged": True,
        "user_namespace": True,
    },
    "reboot_required": True,
    "skills": [{"name": "flush", "inputs": [1, None, {"deep": ["er"]}]}, "word"],
    "build": {
        "ubuntu_digest": "sha256:" + "ab" * 32,
        "apt_snapshot": "20260415T000000Z",
        "suite": "forky",
        "remove": ["/usr/share/doc/"],
        "keep": ["/usr/share/doc/*/copyright"],
        "directories": ["/persist"],
        "options": [{"name": "ssh", "packages": ["openssh-server"]}],
    },
}
"""Every field, none with its default."""

TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\u2028\u2029"), max_size=20)
WORD = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True)
PATH = st.lists(WORD, min_size=1, max_size=3).map(lambda names: "/" + "/".join(names))
GLOB = st.builds(lambda path, end: path + end, PATH, st.sampled_from(["", "/", "/**", "/*.conf", "/[a-c]?"]))
GLOBS = st.lists(GLOB.filter(lambda glob: not glob.startswith("/home")), max_size=3)
COMMAND = st.one_of(WORD.map("systemctl start {}".format), st.builds("{} '{}'".format, PATH, WORD))
JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(1 << 63), (1 << 63) - 1), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(TEXT, inner, max_size=2)),
    max_leaves=4,
)


def unique(item: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(item, unique=True, max_size=3)


def named(item: st.SearchStrategy[dict[str, Any]], key: str = "name") -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(item, unique_by=lambda entry: str(entry[key]), max_size=2)


def _allowed(document: dict[str, Any]) -> dict[str, Any]:
    """What a service may do, the module has to say, too."""
    wanted = {name for service in document.get("services", ()) for name in service.get("capabilities", ())}
    security = document.get("security", {})
    named = sorted(wanted.union(security.get("capabilities", ())))
    return {**document, "security": {**security, "capabilities": named}} if wanted else document


DOCUMENTS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"schema_version": st.just(1), "name": WORD.map("m-{}".format)},
    optional={
        "display_name": TEXT,
        "description": TEXT,
        "license": st.sampled_from(["MIT", "(MIT OR GPL-2.0+)", "LicenseRef-x"]),
        "package_spec": unique(WORD.map("x{}".format)),
        "file_spec": GLOBS.filter(bool),
        "mask": GLOBS,
        "protected_spec": GLOBS,
        "dependency_spec": GLOBS,
        "carve_waivers": GLOBS,
        "dependencies": st.fixed_dictionaries(
            {},
            optional={
                "requires": unique(st.builds("{}/{}@^{}".format, WORD, WORD, st.integers(0, 9))),
                "provides": unique(WORD),
            },
        ),
        "init": st.fixed_dictionaries({}, optional={"start": COMMAND, "stop": COMMAND, "restart": COMMAND}),
        "services": named(
            st.fixed_dictionaries(
                {"name": WORD, "start_command": COMMAND},
                optional={
                    "env": st.dictionaries(st.from_regex(r"[A-Z_]{1,4}", fullmatch=True), TEXT, max_size=2),
                    "exposed_ports": unique(st.integers(1, 65535).map("{}/udp".format)),
                    "restart_policy": st.sampled_from(["always", "on-failure", "never"]),
                    "capabilities": unique(st.sampled_from(CAPABILITIES)),
                    "health": st.just({"endpoint": "http://127.0.0.1/"}),
                },
            )
        ),
        "users": named(st.fixed_dictionaries({"name": WORD}, optional={"groups": unique(WORD), "shell": PATH})),
        "groups": named(st.fixed_dictionaries({"name": WORD})),
        "security": st.fixed_dictionaries(
            {},
            optional={
                "capabilities": unique(st.sampled_from(CAPABILITIES)),
                "selinux_profile": st.one_of(st.none(), PATH),
                "privileged": st.booleans(),
            },
        ),
        "reboot_required": st.booleans(),
        "skills": st.lists(JSON, max_size=2),
        "build": st.fixed_dictionaries(
            {},
            optional={
                "ubuntu_digest": st.none(),
                "apt_snapshot": st.sampled_from([None, "none", "20260415T000000Z"]),
                "directories": unique(PATH),
                "options": named(st.fixed_dictionaries({"name": WORD, "packages": unique(WORD.map("x{}".format))})),
            },
        ),
    },
).map(_allowed)
