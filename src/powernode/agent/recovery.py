# SPDX-License-Identifier: MIT
"""Nothing can be booted: say so on every console, who this machine is and what was tried, then start again.

Invariants: it works with nothing: no configuration, no persist, no identity, no console but one; a shell is offered
only where the image allows it; the machine restarts by itself, so a node whose disk comes back later is not lost.

Out of scope: repairing anything.

    text = screen(report.document("nothing"), seconds=60, shell=False)
    Recovery(paths, kernel, sleep=time.sleep).run(text, seconds=60)
"""

from __future__ import annotations

import os

from powernode.agent.report import write
from powernode.base.errors import PowernodeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from powernode.agent.paths import Paths
    from powernode.agent.port import Kernel
    from powernode.base.canonical import Json

__all__ = ["Recovery", "consoles", "screen"]

_WIDTH = 78
_TICK_S = 10
_CONSOLES_MAX = 8
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


def screen(document: dict[str, Json], *, seconds: int, shell: bool) -> str:
    """What people see; control characters of whatever was found do not reach the terminal."""
    rule = "=" * _WIDTH
    lines = ["", rule, "  POWERNODE: THIS MACHINE HAS NOTHING IT MAY BOOT", rule, ""]
    lines += [f"  {line}" for line in _identity(document.get("identity"))]
    lines += ["", "  What was tried:"]
    refusals = document.get("refused")
    for refusal in refusals if isinstance(refusals, list) else []:
        if isinstance(refusal, dict):
            lines += _refusal(refusal)
    if not refusals:
        lines.append("    nothing: there is no set to boot, neither on persist nor in this image")
    lines += ["", f"  The machine restarts in {seconds} s."]
    if shell:
        lines.append("  Press Enter on this console for a shell; leaving it restarts the machine.")
    return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in [*lines, rule, ""]) + "\n"


def consoles(sys: str, dev: str) -> list[str]:
    """The devices that show kernel messages, and the first screen."""
    try:
        with open(f"{sys}/class/tty/console/active", "rb") as file:
            names = file.read(1024).decode("ascii", "replace").split()
    except OSError:
        names = []
    names = [name for name in names if _PLAIN.issuperset(name)]
    active = [name if name != "tty0" else "tty1" for name in names] or ["console"]
    wanted = list(dict.fromkeys([*active, "tty1"]))[:_CONSOLES_MAX]
    return [path for path in (f"{dev}/{name}" for name in wanted) if os.path.exists(path)]


class Recovery:
    """The end of a boot that found nothing. `wait_key` waits so many seconds and says if somebody pressed Enter."""

    def __init__(
        self,
        paths: Paths,
        kernel: Kernel,
        *,
        sleep: Callable[[float], None],
        wait_key: Callable[[float], bool] | None = None,
        run_shell: Callable[[], None] | None = None,
    ) -> None:
        self._paths = paths
        self._kernel = kernel
        self._sleep = sleep
        self._wait_key = wait_key
        self._run_shell = run_shell

    def run(self, text: str, *, seconds: int, shell: bool) -> None:
        """Returns only if the kernel would not restart the machine."""
        self._show(text)
        left = seconds
        while left > 0:
            step = min(_TICK_S, left)
            if shell and self._wait_key is not None and self._run_shell is not None:
                if self._wait_key(step):
                    self._run_shell()
                    break
            else:
                self._sleep(step)
            left -= step
            if left:
                self._show(f"powernode: restart in {left} s\n")
        self._show("powernode: restarting\n")
        self._leave_persist()
        self._kernel.restart()

    def keep(self, document: dict[str, Json]) -> None:
        """Leave the report where it survives the restart, if there is such a place; nobody waits for it."""
        try:
            os.makedirs(self._paths.run, exist_ok=True)
            write(document, self._paths.boot_report)
            if os.path.isdir(self._paths.store.root):
                os.makedirs(self._paths.store.state, exist_ok=True)
                write(document, f"{self._paths.store.state}/last-recovery.json")
        except (OSError, PowernodeError) as error:
            self._show(f"powernode: the report could not be kept: {error}\n")

    def _leave_persist(self) -> None:
        if os.path.ismount(self._paths.persist):
            try:
                self._kernel.unmount(self._paths.persist)
            except PowernodeError as error:
                self._show(f"powernode: {error}\n")

    def _show(self, text: str) -> None:
        for path in consoles(self._paths.sys, self._paths.dev):
            try:
                # O_NONBLOCK: a serial line whose other end has stopped must not hold up the others.
                fd = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                _write_what_goes(fd, text.encode(), self._sleep)
            finally:
                os.close(fd)


def _write_what_goes(fd: int, data: bytes, sleep: Callable[[float], None]) -> None:
    for _ in range(200):
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            sleep(0.01)
        except OSError:
            return
        if not data:
            return


def _identity(resolution: Json) -> list[str]:
    if not isinstance(resolution, dict):
        return ["Who it is: not found out yet"]
    lines = []
    identity = resolution.get("identity")
    fields = identity.get("fields") if isinstance(identity, dict) else None
    for name in ("instance_uuid", "instance_name", "platform_url"):
        if isinstance(fields, dict) and isinstance(field := fields.get(name), dict):
            lines.append(f"{name}: {field.get('value')}  (from {field.get('source')})")
    hardware = resolution.get("hardware")
    fields = hardware.get("fields") if isinstance(hardware, dict) else None
    for name in ("vendor", "model", "serial", "mac"):
        if isinstance(fields, dict) and isinstance(field := fields.get(name), dict):
            lines.append(f"{name}: {field.get('value')}")
    return lines or ["Who it is: unknown"]


def _refusal(refusal: dict[str, Json]) -> list[str]:
    set_id = refusal.get("set")
    what = f"{refusal.get('what')}{f' {set_id[:12]}' if isinstance(set_id, str) and set_id else ''}"
    lines = [f"    * {what}: {refusal.get('code')}", *_wrapped(f"{refusal.get('message')}")]
    for name, label in (("expected", "expected"), ("found", "found"), ("hint", "what to do")):
        if refusal.get(name) is not None:
            lines += _wrapped(f"{label}: {refusal.get(name)}")
    return lines


def _wrapped(text: str) -> list[str]:
    lines, line = [], ""
    for word in text[:600].split():
        if line and len(line) + 1 + len(word) > _WIDTH - 6:
            lines.append(line)
            line = ""
        line = f"{line} {word}" if line else word
    return [f"      {line}" for line in [*lines, line]]
