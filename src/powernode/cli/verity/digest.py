# SPDX-License-Identifier: MIT
"""powernode verity digest"""

from __future__ import annotations

import os
import sys

from powernode import verity
from powernode.base.errors import OperatorError
from powernode.cli.options import Arguments, Command, Option, natural
from powernode.cli.output import write_line
from powernode.cli.verity.shared import PARAMETERS, params
from powernode.verity.params import ALGORITHM_NUMBERS

COMMAND = Command(
    "verity digest",
    "FILE…",
    "Computes the fs-verity digest of files, the number the kernel checks a file against on every read. Needs no "
    "kernel support.",
    options=(
        *PARAMETERS,
        Option("--jobs", "N", "threads; 0 (default) takes all CPUs", natural, default=0, short="-j"),
        Option("--compact", None, "print only the digest in hexadecimal"),
        Option("--for-builtin-sig", None, "print the structure the kernel's built-in signatures sign, in hexadecimal"),
        Option("--out-merkle-tree", "PATH", "write the Merkle tree there (one FILE only)"),
        Option("--out-descriptor", "PATH", "write the fs-verity descriptor there (one FILE only)"),
        Option("--json", None, "one JSON object per line for machines"),
    ),
    example="powernode verity digest --hash-alg=sha512 /usr/bin/env\nsha512:… /usr/bin/env",
    least=1,
)


def run(arguments: Arguments) -> int:
    parameters = params(arguments)
    paths = arguments.operands
    if arguments.out_merkle_tree or arguments.out_descriptor:
        return _with_files(arguments, parameters)
    if len(paths) == 1:
        _print(arguments, paths[0], verity.digest_file(paths[0], parameters, threads=arguments.jobs))
        return 0
    failed = 0
    for path, result in zip(paths, verity.digest_files(paths, parameters, threads=arguments.jobs), strict=True):
        if isinstance(result, OSError):
            print(f"powernode: {path}: {result.strerror}", file=sys.stderr)
            failed += 1
        else:
            _print(arguments, path, result)
    return 4 if failed else 0


def _print(arguments: Arguments, path: str, digest: verity.Digest) -> None:
    if arguments.json:
        import json

        print(json.dumps({"path": path, "algorithm": digest.algorithm, "digest": digest.hex}))
        return
    value, label = digest.hex, str(digest)
    if arguments.for_builtin_sig:
        head = (
            b"FSVerity"
            + ALGORITHM_NUMBERS[digest.algorithm].to_bytes(2, "little")
            + len(digest.value).to_bytes(2, "little")
        )
        value = label = (head + digest.value).hex()
    write_line(value if arguments.compact else f"{label} {path}")


def _with_files(arguments: Arguments, parameters: verity.Params) -> int:
    if len(arguments.operands) != 1:
        raise OperatorError("cli.operands", "a tree or descriptor belongs to one file", expected="one FILE")
    path = arguments.operands[0]
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        digest, tree = verity.merkle_tree(file.fileno(), parameters, threads=arguments.jobs)
        if arguments.out_descriptor:
            with open(arguments.out_descriptor, "wb") as out:
                out.write(verity.descriptor(file.fileno(), parameters, tree))
    if arguments.out_merkle_tree:
        with open(arguments.out_merkle_tree, "wb") as out:
            out.write(tree)
    _print(arguments, path, digest)
    return 0
