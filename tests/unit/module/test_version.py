# SPDX-License-Identifier: MIT
"""Which version is built: the one given, or that of a tag which is really this folder's."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from powernode.base.errors import OperatorError
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
    with pytest.raises(OperatorError) as caught:
        version.choose(given, tmp_path)
    assert caught.value.code == "module.version.given"


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
    assert refusal(module) == ("module.version.changed", "manifest.yaml is another")


def test_a_file_that_is_not_in_the_tag(module: Path) -> None:
    (module / "rootfs/etc").mkdir(parents=True)
    (module / "rootfs/etc/a").write_text("")
    (module / ".gitignore").write_text("*.key\n")
    git(module, "add", ".")
    git(module, "commit", "-m", "second")
    git(module, "tag", "v0.1.0")
    assert version.choose(None, module) == "0.1.0"
    (module / "rootfs/etc/ours.key").write_text("ignored by git, and not by the build")
    assert refusal(module) == ("module.version.changed", "rootfs/etc/ours.key is not in it")


def test_a_file_of_an_option_that_is_not_in_the_tag(module: Path) -> None:
    git(module, "tag", "v0.1.0")
    (module / "rootfs-ssh").mkdir()
    (module / "rootfs-ssh/b").write_text("")
    assert refusal(module) == ("module.version.changed", "rootfs-ssh/b is not in it")


def test_a_folder_that_is_not_in_the_tag(module: Path) -> None:
    """Git knows no empty folders, and the build ships them."""
    git(module, "tag", "v0.1.0")
    (module / "rootfs/srv").mkdir(parents=True)
    assert refusal(module) == ("module.version.changed", "rootfs/srv is not in it")


def test_a_lock_that_git_ignores(module: Path) -> None:
    git(module, "tag", "v0.1.0")
    (module / ".git/info/exclude").write_text("packages.lock\n")
    (module / "packages.lock").mkdir()
    (module / "packages.lock/amd64.json").write_text("{}")
    assert refusal(module) == ("module.version.changed", "packages.lock/amd64.json is not in it")


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_a_change_that_git_was_told_not_to_see(module: Path, flag: str) -> None:
    git(module, "tag", "v0.1.0")
    git(module, "update-index", flag, "manifest.yaml")
    (module / "manifest.yaml").write_text("name: y\n")
    assert refusal(module) == ("module.version.changed", "manifest.yaml is another")


def test_a_file_made_executable_where_git_does_not_look(module: Path) -> None:
    git(module, "tag", "v0.1.0")
    git(module, "config", "core.fileMode", "false")
    (module / "manifest.yaml").chmod(0o755)
    assert refusal(module) == ("module.version.changed", "manifest.yaml is another")


def test_links_are_compared_and_not_followed(module: Path) -> None:
    (module / "rootfs").mkdir()
    (module / "rootfs/link").symlink_to("target")
    git(module, "add", ".")
    git(module, "commit", "-m", "second")
    git(module, "tag", "v0.1.0")
    assert version.choose(None, module) == "0.1.0"
    (module / "rootfs/link").unlink()
    (module / "rootfs/link").write_text("target")
    assert refusal(module) == ("module.version.changed", "rootfs/link is another")
    (module / "rootfs/link").unlink()
    (module / "rootfs/link").symlink_to("tarGet")
    assert refusal(module) == ("module.version.changed", "rootfs/link is another")


def test_a_link_in_the_place_of_a_folder(module: Path, tmp_path: Path) -> None:
    """All that is behind it is as in the tag, and the build would ship a link."""
    (module / "rootfs/etc").mkdir(parents=True)
    (module / "rootfs/etc/a").write_text("a")
    git(module, "add", ".")
    git(module, "commit", "-m", "second")
    git(module, "tag", "v0.1.0")
    (module / "rootfs/etc").rename(tmp_path / "etc")
    (module / "rootfs/etc").symlink_to(tmp_path / "etc")
    assert refusal(module) == ("module.version.changed", "rootfs/etc is another")


def test_a_pipe_in_the_place_of_a_file(module: Path) -> None:
    (module / "empty").touch()
    git(module, "add", ".")
    git(module, "commit", "-m", "second")
    git(module, "tag", "v0.1.0")
    (module / "empty").unlink()
    os.mkfifo(module / "empty")
    assert refusal(module) == ("module.version.changed", "empty is another")


def test_a_repository_of_sha256(tmp_path: Path) -> None:
    git(tmp_path, "init", "--object-format=sha256")
    (tmp_path / "manifest.yaml").write_text("name: x\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    git(tmp_path, "tag", "v0.1.0")
    assert version.choose(None, tmp_path) == "0.1.0"


def test_where_git_cannot_say_nothing_is_believed(module: Path) -> None:
    git(module, "tag", "v0.1.0")
    tree = subprocess.check_output(["git", "rev-parse", "HEAD^{tree}"], cwd=module, text=True).strip()
    (module / ".git/objects" / tree[:2] / tree[2:]).unlink()
    assert refusal(module) == ("module.version.changed", "git ls-tree fails")


@pytest.mark.parametrize(
    "setting",
    [
        ("core.fsmonitor",),
        ("filter.x.clean",),
        ("filter.x.process",),
        ("core.sshCommand", "remote.o.url=ssh://there/x"),
        ("remote.o.uploadpack", "remote.o.url=/nowhere"),
    ],
)
def test_no_command_of_the_checkout_is_run(module: Path, tmp_path: Path, setting: tuple[str, ...]) -> None:
    git(module, "tag", "v0.1.0")
    mark = tmp_path / "ran"
    command, *more = setting
    git(module, "config", command, f"touch {shlex.quote(str(mark))}; false")
    for name, value in (each.split("=") for each in more):
        git(module, "config", name, value)
    if more:  # what a partial clone lacks is fetched
        git(module, "config", "core.repositoryFormatVersion", "1")
        git(module, "config", "extensions.partialClone", "o")
        git(module, "config", "remote.o.promisor", "true")
        tree = subprocess.check_output(["git", "rev-parse", "HEAD^{tree}"], cwd=module, text=True).strip()
        (module / ".git/objects" / tree[:2] / tree[2:]).unlink()
    (module / ".git/info/attributes").write_text("* filter=x\n")
    (module / "manifest.yaml").write_text("name: y\n")
    assert refusal(module)[0] == "module.version.changed"
    assert not mark.exists()


def test_another_repository_in_the_environment(module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a hook of git."""
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init")
    git(other, "commit", "--allow-empty", "-m", "first")
    git(other, "tag", "v9.9.9")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(module))
    assert refusal(module) == ("module.version.none", "a checkout without such a tag")


