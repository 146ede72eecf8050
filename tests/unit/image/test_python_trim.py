# SPDX-License-Identifier: MIT
"""The script that finds and compiles what the node's interpreter needs, asked about this machine's own library."""

from __future__ import annotations

import json
import marshal
import subprocess
import sys
import sysconfig
from base64 import b64decode
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

import powernode.image.runtime

SCRIPT = Path(powernode.image.runtime.__file__).with_name("trim.py")
LIBRARY = sysconfig.get_path("stdlib")
OWN = '''"""A docstring."""
from dataclasses import dataclass

@dataclass
class Value:
    """What it is."""
    x: int

class Empty:
    """Only this."""

def check(x):
    """Never."""
    assert x, "removed"
    return Value(x)
'''


def ask(tmp_path: Path, **changes: object) -> dict[str, Any]:
    (tmp_path / "own.py").write_text(OWN)
    task = {
        "import": {"json": ["loads"], "shutil": []},
        "later": {"json": ["encodings.idna"], "never.imported": ["no.such.module"], "os": ["os"]},
        "absent": ["bz2", "lzma"],
        "amendments": {},
        "own": {"powernode.own": [str(tmp_path / "own.py"), False]},
        **changes,
    }
    command = [sys.executable, "-B", "-S", "-s", "-P", str(SCRIPT), LIBRARY, LIBRARY]
    result = subprocess.run(
        command, input=json.dumps(task), env={"PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=True
    )
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def code(answer: dict[str, Any], path: str) -> CodeType:
    data = b64decode(answer["compiled"][path])
    assert data[4:16] == b"\1" + bytes(11), "an unchecked-hash .pyc"
    found = marshal.loads(data[16:])
    assert isinstance(found, CodeType)
    return found


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return ask(tmp_path_factory.mktemp("trim"))


def test_the_closure_has_what_was_imported_and_what_comes_later(answer: dict[str, Any]) -> None:
    assert {"json/__init__.pyc", "json/decoder.pyc", "re/__init__.pyc", "encodings/idna.pyc", "stringprep.pyc"} <= set(
        answer["compiled"]
    )


def test_what_copes_without_a_module_goes_without(answer: dict[str, Any]) -> None:
    assert "shutil.pyc" in answer["compiled"]
    assert not {"bz2.pyc", "lzma.pyc", "_compression.pyc"} & set(answer["compiled"])


def test_nothing_else_comes_along(answer: dict[str, Any]) -> None:
    found = set(answer["compiled"])
    assert not [path for path in found if path.startswith(("test/", "unittest/")) or path in ("ast.pyc", "base64.pyc")]


def test_the_landmark_comes_although_it_is_frozen(answer: dict[str, Any]) -> None:
    assert "os.pyc" in answer["compiled"]
    assert "zipimport.pyc" not in answer["compiled"]


def test_names_of_files_are_relative(answer: dict[str, Any]) -> None:
    assert code(answer, "json/decoder.pyc").co_filename == "json/decoder.py"
    assert code(answer, "powernode/own.pyc").co_filename == "powernode/own.py"


def test_docstrings_and_assertions_are_gone(answer: dict[str, Any]) -> None:
    namespace: dict[str, Any] = {"__name__": "own"}
    exec(code(answer, "powernode/own.pyc"), namespace)
    assert namespace.get("__doc__") is None
    assert namespace["check"].__doc__ is None
    assert namespace["Empty"].__doc__ is None
    assert namespace["Value"].__doc__ == "Value", "else dataclasses would work out a signature"
    assert namespace["check"](0).x == 0


def test_the_same_question_has_the_same_answer(answer: dict[str, Any], tmp_path: Path) -> None:
    assert ask(tmp_path) == answer


def test_amendments_are_compiled_in(tmp_path: Path) -> None:
    old, new = "from .decoder import JSONDecoder", "from .decoder import JSONDecoder, JSONDecodeError as _amended"
    text = (Path(LIBRARY) / "json/__init__.py").read_text()
    answer = ask(
        tmp_path, amendments={"json/__init__.py": [[line, new] for line in text.splitlines() if line.startswith(old)]}
    )
    assert answer["amended"] == ["json/__init__.py"]
    assert "_amended" in code(answer, "json/__init__.pyc").co_names


def test_an_amendment_that_does_not_fit_is_left_out(tmp_path: Path, answer: dict[str, Any]) -> None:
    other = ask(tmp_path, amendments={"json/__init__.py": [["import", "import"], ["no such text", ""]]})
    assert other["amended"] == []
    assert other["compiled"] == answer["compiled"]


def test_a_module_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failure:
        ask(tmp_path, **{"import": {"no_such_module": []}})
    assert "no_such_module" in failure.value.stderr
