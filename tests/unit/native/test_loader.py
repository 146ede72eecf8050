# SPDX-License-Identifier: MIT
"""Which library is opened, and that one which is there but broken is never passed over in silence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from powernode import native
from powernode.base.errors import MachineError, OperatorError
from unit.native._doors import NATIVE_DOORS, through

SOURCE = Path(native.__file__).parents[1]
BUILT = Path(native.__file__).with_name("_powernode.abi3.so")


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    native.reset()
    yield
    native.reset()


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_environment(mode: str | None = None, door: str | None = None) -> None:
        for name, value in (("POWERNODE_NATIVE", mode), ("POWERNODE_NATIVE_DOOR", door)):
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        native.reset()

    return set_environment


@pytest.fixture
def not_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in a checkout where nobody ran the compiler."""
    monkeypatch.setitem(sys.modules, "powernode.native._powernode", None)
    monkeypatch.delitem(sys.modules, "powernode.native._cffi_door", raising=False)
    monkeypatch.setattr(native, "__file__", str(tmp_path / "__init__.py"))


def test_off(choose: Callable[..., None]) -> None:
    choose("off")
    assert native.library() is None
    assert native.reason() == "off by POWERNODE_NATIVE"


def test_the_choice_is_made_once(choose: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    choose("off")
    assert native.library() is None
    monkeypatch.setenv("POWERNODE_NATIVE", "nonsense")
    assert native.library() is None
    native.reset()
    with pytest.raises(OperatorError):
        native.library()


@pytest.mark.parametrize("mode", ["yes", "OFF", "auto ", "1", ""])
def test_wrong_mode(choose: Callable[..., None], mode: str) -> None:
    choose(mode)
    for call in (native.library, native.reason):
        with pytest.raises(OperatorError) as refusal:
            call()
        assert (refusal.value.code, refusal.value.found) == ("native.mode", mode)
        assert refusal.value.expected == "auto, require or off"


@pytest.mark.parametrize("mode", ["auto", "require"])
@pytest.mark.parametrize("door", ["cffi ", "CFFI", "window"])
def test_wrong_door(choose: Callable[..., None], mode: str, door: str) -> None:
    choose(mode, door)
    with pytest.raises(OperatorError) as refusal:
        native.library()
    assert (refusal.value.code, refusal.value.found) == ("native.door", door)


def test_cffi_comes_first(choose: Callable[..., None]) -> None:
    with through("cffi"):  # skips or fails without
        choose("require")
        library = native.library()
        assert library is not None
        assert library.door == "cffi"
        assert native.reason() == f"cffi door of {library.path}"


def test_both_doors_open_the_same_file() -> None:
    paths = []
    for door in NATIVE_DOORS:
        with through(door) as library:
            assert library is not None
            paths.append(Path(library.path).resolve())
    assert paths == [BUILT.resolve()] * 2


def test_ctypes_where_there_is_no_cffi(choose: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    with through("ctypes"):
        pass
    choose("require")
    monkeypatch.setitem(sys.modules, "_cffi_backend", None)
    monkeypatch.delitem(sys.modules, "powernode.native._cffi_door", raising=False)
    monkeypatch.setitem(sys.modules, "powernode.native._powernode", None)
    library = native.library()
    assert library is not None
    assert library.door == "ctypes"


@pytest.mark.parametrize("door", [None, *NATIVE_DOORS])
@pytest.mark.usefixtures("not_built")
def test_not_built(choose: Callable[..., None], door: str | None) -> None:
    choose(None, None)
    assert native.library() is None
    assert native.reason() == "not built"
    for mode in ("require", None) if door else ("require",):  # who names a door wants no other way
        choose(mode, door)
        with pytest.raises(MachineError) as refusal:
            native.library()
        assert refusal.value.code == "native.missing"
        assert refusal.value.hint is not None
        assert refusal.value.hint.endswith(" POWERNODE_NATIVE_DOOR" if door else " POWERNODE_NATIVE")


@pytest.mark.parametrize("door", NATIVE_DOORS)
@pytest.mark.usefixtures("not_built")
def test_a_run_that_requires_the_library_fails_without_it(choose: Callable[..., None], door: str) -> None:
    """The rule of the suite itself: with `require` a door that is missing fails, otherwise it skips."""
    choose("require")
    with pytest.raises(pytest.fail.Exception, match=f"no {door} door"), through(door):
        pass
    for mode in ("auto", "off"):
        choose(mode)
        with pytest.raises(pytest.skip.Exception, match=f"no {door} door"), through(door):
            pass


@pytest.mark.parametrize("door", NATIVE_DOORS)
def test_another_interface(monkeypatch: pytest.MonkeyPatch, door: str) -> None:
    with through(door) as library:
        assert library is not None
        native.reset()
        monkeypatch.setattr(native, "ABI_VERSION", native.ABI_VERSION + 1)
        with pytest.raises(MachineError) as refusal:
            native.library()
        assert refusal.value.code == "native.version"
        assert refusal.value.found == f"interface {native.ABI_VERSION - 1}"
        assert str(BUILT) in refusal.value.message


def write_text(path: Path) -> None:
    path.write_text("this is no library")


def write_nothing(path: Path) -> None:
    path.touch()


def write_another_library(path: Path) -> None:
    import _cffi_backend

    shutil.copy(_cffi_backend.__file__, path)


@pytest.mark.parametrize("door", ["", *NATIVE_DOORS])
@pytest.mark.parametrize("mode", ["auto", "require"])
@pytest.mark.parametrize("write", [write_text, write_nothing, write_another_library])
def test_a_broken_library_shouts(tmp_path: Path, door: str, mode: str, write: Callable[[Path], None]) -> None:
    pytest.importorskip("_cffi_backend", reason="no cffi here")
    copy = tmp_path / "powernode"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    write(copy / "native" / BUILT.name)
    (tmp_path / "file").touch()
    done = _digest(tmp_path, mode, door)
    assert (done.returncode, done.stdout) == (4, "")
    assert "code: native.broken" in done.stderr
    assert done.stderr.startswith("powernode: the C library is there but cannot be opened\n")
    assert "Traceback" not in done.stderr
    assert _digest(tmp_path, "off", door).returncode == 0


def test_a_copy_without_a_library_works_in_plain_python(tmp_path: Path) -> None:
    shutil.copytree(SOURCE, tmp_path / "powernode", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    (tmp_path / "file").touch()
    assert _digest(tmp_path, "auto", "").stdout.startswith("sha256:3d248ca5")
    done = _digest(tmp_path, "require", "")
    assert done.returncode == 4
    assert "code: native.missing" in done.stderr


def _digest(folder: Path, mode: str, door: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "powernode.cli", "verity", "digest", "file"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "POWERNODE_NATIVE": mode, "POWERNODE_NATIVE_DOOR": door},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
