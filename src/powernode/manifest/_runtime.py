# SPDX-License-Identifier: MIT
"""The part of the manifest's table that is about the node: commands, services, accounts, grants, security."""

from __future__ import annotations

from powernode.manifest import _rules, _values
from powernode.manifest._shapes import Choice, Field, Flag, Integer, Items, Members, Object, Text
from powernode.manifest._words import ACCOUNT, CAPABILITY_LIST, COMMAND, PATH, PATH_OR_NULL, SERVICE_NAME

__all__ = ["INIT", "SECURITY", "SERVICE", "SUDOERS", "USER"]

_SUDO_TAGS = ("EXEC", "FOLLOW", "INTERCEPT", "LOG_INPUT", "LOG_OUTPUT", "MAIL", "PASSWD", "SETENV")

INIT = Object(
    build=_values.Init,
    fields=(
        Field(
            name="start",
            shape=COMMAND,
            meaning="Run when the module is attached. Never given to a shell: one program by absolute path (or "
            "`systemctl`) and its arguments.",
            example='"systemctl start redis-server"',
        ),
        Field(
            name="stop",
            shape=COMMAND,
            meaning="Run before it is detached.",
            example='"systemctl stop redis-server"',
        ),
        Field(
            name="restart",
            shape=COMMAND,
            meaning="Run when only its content changed.",
            example='"systemctl restart redis-server"',
        ),
    ),
)

_HEALTH = Object(
    build=_values.Health,
    fields=(
        Field(
            name="endpoint",
            shape=Text(
                pattern=r"(https?://[!-~]+|[A-Za-z0-9.\[\]:-]+:[0-9]{1,5})",
                expected="http://… or https://… for GET, POST and PUT, host:port for TCP",
            ),
            meaning="What is asked: a URL, or host:port for `TCP`.",
            example='"http://127.0.0.1:8080/health"',
        ),
        Field(
            name="method", shape=Choice(among=("GET", "POST", "PUT", "TCP")), meaning="How it is asked.", example="TCP"
        ),
        Field(
            name="interval_s",
            shape=Integer(least=1, most=86_400),
            meaning="Seconds from one to the next.",
            example="30",
        ),
        Field(
            name="timeout_s",
            shape=Integer(least=1, most=3600),
            meaning="Seconds until it counts as failed.",
            example="5",
        ),
        Field(
            name="initial_delay_s",
            shape=Integer(least=0, most=3600),
            meaning="Seconds from the start to the first.",
            example="10",
        ),
    ),
)

SERVICE = Object(
    build=_values.Service,
    fields=(
        Field(name="name", shape=SERVICE_NAME, meaning="Its name, once in a module.", example="worker"),
        Field(
            name="start_command",
            shape=COMMAND,
            meaning="The program that runs, by the rules of `init.start`. Either this or `unit_body`.",
            example='"/usr/bin/redis-server /etc/redis/redis.conf"',
        ),
        Field(
            name="stop_command",
            shape=COMMAND,
            meaning="What ends it; without it, SIGTERM.",
            example='"/usr/bin/redis-cli shutdown"',
        ),
        Field(
            name="unit_body",
            shape=Text(lines=True, longest=1 << 16),
            meaning="A whole systemd unit, taken as it is. Either this or `start_command`.",
            example='"[Service]\\nExecStart=/usr/bin/redis-server\\n"',
        ),
        Field(
            name="restart_policy",
            shape=Choice(among=("always", "on-failure", "never")),
            meaning="When it is started again.",
            example="on-failure",
        ),
        Field(name="user", shape=ACCOUNT, meaning="Who it runs as; without it, root.", example="redis"),
        Field(name="working_directory", shape=PATH, meaning="Where it runs.", example="/var/lib/redis"),
        Field(
            name="env",
            shape=Members(
                name=Text(pattern=r"[A-Za-z_][A-Za-z0-9_]*", expected="letters, digits and _, no digit first"),
                value=Text(longest=4096),
            ),
            meaning="Its environment. Values are strings.",
            example='{"LOG_LEVEL": "info"}',
        ),
        Field(
            name="exposed_ports",
            shape=Items(item=Text(rule=_rules.port), unique=True),
            meaning="Where it listens, as `PORT/tcp` or `PORT/udp`.",
            example='["6379/tcp"]',
        ),
        Field(
            name="capabilities",
            shape=CAPABILITY_LIST,
            meaning="Of `security.capabilities`, those of this service.",
            example='["CAP_NET_BIND_SERVICE"]',
        ),
        Field(
            name="health",
            shape=_HEALTH,
            meaning="How to find out whether it works.",
            example='{endpoint: "127.0.0.1:6379", method: TCP}',
        ),
        Field(
            name="dependencies",
            shape=Items(
                item=Object(
                    build=_values.ServiceDependency,
                    fields=(
                        Field(
                            name="service",
                            shape=SERVICE_NAME,
                            meaning="Another service of this module.",
                            example="database",
                        ),
                        Field(
                            name="kind",
                            shape=Choice(among=("start_before", "requires_health", "softdep")),
                            meaning="Start it before; wait until it is healthy; start it before if it is there.",
                            example="start_before",
                        ),
                    ),
                ),
                key="service",
            ),
            meaning="Which other services of this module come first.",
            example="[{service: database}]",
        ),
    ),
)

