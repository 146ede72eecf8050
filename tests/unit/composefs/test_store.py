# SPDX-License-Identifier: MIT
"""The object store on whatever filesystem the tests run on; enforcement by the kernel is tested in tests/vm."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from powernode.base.errors import DataError, MachineError, OperatorError
from powernode.composefs import store
from powernode.composefs.store import ObjectStore, digest_of, object_path
from powernode.linux import files
from unit.composefs._objects import damage, digest_data, digest_fd, files_of, some


class TestNames:
    def test_path_and_back(self) -> None:
        digest = bytes(range(0xA0, 0xC0))
        path = object_path(digest)
        assert path == "a0/" + digest.hex()[2:]
        assert digest_of(path.encode()) == digest
        assert digest_of(b"/" + path.encode()) == digest
        assert digest_of(digest) == digest

    @pytest.mark.parametrize("digest", [b"", bytes(31), bytes(33), bytes(64)])
    def test_other_digests_are_refused(self, digest: bytes) -> None:
        with pytest.raises(OperatorError) as caught:
            object_path(digest)
        assert caught.value.code == "composefs.store.digest"

    @pytest.mark.parametrize(
        "reference",
        [
            b"",
            b"ab",
            b"AB/" + b"0" * 62,
            b"ab/" + b"0" * 61,
            b"ab/" + b"g" * 62,
            b"a/b" + b"0" * 62,
            b"../" + b"0" * 62,
            b"ab/" + b"0" * 61 + b"\xff",
        ],
    )
    def test_other_references_are_refused(self, reference: bytes) -> None:
        with pytest.raises(OperatorError) as caught:
            digest_of(reference)
        assert caught.value.code == "composefs.store.reference"


class TestAdd:
    def test_bytes(self, objects: ObjectStore) -> None:
        digest = objects.add_bytes(b"hello")
        assert digest == digest_data(b"hello")
        assert objects.has(digest)
        assert files_of(objects) == {object_path(digest): b"hello"}
        assert list(objects.digests()) == [digest]

    def test_descriptor_from_its_start(self, objects: ObjectStore, tmp_path: Path) -> None:
        (tmp_path / "source").write_bytes(b"0123456789")
        with open(tmp_path / "source", "rb") as source:
            source.seek(4)
            digest = objects.add_fd(source.fileno(), digest_data(b"0123456789"))
        assert files_of(objects) == {object_path(digest): b"0123456789"}

    def test_mode_does_not_depend_on_the_umask(self, objects: ObjectStore) -> None:
        old = os.umask(0o077)
        try:
            digest = objects.add_bytes(b"x")
        finally:
            os.umask(old)
        assert stat.S_IMODE(os.stat(f"{objects.path}/{object_path(digest)}").st_mode) == 0o644

    def test_present_objects_are_not_written_again(self, objects: ObjectStore) -> None:
        digest = objects.add_bytes(b"x")
        before = os.stat(f"{objects.path}/{object_path(digest)}")
        with objects.batch() as batch:
            batch.add_bytes(b"x", digest)
            batch.add_bytes(b"x")
        after = os.stat(f"{objects.path}/{object_path(digest)}")
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
        assert (batch.written, batch.skipped) == (0, 2)

    def test_wrong_content_is_refused_and_gone(self, objects: ObjectStore) -> None:
        with pytest.raises(DataError) as caught:
            objects.add_bytes(b"that", digest_data(b"this"))
        error = caught.value
        assert error.code == "composefs.store.wrong-digest"
        assert (error.expected, error.found) == (digest_data(b"this").hex(), digest_data(b"that").hex())
        assert os.listdir(objects.path) == []

    def test_nobody_to_compute_the_digest(self, tmp_path: Path) -> None:
        blind = ObjectStore.create(tmp_path / "blind")
        with pytest.raises(OperatorError) as caught:
            blind.add_bytes(b"x")
        assert caught.value.code == "composefs.store.no-digest"
        assert os.listdir(blind.path) == []

    def test_a_caller_may_vouch_for_the_digest(self, tmp_path: Path) -> None:
        blind = ObjectStore.create(tmp_path / "blind", seal=False)
        blind.add_bytes(b"x", digest_data(b"x"), recompute=False)
        assert blind.fsck(digest_fd).is_clean

    def test_store_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(MachineError) as caught:
            ObjectStore(tmp_path / "nowhere", digest_fd=digest_fd).add_bytes(b"x")
        assert caught.value.code == "composefs.store.not-found"
        assert "nowhere" in caught.value.message

    def test_full_disk(self, objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*arguments: object) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(files, "write_all", full)
        with pytest.raises(MachineError) as caught:
            objects.add_bytes(b"x")
        assert caught.value.code == "composefs.store.no-space"
        monkeypatch.undo()
        assert files_of(objects) == {}


class TestMissing:
    @pytest.mark.parametrize("stored", [3, 8000])
    def test_missing(self, objects: ObjectStore, stored: int) -> None:
        for data in some(stored):
            path = Path(objects.path, object_path(digest_data(data)))
            path.parent.mkdir(exist_ok=True)
            path.touch()
        wanted = [digest_data(data) for data in some(stored + 5)]
        assert objects.missing(wanted) == wanted[stored:]
        assert objects.missing(reversed(wanted)) == wanted[stored:][::-1]

    def test_paths_and_repetitions(self, objects: ObjectStore) -> None:
        one, two = digest_data(b"1"), digest_data(b"2")
        assert objects.missing([two, object_path(one).encode(), two, one]) == [two, one]
        assert objects.missing([]) == []


class TestFsck:
    def test_clean(self, objects: ObjectStore) -> None:
        with objects.batch() as batch:
            for data in some(20):
                batch.add_bytes(data)
        seen: list[tuple[str, int, int]] = []
        report = objects.fsck(digest_fd, jobs=3, progress=lambda *event: seen.append(event))
        assert report.is_clean
        assert (report.checked, report.size_bytes) == (20, 2000)
        assert seen[-1] == ("check", 256, 256)

    def test_every_kind_of_trouble_and_its_repair(self, objects: ObjectStore) -> None:
        good, bad, unreadable = (objects.add_bytes(data) for data in (b"good", b"bad", b"unreadable"))
        damage(objects, bad, b"BAD")
        root = Path(objects.path)
        (root / "stranger").write_bytes(b"1")
        (root / object_path(good)).with_name("short").write_bytes(b"2")
        (root / object_path(good)[:2] / object_path(bad)[3:]).mkdir()
        (root / ".tmp-1-0").mkdir()
        (root / ".tmp-1-0" / "0").write_bytes(b"3")

        def digest_or_fail(fd: int) -> bytes:
            if os.pread(fd, 10, 0) == b"unreadable":
                raise OSError(5, "Input/output error")
            return digest_fd(fd)

        report = objects.fsck(digest_or_fail)
        found = {item.digest: item for item in report.damaged}
        assert set(found) == {bad, unreadable}
        assert (found[bad].found, found[bad].reason) == (digest_data(b"BAD"), "other content")
        assert found[unreadable].found is None
        assert "Input/output error" in found[unreadable].reason
        folder = object_path(good)[:2]
        assert set(report.misnamed) == {"stranger", f"{folder}/short", f"{folder}/{object_path(bad)[3:]}"}
        assert report.temporary == (".tmp-1-0",)
        assert not report.is_clean
        assert files_of(objects)["stranger"] == b"1", "a check changes nothing"

        assert objects.fsck(digest_or_fail, repair=True).repaired
        assert objects.fsck(digest_or_fail).is_clean
        assert list(objects.digests()) == [good]
        assert objects.missing([good, bad, unreadable]) == [bad, unreadable]
        kept = {name: data for name, data in files_of(objects).items() if name.startswith(".quarantine/")}
        assert sorted(kept.values()) == [b"1", b"2", b"BAD", b"unreadable"]

    def test_quarantine_keeps_what_it_has(self, objects: ObjectStore) -> None:
        for content in (b"first", b"second"):
            digest = objects.add_bytes(b"x")
            damage(objects, digest, content)
            objects.fsck(digest_fd, repair=True)
        assert sorted(files_of(objects).values()) == [b"first", b"second"]

    def test_a_link_is_no_object(self, objects: ObjectStore, tmp_path: Path) -> None:
        digest = objects.add_bytes(b"x")
        path = Path(objects.path, object_path(digest))
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
        assert objects.fsck(digest_fd).misnamed == (object_path(digest),)

    def test_a_living_batch_is_not_stray(self, objects: ObjectStore) -> None:
        with objects.batch() as batch:
            batch.add_bytes(b"x")
            assert objects.fsck(digest_fd, repair=True).temporary == ()
        assert len(files_of(objects)) == 1


def test_a_file_named_like_a_batch_is_in_nobodys_way(objects: ObjectStore) -> None:
    Path(objects.path, ".tmp-1-0").touch()
    assert objects.fsck(digest_fd).misnamed == (".tmp-1-0",)
    assert objects.gc([]).temporary_files == 0


class TestGc:
    def test_keeps_what_images_need(self, objects: ObjectStore) -> None:
        one, two, three, four = (objects.add_bytes(data) for data in some(4))
        absent = digest_data(b"absent")
        keep: list[bytes | list[bytes]] = [one, [two, object_path(three).encode()], [absent]]
        dry = objects.gc(keep, dry_run=True)
        assert (dry.dry_run, dry.removed, dry.kept, dry.absent) == (True, (four,), 3, (absent,))
        assert objects.has(four)
        report = objects.gc(keep)
        assert (report.removed, report.freed_bytes) == (dry.removed, dry.freed_bytes)
        assert set(objects.digests()) == {one, two, three}
        assert objects.fsck(digest_fd).is_clean

    def test_a_reference_that_names_nothing_removes_nothing(self, objects: ObjectStore) -> None:
        digest = objects.add_bytes(b"x")
        with pytest.raises(OperatorError):
            objects.gc([[b"nonsense"]])
        assert objects.has(digest)

    def test_refused_while_somebody_writes(self, objects: ObjectStore) -> None:
        digest = objects.add_bytes(b"x")
        with objects.batch() as batch:
            batch.add_bytes(b"y")
            with pytest.raises(MachineError) as caught:
                objects.gc([])
            assert caught.value.code == "composefs.store.busy"
            assert objects.gc([], dry_run=True).removed == (digest,)
            assert objects.gc([], dry_run=True).temporary_files == 0
        assert objects.gc([]).removed == tuple(sorted([digest, digest_data(b"y")]))

    def test_a_killed_writer_is_cleaned_up_after(self, objects: ObjectStore) -> None:
        code = (
            "import sys; from powernode.composefs.store import ObjectStore\n"
            "batch = ObjectStore(sys.argv[1], seal=False).batch()\n"
            "for number in range(7): batch.add_bytes(b'%d' % number, bytes([number]) * 32, recompute=False)\n"
            "print('ready', flush=True); sys.stdin.read()"
        )
        command = [sys.executable, "-c", code, objects.path]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            assert objects.fsck(digest_fd).temporary == ()
            writer.send_signal(signal.SIGKILL)
        assert list(objects.digests()) == []
        assert len(objects.fsck(digest_fd).temporary) == 1
        assert objects.gc([], dry_run=True).temporary_files == 7
        assert objects.gc([]).temporary_files == 7
        assert os.listdir(objects.path) == []


@pytest.mark.parametrize("call", ["rename", "fsync", "syncfs"])
@pytest.mark.parametrize("nth", [1, 2, 6])
def test_killed_at_any_step_a_name_never_means_wrong_content(objects: ObjectStore, call: str, nth: int) -> None:
    """The writer kills itself at its nth rename or sync; what has a name afterwards is complete."""
    code = (
        "import hashlib, os, signal, sys\n"
        "from powernode.composefs import _object_batch as module\n"
        "from powernode.composefs.store import ObjectStore\n"
        "call, nth = sys.argv[2], int(sys.argv[3])\n"
        "owner = module.files if call == 'syncfs' else os\n"
        "real, count = getattr(owner, call), 0\n"
        "def die(*arguments):\n"
        "    global count\n"
        "    count += 1\n"
        "    if count == nth: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(*arguments)\n"
        "setattr(owner, call, die)\n"
        "digest = lambda fd: hashlib.sha256(b'object' + os.pread(fd, 1 << 24, 0)).digest()\n"
        "with ObjectStore(sys.argv[1], digest_fd=digest).batch() as batch:\n"
        "    for number in range(int(sys.argv[4])): batch.add_bytes(b'content %d' % number)\n"
        "print('done')"
    )
    count = 3 if call == "fsync" else 12  # few objects are synced one by one
    command = [sys.executable, "-c", code, objects.path, call, str(nth), str(count)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if call == "syncfs" and nth == 6:
        assert result.stdout == "done\n", result.stderr
    else:
        assert result.returncode == -signal.SIGKILL, result.stderr
    report = objects.fsck(digest_fd)
    assert not report.damaged
    assert not report.misnamed
    present = len(list(objects.digests()))
    assert present == {"rename": nth - 1, "fsync": 3 if nth > 3 else 0, "syncfs": 12 if nth > 1 else 0}[call]
    objects.gc(list(objects.digests()))
    assert objects.fsck(digest_fd).is_clean


def test_listing_limit_is_met_by_the_tests_above() -> None:
    assert 3 < store._LIST_FROM < 8000 // 256
