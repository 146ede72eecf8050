# SPDX-License-Identifier: MIT
"""What lies beside the artifacts: `build-manifest.json` with every input and every digest, and `SHA256SUMS`.

Invariants: nothing in it depends on when, where or by whom it was built, so two builds of one plan give the same
manifest; every file of the folder is in SHA256SUMS but SHA256SUMS itself.

    write(folder, Manifest(plan=plan, inputs=inputs.used, tools=tools, kernel=kernel, components=sizes))
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from powernode import verity
from powernode.base.errors import DataError

__all__ = ["MANIFEST", "SUMS", "Manifest", "check_sums", "write"]

MANIFEST = "build-manifest.json"
SUMS = "SHA256SUMS"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """`plan` is the plan's own description; the mappings are ready for JSON."""

    plan: Mapping[str, object]
    plan_digest: str
    inputs: Sequence[Mapping[str, object]]
    tools: Mapping[str, str]
    facts: Mapping[str, object]


def write(folder: Path, manifest: Manifest) -> None:
    """Digest every file of the folder and write both files."""
    artifacts = [_artifact(path) for path in sorted(folder.iterdir()) if path.name not in (MANIFEST, SUMS)]
    document = {
        "version": 1,
        "plan": {**manifest.plan, "sha256": manifest.plan_digest},
        "inputs": list(manifest.inputs),
        "tools": dict(manifest.tools),
        **manifest.facts,
        "artifacts": artifacts,
    }
    (folder / MANIFEST).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    listed = [*((item["name"], item["sha256"]) for item in artifacts), (MANIFEST, sha256_file(folder / MANIFEST))]
    (folder / SUMS).write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(listed)))


def check_sums(folder: Path) -> list[str]:
    """The names that SHA256SUMS lists; refused if one is missing, unlisted or has other bytes."""
    names = []
    for line in (folder / SUMS).read_text().splitlines():
        digest, _, name = line.partition("  ")
        if not name or "/" in name:
            raise DataError("image.sums.malformed", f"{folder / SUMS} has a line that is no checksum", found=line)
        path = folder / name
        found = sha256_file(path) if path.is_file() else "no such file"
        if found != digest:
            raise DataError(
                "image.sums.differ",
                f"{path} is not what was built",
                expected=digest,
                found=found,
                hint="build it again: powernode image build",
            )
        names.append(name)
    unlisted = {path.name for path in folder.iterdir()} - {*names, SUMS}
    if unlisted:
        raise DataError("image.sums.unlisted", f"{folder} has files nobody built", found=", ".join(sorted(unlisted)))
    return names


def sha256_file(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _artifact(path: Path) -> dict[str, object]:
    return {
        "name": path.name,
        "size_bytes": path.stat().st_size,
        "sha256": sha256_file(path),
        "fsverity": verity.digest_file(path).hex,
    }
