# SPDX-License-Identifier: MIT
"""The reference tools our bytes are compared with: mkcomposefs and composefs-info as Debian builds them, and their
test data.

Only Debian's development release packages them, and its C library is newer than this machine's, so each tool is started
through the dynamic loader it was unpacked with. A tool named by POWERNODE_MKCOMPOSEFS or POWERNODE_COMPOSEFS_INFO, or
on PATH, comes first.

    python3 tests/support/peers.py      gets everything and says where it is
"""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.debian import CACHE, PrivateApt, UnavailableError, kept

SUITE = "sid"
PACKAGES = ("composefs", "libcomposefs1", "libc6", "libssl3t64", "zlib1g", "libzstd1")
TOOLS = {"mkcomposefs": "POWERNODE_MKCOMPOSEFS", "composefs-info": "POWERNODE_COMPOSEFS_INFO"}
_ASSETS = "tests/assets/"
_MAX_ASSET_BYTES = 8 << 20


def ensure_tools() -> None:
    """Makes every tool known through its environment variable, getting what is missing."""
    for tool, variable in TOOLS.items():
        found = os.environ.get(variable) or shutil.which(tool)
        os.environ[variable] = found or str(kept(CACHE / "composefs-tools", _unpack) / "bin" / tool)


def ensure_assets() -> Path:
    """The folder with the public test data of composefs: dumps and the digests of their images."""
    return kept(CACHE / "composefs-assets", _select_assets)


def _select_assets(folder: Path) -> None:
    apt = PrivateApt(SUITE)
    apt.update()
    archive = apt.source("composefs", CACHE / "composefs-source")
    with tarfile.open(archive) as tar:
        for member in tar:
            _, _, name = member.name.partition(_ASSETS)
            if name and "/" not in name and member.isreg() and member.size <= _MAX_ASSET_BYTES:
                content = tar.extractfile(member)
                assert content is not None
                (folder / name).write_bytes(content.read())
            elif name and member.issym() and "/" not in member.linkname:
                (folder / name).symlink_to(member.linkname)


def _unpack(partial: Path) -> None:
    apt = PrivateApt(SUITE)
    apt.update()
    apt.unpack(PACKAGES, partial)
    loader = next(partial.rglob("ld-linux-x86-64.so.2"), None)
    if loader is None:
        raise UnavailableError("the unpacked C library has no loader")
    (partial / "bin").mkdir(exist_ok=True)
    for tool in TOOLS:
        wrapper = partial / "bin" / tool
        # `exec -a` would need bash; the tools do not care for their own name.
        here = '$(dirname "$(dirname "$(readlink -f "$0")")")'
        libraries = ":".join(
            f"$here/{folder.relative_to(partial)}" for folder in sorted(partial.glob("usr/lib/*-linux-gnu"))
        )
        wrapper.write_text(
            f"#!/bin/sh\nhere={here}\n"
            f'exec "$here/{loader.relative_to(partial)}" --library-path "{libraries}" "$here/usr/bin/{tool}" "$@"\n'
        )
        wrapper.chmod(0o755)


if __name__ == "__main__":
    try:
        ensure_tools()
        print(*(os.environ[variable] for variable in TOOLS.values()), ensure_assets(), sep="\n")
    except UnavailableError as error:
        sys.exit(f"the reference tools cannot be had here: {error}")
