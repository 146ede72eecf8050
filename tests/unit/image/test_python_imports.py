# SPDX-License-Identifier: MIT
"""What our own code imports, as far as the source shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from powernode.base.errors import OperatorError
from powernode.image.runtime.imports import closure

CHECKOUT = Path(__file__).resolve().parents[3]

FILES = {
    "__init__": "",
    "tool/__init__": "import sys\n",
    "tool/verb": "def run():\n    from powernode.deep import later\n    import json.decoder\n",
    "deep/__init__": "",
    "deep/later": "from urllib.request import Request, urlopen\nfrom powernode.deep.value import VALUE\n",
    "deep/value": """
TYPE_CHECKING = False
if TYPE_CHECKING:
    import typing
    from powernode.deep import only_for_types
else:
    import os
import typing as t
if t.TYPE_CHECKING:
    import collections
try:
    import fast
except ImportError:
    import slow
VALUE = 1
""",
    "deep/only_for_types": "",
    "unused": "",
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "powernode" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_everything_a_root_reaches_is_found(source: Path) -> None:
    found = closure(source, ["powernode.tool"])
    assert list(found.own) == [
        *("powernode", "powernode.deep", "powernode.deep.later", "powernode.deep.value"),
        *("powernode.tool", "powernode.tool.verb"),
    ]
    assert found.others == {
        **{"fast": set(), "json.decoder": set(), "os": set(), "slow": set(), "sys": set(), "typing": set()},
        "urllib.request": {"Request", "urlopen"},
    }


def test_what_is_left_out_is_not_followed(source: Path) -> None:
    found = closure(source, ["powernode.tool"], without=["powernode.deep.later"])
    assert "powernode.deep.later" not in found.own
    assert "urllib.request" not in found.others


def test_a_module_that_is_not_there_is_refused_with_who_imports_it(source: Path) -> None:
    (source / "powernode/deep/value.py").unlink()
    with pytest.raises(OperatorError) as refusal:
        closure(source, ["powernode.tool"])
    assert refusal.value.code == "image.python.module"
    assert refusal.value.message.startswith("powernode.deep.later imports powernode.deep.value")


def test_the_agent_reaches_only_the_standard_library() -> None:
    import sys

    found = closure(CHECKOUT / "src", ["powernode.cli.agent"], without=["powernode.native._cffi_door"])
    assert "powernode.agent.boot" in found.own
    assert {name.partition(".")[0] for name in found.others} <= sys.stdlib_module_names
