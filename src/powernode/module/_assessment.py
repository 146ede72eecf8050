# SPDX-License-Identifier: MIT
"""What advisories are and what they say about a version: the values that feeds make and VEX documents are made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

__all__ = ["Advisory", "Assessment", "Status"]


class Status(Enum):
    """OpenVEX's words, the worst first."""

    AFFECTED = "affected"
    UNDER_INVESTIGATION = "under_investigation"
    FIXED = "fixed"
    NOT_AFFECTED = "not_affected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What an advisory means for one version. `note` says who says so and why; `action` goes with AFFECTED, and one of
    `justification` (a word of OpenVEX) and `impact` with NOT_AFFECTED."""

    status: Status
    note: str
    action: str | None = None
    justification: str | None = None
    impact: str | None = None


class Advisory(Protocol):
    """One vulnerability in one source package."""

    @property
    def name(self) -> str: ...
    @property
    def aliases(self) -> tuple[str, ...]: ...
    @property
    def source(self) -> str: ...
    def assess(self, version: str) -> Assessment:
        """What it means for this version of the source package."""
