# SPDX-License-Identifier: MIT
"""Inputs against an archive that misbehaves: what is returned is what was locked, or there is a refusal."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from powernode.base.errors import DataError, MachineError, OperatorError
from powernode.debian import lock as locks
from powernode.debian.inputs import Inputs, default_cache
from powernode.debian.lock import Lock, LockedPackage
from unit.archive._debs import Item, deb, directories

HELLO = deb(*directories("./", "./usr/"), Item("./usr/hello", os.urandom(300_000), mode=0o755))
BROKEN = deb(Item("./../x"))


class Archive(http.server.ThreadingHTTPServer):
    """Serves one package; each word in `behaviour` is how one request is treated, then all is well."""

    daemon_threads = True

    def __init__(self, content: bytes = HELLO) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.behaviour: list[str] = []
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/debian"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Archive

    def do_GET(self) -> None:
        server = self.server
        asked = self.headers.get("Range", "")
        server.requests.append(f"{self.path} {asked}".strip())
        how = server.behaviour.pop(0) if server.behaviour else "well"
        if how.isdigit():
            self.send_error(int(how))
            return
        content = {"other": HELLO[::-1], "more": HELLO + b"x", "fewer": HELLO[:-1]}.get(how, server.content)
        start = int(asked[6:-1]) if asked and how != "no-ranges" else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if how != "no-length":
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : len(content) // 2 if how == "cut" else None])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def archive() -> Iterator[Archive]:
    with Archive() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def lock_of(content: bytes = HELLO) -> Lock:
    package = LockedPackage(
        name="hello",
        version="1",
        architecture="all",
        filename="pool/main/h/hello_1_all.deb",
        size=len(content),
        sha256=sha256(content).hexdigest(),
    )
    return Lock(arch="amd64", suite="trixie", groups={"initramfs": (package,)})


PAUSES: list[float] = []


def inputs(archive: Archive, cache: Path, lock: Lock | None = None) -> Inputs:
    PAUSES.clear()
    return Inputs(lock or lock_of(), cache, archive.url, pause=PAUSES.append, newest=lambda name: f"2-{name}")


def test_downloaded_once(archive: Archive, tmp_path: Path) -> None:
    first = inputs(archive, tmp_path)
    assert first.used == ()
    assert first.deb("hello").read_bytes() == HELLO
    assert inputs(archive, tmp_path).deb("hello") == tmp_path / "debs" / f"{sha256(HELLO).hexdigest()}.deb"
    assert archive.requests == ["/debian/pool/main/h/hello_1_all.deb"]
    assert first.used == first.lock.group("initramfs")
    assert [path.name for path in (tmp_path / "debs").iterdir()] == [f"{sha256(HELLO).hexdigest()}.deb"]


def test_no_archive_is_asked_for_what_is_there(archive: Archive, tmp_path: Path) -> None:
    inputs(archive, tmp_path).tree("hello")
    offline = Inputs(lock_of(), tmp_path, "http://127.0.0.1:1")
    assert (offline.tree("hello") / "usr/hello").is_file()
    assert offline.deb("hello").is_file()


def test_unpacked_once(archive: Archive, tmp_path: Path) -> None:
    tree = inputs(archive, tmp_path).tree("hello")
    assert (tree / "usr/hello").stat().st_mode & 0o7777 == 0o755
    inode = tree.stat().st_ino
    assert inputs(archive, tmp_path).tree("hello").stat().st_ino == inode
    assert [path.name for path in tree.parent.iterdir()] == [sha256(HELLO).hexdigest()]


@pytest.mark.parametrize("how", ["other", "more", "fewer"])
def test_another_file_is_refused_at_once_and_not_kept(archive: Archive, tmp_path: Path, how: str) -> None:
    archive.behaviour = [how]
    with pytest.raises(DataError) as caught:
        inputs(archive, tmp_path).deb("hello")
    assert caught.value.code == "debian.input.digest"
    assert len(archive.requests) == 1
    assert list((tmp_path / "debs").iterdir()) == []
    assert inputs(archive, tmp_path).deb("hello").read_bytes() == HELLO


def test_a_damaged_cache_is_not_believed(archive: Archive, tmp_path: Path) -> None:
    path = inputs(archive, tmp_path).deb("hello")
    path.write_bytes(HELLO[:-1] + b"?")
    assert inputs(archive, tmp_path).deb("hello").read_bytes() == HELLO
    assert len(archive.requests) == 2


@pytest.mark.parametrize("how", ["404", "410"])
def test_a_pin_that_is_gone(archive: Archive, tmp_path: Path, how: str) -> None:
    archive.behaviour = [how]
    with pytest.raises(OperatorError) as caught:
        inputs(archive, tmp_path).deb("hello")
    assert caught.value.code == "debian.input.gone"
    assert caught.value.found == "hello 2-hello"
    assert "powernode image lock --arch amd64" in str(caught.value.hint)
    assert list((tmp_path / "debs").iterdir()) == []


@pytest.mark.parametrize("first", ["cut", "503", "429", "500"])
def test_what_can_pass_is_tried_again(archive: Archive, tmp_path: Path, first: str) -> None:
    archive.behaviour = [first, "503"]
    assert inputs(archive, tmp_path).deb("hello").read_bytes() == HELLO
    assert PAUSES == [0.5, 2.0]
    resumed = archive.requests[-1].endswith(f"bytes={len(HELLO) // 2}-")
    assert resumed == (first == "cut")


def test_a_server_without_ranges_starts_again(archive: Archive, tmp_path: Path) -> None:
    archive.behaviour = ["cut", "no-ranges"]
    assert inputs(archive, tmp_path).deb("hello").read_bytes() == HELLO


def test_a_server_that_says_no_length(archive: Archive, tmp_path: Path) -> None:
    archive.behaviour = ["no-length"]
    assert inputs(archive, tmp_path).deb("hello").read_bytes() == HELLO


@pytest.mark.parametrize("left", [b"another file's first part", HELLO, HELLO + b"more"], ids=["other", "all", "more"])
def test_a_part_from_an_earlier_time(archive: Archive, tmp_path: Path, left: bytes) -> None:
    (tmp_path / "debs").mkdir()
    (tmp_path / "debs" / f"{sha256(HELLO).hexdigest()}.deb.part").write_bytes(left)
    assert inputs(archive, tmp_path).deb("hello").read_bytes() == HELLO


def test_given_up_in_the_end(archive: Archive, tmp_path: Path) -> None:
    archive.behaviour = ["503"] * 9
    with pytest.raises(MachineError) as caught:
        inputs(archive, tmp_path).deb("hello")
    assert caught.value.code == "debian.input.unreachable"
    assert len(archive.requests) == 5
    archive.requests.clear()
    archive.behaviour = ["403"]
    with pytest.raises(MachineError) as caught:
        inputs(archive, tmp_path).deb("hello")
    assert (caught.value.code, len(archive.requests)) == ("debian.input.unreachable", 1)


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(MachineError) as caught:
        Inputs(lock_of(), tmp_path, "http://127.0.0.1:1", pause=PAUSES.append).deb("hello")
    assert caught.value.code == "debian.input.unreachable"


def test_a_hostile_package_leaves_no_tree(archive: Archive, tmp_path: Path) -> None:
    archive.content = BROKEN
    with pytest.raises(DataError) as caught:
        inputs(archive, tmp_path, lock_of(BROKEN)).tree("hello")
    assert caught.value.code == "archive.tar.path"
    assert list((tmp_path / "trees").iterdir()) == []


def test_what_a_crash_left_is_cleared_away(archive: Archive, tmp_path: Path) -> None:
    part = tmp_path / "trees" / f"{sha256(HELLO).hexdigest()}.part"
    (part / "usr/old").mkdir(parents=True)
    (part / "link").symlink_to("usr")
    (part / "file").write_text("")
    tree = inputs(archive, tmp_path).tree("hello")
    assert sorted(path.name for path in tree.rglob("*")) == ["hello", "usr"]


def test_many_at_once(archive: Archive, tmp_path: Path) -> None:
    """Threads have locks of their own, as processes do: one downloads, one unpacks, all get it."""
    with ThreadPoolExecutor(16) as pool:
        trees = set(pool.map(lambda _: inputs(archive, tmp_path).tree("hello"), range(32)))
    assert trees == {tmp_path / "trees" / sha256(HELLO).hexdigest()}
    assert len(archive.requests) == 1


def test_processes_at_once(archive: Archive, tmp_path: Path) -> None:
    lock = tmp_path / "lock.json"
    lock.write_bytes(locks.encode(lock_of()))
    code = (
        "import sys; from pathlib import Path; from powernode.debian import inputs, lock\n"
        "one = inputs.Inputs(lock.parse(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2]), sys.argv[3])\n"
        "assert (one.tree('hello') / 'usr/hello').stat().st_size == 300_000"
    )
    command = [sys.executable, "-c", code, str(lock), str(tmp_path / "cache"), archive.url]
    running = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait(120) for process in running] == [0] * 4
    assert len(archive.requests) == 1
    assert len(list((tmp_path / "cache").rglob("*.part"))) == 0


def test_where_the_cache_is() -> None:
    assert default_cache({"POWERNODE_CACHE": "/c", "XDG_CACHE_HOME": "/x"}) == Path("/c")
    assert default_cache({"XDG_CACHE_HOME": "/x"}) == Path("/x/powernode")
    assert default_cache({"HOME": "/h", "XDG_CACHE_HOME": ""}) == Path("/h/.cache/powernode")
    with pytest.raises(OperatorError) as caught:
        default_cache({})
    assert caught.value.code == "debian.input.cache"
