# SPDX-License-Identifier: MIT
"""New modules: the layout, that they validate, and that nothing is overwritten."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from powernode.base.errors import OperatorError
from powernode.module.known import Known
from powernode.module.lock import Request
from powernode.module.source import read_source
from powernode.module.template import TEMPLATES, render, write
from powernode.module.validate import validate

CANONICAL = {"manifest.yaml", "Containerfile", "rootfs/.gitkeep", ".gitea/workflows/build.yaml"}
CANONICAL |= {".github/workflows/build.yaml", "README.md", ".gitignore"}


def make(folder: Path, template: str, name: str = "my-redis") -> Path:
    write(folder, render(name, template, powernode="1.2.3"))
    return folder


def known(request: Request) -> Known:
    return Known(where="a test", names=frozenset({"hello", "firmware-linux-free"}))


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("name", ["my-redis", "a", "x" * 64])
def test_every_template_validates_without_a_warning(tmp_path: Path, template: str, name: str) -> None:
    report = validate(make(tmp_path / "new", template, name), ask=known)
    assert [str(finding) for finding in report.findings] == []
    assert report.unchecked == ()


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_layout(tmp_path: Path, template: str) -> None:
    folder = make(tmp_path / "new", template)
    made = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
    assert made >= CANONICAL
    assert not any("@" in place for place in made)
    for place in made:
        if not (folder / place).is_symlink():
            text = (folder / place).read_text()
            assert "@NAME@" not in text
            assert "@POWERNODE@" not in text
    assert read_source(folder).manifest.name == "my-redis"


def test_the_default_has_nothing_of_its_own_below_rootfs(tmp_path: Path) -> None:
    folder = make(tmp_path / "new", "package")
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()} == CANONICAL


@pytest.mark.parametrize("forge", [".gitea", ".github"])
def test_the_workflows_use_our_verbs_in_their_order(tmp_path: Path, forge: str) -> None:
    path = make(tmp_path / "new", "package") / forge / "workflows/build.yaml"
    workflow: Any = yaml.load(path.read_bytes(), Loader=yaml.BaseLoader)
    assert workflow["on"]["push"]["tags"] == ["v*.*.*"]
    steps = workflow["jobs"]["build"]["steps"]
    commands = "\n".join(step.get("run", "") for step in steps)
    verbs = [
        line.split("powernode module ")[1].split()[0] for line in commands.splitlines() if "powernode module " in line
    ]
    assert verbs == ["validate", "build", "sign", "push"]
    assert "'powernode[platform]==1.2.3'" in commands
    assert "secrets." not in commands  # secrets come through the environment, where no shell reads them as code


def test_the_workflows_differ_in_whose_registry_it_is(tmp_path: Path) -> None:
    folder = make(tmp_path / "new", "package")
    texts = [(folder / forge / "workflows/build.yaml").read_text() for forge in (".gitea", ".github")]
    lines = [[line for line in text.splitlines() if not line.startswith("#")] for text in texts]
    gitea, github = ([line.strip() for line in one if line not in other] for one, other in (lines, lines[::-1]))
    assert gitea == ["USERNAME: ${{ secrets.GITEA_PUSH_USERNAME }}", "TOKEN: ${{ secrets.GITEA_PUSH_TOKEN }}"]
    assert github == ["packages: write", "USERNAME: ${{ github.actor }}", "TOKEN: ${{ secrets.GITHUB_TOKEN }}"]


def test_a_service_starts_at_boot_and_its_program_can_run(tmp_path: Path) -> None:
    rootfs = make(tmp_path / "new", "service") / "rootfs"
    units = rootfs / "usr/lib/systemd/system"
    assert (units / "multi-user.target.wants/my-redis.service").resolve() == units / "my-redis.service"
    assert os.access(rootfs / "usr/lib/my-redis/run", os.X_OK)
    assert not os.access(units / "my-redis.service", os.X_OK)


def test_a_folder_that_is_there_may_hold_other_files(tmp_path: Path) -> None:
    (tmp_path / "new/.git").mkdir(parents=True)
    make(tmp_path / "new", "package")


@pytest.mark.parametrize("place", ["manifest.yaml", ".gitea/workflows/build.yaml", "rootfs/.gitkeep"])
def test_nothing_is_overwritten(tmp_path: Path, place: str) -> None:
    mine = tmp_path / "new" / place
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(OperatorError) as caught:
        make(tmp_path / "new", "package")
    assert caught.value.code == "module.new.exists"
    assert [path for path in (tmp_path / "new").rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == "mine"


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new/README.md").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OperatorError):
        make(tmp_path / "new", "package")
    assert not (tmp_path / "elsewhere").exists()


def test_of_a_layout_that_cannot_be_made_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new/rootfs").write_text("a file where a folder must be")
    with pytest.raises(OSError, match="rootfs"):
        make(tmp_path / "new", "package")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["rootfs"]


@pytest.mark.parametrize("name", ["My-Redis", "", "a/b", "../x", "-x", "x" * 65, "@NAME@", "a\nb"])
def test_names_that_no_module_can_have(name: str) -> None:
    with pytest.raises(OperatorError) as caught:
        render(name, "package", powernode="1")
    assert caught.value.code == "module.new.name"


def test_an_unknown_template() -> None:
    with pytest.raises(OperatorError) as caught:
        render("x", "../common", powernode="1")
    assert caught.value.code == "module.new.template"


def test_templates_are_in_the_package() -> None:
    """Package data leaves out names that begin with a dot, so no template has one."""
    top = Path(__file__).parents[3] / "src/powernode/module/templates"
    assert {path.name for path in top.iterdir()} == {"common", *TEMPLATES}
    assert not list(top.rglob(".*"))
