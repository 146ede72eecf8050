# SPDX-License-Identifier: MIT
"""Options that digest and enable have in common, spelled as the fsverity tool spells them."""

from __future__ import annotations

from powernode.cli.options import Arguments, Option, hex_bytes, natural
from powernode.verity import Params

PARAMETERS = (
    Option("--hash-alg", "NAME", "sha256 (default) or sha512", default="sha256"),
    Option(
        "--block-size",
        "BYTES",
        "Merkle tree block size, a power of two, 1024 to 65536 (default 4096)",
        natural,
        default=4096,
    ),
    Option("--salt", "HEX", "salt in hexadecimal, at most 32 bytes", hex_bytes, default=b""),
)


def params(arguments: Arguments) -> Params:
    return Params(arguments.hash_alg, arguments.block_size, arguments.salt)
