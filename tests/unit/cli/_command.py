# SPDX-License-Identifier: MIT
"""Calls the `powernode` command as its script does, in this process: exit status, standard output, standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from powernode.cli import main

PROGRAM = [sys.executable, "-m", "powernode.cli"]


class Answer(NamedTuple):
    status: int
    out: bytes
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def code(self) -> str:
        """The code of the refusal."""
        (line,) = [line for line in self.err.splitlines() if line.startswith("  code: ")]
        return line.removeprefix("  code: ")


Run = Callable[..., Answer]


def runner(capture: pytest.CaptureFixture[bytes]) -> Run:
    def run(*words: object) -> Answer:
        status = main([str(word) for word in words])
        out, err = capture.readouterr()
        return Answer(status, out, err.decode())

    return run
