# SPDX-License-Identifier: MIT
"""Every field of a module manifest: its shape, its meaning, an example. Defaults are those of the classes in `_values`.

The JSON Schema and the table in docs/module-manifest.md are made from this (`module.schema`), so meanings are written
for authors. Examples are YAML.
"""

from __future__ import annotations

from powernode.manifest import _rules, _values
from powernode.manifest._runtime import INIT, SECURITY, SERVICE, SUDOERS, USER
from powernode.manifest._shapes import Anything, Choice, Field, Flag, Items, Object, Text
from powernode.manifest._words import ACCOUNT, GLOBS, NAME, PACKAGES, PATH, SERVICE_NAME
from powernode.manifest.dependencies import Capability, Requirement
from powernode.manifest.license import check_license

__all__ = ["MANIFEST"]

_DEPENDENCIES = Object(
    build=_values.Dependencies,
    fields=(
        Field(
            name="requires",
            shape=Items(item=Text(rule=Requirement.parse, longest=512), unique=True),
            meaning="Modules and capabilities that must be there: `owner/module@^1.0`, `module`, "
            "`capability:tag@>=1.2`. Constraints: `^ ~ ~> = != > >= < <=`, several with commas.",
            example='["powernode/security-hardening@^1.0"]',
        ),
        Field(
            name="provides",
            shape=Items(item=Text(rule=Capability.parse, longest=512), unique=True),
            meaning="Capabilities that this module gives: `tag`, or `tag@1.2.3` if others may ask for a version.",
            example='["container.runtime@27.0.0"]',
        ),
    ),
)

_BUILD = Object(
    build=_values.Build,
    fields=(
        Field(
            name="ubuntu_digest",
            shape=Text(pattern=r"sha256:[0-9a-f]{64}", expected="sha256: and 64 hexadecimal digits", null=True),
            meaning="The base image of the Containerfile, by digest. null: what the Containerfile says.",
            example='"sha256:…"',
        ),
        Field(
            name="apt_snapshot",
            shape=Text(
                pattern=r"none|[0-9]{8}T[0-9]{6}Z", expected='"none" or a time such as "20260415T000000Z"', null=True
            ),
            meaning="The snapshot of the archive the Containerfile installs from. null: what the Containerfile says.",
            example='"20260415T000000Z"',
        ),
        Field(
            name="suite",
            shape=Text(pattern=r"[a-z][a-z0-9-]{0,63}", expected="small letters, digits and hyphens"),
            meaning="The Debian release that the packages come from.",
            example="forky",
        ),
        Field(
            name="remove",
            shape=GLOBS,
            meaning="Taken out of the installed packages, with everything below, before anything else is decided.",
            example='["/usr/share/doc/"]',
        ),
        Field(
            name="keep",
            shape=GLOBS,
            meaning="What stays although `remove` matches it.",
            example='["/usr/share/doc/*/copyright"]',
        ),
        Field(
            name="directories",
            shape=Items(item=PATH, unique=True),
            meaning="Made if not there.",
            example='["/persist"]',
        ),
        Field(
            name="options",
            shape=Items(
                item=Object(
                    build=_values.BuildOption,
                    fields=(
                        Field(name="name", shape=SERVICE_NAME, meaning="Its name.", example="ssh"),
                        Field(name="packages", shape=PACKAGES, meaning="What it adds.", example='["openssh-server"]'),
                    ),
                ),
                key="name",
            ),
            meaning="Variants that are asked for by name; each may have files of its own in `rootfs-NAME/`.",
            example='[{name: ssh, packages: ["openssh-server"]}]',
        ),
    ),
)

MANIFEST = Object(
    build=_values.ModuleManifest,
    fields=(
        Field(name="schema_version", shape=Choice(among=(1,)), meaning="The version of this format.", example="1"),
        Field(name="name", shape=NAME, meaning="The module's name.", example="my-redis"),
        Field(name="display_name", shape=Text(longest=128), meaning="The name for people.", example='"Redis 7.4"'),
        Field(
            name="description",
            shape=Text(lines=True, longest=4096),
            meaning="What it is, in a sentence or two.",
            example='"Redis 7.4 with TLS + persistence"',
        ),
        Field(
            name="license",
            shape=Text(rule=check_license, longest=1024),
            meaning="An SPDX licence expression.",
            example='"BSD-3-Clause"',
        ),
        Field(
            name="package_spec",
            shape=PACKAGES,
            meaning="Debian packages to install, with what they depend on. Their versions are in `packages.lock/`.",
            example='["redis-server", "redis-tools"]',
        ),
        Field(
            name="file_spec",
            shape=Items(item=Text(rule=_rules.owned_glob, longest=4096), most=10_000, least=1),
            meaning="[Globs](formats/globs.md) of what this module owns. Left out: every file of its packages that the "
            "base system does not have, and `rootfs/`. Nothing below /home.",
            example='["/etc/redis/**", "/var/lib/redis/.gitkeep"]',
        ),
        Field(
            name="mask",
            shape=GLOBS,
            meaning="Globs of what it does not ship although `file_spec` includes it. Says nothing to other modules.",
            example='["/etc/redis/sentinel.conf"]',
        ),
        Field(
            name="protected_spec",
            shape=GLOBS,
            meaning="Globs of what it owns and no other module may ship, whichever has the higher priority.",
            example='["/etc/redis/redis.conf"]',
        ),
        Field(
            name="dependency_spec",
            shape=GLOBS,
            meaning="Globs that a `config` or `instance` module made for this one takes as its `file_spec`; reserved "
            "if this one is locked. Not a list of modules.",
            example='["/etc/redis/conf.d/**"]',
        ),
        Field(
            name="carve_waivers",
            shape=GLOBS,
            meaning="Globs of files of the packages that are left out on purpose; only silences the report.",
            example='["/usr/share/doc/**"]',
        ),
        Field(
            name="dependencies", shape=_DEPENDENCIES, meaning="Other modules.", example="{requires: [], provides: []}"
        ),
        Field(
            name="init",
            shape=INIT,
            meaning="What to run when it comes and goes.",
            example='{start: "systemctl start x"}',
        ),
        Field(
            name="services",
            shape=Items(item=SERVICE, key="name"),
            meaning="Services that the agent looks after.",
            example='[{name: redis, start_command: "/usr/bin/redis-server"}]',
        ),
        Field(
            name="users", shape=Items(item=USER, key="name"), meaning="Accounts it needs.", example="[{name: redis}]"
        ),
        Field(
            name="groups",
            shape=Items(
                item=Object(
                    build=_values.Group,
                    fields=(Field(name="name", shape=ACCOUNT, meaning="Its name.", example="redis"),),
                ),
                key="name",
            ),
            meaning="Groups it needs.",
            example="[{name: redis}]",
        ),
        Field(
            name="sudoers",
            shape=Items(item=SUDOERS, key="grant_id"),
            meaning="What its users may do as somebody else.",
            example="[{grant_id: reload, service_user: redis, commands: [/usr/bin/true]}]",
        ),
        Field(name="security", shape=SECURITY, meaning="What its services may do.", example="{user_namespace: true}"),
        Field(
            name="reboot_required",
            shape=Flag(),
            meaning="It comes and goes only with a restart of the machine.",
            example="true",
        ),
        Field(
            name="skills",
            shape=Items(item=Anything(), most=100),
            meaning="Passed on and not looked at.",
            example="[]",
        ),
        Field(
            name="build", shape=_BUILD, meaning="How it is built; means nothing to a node.", example="{suite: trixie}"
        ),
    ),
)
