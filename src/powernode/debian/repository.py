# SPDX-License-Identifier: MIT
"""A folder of .deb files as a repository that apt can install from, for tools that take packages from nowhere else.

Invariants: the index lists exactly the files given, by name, size and SHA-256; the repository depends on nothing but
their content. It is not signed: whoever points apt at it (`[trusted=yes]`) has checked the files before, as
`inputs.Inputs.deb` does against the lock.

    write_repository([inputs.deb("libc6")], Path("repository"))     # then: deb [trusted=yes] copy:/…/repository ./
    newest([Path("libc6.deb")])                                     # 1754697600
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from powernode.archive import deb
from powernode.base.errors import DataError

__all__ = ["newest", "write_repository"]

_RELATIONS = ("Pre-Depends", "Depends", "Conflicts", "Breaks", "Replaces", "Provides")
_FIELDS = ("Package", "Version", "Architecture", "Multi-Arch", "Essential", "Protected", "Priority", *_RELATIONS)
_AR_TIME = slice(24, 36)


def write_repository(debs: Sequence[Path], folder: Path) -> None:
    """The index and links to the files; `folder` exists and is empty."""
    stanzas: dict[str, str] = {}
    for path in debs:
        with open(path, "rb") as package:
            fields = deb.control(package)
            package.seek(0)
            digest = hashlib.file_digest(package, "sha256").hexdigest()
        name = fields.get("Package", "")
        if not name or name in stanzas:
            raise DataError(
                "debian.repository.package", f"{path} has no name, or one that is there already", found=name
            )
        file_name = f"{name}.deb"
        lines = [f"{field}: {' '.join(fields[field].split())}" for field in _FIELDS if field in fields]
        lines += [f"Filename: ./{file_name}", f"Size: {path.stat().st_size}", f"SHA256: {digest}"]
        stanzas[name] = "\n".join(lines) + "\n"
        os.symlink(path.absolute(), folder / file_name)
    (folder / "Packages").write_text("\n".join(stanzas[name] for name in sorted(stanzas)))
    (folder / "Release").write_text("Suite: powernode\nCodename: powernode\n")


def newest(debs: Sequence[Path]) -> int:
    """When the youngest of the packages was built, in seconds since 1970: the time of its first member."""
    times = []
    for path in debs:
        with open(path, "rb") as package:
            head = package.read(60)
        if not (head.startswith(b"!<arch>\n") and head[_AR_TIME].strip().isdigit()):
            raise DataError("debian.repository.package", f"{path} is no Debian package")
        times.append(int(head[_AR_TIME]))
    return max(times)
