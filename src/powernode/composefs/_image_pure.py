# SPDX-License-Identifier: MIT
"""A tree as a composefs image and back, in Python: the reference beside the native core.

Invariants: `write_image` gives the bytes of C mkcomposefs for the same tree; `write_image(read_image(image))` gives
`image` again for every image either of us wrote whose hard-linked files are stored at their first name in walk order.
Out of scope: files, digests of images, the native core (the facade `image` chooses).

    image = write_image(root, min_version=1)
    print_dump(read_image(image))
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from powernode.composefs._dump_parse import parse_dump
from powernode.composefs._image_view import HEADER, HEADER_MAGIC, HEADER_VERSION
from powernode.composefs._overlay import flatten
from powernode.composefs._places import survey_tree
from powernode.composefs._tree_check import check_tree
from powernode.composefs._versions import check_versions
from powernode.composefs._view_pure import text
from powernode.composefs.tree import Directory
from powernode.erofs._writer import write_erofs

FLAG_HAS_ACL = 1
_ACL_NAMES = (b"system.posix_acl_access", b"system.posix_acl_default")


def write_image(
    root: Directory, *, min_version: int = 0, max_version: int = 1, wide: AbstractSet[int] = frozenset()
) -> bytes:
    """The image of a tree. Whiteouts raise the format version to 1 where `max_version` allows it. `wide`: see
    `ParsedDump`."""
    check_versions(min_version, max_version)
    survey = survey_tree(root)
    check_tree(root)
    version = max(min_version, max_version) if survey.has_whiteout else min_version
    inodes = flatten(root, version=version, survey=survey, wide=wide).inodes
    has_acl = any(name in _ACL_NAMES for inode in inodes for name, _ in inode.xattrs)
    return write_erofs(
        inodes, header=HEADER.pack(HEADER_MAGIC, HEADER_VERSION, FLAG_HAS_ACL if has_acl else 0, version)
    )


def read_image(data: bytes | memoryview) -> Directory:
    """The tree of an image, which may come from anyone. It goes through the dump, as with the C library: what a dump
    cannot say (more attributes than it may hold) is refused either way."""
    return parse_dump(text(data, "dump", ()))
