# SPDX-License-Identifier: MIT
"""`powernode module new` as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from powernode.cli.module import new
from powernode.module.template import TEMPLATES
from unit.cli._command import Run


def test_it_says_what_it_made(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer = run("module", "new", "my-redis")
    assert (answer.status, answer.err) == (0, "")
    *made, last = answer.out.decode().splitlines()
    assert last == "next: powernode module validate my-redis"
    assert all((tmp_path / path).is_file() for path in made)
    assert "my-redis/manifest.yaml" in made


@pytest.mark.parametrize("template", TEMPLATES)
def test_templates(run: Run, tmp_path: Path, template: str) -> None:
    answer = run("module", "new", "site", f"--template={template}", f"--dir={tmp_path / 'x'}", "--json")
    assert answer.status == 0
    assert answer.json["template"] == template
    assert answer.json["directory"] == str(tmp_path / "x")
    assert run("module", "validate", tmp_path / "x", "--offline").status == 0


def test_the_option_knows_every_template() -> None:
    assert set(new._TEMPLATES) == set(TEMPLATES)
    (option,) = [option for option in new.COMMAND.options if option.name == "--template"]
    assert all(f"{name}" in option.help for name in TEMPLATES)


def test_twice(run: Run, tmp_path: Path) -> None:
    assert run("module", "new", "site", f"--dir={tmp_path}").status == 0
    answer = run("module", "new", "site", f"--dir={tmp_path}")
    assert (answer.status, answer.code) == (2, "module.new.exists")


def test_a_name_that_cannot_be(run: Run, tmp_path: Path) -> None:
    answer = run("module", "new", "My_Redis", f"--dir={tmp_path / 'x'}")
    assert (answer.status, answer.code) == (2, "module.new.name")
    assert not (tmp_path / "x").exists()
