# SPDX-License-Identifier: MIT
"""Debian versions and their order (deb-version(7), Debian policy 5.6.12).

The order is that of epoch, upstream version and revision. The latter two are read as alternating runs of what is no
digit and of digits: digits compare as numbers, everything else character by character, where `~` comes before the end,
the end before letters, and letters before the rest.

A key is made instead of a comparison, so that Python's tuples do the work: "the end" is a value of its own, which
stands behind every run and behind the last one.

    order("1.0~rc1-1") < order("1.0-1") < order("1.0-1+b1") < order("1:0.1-1")
"""

from __future__ import annotations

import re

from powernode.base.errors import DataError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    _Run: TypeAlias = "tuple[tuple[int, ...], int]"
    Order: TypeAlias = "tuple[int, tuple[_Run, ...], tuple[_Run, ...]]"

__all__ = ["order"]

# A letter at the beginning is what dpkg warns about and takes, and what some snapshots of upstream have.
_VERSION = re.compile(r"(?:([0-9]{1,9}):)?([0-9A-Za-z](?:[0-9A-Za-z.+~:-]{0,254}[0-9A-Za-z.+~:])?)", re.ASCII)
_RUNS = re.compile(r"([^0-9]*)([0-9]*)")
_TILDE, _END, _OTHERS = -1, 0, 256
_LAST: _Run = ((_END,), 0)


def order(version: str) -> Order:
    """What versions are sorted by; a DataError for what is none."""
    match = _VERSION.fullmatch(version)
    if match is None or (match[1] is None and ":" in version):
        raise DataError(
            "module.debversion",
            "not the version of a Debian package",
            expected="[epoch:]upstream[-revision]",
            found=repr(version[:100]),
        )
    epoch, rest = match.groups()
    upstream, hyphen, revision = rest.rpartition("-")
    return (int(epoch or 0), _runs(upstream), _runs(revision)) if hyphen else (int(epoch or 0), _runs(rest), _runs(""))


def _runs(text: str) -> tuple[_Run, ...]:
    found = _RUNS.findall(text or "0")  # no revision and the revision 0 are the same
    runs = (((*(_weight(each) for each in word), _END), int(digits or 0)) for word, digits in found if word or digits)
    return (*runs, _LAST)


def _weight(character: str) -> int:
    if character == "~":
        return _TILDE
    return ord(character) if character.isalpha() else ord(character) + _OTHERS