USER = Object(
    build=_values.User,
    fields=(
        Field(name="name", shape=ACCOUNT, meaning="The name; ids are given by the platform.", example="redis"),
        Field(name="description", shape=Text(), meaning="Who or what it is.", example='"Redis server"'),
        Field(
            name="home",
            shape=Text(rule=_rules.home, longest=4096),
            meaning=f"Its home: one of {', '.join(f'`{root}`' for root in _rules.HOME_ROOTS)} (or below, if it ends "
            "in a slash).",
            example="/var/lib/redis",
        ),
        Field(name="shell", shape=PATH, meaning="Its shell.", example="/bin/bash"),
        Field(
            name="group", shape=ACCOUNT, meaning="Its first group; without it, one of its own name.", example="redis"
        ),
        Field(
            name="groups", shape=Items(item=ACCOUNT, unique=True), meaning="Its other groups.", example='["ssl-cert"]'
        ),
    ),
)

SUDOERS = Object(
    build=_values.Sudoers,
    fields=(
        Field(
            name="grant_id",
            shape=Text(pattern=r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?", expected="small letters, digits and hyphens"),
            meaning="Its name, once in a module.",
            example="reload-redis",
        ),
        Field(name="service_user", shape=ACCOUNT, meaning="Who may: one of `users`.", example="redis"),
        Field(
            name="commands",
            shape=Items(item=Text(rule=_rules.sudo_command, longest=4096), least=1, unique=True),
            meaning="What: absolute paths with plain arguments. `ALL`, wildcards and patterns are refused.",
            example='["/usr/bin/systemctl reload redis-server"]',
        ),
        Field(name="runas_user", shape=ACCOUNT, meaning="As whom.", example="postgres"),
        Field(name="runas_group", shape=ACCOUNT, meaning="As which group.", example="postgres"),
        Field(
            name="flags",
            shape=Items(item=Choice(among=(*_SUDO_TAGS, *("NO" + tag for tag in _SUDO_TAGS))), unique=True),
            meaning="Tags of sudoers(5).",
            example='["NOPASSWD"]',
        ),
    ),
)

SECURITY = Object(
    build=_values.Security,
    fields=(
        Field(
            name="capabilities",
            shape=CAPABILITY_LIST,
            meaning="Kernel capabilities its services may have. None named: all are dropped.",
            example='["CAP_NET_BIND_SERVICE"]',
        ),
        Field(
            name="selinux_profile",
            shape=PATH_OR_NULL,
            meaning="A path, or null.",
            example="/usr/share/selinux/redis.pp",
        ),
        Field(
            name="apparmor_profile",
            shape=PATH_OR_NULL,
            meaning="A path, or null.",
            example="/etc/apparmor.d/usr.sbin.nginx",
        ),
        Field(
            name="seccomp_profile",
            shape=PATH_OR_NULL,
            meaning="A path, or null.",
            example="/usr/share/powernode/seccomp/redis.json",
        ),
        Field(
            name="egress_allow",
            shape=Items(item=Text(rule=_rules.egress), unique=True),
            meaning="Hosts its services may reach, as `host` or `host:port`. None named: no egress.",
            example='["mirror.example.com:443"]',
        ),
        Field(
            name="privileged",
            shape=Flag(),
            meaning="Needs everything; an operator has to approve each time it is attached.",
            example="true",
        ),
        Field(name="user_namespace", shape=Flag(), meaning="Its services run in a user namespace.", example="true"),
    ),
)
