# SPDX-License-Identifier: MIT
"""What lies beside the artifacts: `build-manifest.json` with every input and every digest, and `SHA256SUMS`.

Invariants: nothing in it depends on when, where or by whom it was built, so two builds of one plan give the same
manifest; every file of the folder is in SHA256SUMS but SHA256SUMS itself. Reading is strict and bounded: a folder may
come from anybody.

    write(folder, Manifest(plan=plan.as_dict(), plan_digest=plan.digest, inputs=inputs, tools=tools, facts=facts))
    check_sums(folder)
    read(folder).arch
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from powernode import verity
from powernode.base.canonical import decode
from powernode.base.errors import DataError, OperatorError
from powernode.base.fields import Fields
from powernode.debian.lock import ARCHITECTURES

if TYPE_CHECKING:
    from powernode.base.canonical import Json

__all__ = ["MANIFEST", "SUMS", "Built", "Manifest", "check_sums", "read", "sha256_file", "write"]

MANIFEST = "build-manifest.json"
SUMS = "SHA256SUMS"
_VERSION = 1
_MAX_BYTES = 4 << 20
_SUM = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9][A-Za-z0-9._+-]{0,199})")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_AGAIN = "build it again: powernode image build"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """`plan` is the plan's own description; the mappings are ready for JSON."""

    plan: Mapping[str, object]
    plan_digest: str
    inputs: Sequence[Mapping[str, object]]
    tools: Mapping[str, str]
    facts: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a manifest says of its folder, as far as others need it; nothing in it is more than a claim."""

    arch: str
    board: str
    variant: str
    plan: Mapping[str, Json]
    plan_digest: str
    tools: Mapping[str, Json]


def write(folder: Path, manifest: Manifest) -> None:
    """Digest every file of the folder and write both files."""
    artifacts = [_artifact(path) for path in sorted(folder.iterdir()) if path.name not in (MANIFEST, SUMS)]
    document = {
        "version": _VERSION,
        "plan": {**manifest.plan, "sha256": manifest.plan_digest},
        "inputs": list(manifest.inputs),
        "tools": dict(manifest.tools),
        **manifest.facts,
        "artifacts": artifacts,
    }
    (folder / MANIFEST).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    listed = [*((item["name"], item["sha256"]) for item in artifacts), (MANIFEST, sha256_file(folder / MANIFEST))]
    (folder / SUMS).write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(listed)))


def read(folder: Path) -> Built:
    what = f"{MANIFEST} of {folder}"
    document = decode(_content(folder, MANIFEST), what=what, max_bytes=_MAX_BYTES)
    with Fields(document, code="image.manifest", what=what) as fields:
        version = fields.integer("version", least=0)
        if version != _VERSION:
            raise DataError(
                "image.manifest.version",
                f"{what} is from another version of powernode",
                expected=f"version {_VERSION}",
                found=f"version {version}",
                hint="use the powernode that built it",
            )
        with fields.fields("plan") as plan:
            arch, variant, board = (plan.text(name, longest=100) for name in ("arch", "variant", "board"))
            digest = plan.text("sha256", longest=64)
            plan.ignore_others()
        if arch not in ARCHITECTURES or not _DIGEST.fullmatch(digest):
            raise fields.refusal("value", f"{what} is of no plan", expected=f"arch {' or '.join(ARCHITECTURES)}")
        fields.fields("tools").ignore_others()
        fields.ignore_others()
    assert isinstance(document, dict)
    described, tools = document["plan"], document["tools"]
    assert isinstance(described, dict)
    assert isinstance(tools, dict)
    described.pop("sha256")
    return Built(arch=arch, board=board, variant=variant, plan=described, plan_digest=digest, tools=tools)


def check_sums(folder: Path) -> list[str]:
    """The names that SHA256SUMS lists; refused if one is missing, unlisted or has other bytes."""
    names: list[str] = []
    for line in _content(folder, SUMS).decode("utf-8", "backslashreplace").split("\n")[:-1]:
        match = _SUM.fullmatch(line)
        if match is None or match[2] in names:
            raise DataError(
                "image.sums.malformed", f"{folder / SUMS} has a line that is no checksum", found=repr(line[:120])
            )
        path = folder / match[2]
        found = sha256_file(path) if _is_file(path) else "no such file"
        if found != match[1]:
            raise DataError(
                "image.sums.differ", f"{path} is not what was built", expected=match[1], found=found, hint=_AGAIN
            )
        names.append(match[2])
    unlisted = {path.name for path in folder.iterdir()} - {*names, SUMS}
    if unlisted:
        raise DataError(
            "image.sums.unlisted",
            f"{folder} has files that {SUMS} does not name",
            found=", ".join(repr(name) for name in sorted(unlisted)[:5]),
        )
    return names


def sha256_file(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _content(folder: Path, name: str) -> bytes:
    path = folder / name
    if not _is_file(path):
        raise OperatorError("image.manifest.no-build", f"{folder} is no build", expected=f"a file {name}", hint=_AGAIN)
    with open(path, "rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise DataError("image.manifest.size", f"{path} is too long", expected=f"at most {_MAX_BYTES} bytes")
    return data


def _is_file(path: Path) -> bool:
    """A file itself: a link could lead to anything."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _artifact(path: Path) -> dict[str, object]:
    return {
        "name": path.name,
        "size_bytes": path.stat().st_size,
        "sha256": sha256_file(path),
        "fsverity": verity.digest_file(path).hex,
    }
