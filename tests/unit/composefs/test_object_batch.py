# SPDX-License-Identifier: MIT
"""Many objects at once: nothing has its name before all of it is durable, and nothing is left of a failure."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from powernode.base.errors import InternalError, MachineError
from powernode.composefs.store import Batch, ObjectStore, object_path
from powernode.linux import files
from unit.composefs._objects import digest_data, files_of, some


def stage(batch: Batch, contents: list[bytes]) -> None:
    """As the C library's scan leaves them: complete, and with the paths they shall have in the store."""
    for data in contents:
        path = Path(f"/proc/self/fd/{batch.places[1]}", object_path(digest_data(data)))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)


class TestBatch:
    def test_nothing_has_a_name_before_the_commit(self, objects: ObjectStore) -> None:
        with objects.batch() as batch:
            digest = batch.add_bytes(b"x")
            assert batch.has(digest)
            assert not objects.has(digest)
        assert objects.has(digest)

    @pytest.mark.parametrize("known", [False, True], ids=["found", "known"])
    @pytest.mark.parametrize("count", [1, 4, 5, 300])
    def test_many(self, objects: ObjectStore, count: int, known: bool) -> None:
        seen: list[tuple[str, int, int]] = []
        contents = some(count)
        with objects.batch(progress=lambda *event: seen.append(event)) as batch:
            for data in contents:
                batch.add_bytes(data, digest_data(data) if known else None)
        assert files_of(objects) == {object_path(digest_data(data)): data for data in contents}
        assert (batch.written, batch.skipped) == (count, 0)
        assert [event for event in seen if event[0] == "name"] == [("name", n, count) for n in range(1, count + 1)]

    def test_same_content_twice(self, objects: ObjectStore) -> None:
        with objects.batch() as batch:
            batch.add_bytes(b"x")
            batch.add_bytes(b"x")
            batch.add_bytes(b"x", digest_data(b"x"))
        assert (batch.written, batch.skipped) == (1, 2)
        assert list(files_of(objects).values()) == [b"x"]

    @pytest.mark.parametrize("held", [0, 10, 300])
    def test_what_the_scan_staged_joins_what_is_there(self, objects: ObjectStore, held: int) -> None:
        """Folders the store lacks are taken whole; into the others, and beside `add_bytes`, goes file by file."""
        contents = some(600)
        with objects.batch() as batch:
            for data in contents[:held]:
                batch.add_bytes(data)
        with objects.batch() as batch:
            stage(batch, [*contents[held:], b"twice"])
            batch.add_bytes(b"twice")
            batch.add_bytes(b"by hand")
            batch.adopt()
        assert (batch.written, batch.skipped) == (600 - held + 2, 0)
        assert files_of(objects) == {object_path(digest_data(data)): data for data in [*contents, b"twice", b"by hand"]}
        assert not [name for name in os.listdir(objects.path) if len(name) != 2]

    def test_known_digests_are_renamed_by_the_folder(
        self, objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        renamed: list[str] = []
        rename = os.rename

        def record(old: str, new: str) -> None:
            renamed.append(new)
            rename(old, new)

        with objects.batch() as batch:
            for data in some(600):
                batch.add_bytes(data, digest_data(data))
            monkeypatch.setattr(os, "rename", record)
        assert sorted(renamed) == sorted(f"{objects.path}/{name}" for name in os.listdir(objects.path))
        assert len(files_of(objects)) == 600

    def test_staged_folders_go_with_an_abandoned_batch(self, objects: ObjectStore) -> None:
        batch = objects.batch()
        stage(batch, some(20))
        Path(f"/proc/self/fd/{batch.places[1]}", "copy-7").write_bytes(b"half a file")
        batch.adopt()
        batch.abandon()
        assert os.listdir(objects.path) == []

    def test_what_a_killed_scan_staged_is_counted_and_removed(self, objects: ObjectStore) -> None:
        left = Path(objects.path, ".tmp-1-0")
        (left / "ab").mkdir(parents=True)
        (left / "cd").mkdir()
        for name in ("ab/1", "ab/2", "copy-7"):
            (left / name).touch()
        assert objects.gc([], dry_run=True).temporary_files == 3
        assert objects.gc([]).temporary_files == 3
        assert os.listdir(objects.path) == []

    def test_folders_deeper_than_any_scan_s_are_not_followed(self, objects: ObjectStore) -> None:
        """However deep they are: they are not ours."""
        Path(objects.path, ".tmp-1-0", "ab", "cd").mkdir(parents=True)
        with pytest.raises(MachineError) as caught:
            objects.gc([])
        assert caught.value.code == "composefs.store.failed"
        assert caught.value.hint is not None
        assert "remove it" in caught.value.hint

    def test_an_exception_abandons_everything(self, objects: ObjectStore) -> None:
        def fail() -> None:
            with objects.batch() as batch:
                batch.add_bytes(b"x")
                raise KeyError

        with pytest.raises(KeyError):
            fail()
        assert os.listdir(objects.path) == []

    def test_a_finished_batch_takes_nothing(self, objects: ObjectStore) -> None:
        with objects.batch() as batch:
            batch.commit()
        with pytest.raises(InternalError):
            batch.add_bytes(b"x")
        with pytest.raises(InternalError):
            batch.commit()
        batch.abandon()

    @pytest.mark.parametrize("known", [False, True], ids=["found", "known"])
    def test_threads(self, objects: ObjectStore, known: bool) -> None:
        contents = some(50)
        start = threading.Barrier(4)
        failures: list[BaseException] = []

        def add(batch: Batch) -> None:
            try:
                start.wait()
                for data in contents:
                    batch.add_bytes(data, digest_data(data) if known else None)
            except BaseException as error:
                failures.append(error)

        with objects.batch(jobs=4) as batch:
            threads = [threading.Thread(target=add, args=(batch,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert not failures
        assert (batch.written, batch.skipped) == (50, 150)
        assert files_of(objects) == {object_path(digest_data(data)): data for data in contents}

    @pytest.mark.parametrize("count", [2, 40])
    def test_order_of_durability(self, objects: ObjectStore, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        """Content is synced before the first rename, names after the last one."""
        events: list[str] = []

        def spy(name: str, real: Callable[..., object]) -> Callable[..., object]:
            def call(*arguments: object, **options: object) -> object:
                events.append(name)
                return real(*arguments, **options)

            return call

        monkeypatch.setattr(os, "rename", spy("rename", os.rename))
        monkeypatch.setattr(os, "fsync", spy("sync", os.fsync))
        monkeypatch.setattr(files, "syncfs", spy("syncfs", files.syncfs))
        with objects.batch() as batch:
            for data in some(count):
                batch.add_bytes(data)
        names = [number for number, event in enumerate(events) if event == "rename"]
        assert len(names) == count
        sync = "syncfs" if count > 4 else "sync"
        assert events[: names[0]].count(sync) >= (1 if count > 4 else count)
        assert events[names[-1] + 1 :].count(sync) >= 1
        assert names == list(range(names[0], names[0] + count))

    def test_a_failed_sync_gives_no_names(self, objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(fd: int) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(files, "syncfs", broken)
        batch = objects.batch()
        for data in some(10):
            batch.add_bytes(data)
        with pytest.raises(MachineError) as caught:
            batch.commit()
        assert caught.value.code == "composefs.store.damaged"
        assert files_of(objects) == {}
