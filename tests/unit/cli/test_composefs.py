# SPDX-License-Identifier: MIT
"""`powernode composefs` verb by verb: its output beside the reference tools', its files, its exit statuses."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from powernode.base import durable
from powernode.cli.composefs import shared
from powernode.verity import digest_file
from unit.cli._command import PROGRAM, Run
from unit.composefs._pure_trees import tool

ROOT = b"/ 0 40755 2 0 0 0 0.0 - - -\n"
WHITEOUT = ROOT + b"/w 0 20644 1 0 0 0 0.0 - - -\n"
BAD = ROOT + b"/a/b 0 100644 1 0 0 0 0.0 - - -\n"


def peer(name: str, *words: object) -> bytes:
    return subprocess.run([tool(name), *map(str, words)], capture_output=True, check=True).stdout


class TestCreate:
    def test_more_threads_than_a_number_can_say(self, run: Run, tree: Path) -> None:
        answer = run("composefs", "create", "--print-digest-only", f"--threads={1 << 70}", tree)
        assert answer == run("composefs", "create", "--print-digest-only", tree)

    @pytest.mark.parametrize("with_store", [False, True])
    def test_with_a_store_the_name_is_durable_too(
        self, run: Run, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_store: bool
    ) -> None:
        synced: list[tuple[str, bool]] = []
        place = tmp_path / "image"
        monkeypatch.setattr(durable, "sync_folder", lambda path: synced.append((path, place.exists())))
        run("composefs", "create", *([f"--digest-store={tmp_path / 'objects'}"] if with_store else []), tree, place)
        assert ((str(tmp_path), True) in synced) == with_store

    def test_what_it_prints_is_what_the_peer_prints(self, run: Run, tree: Path, tmp_path: Path) -> None:
        for options in (["--print-digest-only"], ["--print-digest-only", "--use-epoch"]):
            assert run("composefs", "create", *options, tree).out == peer("mkcomposefs", *options, tree)
        ours, theirs = tmp_path / "ours", tmp_path / "theirs"
        answer = run("composefs", "create", "--print-digest", "--threads=2", tree, ours)
        assert answer.out == peer("mkcomposefs", "--print-digest", tree, theirs)
        assert ours.read_bytes() == theirs.read_bytes()
        assert run("composefs", "create", tree, ours).out == peer("mkcomposefs", tree, theirs) == b""

    @pytest.mark.parametrize(
        "options",
        [
            [],
            ["--min-version=0"],
            ["--min-version=1"],
            ["--max-version=0"],
            ["--max-version=1"],
            ["--min-version=0", "--max-version=1"],
        ],
    )
    def test_versions_mean_what_they_mean_to_the_peer(self, run: Run, tmp_path: Path, options: list[str]) -> None:
        (tmp_path / "dump").write_bytes(WHITEOUT)
        words = [*options, "--from-file", tmp_path / "dump"]
        run("composefs", "create", *words, tmp_path / "ours")
        peer("mkcomposefs", *words, tmp_path / "theirs")
        assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()

    def test_the_store_is_the_peers(self, run: Run, tree: Path, image: Path, tmp_path: Path) -> None:
        def files(top: Path) -> dict[str, bytes]:
            return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}

        peer("mkcomposefs", f"--digest-store={tmp_path / 'theirs'}", tree, tmp_path / "their.cfs")
        assert files(tmp_path / "objects") == files(tmp_path / "theirs") != {}
        assert image.read_bytes() == (tmp_path / "their.cfs").read_bytes()

    def test_create_dump_create(self, tree: Path, image: Path, tmp_path: Path) -> None:
        """As in the example of `dump`, through a real pipe."""
        dump = subprocess.Popen([*PROGRAM, "composefs", "dump", image], stdout=subprocess.PIPE)
        copy = [*PROGRAM, "composefs", "create", "--from-file", "-", str(tmp_path / "copy.cfs")]
        subprocess.run(copy, stdin=dump.stdout, check=True)
        assert dump.wait() == 0
        assert (tmp_path / "copy.cfs").read_bytes() == image.read_bytes()

    def test_from_file_as_the_peer_reads_it(self, run: Run, image: Path, tmp_path: Path) -> None:
        (tmp_path / "dump").write_bytes(run("composefs", "dump", image).out)
        words = ["--from-file", "--print-digest-only", tmp_path / "dump"]
        assert run("composefs", "create", *words).out == peer("mkcomposefs", *words)

    def test_json(self, run: Run, tree: Path, tmp_path: Path) -> None:
        answer = run("composefs", "create", "--json", tree, tmp_path / "image")
        size = (tmp_path / "image").stat().st_size
        digest = digest_file(tmp_path / "image").hex
        assert answer.json == {"digest": digest, "size_bytes": size, "image": str(tmp_path / "image")}
        assert run("composefs", "create", "--json", "--print-digest-only", tree).json["image"] is None

    def test_to_standard_output(self, tree: Path, image: Path, tmp_path: Path) -> None:
        command = [*PROGRAM, "composefs", "create", str(tree)]
        assert subprocess.run([*command, "-"], capture_output=True, check=True).stdout == image.read_bytes()
        link = tmp_path / "stdout"  # as /dev/stdout is one
        link.symlink_to("/proc/self/fd/1")
        assert subprocess.run([*command, str(link)], stdout=subprocess.PIPE, check=True).stdout == image.read_bytes()
        with open(tmp_path / "out", "wb") as out:
            subprocess.run([*command, str(link)], stdout=out, check=True)
        assert link.is_symlink()
        assert (tmp_path / "out").read_bytes() == image.read_bytes()

    def test_a_failure_leaves_what_was_there(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "bad").write_bytes(BAD)
        (tmp_path / "image").write_bytes(b"old")
        before = sorted(os.listdir(tmp_path))
        answer = run("composefs", "create", "--from-file", tmp_path / "bad", tmp_path / "image")
        assert (answer.status, answer.code) == (3, "dump.parent-missing")
        assert "line 2" in answer.err
        assert run("composefs", "create", tmp_path / "missing", tmp_path / "image").status == 2
        assert run("composefs", "create", "--from-file", tmp_path / "bad", tmp_path / "new").status == 3
        assert (tmp_path / "image").read_bytes() == b"old"
        assert sorted(os.listdir(tmp_path)) == before

    def test_an_image_that_cannot_be_written(self, run: Run, tree: Path, tmp_path: Path) -> None:
        assert run("composefs", "create", tree, tmp_path / "no" / "image").status == 4
        assert run("composefs", "create", tree, tmp_path).status == 4
        assert sorted(os.listdir(tmp_path)) == ["tree"]

    def test_mode_of_the_image(self, run: Run, tree: Path, tmp_path: Path) -> None:
        old = os.umask(0o027)
        try:
            run("composefs", "create", tree, tmp_path / "image")
        finally:
            os.umask(old)
        assert stat.S_IMODE((tmp_path / "image").stat().st_mode) == 0o640

    @pytest.mark.parametrize(
        ("words", "code"),
        [
            (["tree"], "cli.operands"),
            (["--print-digest-only", "tree", "image"], "cli.operands"),
            (["--json", "tree", "-"], "cli.operands"),
            (["--print-digest", "tree", "-"], "cli.operands"),
            (["a", "b", "c"], "cli.operands"),
            (["--skip-xattrs", "--user-xattrs", "tree", "image"], "cli.option"),
            (["--from-file", "--use-epoch", "dump", "image"], "cli.option"),
            (["--from-file", "--digest-store=x", "dump", "image"], "cli.option"),
            (["--threads=-1", "tree", "image"], "cli.option"),
            (["--min-version=2", "tree", "image"], "composefs.version"),
            (["--min-version=1", "--max-version=0", "tree", "image"], "composefs.version"),
            (["missing", "image"], "composefs.source"),
        ],
    )
    def test_requests_that_make_no_sense(
        self, run: Run, tree: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: str
    ) -> None:
        monkeypatch.chdir(tree.parent)
        answer = run("composefs", "create", *words)
        assert answer.status == 2
        assert code in answer.err
        assert sorted(os.listdir(tree.parent)) == ["tree"]


class TestTexts:
    @pytest.mark.parametrize("verb", ["ls", "dump", "objects"])
    def test_as_the_peer_prints_them(self, run: Run, image: Path, verb: str) -> None:
        assert run("composefs", verb, image).out == peer("composefs-info", verb, image) != b""
        assert run("composefs", verb, image, image).out == peer("composefs-info", verb, image, image)
        for name in ("etc", "usr", "bin", "absent"):
            given = f"--filter={name}"
            assert run("composefs", verb, given, image).out == peer("composefs-info", given, verb, image)

    def test_missing_objects(self, run: Run, image: Path, tmp_path: Path) -> None:
        given = f"--basedir={tmp_path / 'objects'}"
        assert run("composefs", "missing-objects", given, image).out == b""
        gone = next(path for path in (tmp_path / "objects").rglob("*") if path.is_file())
        gone.unlink()
        missing = run("composefs", "missing-objects", given, image).out
        assert missing == peer("composefs-info", given, "missing-objects", image)
        assert missing.decode() == f"{gone.relative_to(tmp_path / 'objects')}\n"
        (tmp_path / "empty").mkdir()
        given = f"--basedir={tmp_path / 'empty'}"
        everything = run("composefs", "missing-objects", given, image, image).out
        assert everything == run("composefs", "objects", image).out
        assert everything == peer("composefs-info", given, "missing-objects", image, image)
        answer = run("composefs", "missing-objects", given + "-typo", image)
        assert (answer.status, answer.code) == (4, "composefs.store.not-found")

    def test_digest(self, run: Run, tree: Path, image: Path) -> None:
        digest = run("composefs", "create", "--print-digest-only", tree).out.decode().strip()
        assert run("composefs", "digest", "--check", image).out.decode() == f"{digest} {image}\n"
        assert run("composefs", "digest", "--json", image).json == {"path": str(image), "digest": digest}

    def test_digest_with_a_check_of_what_is_no_image(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"x" * 5000)
        assert run("composefs", "digest", tmp_path / "file").status == 0
        answer = run("composefs", "digest", "--check", tmp_path / "file")
        assert (answer.status, answer.out) == (3, b"")

    @pytest.mark.parametrize("verb", ["ls", "dump", "objects"])
    def test_what_cannot_be_read(self, run: Run, verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        answer = run("composefs", verb, tmp_path / "missing")
        assert (answer.status, answer.code) == (4, "cli.system")
        assert str(tmp_path / "missing") in answer.err
        (tmp_path / "bad").write_bytes(b"no image")
        assert run("composefs", verb, tmp_path / "bad").status == 3
        assert run("composefs", verb, tmp_path).status == 4
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
        assert run("composefs", verb, "-", "-").status == 3
        assert run("composefs", verb, "--filter=a/b", tmp_path / "bad").status == 3


class TestRead:
    def test_takes_the_memory_of_the_file_and_not_of_the_limit(self, image: Path) -> None:
        limited = ["sh", "-c", 'ulimit -v 4000000; exec "$@"', "sh", *PROGRAM, "composefs", "ls", str(image)]
        assert subprocess.run(limited, check=True, capture_output=True).stdout

    @pytest.mark.parametrize("piece", [1, 7, 1 << 20])
    def test_in_pieces(self, run: Run, image: Path, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
        monkeypatch.setattr(shared, "_PIECE_BYTES", piece)
        expected = run("composefs", "ls", image).out
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(image.read_bytes())))
        assert run("composefs", "ls", "-").out == expected != b""

    @pytest.mark.parametrize("too_small_by", [0, 1])
    def test_the_limit(self, run: Run, image: Path, monkeypatch: pytest.MonkeyPatch, too_small_by: int) -> None:
        monkeypatch.setattr(shared, "_PIECE_BYTES", 100)
        monkeypatch.setattr(shared, "IMAGE_MAX_BYTES", image.stat().st_size - too_small_by)
        for source in (image, "-"):
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(image.read_bytes())))
            answer = run("composefs", "ls", source)
            assert answer.status == (2 if too_small_by else 0)
            assert not too_small_by or answer.code == "composefs.too-large"


class TestStores:
    def test_fsck(self, run: Run, image: Path, tmp_path: Path) -> None:
        store = tmp_path / "objects"
        answer = run("composefs", "fsck", "--json", store)
        assert answer.status == 0
        assert set(answer.json) == {
            "checked", "size_bytes", "damaged", "misnamed", "unsealed", "temporary", "repaired",
        }  # fmt: skip
        assert (answer.json["checked"], answer.json["size_bytes"]) == (2, 35_000)
        assert b"2 objects, 35000 bytes: clean" in run("composefs", "fsck", store).out
        path = next(path for path in store.rglob("*") if path.is_file())
        path.unlink()
        path.write_bytes(b"damage")
        Path(os.fsdecode(bytes(store) + b"/\xff")).touch()
        answer = run("composefs", "fsck", "-j", "2", store)
        assert answer.status == 1
        assert f"damaged {path.relative_to(store)}: other content".encode() in answer.out
        assert b"misnamed \xff\n" in answer.out
        assert run("composefs", "fsck", "--json", store).json["misnamed"] == ["\udcff"]
        assert run("composefs", "fsck", "--repair", store).status == 0
        assert run("composefs", "fsck", store).status == 0
        assert run("composefs", "fsck", store / "nowhere").status == 4

    def test_gc(self, run: Run, tree: Path, image: Path, tmp_path: Path) -> None:
        store = tmp_path / "objects"
        (tree / "usr" / "big").unlink()
        run("composefs", "create", tree, tmp_path / "less.cfs")
        dry = run("composefs", "gc", "--dry-run", "--json", f"--basedir={store}", tmp_path / "less.cfs").json
        assert set(dry) == {"dry_run", "removed", "freed_bytes", "kept", "absent", "temporary_files"}
        assert (dry["dry_run"], len(dry["removed"]), dry["kept"]) == (True, 1, 1)
        answer = run("composefs", "gc", f"--basedir={store}", tmp_path / "less.cfs")
        assert answer.out.startswith(b"removed 1 objects (")
        assert run("composefs", "missing-objects", f"--basedir={store}", image).out.decode().split() == dry["removed"]
        assert run("composefs", "gc", f"--basedir={store}", "--remove-all").status == 0
        assert not [path for path in store.rglob("*") if path.is_file()]

    @pytest.mark.parametrize(
        ("words", "status"),
        [
            (["gc", "IMAGE"], 2),
            (["gc", "--basedir=STORE"], 2),
            (["gc", "--basedir=STORE", "--remove-all", "IMAGE"], 2),
            (["gc", "--basedir=NOWHERE", "IMAGE"], 4),
            (["gc", "--basedir=STORE", "STORE"], 4),
            (["missing-objects", "IMAGE"], 2),
        ],
    )
    def test_a_wrong_request_removes_nothing(
        self, run: Run, image: Path, tmp_path: Path, words: list[str], status: int
    ) -> None:
        places = {"IMAGE": str(image), "STORE": str(tmp_path / "objects"), "NOWHERE": str(tmp_path / "nowhere")}
        for name, place in places.items():
            words = [word.replace(name, place) for word in words]
        assert run("composefs", *words).status == status
        assert run("composefs", "missing-objects", f"--basedir={tmp_path / 'objects'}", image).out == b""


class TestMount:
    def test_says_what_is_missing(self, run: Run, image: Path, tmp_path: Path) -> None:
        (tmp_path / "target").mkdir()
        words = ["composefs", "mount", image, tmp_path / "target"]
        assert run(*words).status == 2
        given = f"--basedir={tmp_path / 'objects'}"
        answer = run(*words, given, "--verity=perhaps")
        assert (answer.status, answer.code) == (2, "cli.option")
        answer = run(*words, given, "--digest=xyz")
        assert (answer.status, answer.code) == (2, "cli.option")
        answer = run(*words, given, "--verity=off", f"--digest={'00' * 32}")
        assert (answer.status, answer.code) == (3, "composefs.mount.digest")
        answer = run(*words, given, "--verity=off", "--upperdir=/tmp")
        assert (answer.status, answer.code) == (2, "composefs.mount.upper")
        answer = run(*words, given)  # requires an image that is sealed, which it is not
        assert answer.status == 4
        assert answer.code.startswith("composefs.mount.")
        assert "try: " in answer.err or "expected: " in answer.err

    def test_as_nobody(self, tmp_path: Path) -> None:
        """Whoever may not mount is told so."""
        if os.geteuid() != 0:
            pytest.skip("only root can become somebody who is not")
        code = (
            "import os, sys, tempfile\n"
            "from powernode.cli import main\n"
            "from powernode.composefs import image, mount\n"
            "import pathlib, powernode.cli.composefs.mount, powernode.verity\n"
            "top = tempfile.mkdtemp(dir='/tmp'); os.chmod(top, 0o755); os.chdir(top)\n"
            "open('image', 'wb').write(image.from_dump(sys.argv[1].encode()))\n"
            "os.mkdir('objects'); os.mkdir('target')\n"
            "if os.fork() == 0:\n"
            "    os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            "    os._exit(main(['composefs', 'mount', '--verity=off', '--basedir=objects', 'image', 'target']))\n"
            "status = os.waitstatus_to_exitcode(os.wait()[1])\n"
            "import shutil; shutil.rmtree(top)\n"
            "sys.exit(status)"
        )
        result = subprocess.run([sys.executable, "-c", code, ROOT], capture_output=True, text=True, check=False)
        assert result.returncode == 4, result.stderr
        assert "code: linux." in result.stderr
        assert "Traceback" not in result.stderr
