# SPDX-License-Identifier: MIT
"""Module directories: what is written is read back, what is damaged is refused, and a module alone is its own root."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from powernode.base.errors import DataError, OperatorError
from powernode.composefs import image as images
from powernode.composefs.merge import MergeResult
from powernode.composefs.report import MergeConflictError, Rule
from powernode.composefs.store import ObjectStore
from powernode.module import directory as modules

FACTS = modules.Facts(name="base", version="1.0", architecture="amd64", effective_priority=1000)


def tree_with(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / "etc" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "etc" / name).write_text(text)
    return folder


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tree_with(tmp_path / "tree", motd="hello\n", large="x" * 5000, other="y" * 100)
    (top / "bin").symlink_to("usr/bin")
    (top / "empty").mkdir()
    return top


@pytest.fixture
def module(tree: Path, tmp_path: Path) -> modules.Module:
    return modules.write(tmp_path / "base", FACTS, modules.from_tree(tree))


def edit(module: modules.Module, **changes: object) -> None:
    path = module.directory / modules.DOCUMENT
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_was_written_is_read(module: modules.Module) -> None:
    assert modules.read(module.directory) == module
    assert module.digest == images.digest(module.image.read_bytes())
    assert len(list(ObjectStore(module.objects).digests())) == 2


def test_every_fact_survives(tree: Path, tmp_path: Path) -> None:
    facts = replace(
        FACTS,
        file_spec=("/etc/**",),
        mask=("/etc/motd",),
        protected_spec=("/etc/large",),
        dependency_spec=("/etc/other",),
        locked=True,
    )
    assert modules.read(modules.write(tmp_path / "m", facts, modules.from_tree(tree)).directory).facts == facts
    dependant = replace(FACTS, name="site", file_spec=None, parent="base")
    assert modules.read(modules.write(tmp_path / "d", dependant, modules.from_tree(tree)).directory).facts == dependant


def test_a_module_alone_is_its_own_root(module: modules.Module) -> None:
    root = modules.merge_root([module])
    assert root.image == module.image.read_bytes()
    assert root.digest == module.digest
    assert isinstance(root.report, MergeResult)
    assert root.report.lost == ()


def test_the_higher_module_wins_and_the_loss_is_reported(module: modules.Module, tmp_path: Path) -> None:
    above = tree_with(tmp_path / "above", motd="another\n")
    facts = replace(FACTS, name="site", architecture="all", effective_priority=2000, file_spec=("/etc/motd",))
    site = modules.write(tmp_path / "site", facts, modules.from_tree(above))
    root = modules.merge_root([site, module])
    assert root.digest == modules.merge_root([module, site]).digest
    assert [(loss.path, loss.loser, loss.rule) for loss in root.report.lost] == [(b"/etc/motd", "base", Rule.HIGHER)]
    assert b"another" in images.dump(root.image)


def test_equal_priorities_collide(module: modules.Module, tree: Path, tmp_path: Path) -> None:
    twin = modules.write(tmp_path / "twin", replace(FACTS, name="twin"), modules.from_tree(tree))
    with pytest.raises(MergeConflictError):
        modules.merge_root([module, twin])


def test_two_architectures_make_no_root(module: modules.Module, tree: Path, tmp_path: Path) -> None:
    facts = replace(FACTS, name="other", architecture="arm64", effective_priority=2000)
    other = modules.write(tmp_path / "other", facts, modules.from_tree(tree))
    with pytest.raises(OperatorError) as refused:
        modules.merge_root([module, other])
    assert refused.value.code == "module.directory.architecture"


def test_another_image_is_refused(module: modules.Module) -> None:
    image = bytearray(module.image.read_bytes())
    image[-1] ^= 1
    module.image.write_bytes(image)
    with pytest.raises(DataError) as refused:
        modules.read(module.directory)
    assert refused.value.code == "module.directory.digest"


def test_a_missing_object_is_refused(module: modules.Module) -> None:
    gone = images.objects(module.image.read_bytes())[0].decode()
    (module.objects / gone).unlink()
    with pytest.raises(DataError) as refused:
        modules.read(module.directory)
    assert (refused.value.code, refused.value.expected) == ("module.directory.object-missing", gone)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"name": "../../etc"}, "module.directory.value"),
        ({"version": ""}, "module.directory.value"),
        ({"architecture": "m68k"}, "module.directory.value"),
        ({"effective_priority": -1}, "module.directory.value"),
        ({"effective_priority": "1000"}, "module.directory.type"),
        ({"locked": 1}, "module.directory.type"),
        ({"mask": "/etc"}, "module.directory.type"),
        ({"masks": []}, "module.directory.unknown-key"),
        ({"digest": "sha512:" + "00" * 64}, "module.directory.value"),
        ({"digest": "yes"}, "digest.text"),
    ],
)
def test_a_document_with_a_mistake_is_refused(module: modules.Module, changes: dict[str, object], code: str) -> None:
    edit(module, **changes)
    with pytest.raises(DataError) as refused:
        modules.read(module.directory)
    assert refused.value.code == code


def test_a_folder_that_is_no_module_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(OperatorError) as refused:
            modules.read(folder)
        assert refused.value.code == "module.directory.no-module"


def test_a_module_that_is_there_stays(module: modules.Module, tree: Path) -> None:
    with pytest.raises(OperatorError) as refused:
        modules.write(module.directory, FACTS, modules.from_tree(tree))
    assert refused.value.code == "module.directory.exists"
    assert modules.read(module.directory) == module


def test_nothing_is_left_of_a_module_that_failed(tmp_path: Path) -> None:
    def fill(store: ObjectStore) -> bytes:
        store.add_bytes(b"x" * 100)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        modules.write(tmp_path / "m", FACTS, fill)
    assert list(tmp_path.iterdir()) == []


def test_the_same_tree_elsewhere_gives_the_same_module(tree: Path, tmp_path: Path) -> None:
    shutil.copytree(tree, tmp_path / "elsewhere", symlinks=True)
    for name in ("tree", "tree/etc", "tree/empty"):
        other = tmp_path / name.replace("tree", "elsewhere")
        shutil.copystat(tmp_path / name, other)
    shutil.copystat(tree / "bin", tmp_path / "elsewhere/bin", follow_symlinks=False)
    first = modules.write(tmp_path / "a", FACTS, modules.from_tree(tree))
    second = modules.write(tmp_path / "b", FACTS, modules.from_tree(tmp_path / "elsewhere"))
    assert (first.directory / modules.DOCUMENT).read_bytes() == (second.directory / modules.DOCUMENT).read_bytes()
