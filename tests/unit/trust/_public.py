# SPDX-License-Identifier: MIT
"""Where collections of public test vectors are, if they can be had: they are other projects', and large."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.debian import UnavailableError
from support.vectors import Collection, ensure


def collection(variable: str, what: str, inside: str) -> Path:
    """The folder that an environment variable names; a skip, with what to do about it, where there is none."""
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{what} is not here: set {variable} to a checkout of it")
    folder = Path(value) / inside
    assert folder.is_dir(), f"{variable} names no checkout of {what}"
    return folder


def from_archive(wanted: Collection) -> Path:
    """The folder with what a package of Debian has; a skip, with the reason, where no archive can be reached."""
    try:
        return ensure(wanted)
    except UnavailableError as error:
        pytest.skip(f"{wanted.package} cannot be had here: {error}")