def test_names_that_are_not_utf8(module: Path, tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/d\xff"))
    module.rename(odd)
    (odd / os.fsdecode(b"README-\xfe")).write_text("x")
    git(odd, "config", "core.quotePath", "false")
    git(odd, "add", ".")
    git(odd, "commit", "-m", "second")
    git(odd, "tag", "v0.1.0")
    assert version.choose(None, odd) == "0.1.0"
    (odd / os.fsdecode(b"README-\xfe")).write_text("y")
    assert refusal(odd) == ("module.version.changed", os.fsdecode(b"README-\xfe is another"))


def test_a_tag_without_the_locks(module: Path) -> None:
    (module / "packages.lock").mkdir()
    (module / "packages.lock/amd64.json").write_text("{}")
    git(module, "add", ".")
    git(module, "commit", "-m", "second")
    git(module, "tag", "v0.1.0")
    assert version.choose(None, module, arches=("amd64",)) == "0.1.0"
    with pytest.raises(OperatorError) as caught:
        version.choose(None, module, arches=("amd64", "arm64"))
    assert (caught.value.code, caught.value.expected) == (
        "module.version.unpinned",
        "packages.lock/arm64.json in the commit that is tagged",
    )


def test_a_tag_that_is_there_is_not_proposed(module: Path) -> None:
    def hint() -> str | None:
        with pytest.raises(OperatorError) as caught:
            version.choose(None, module)
        return caught.value.hint

    assert hint() == "git tag v0.1.0, or give --version 0.1.0"
    git(module, "tag", "v0.1.0")
    git(module, "tag", "v0.0.9")
    git(module, "commit", "--allow-empty", "-m", "second")
    assert hint() == "git tag v0.1.1, or git checkout v0.1.0, or give --version"
    git(module, "tag", "v0.2.0-rc.1", "HEAD~")
    assert hint() == "git tag v0.2.0, or git checkout v0.2.0-rc.1, or give --version"


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a checkout to somebody else takes root")
def test_somebody_elses_checkout(module: Path) -> None:
    """As in a container of a CI, where the files belong to whoever checked them out."""
    git(module, "tag", "v0.1.0")
    for path in (module, *module.rglob("*")):
        os.lchown(path, 4711, 4711)
    assert version.choose(None, module) == "0.1.0"


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
