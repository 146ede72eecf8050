# SPDX-License-Identifier: MIT
"""Which version is built: the one given, or that of a tag which is really this folder's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from powernode.base.errors import DataError, OperatorError
from powernode.module import version


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=x", "-c", "user.email=x@example", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "manifest.yaml").write_text("name: x\n")
    git(folder, "init")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "first")
    return folder


def refusal(folder: Path) -> tuple[str, str | None]:
    with pytest.raises(OperatorError) as caught:
        version.choose(None, folder)
    return caught.value.code, caught.value.found


def test_the_one_given(tmp_path: Path) -> None:
    assert version.choose("1.2.3-rc.1+x", tmp_path) == "1.2.3-rc.1+x"


@pytest.mark.parametrize("given", ["v1.2.3", "1.2", "", "latest"])
def test_one_that_is_none(tmp_path: Path, given: str) -> None:
    with pytest.raises(DataError) as caught:
        version.choose(given, tmp_path)
    assert caught.value.code == "constraint.version"


def test_the_one_of_the_tag(module: Path) -> None:
    git(module, "tag", "v0.1.0")
    (module / "build").mkdir()
    (module / "build/untracked").write_text("")
    assert version.choose(None, module) == "0.1.0"


def test_the_highest_of_several_tags(module: Path) -> None:
    for tag in ("v0.9.0", "v0.10.0", "v0.10.0-rc.1", "nightly", "0.99.0", "v1"):
        git(module, "tag", tag)
    assert version.choose(None, module) == "0.10.0"


def test_a_checkout_that_was_changed(module: Path) -> None:
    git(module, "tag", "v0.1.0")
    (module / "manifest.yaml").write_text("name: y\n")
    assert refusal(module) == ("module.version.changed", "M manifest.yaml")


def test_a_file_that_is_not_in_the_tag(module: Path) -> None:
    (module / "rootfs/etc").mkdir(parents=True)
    (module / "rootfs/etc/a").write_text("")
    (module / ".gitignore").write_text("*.key\n")
    git(module, "add", ".")
    git(module, "commit", "-m", "second")
    git(module, "tag", "v0.1.0")
    assert version.choose(None, module) == "0.1.0"
    (module / "rootfs/etc/ours.key").write_text("ignored by git, and not by the build")
    assert refusal(module) == ("module.version.changed", "rootfs/etc/ours.key")


def test_a_file_of_an_option_that_is_not_in_the_tag(module: Path) -> None:
    git(module, "tag", "v0.1.0")
    (module / "rootfs-ssh").mkdir()
    (module / "rootfs-ssh/b").write_text("")
    assert refusal(module) == ("module.version.changed", "rootfs-ssh/b")


def test_where_git_cannot_say_nothing_is_believed(module: Path) -> None:
    git(module, "tag", "v0.1.0")
    (module / ".git/index").write_bytes(b"damaged")
    assert refusal(module) == ("module.version.changed", "git status fails")


def test_a_checkout_that_git_does_not_open(module: Path) -> None:
    (module / ".git/HEAD").write_text("damaged")
    code, found = refusal(module)
    assert code == "module.version.none"
    assert found is not None
    assert found.startswith("a .git that git cannot open")


def test_after_the_tag(module: Path) -> None:
    git(module, "tag", "v0.1.0")
    git(module, "commit", "--allow-empty", "-m", "second")
    assert refusal(module) == ("module.version.none", "a checkout without such a tag")


def test_a_folder_inside_a_checkout(module: Path) -> None:
    git(module, "tag", "v0.1.0")
    (module / "inner").mkdir()
    assert refusal(module / "inner") == ("module.version.none", "a folder inside a checkout, whose tags are not its")


def test_no_checkout(tmp_path: Path) -> None:
    assert refusal(tmp_path) == ("module.version.none", "no checkout of git")


def test_no_git(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(module))
    code, found = refusal(module)
    assert (code, (found or "")[:27]) == ("module.version.none", "a .git that git cannot open")
