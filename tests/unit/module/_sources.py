# SPDX-License-Identifier: MIT
"""Folders of modules to validate, and what was told of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from powernode.module.known import Known
from powernode.module.lock import Request
from powernode.module.validate import Report, validate

HEAD = "schema_version: 1\nname: site\n"


def source(folder: Path, manifest: str, files: Sequence[str] = ()) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.yaml").write_text(manifest)
    for name in files:
        path = folder / "rootfs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def nothing(request: Request) -> str:
    return "nobody was asked"


def knowing(*names: str, files: dict[bytes, bool] | None = None) -> Known:
    return Known(where="the archive", names=frozenset(names), files=files)


def told(report: Report) -> list[tuple[int, int, str]]:
    return [(finding.line, finding.column, finding.problem.code) for finding in report.findings]


def look(tmp_path: Path, manifest: str, files: Sequence[str] = (), known: Known | None = None) -> Report:
    """Findings about a source; nothing is known of packages unless said."""
    folder = source(tmp_path / "site", manifest, files)
    return validate(folder, ask=lambda request: known if known is not None else nothing(request))
