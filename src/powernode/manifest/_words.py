# SPDX-License-Identifier: MIT
"""The shapes that fields of a manifest share: names, packages, globs, paths, commands, capabilities."""

from __future__ import annotations

from powernode.manifest import _rules
from powernode.manifest._shapes import Choice, Items, Text
from powernode.manifest.command import parse_command
from powernode.manifest.globs import parse_glob

CAPABILITIES = (
    *(
        "CAP_AUDIT_CONTROL",
        "CAP_AUDIT_READ",
        "CAP_AUDIT_WRITE",
        "CAP_BLOCK_SUSPEND",
        "CAP_BPF",
        "CAP_CHECKPOINT_RESTORE",
    ),
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_IPC_LOCK"),
    *("CAP_IPC_OWNER", "CAP_KILL", "CAP_LEASE", "CAP_LINUX_IMMUTABLE", "CAP_MAC_ADMIN", "CAP_MAC_OVERRIDE"),
    *("CAP_MKNOD", "CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_RAW", "CAP_PERFMON"),
    *("CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYSLOG", "CAP_SYS_ADMIN"),
    *("CAP_SYS_BOOT", "CAP_SYS_CHROOT", "CAP_SYS_MODULE", "CAP_SYS_NICE", "CAP_SYS_PACCT", "CAP_SYS_PTRACE"),
    *("CAP_SYS_RAWIO", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_WAKE_ALARM"),
)
"""capabilities(7) as of Linux 6.12."""

NAME = Text(
    pattern=r"[a-z]([a-z0-9-]{0,62}[a-z0-9])?",
    expected="1 to 64 small letters, digits and hyphens; a letter first, no hyphen last",
)
SERVICE_NAME = Text(
    pattern=r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?",
    expected="1 to 63 small letters, digits and hyphens; a letter first, no hyphen last",
)
ACCOUNT = Text(
    pattern=r"[a-z_][a-z0-9_-]{0,30}", expected="1 to 31 small letters, digits, _ and -; a letter or _ first"
)
PACKAGES = Items(item=Text(rule=_rules.package_name), unique=True)
GLOBS = Items(item=Text(rule=parse_glob, longest=4096), most=10_000)
COMMAND = Text(rule=parse_command, longest=4096)
PATH = Text(rule=_rules.absolute_path, longest=4096)
PATH_OR_NULL = Text(rule=_rules.absolute_path, longest=4096, null=True)
CAPABILITY_LIST = Items(item=Choice(among=CAPABILITIES), unique=True)
