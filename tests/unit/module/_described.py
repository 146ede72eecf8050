# SPDX-License-Identifier: MIT
"""A module of two packages, for the tests of what is written about one."""

from __future__ import annotations

from hashlib import sha256

from powernode.base.digest import Digest
from powernode.module.copyright import Licence, Unstated
from powernode.module.dpkg import Installed
from powernode.module.sbom import ShippedFile
from powernode.module.subject import Subject

TIME = 1_754_697_600  # 2025-08-09T00:00:00Z
SUBJECT = Subject(
    name="my-redis",
    version="0.1.0+rc.1",
    architecture="amd64",
    digest=Digest("sha256", bytes(range(32))),
    suite="trixie",
    licence="BSD-3-Clause",
    description="Redis with TLS",
)
REDIS = Installed(
    name="redis-server",
    version="5:8.0.2-3+b1",
    architecture="amd64",
    source="redis",
    source_version="5:8.0.2-3",
    licence=Licence(expression="BSD-3-Clause AND LicenseRef-Debian-public-domain"),
    files=frozenset(
        {b"/usr", b"/usr/bin", b"/usr/bin/redis-server", b"/etc/redis/redis.conf", b"/usr/bin/redis-check"}
    ),
)
STDCXX = Installed(
    name="libstdc++6",
    version="14.2.0-19",
    architecture="amd64",
    source="gcc-14",
    source_version="14.2.0-19",
    licence=Licence(unstated=Unstated.FREE_TEXT, mentions=("GPL-3", "LGPL-3")),
    files=frozenset({b"/usr", b"/usr/lib/libstdc++.so.6"}),
)
UNUSED = Installed(
    name="doc",
    version="1",
    architecture="all",
    source="doc",
    source_version="1",
    licence=Licence(unstated=Unstated.MISSING),
    files=frozenset({b"/usr", b"/usr/share/doc/doc"}),
)


def shipped(path: bytes, data: bytes = b"content", *, own: bool = False) -> ShippedFile:
    verity = b"\xaa" * 32 if len(data) > 64 else None
    return ShippedFile(path=path, size=len(data), sha256=sha256(data).digest(), fsverity=verity, own=own)


FILES = (
    shipped(b"/usr/bin/redis-server", b"\x7fELF" * 100),
    shipped(b"/etc/redis/redis.conf", own=True),  # ours, although the package has one too
    shipped(b"/usr/lib/libstdc++.so.6"),
    ShippedFile(path=b"/usr/bin/redis-check", target=b"redis-server"),
    shipped(b"/var/lib/redis/.gitkeep", b""),
)
