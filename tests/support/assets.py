# SPDX-License-Identifier: MIT
"""The public test data of composefs (`support.peers.ensure_assets` gets it): what there is, and how each is to be read.

image.from_dump(text_of(path), strict=path.name not in LENIENT)
"""

from __future__ import annotations

import gzip
from pathlib import Path

IMAGES = (
    "bigfile-xattr.dump",
    "bigfile.dump",
    "config-with-hard-link.dump.gz",
    "config.dump.gz",
    "cs9-x86_64-developer.dump.gz",
    "cs9-x86_64-minimal.dump.gz",
    "f36-x86_64-silverblue.dump.gz",
    "honggfuzz-bigfile-with-acl.dump",
    "honggfuzz-chardev-nonzero-size.dump",
    "honggfuzz-long-symlink.dump",
    "honggfuzz-longlink-unterminated.dump",
    "longlink.dump",
    "no-newline.dump",
    "special.dump",
    "special_v1.dump",
)
LENIENT = ("no-newline.dump", "longlink.dump", "honggfuzz-longlink-unterminated.dump")
"""Not what a strict reader takes."""
REFUSALS = {
    "big-inline": "dump.content-long",
    "dir-hardlink": "dump.hardlink-directory",
    "dot-name": "dump.name-dot",
    "dotdot-name": "dump.name-dot",
    "empty-link-name": "dump.symlink-empty",
    "empty-name": "dump.name-empty",
    "empty-xattr-key": "dump.xattr-name",
    "honggfuzz-long-xattr": "dump.xattr-total",
    "long-link": "dump.payload-long",
    "long-xattr-key": "dump.xattr-text",
    "long-xattr-value": "dump.mode",
    "no-ftype": "dump.mode",
    "self-hardlink": "dump.hardlink-self",
    "too-big": "dump.file-size",
}


def text_of(path: Path) -> bytes:
    """The dump, unpacked."""
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def versions_of(path: Path) -> tuple[int, int]:
    """The lowest and the highest format version of the recorded image."""
    version = path.with_name(path.name + ".version")
    return (int(version.read_text()),) * 2 if version.exists() else (0, 1)


def recorded_sha256(path: Path) -> str:
    """Of the recorded image."""
    return path.with_name(path.name + ".sha256").read_text().split()[0]
