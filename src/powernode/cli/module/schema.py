# SPDX-License-Identifier: MIT
"""powernode module schema"""

from __future__ import annotations

from powernode.cli.options import Arguments, Command

COMMAND = Command(
    "module schema",
    "",
    "Prints the JSON Schema of manifest.yaml, for editors. `powernode module validate` checks more than a schema can.",
    example="powernode module schema",
    most=0,
)


def run(arguments: Arguments) -> int:
    from powernode.cli.output import write_bytes
    from powernode.module.schema import encode_schema

    write_bytes(encode_schema())
    return 0
