# SPDX-License-Identifier: MIT
"""Proofs that an entry is in the Merkle tree of a log (RFC 9162, section 2.1.3.2; the hashes of RFC 6962).

Invariants: `root_of` follows one path of at most 63 hashes; leaves and nodes are hashed differently (0x00 and 0x01 in
front), so neither can be passed off as the other; a path that is too short or too long for the tree is refused.

Out of scope: whether the root is the log's (`checkpoint`).

    if root_of(leaf_hash(body), index=7, size=12, hashes=path) != checkpoint.root_hash: ...
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from powernode.base.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["leaf_hash", "root_of"]


def leaf_hash(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def root_of(leaf: bytes, *, index: int, size: int, hashes: Sequence[bytes]) -> bytes:
    """The root of the tree of `size` leaves in which `leaf` is number `index`; code trust.log.proof."""
    if not 0 <= index < size <= 1 << 63 or len(hashes) > 63 or any(len(item) != 32 for item in hashes):
        raise _refusal("the inclusion proof cannot be one for this tree")
    # The way up: `at` is where we are in the row, `last` the row's last place. A node without a sibling on its right
    # moves up unhashed, which is why the rows in which that happens are skipped.
    at, last, node = index, size - 1, leaf
    for sibling in hashes:
        if last == 0:
            raise _refusal("the inclusion proof is longer than the tree is high")
        if at & 1 or at == last:
            node = sha256(b"\x01" + sibling + node).digest()
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            node = sha256(b"\x01" + node + sibling).digest()
        at, last = at >> 1, last >> 1
    if last:
        raise _refusal("the inclusion proof ends below the root")
    return node


def _refusal(message: str) -> DataError:
    return DataError("trust.log.proof", message)
