# SPDX-License-Identifier: MIT
"""Known vulnerabilities from a folder of files: Debian's security tracker and OSV. Nothing is ever fetched.

Every `*.json` in the folder and below is read: one file of the tracker (the whole of its data/json) or any number of
OSV files. What a file is is seen from its content; a file that is neither is refused, so a feed is never silently less
than it looks. Only what is about the given source packages is kept.

Invariants: sizes and counts are limited; `Feed.digest` is that of all files and their names, whether they say anything
about these packages or not: it names the state of knowledge that a document is written from. It is in-toto's `dirHash`:
the SHA-256 of what `sha256sum` prints for the files in the order of their names.

    feed = read_feed(Path("feed"), sources={"redis", "glibc"}, suite="trixie")
    feed.advisories[0].assess("5:8.0.2-3").status       # Status.FIXED
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from powernode.base.digest import Digest
from powernode.base.errors import DataError, OperatorError
from powernode.module import _osv, _tracker
from powernode.module._assessment import Advisory, Assessment, Status

if TYPE_CHECKING:
    from powernode.base.canonical import Json

__all__ = ["Advisory", "Assessment", "Feed", "Status", "files", "read_feed"]

_CODE = "module.feed"
_MAX_FILES = 500_000
_MAX_FILE_BYTES = 512 << 20
_MAX_TOTAL_BYTES = 4 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    advisories: tuple[Advisory, ...]
    digest: Digest
    files: int


def read_feed(folder: Path, *, sources: Collection[str], suite: str) -> Feed:
    """What the files in `folder` say about these source packages in this release of Debian."""
    hasher = sha256()
    found: list[Advisory] = []
    total = 0
    paths = files(folder)
    for path in paths:
        data = _read(path, total)
        total += len(data)
        name = os.fsencode(path.relative_to(folder))
        hasher.update(f"{sha256(data).hexdigest()}  ".encode() + name + b"\n")
        document = _decode(data, path)
        if _osv.is_one(document):
            found += _osv.advisories(document, what=str(path), sources=sources, suite=suite)
        elif _tracker.is_one(document):
            found += _tracker.advisories(document, what=str(path), sources=sources, suite=suite)
        else:
            raise DataError(
                f"{_CODE}.unknown",
                f"{path} is no vulnerability feed that we know",
                expected="the JSON of Debian's security tracker, or an OSV file",
                hint="take it out of the folder",
            )
    return Feed(advisories=tuple(found), digest=Digest("sha256", hasher.digest()), files=len(paths))


def files(folder: Path) -> list[Path]:
    """The files of a feed, in their order; it is refused if there are none."""
    if not folder.is_dir():
        raise OperatorError(f"{_CODE}.folder", f"{folder} is no folder", hint="name the folder with the feed's files")
    found = (path for path in folder.rglob("*.json") if path.is_file())
    paths = sorted(found, key=lambda path: os.fsencode(path.relative_to(folder)))
    if not paths:
        raise OperatorError(f"{_CODE}.empty", f"there is no vulnerability feed in {folder}", expected="*.json files")
    if len(paths) > _MAX_FILES:
        raise DataError(
            f"{_CODE}.files", f"{folder} has too many files", expected=f"at most {_MAX_FILES}", found=str(len(paths))
        )
    return paths


def _read(path: Path, before: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(min(_MAX_FILE_BYTES, _MAX_TOTAL_BYTES - before) + 1)
    if len(data) > _MAX_FILE_BYTES or before + len(data) > _MAX_TOTAL_BYTES:
        raise DataError(f"{_CODE}.size", f"{path} makes the feed too large", expected=f"{_MAX_FILE_BYTES} bytes a file")
    return data


def _decode(data: bytes, path: Path) -> Json:
    """Other people's JSON: numbers that are no integers are allowed (nobody here reads one), the rest is strict."""

    def refuse(problem: str) -> NoReturn:
        raise DataError(f"{_CODE}.json", f"{path} is not JSON: {problem}")

    def members(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        found = dict(pairs)
        if len(found) != len(pairs):
            refuse("a key is there twice")
        return found

    try:
        value: Json = json.loads(
            data.decode("utf-8"), object_pairs_hook=members, parse_float=str, parse_int=str, parse_constant=refuse
        )
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        refuse(str(error))
    except RecursionError:
        refuse("it is too deep")
    return value
