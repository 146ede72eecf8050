# SPDX-License-Identifier: MIT
"""Signals that end the command: one line, the shell's exit status, and what was begun is cleaned up."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

# A verb that takes long, and cleans up.
_SLOW = """
import sys, time, types
import powernode.cli as cli
from powernode.cli.options import Command
def run(arguments):
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("cleaned", flush=True)
    return 0
verb = types.ModuleType("slow")
verb.COMMAND, verb.run = Command("keys show", "", "Sleeps.", example="powernode keys show"), run
sys.modules["powernode.cli.keys.show"] = verb
sys.argv = ["powernode", "keys", "show"]
{before}
sys.exit(cli.main())
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_it_ends_in_order(number: signal.Signals, status: int) -> None:
    code = _SLOW.format(before="import signal; signal.signal(signal.SIGINT, signal.default_int_handler)")
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (status, "cleaned\n", "powernode: interrupted\n")


def test_who_ignores_sigterm_goes_on_ignoring_it() -> None:
    code = _SLOW.format(before="import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)").replace("60", "0.2")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
