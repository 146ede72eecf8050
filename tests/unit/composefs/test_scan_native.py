# SPDX-License-Identifier: MIT
"""`scan.image_of` with and without the C library: the store it fills, what it says while it works, and how it fails."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from powernode import native
from powernode.base.errors import DataError, MachineError, OperatorError, PowernodeError
from powernode.composefs import image, scan
from powernode.composefs.scan import ScanOptions, dump_of, image_of
from powernode.composefs.store import ObjectStore, object_path
from powernode.native.results import Failure
from powernode.verity import digest_buffer, digest_fd
from root.conftest import run_privately

SIZES = (0, 64, 65, 4096, 5000, 70_000, 300_000, 1 << 20, 3_000_001)
LARGE = 65 << 20
NOBODY = 65534


@pytest.fixture(params=["library", "python"])
def door(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test that asks for it runs with the C library and without."""
    if request.param == "library":
        needs_library()
    else:
        monkeypatch.setattr(native, "library", lambda: None)
    return str(request.param)


def needs_library() -> None:
    if native.library() is None:
        pytest.skip(f"no C library: {native.reason()}")


def verity(fd: int) -> bytes:
    return digest_fd(fd).value


def new_store(path: Path) -> ObjectStore:
    return ObjectStore.create(path, digest_fd=verity)


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return new_store(tmp_path / "objects")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Every size that is handled in its own way, some contents twice."""
    return fill(tmp_path / "tree", SIZES)


def fill(top: Path, sizes: tuple[int, ...]) -> Path:
    chance = random.Random(5)
    for number, size in enumerate(sizes):
        folder = top / f"d{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{number}").write_bytes(chance.randbytes(size))
        (folder / f"zero{number}").write_bytes(bytes(size))
        (folder / f"twin{number}").write_bytes(bytes(size))
    return top


def contents(top: Path) -> dict[str, bytes]:
    """What the store must hold, by path."""
    found = {}
    for path in sorted(top.rglob("*")):
        if path.is_file() and path.stat().st_size > 64:
            data = path.read_bytes()
            found[object_path(digest_buffer(data).value)] = data
    return found


def held(store: ObjectStore) -> dict[str, bytes]:
    root = Path(store.path)
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def refusal(call: Callable[[], object], kind: type[PowernodeError], code: str) -> str:
    with pytest.raises(PowernodeError) as caught:
        call()
    assert (type(caught.value), caught.value.code) == (kind, code), caught.value
    return caught.value.message


class TestStore:
    def test_holds_what_the_image_needs_and_nothing_else(self, door: str, tree: Path, store: ObjectStore) -> None:
        data = image_of(tree, store=store, threads=3)
        assert data == image_of(tree)
        assert held(store) == contents(tree)
        assert [each.decode() for each in image.objects(data)] == sorted(contents(tree))
        assert store.missing(image.objects(data)) == []
        assert store.fsck(verity).damaged == ()
        assert all(len(name) == 2 for name in os.listdir(store.path)), "something was left in the store"

    def test_objects_are_readable_by_all(self, door: str, tree: Path, store: ObjectStore) -> None:
        old = os.umask(0o077)
        try:
            image_of(tree, store=store)
        finally:
            os.umask(old)
        assert {path.stat().st_mode & 0o7777 for path in Path(store.path).rglob("*") if path.is_file()} == {0o644}

    def test_files_that_all_threads_share(self, store: ObjectStore, tmp_path: Path) -> None:
        needs_library()
        top = tmp_path / "large"
        top.mkdir()
        for name in ("a", "same as a"):
            with open(top / name, "wb") as file:
                file.truncate(LARGE)
                file.write(b"start")
        data = image_of(top, store=store, threads=2)
        (name,) = (each.decode() for each in image.objects(data))
        assert Path(store.path, name).read_bytes() == (top / "a").read_bytes()

    def test_present_objects_are_not_written_again(self, door: str, tree: Path, store: ObjectStore) -> None:
        def stamps() -> dict[Path, tuple[int, int]]:
            return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in Path(store.path).rglob("*")}

        image_of(tree, store=store)
        before = stamps()
        (tree / "new").write_bytes(b"n" * 100)
        image_of(tree, store=store)
        after = stamps()
        added = set(after) - set(before)
        assert sum(path.is_file() for path in added) == 1
        assert {path: after[path] for path in before if path.is_file()} == {
            path: stamp for path, stamp in before.items() if path.is_file()
        }

    def test_two_processes_fill_one_store(self, tree: Path, store: ObjectStore, tmp_path: Path) -> None:
        other = fill(tmp_path / "other", (*SIZES[2:], 100, 200, 12345))
        code = (
            "import sys; from powernode.composefs.scan import image_of\n"
            "from powernode.composefs.store import ObjectStore; from powernode.verity import digest_fd\n"
            "sys.stdin.readline()\n"
            "image_of(sys.argv[1], store=ObjectStore(sys.argv[2], digest_fd=lambda fd: digest_fd(fd).value), threads=2)"
        )
        commands = [[sys.executable, "-c", code, str(top), store.path] for top in (tree, other, tree)]
        writers = [subprocess.Popen(command, stdin=subprocess.PIPE) for command in commands]
        for writer in writers:  # all of them are through with importing
            writer.communicate(b"\n")
        assert [writer.returncode for writer in writers] == [0, 0, 0]
        assert held(store) == contents(tree) | contents(other)
        assert store.fsck(verity).is_clean or not store.fsck(verity).damaged

    def test_a_store_that_cannot_be_written(self, door: str, tree: Path, tmp_path: Path) -> None:
        _as_root()

        def body() -> None:
            _mount_tmpfs(tmp_path / "small", "size=8m")
            store = new_store(tmp_path / "small" / "objects")
            subprocess.run(["mount", "-o", "remount,ro", tmp_path / "small"], check=True)
            call = lambda: image_of(tree, store=store)  # noqa: E731
            message = refusal(call, MachineError, "composefs.store.read-only")
            assert str(tmp_path / "small") in message

        run_privately(body)

    def test_a_store_that_is_full(self, door: str, tree: Path, tmp_path: Path) -> None:
        """1 MiB for 6: no name may stand for half an object, and nothing may be left."""
        _as_root()

        def body() -> None:
            _mount_tmpfs(tmp_path / "small", "size=1m")
            store = new_store(tmp_path / "small" / "objects")
            refusal(lambda: image_of(tree, store=store), MachineError, "composefs.store.no-space")
            assert os.listdir(store.path) == []
            (tree / "d0").rename(tmp_path / "d0")
            (tmp_path / "only").mkdir()
            (tmp_path / "only" / "f").write_bytes(b"x" * 5000)
            image_of(tmp_path / "only", store=store)
            assert held(store) == contents(tmp_path / "only")

        run_privately(body)

    @pytest.mark.parametrize("size", [3_000_001, LARGE])
    def test_a_file_that_changes_while_it_is_copied(self, size: int, tmp_path: Path, store: ObjectStore) -> None:
        """Whatever the scan read: it is an error, or what the image names is in the store under its right name."""
        needs_library()
        top = tmp_path / "top"
        top.mkdir()
        with open(top / "file", "wb") as file:
            file.truncate(size)
        stop = threading.Event()

        def scribble() -> None:
            with open(top / "file", "r+b", buffering=0) as file:
                for number in iter(int, 1):
                    if stop.is_set():
                        return
                    file.seek(number)
                    file.write(os.urandom(64))
                    os.pwrite(file.fileno(), os.urandom(64), size - 64)

        writer = threading.Thread(target=scribble)
        writer.start()
        try:
            for _ in range(5):
                data = image_of(top, store=store, threads=2)
                assert store.missing(image.objects(data)) == []
        finally:
            stop.set()
            writer.join()
        assert store.fsck(verity).damaged == ()
        assert store.fsck(verity).misnamed == ()

    def test_plain_python_refuses_a_file_that_changes(
        self, tmp_path: Path, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(native, "library", lambda: None)
        top = fill(tmp_path / "top", (5000,))

        def scribble(files: int, size: int) -> None:
            for path in top.rglob("*"):
                if path.is_file():
                    path.write_bytes(b"other")

        message = refusal(lambda: image_of(top, store=store, progress=scribble), MachineError, "composefs.changed")
        assert f"{top}/d0/f0" in message
        assert held(store) == {}

    def test_killed_at_any_moment(self, tmp_path: Path, store: ObjectStore) -> None:
        """The writer dies at random instants; what has a name afterwards is right, and cleaning up leaves only that."""
        top = fill(tmp_path / "top", tuple(range(70, 90_000, 300)))
        code = (
            "import sys; from powernode.composefs.scan import image_of\n"
            "from powernode.composefs.store import ObjectStore; from powernode.verity import digest_fd\n"
            "print('ready', flush=True)\n"
            "image_of(sys.argv[1], store=ObjectStore(sys.argv[2], digest_fd=lambda fd: digest_fd(fd).value), threads=2)"
        )
        chance = random.Random(1)
        strays = 0
        end = time.monotonic() + 8
        for attempt in range(12):
            if time.monotonic() > end:
                break
            with subprocess.Popen([sys.executable, "-c", code, top, store.path], stdout=subprocess.PIPE) as writer:
                assert writer.stdout is not None
                writer.stdout.readline()
                time.sleep(chance.uniform(0, 0.02 * (attempt + 1)))
                writer.kill()
            report = store.fsck(verity, repair=attempt % 2 == 0)
            assert report.damaged == ()
            assert report.misnamed == ()
            strays += len(report.temporary)
            store.gc(list(store.digests()))
            assert all(len(name) == 2 for name in os.listdir(store.path))
        assert strays, "no writer was killed while it wrote: the test did not test"
        data = image_of(top, store=store)
        assert store.missing(image.objects(data)) == []


class TestProgress:
    def test_counts_files_and_bytes(self, door: str, tree: Path) -> None:
        told: list[tuple[int, int]] = []
        image_of(tree, progress=lambda files, size: told.append((files, size)))
        assert told, "nobody was told"
        assert told == sorted(told)
        files, size = told[-1]
        assert 0 < files <= 3 * len(SIZES)
        assert 0 < size <= 3 * sum(SIZES)

    @pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
    def test_stopped_from_the_callback(
        self, door: str, tree: Path, store: ObjectStore, error: type[BaseException]
    ) -> None:
        (tree / "large").write_bytes(bytes(LARGE) if door == "library" else b"x" * 100)

        def stop(files: int, size: int) -> None:
            raise error

        threads, descriptors = threading.active_count(), set(os.listdir("/proc/self/fd"))
        with pytest.raises(error):
            image_of(tree, store=store, progress=stop)
        assert threading.active_count() == threads
        assert set(os.listdir("/proc/self/fd")) == descriptors
        assert os.listdir(store.path) == []

    def test_an_interrupt_is_quick(self, tmp_path: Path) -> None:
        """A tree that takes longer than the interrupt may: it stops in the middle."""
        needs_library()
        told: list[int] = []

        def stop(files: int, size: int) -> None:
            told.append(files)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            image_of("/usr", progress=stop)
        assert len(told) == 1


class TestRefusals:
    @pytest.mark.parametrize("call", [image_of, dump_of])
    def test_a_source_that_is_no_directory(self, door: str, tmp_path: Path, call: Callable[[Path], bytes]) -> None:
        (tmp_path / "file").touch()
        for name in ("file", "missing", "file/below"):
            message = refusal(lambda name=name: call(tmp_path / name), OperatorError, "composefs.source")  # type: ignore[misc]
            assert str(tmp_path / name) in message

    def test_options(self, tmp_path: Path) -> None:
        refusal(lambda: ScanOptions(xattrs="some"), OperatorError, "scan.xattrs")

    def test_versions(self, door: str, tmp_path: Path) -> None:
        refusal(lambda: image_of(tmp_path, min_version=2), OperatorError, "composefs.version")
        refusal(lambda: image_of(tmp_path, max_version=2), OperatorError, "composefs.version")

    def test_what_may_not_be_read(self, tmp_path: Path) -> None:
        """As another user, with and without the library: a file, then a directory."""
        _as_root()
        import tempfile

        code = (
            "import os, sys\n"
            "from powernode import native; from powernode.composefs.scan import image_of\n"
            "from powernode.base.errors import PowernodeError\n"
            "image_of(sys.argv[1])\n"  # imports what later may not be readable any more
            "try: image_of('/nowhere')\n"
            "except PowernodeError: pass\n"
            f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
            "for top in sys.argv[1:]:\n"
            "    try: image_of(top)\n"
            "    except PowernodeError as error: print(type(error).__name__, error.code, error.message)\n"
        )
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's own is closed to others
            top = Path(folder)
            top.chmod(0o755)
            for name in ("file", "directory", "source"):
                (top / name).mkdir(mode=0o755)
            (top / "file" / "secret").write_bytes(b"s" * 100)
            (top / "file" / "secret").chmod(0)
            (top / "directory" / "closed").mkdir(mode=0o700)
            (top / "source").chmod(0o700)
            arguments = [sys.executable, "-c", code, *(str(top / name) for name in ("file", "directory", "source"))]
            for mode in ("auto", "off") if native.library() else ("off",):
                environment = {**os.environ, "POWERNODE_NATIVE": mode}
                result = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True)
                said = result.stdout.splitlines()
                assert len(said) == 3, result.stderr
                for line, path in zip(said, ("secret", "closed", str(top / "source")), strict=True):
                    assert line.startswith("MachineError composefs.read cannot ")
                    assert path in line
                    assert "Permission denied" in line

    def test_attributes_that_no_image_can_hold(self, door: str, tmp_path: Path) -> None:
        """On tmpfs, where attributes may be larger than on ext4."""
        _as_root()

        def body() -> None:
            _mount_tmpfs(tmp_path / "t", "size=4m")
            (tmp_path / "t" / "sub").mkdir()
            (tmp_path / "t" / "sub" / "name").touch()
            try:
                for number in range(4):
                    os.setxattr(tmp_path / "t" / "sub" / "name", f"user.{number}", bytes(10_000))
            except OSError as error:
                pytest.skip(f"this kernel's tmpfs takes no such attributes: {error.strerror}")
            message = refusal(lambda: image_of(tmp_path / "t"), DataError, "composefs.xattr-size")
            assert "sub/name" in message

        run_privately(body)

    @pytest.mark.parametrize("middle", [False, True])
    def test_a_directory_that_becomes_a_link(self, middle: bool, tmp_path: Path) -> None:
        """Somebody swaps directories for links to elsewhere while we read: elsewhere is never read."""
        needs_library()
        (tmp_path / "outside" / "inner").mkdir(parents=True)
        (tmp_path / "outside" / "secret").write_bytes(b"SECRET")
        (tmp_path / "outside" / "inner" / "secret").write_bytes(b"SECRET")
        top = tmp_path / "top"
        victim = top / "v"
        (victim / "inner").mkdir(parents=True)
        for number in range(200):
            (top / f"x{number}").mkdir()
            if middle:
                (victim / f"x{number}").mkdir()
        stop = threading.Event()

        def swap() -> None:
            while not stop.is_set():
                victim.rename(tmp_path / "aside")
                victim.symlink_to(tmp_path / "outside")
                victim.unlink()
                (tmp_path / "aside").rename(victim)

        attacker = threading.Thread(target=swap)
        attacker.start()
        errors: list[MachineError] = []
        try:
            end = time.monotonic() + 1
            while time.monotonic() < end:
                try:
                    assert b"SECRET" not in dump_of(top, threads=2)
                except MachineError as error:
                    errors.append(error)
        finally:
            stop.set()
            attacker.join()
        assert {error.code for error in errors} <= {"composefs.changed"}
        assert all(": v" in error.message or ": ." in error.message for error in errors)

    def test_what_vanishes_has_changed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(native, "library", lambda: None)
        top = fill(tmp_path / "top", (5000,))

        def remove(files: int, size: int) -> None:
            (top / "d0" / "zero0").unlink(missing_ok=True)

        message = refusal(lambda: image_of(top, progress=remove), MachineError, "composefs.changed")
        assert f"{top}/d0/zero0" in message


def _as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can do this")
    try:
        run_privately(lambda: None)
    except OSError as error:
        pytest.skip(f"no private mount namespace here: {error}")


def _mount_tmpfs(path: Path, options: str) -> None:
    path.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", path], check=True)


def test_a_lack_of_memory_is_told_as_one() -> None:
    failure = Failure()
    for at, text in ((8, b"composefs.memory"), (56, b"Cannot allocate memory")):
        failure.handle[at : at + len(text)] = text
    error = scan._refusal(-errno.ENOMEM, failure)
    assert isinstance(error, MachineError)
    assert (error.code, error.found) == ("composefs.memory", "Cannot allocate memory")
    assert "memory" in error.message
