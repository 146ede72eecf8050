# SPDX-License-Identifier: MIT
"""Running a tool that takes long and has much to say: all of it goes to a log, the headings to whoever waits.

Out of scope: what a failure means, and where its log goes.

    last_words = run(["podman", "build", "."], Path("log"), report=print, heading=lambda line: line or None)
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["Heading", "Report", "run"]

Report = Callable[[str], None]
Heading = Callable[[str], "str | None"]
"""What of a line is to be reported, if anything."""

_LAST_BYTES = 1500


def run(
    command: Sequence[str],
    log: Path,
    *,
    report: Report,
    heading: Heading,
    environment: Mapping[str, str] | None = None,
) -> str | None:
    """None, or the last of what a tool said that failed. Without an `environment` it has ours."""
    with (
        open(log, "a+b") as file,
        subprocess.Popen(
            command,
            env=environment,
            umask=0o022,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        start = file.tell()
        assert process.stdout is not None
        try:
            for line in process.stdout:
                file.write(line)
                file.flush()
                text = heading(line.decode("utf-8", "replace").strip())
                if text is not None:
                    report(text)
        except BaseException:
            process.send_signal(signal.SIGTERM)  # it unmounts and removes what it has made
            process.wait()
            raise
        if process.wait() == 0:
            return None
        file.seek(max(start, file.tell() - _LAST_BYTES))
        return file.read().decode("utf-8", "replace").strip()
