# SPDX-License-Identifier: MIT
"""Writes what is generated from the manifest's table: its JSON Schema, and the table in docs/module-manifest.md.

`--check` only says whether the files are current.
"""

from __future__ import annotations

import sys
from pathlib import Path

from powernode.module.schema import encode_schema, fields_table

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = ROOT / "docs/formats/module-manifest.schema.json"
PAGE = ROOT / "docs/module-manifest.md"
BEGIN, END = "<!-- made by tests/generate.py -->\n", "<!-- end -->\n"


def generated() -> dict[Path, bytes]:
    page = PAGE.read_text("utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return {SCHEMA: encode_schema(), PAGE: (before + BEGIN + fields_table() + END + after).encode()}


def main() -> int:
    stale = [path for path, data in generated().items() if not path.is_file() or path.read_bytes() != data]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path} is not what powernode.manifest says; run: python tests/generate.py", file=sys.stderr)
        return 1 if stale else 0
    for path, data in generated().items():
        path.write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
