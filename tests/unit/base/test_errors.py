# SPDX-License-Identifier: MIT
"""A refusal says everything once: to people as one sentence, to machines as fields, to the shell as a status."""

from __future__ import annotations

import pytest

from powernode.base.errors import DataError, InternalError, MachineError, OperatorError, PowernodeError


@pytest.mark.parametrize(
    ("kind", "status"), [(OperatorError, 2), (DataError, 3), (MachineError, 4), (InternalError, 70)]
)
def test_exit_status_says_who_must_act(kind: type[PowernodeError], status: int) -> None:
    assert kind("a.b", "it went wrong").exit_status == status


def test_all_parts() -> None:
    error = OperatorError("a.b", "no", expected="yes", found="no", hint="say yes")
    assert str(error) == "no; expected yes; found no (say yes)"
    assert error.as_dict() == {"code": "a.b", "message": "no", "expected": "yes", "found": "no", "hint": "say yes"}


def test_absent_parts_are_left_out_but_empty_ones_are_not() -> None:
    assert DataError("a.b", "no").as_dict() == {"code": "a.b", "message": "no"}
    assert str(DataError("a.b", "no")) == "no"
    assert DataError("a.b", "no", found="").as_dict() == {"code": "a.b", "message": "no", "found": ""}
    assert str(DataError("a.b", "no", found="")) == "no; found "


def test_one_root_that_hides_no_programming_errors() -> None:
    for kind in (OperatorError, DataError, MachineError, InternalError):
        assert issubclass(kind, PowernodeError)
    assert not issubclass(PowernodeError, (ValueError, OSError, RuntimeError))
