# SPDX-License-Identifier: MIT
"""What every node's base system installs; the names only, as apt takes them.

A module ships what it adds to this, and a lock pins the versions of both.

    private.closure([*SYSTEM_BASE, "redis-server"])
"""

SYSTEM_BASE = (
    *("?essential", "kmod", "libpam-runtime", "login", "mount", "netbase", "passwd"),
    *("systemd", "systemd-sysv", "udev"),
)
