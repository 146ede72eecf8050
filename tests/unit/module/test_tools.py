# SPDX-License-Identifier: MIT
"""Running a tool, and above all ending one: nothing that it started goes on, however we are interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from powernode.module import _tools

_TALKATIVE = """
import signal, sys, time
def end(*_):
    for _ in range(5000):
        print("unmounting " + "x" * 60)  # more than a pipe holds
    open(sys.argv[1], "w").close()
    sys.exit(1)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(60)
"""
# It starts another, as mmdebstrap does, and neither heeds SIGTERM.
_DEAF = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
open(f"{sys.argv[1]}/{os.getpid()}", "w").close()
while len(os.listdir(sys.argv[1])) < 2:
    time.sleep(0.01)
os.write(1, b"ready\\n")
time.sleep(60)
"""
_CALLER = """
import sys
from pathlib import Path
from powernode.module import _tools
tool = [sys.executable, "-c", Path(sys.argv[1]).read_text(), sys.argv[2]]
_tools.run(tool, Path(sys.argv[3]), report=lambda text: print(text, flush=True), heading=str, apart=len(sys.argv) > 4)
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes namespaces for a tool")


def interrupt(_: str) -> None:
    raise KeyboardInterrupt


def run(script: str, argument: Path, log: Path, *, apart: bool = False) -> str | None:
    command = [sys.executable, "-c", script, str(argument)]
    return _tools.run(command, log, report=interrupt, heading=lambda line: line or None, apart=apart)


def gone(pids: list[int], within_s: float = 5) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if not any(_alive(pid) for pid in pids):
            return True
        time.sleep(0.02)
    return False


def _alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def pids_of(marker: str) -> list[int]:
    """Seen from here: a tool apart has other numbers for itself."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker.encode() in entry.read_bytes():
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def test_a_tool_that_has_much_to_say_at_its_end(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(_TALKATIVE, tmp_path / "cleaned", tmp_path / "log")
    assert (tmp_path / "cleaned").exists()


@pytest.mark.parametrize("apart", [False, pytest.param(True, marks=needs_root)])
def test_a_tool_that_will_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: bool) -> None:
    monkeypatch.setattr(_tools, "_GRACE_S", 0.2)
    (tmp_path / "pids").mkdir()
    with pytest.raises(KeyboardInterrupt):
        run(_DEAF, tmp_path / "pids", tmp_path / "log", apart=apart)
    assert len(os.listdir(tmp_path / "pids")) == 2
    assert gone(pids_of(str(tmp_path / "pids")))


@pytest.mark.parametrize("apart", [False, pytest.param(True, marks=needs_root)])
def test_it_ends_with_us(tmp_path: Path, apart: bool) -> None:
    """kill -9 leaves nobody to end it."""
    (tmp_path / "pids").mkdir()
    (tmp_path / "tool").write_text(_DEAF if apart else _TALKATIVE.replace("open(", "# "))
    words = [tmp_path / "tool", tmp_path / "pids", tmp_path / "log", *(["apart"] if apart else [])]
    command = [sys.executable, "-c", _CALLER, *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == b"ready\n"
        tools = [pid for pid in pids_of(str(tmp_path / "pids")) if pid != caller.pid]
        assert tools
        caller.send_signal(signal.SIGKILL)
        caller.wait()
        assert gone(tools)


@needs_root
def test_its_mounts_are_its_own(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    said: list[str] = []
    script = 'mount -t tmpfs none "$0" && grep -c "$0" /proc/self/mounts; touch "$0/x"; exit 3'
    command = ["sh", "-c", script, str(tmp_path / "place")]
    last = _tools.run(command, tmp_path / "log", report=said.append, heading=str, apart=True)
    if last is not None and "permission denied" in last:
        pytest.skip("root may not mount here")
    assert said == ["1"]
    assert not (tmp_path / "place/x").exists()
    assert str(tmp_path / "place") not in Path("/proc/self/mounts").read_text()


def test_who_may_make_no_namespaces_goes_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without root mmdebstrap makes its own; a container's root can mount nothing."""
    said: list[str] = []
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert _tools.run(["echo", "hello"], tmp_path / "log", report=said.append, heading=str, apart=True) is None
    monkeypatch.undo()
    monkeypatch.setattr(_tools, "_APART", ("false",))
    assert _tools.run(["echo", "hello"], tmp_path / "log", report=said.append, heading=str, apart=True) is None
    assert said == ["hello", "hello"]


def test_the_last_words_of_what_failed(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("of another run\n")
    words = ["sh", "-c", "echo no; exit 1"]
    assert _tools.run(words, tmp_path / "log", report=print, heading=lambda _: None) == "no"
    assert (tmp_path / "log").read_text() == "of another run\nno\n"
