# SPDX-License-Identifier: MIT
"""What happened during a boot, for the console, for /run/powernode/boot.json and for the recovery screen.

Invariants: times are whole milliseconds since the kernel started, from the clock that was handed in; the document is
canonical JSON and holds no secret; what is said on the console is in the document as well, and has no control
characters.

Out of scope: where the console is, who reads the document (`introspect`).

    report = Report(clock=time.monotonic, say=print)
    report.stage("persist", "ext4 on /dev/vda2")          # powernode: persist: ext4 on /dev/vda2
    report.facts["persist"] = {…}
    write(report.document(), "/run/powernode/boot.json")
"""

from __future__ import annotations

from powernode.base import canonical
from powernode.base.durable import write_durably

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from powernode.base.canonical import Json
    from powernode.base.errors import PowernodeError

__all__ = ["MAX_BYTES", "REDACTED", "Report", "read", "redacted", "write"]

VERSION = 1
MAX_BYTES = 1 << 20
REDACTED = "[redacted]"
_SECRET_WORDS = ("token", "secret", "password", "private_key")


class Report:
    """Collects while the boot goes on."""

    def __init__(self, *, clock: Callable[[], float], say: Callable[[str], None]) -> None:
        self.facts: dict[str, Json] = {}
        self.refusals: list[dict[str, str]] = []
        self._clock = clock
        self._say = say
        self._stages: list[Json] = []
        self._warnings: list[Json] = []

    def stage(self, name: str, message: str) -> None:
        """A stage has ended like this."""
        message = printable(message)
        self._stages.append({"name": name, "at_ms": self._now_ms(), "message": message})
        self._say(f"powernode: {name}: {message}")

    def warn(self, code: str, message: str) -> None:
        """Something an operator should know that does not stop the boot."""
        message = printable(message)
        self._warnings.append({"code": code, "message": message, "at_ms": self._now_ms()})
        self._say(f"powernode: WARNING: {code}: {message}")

    def refuse(self, what: str, error: PowernodeError, *, set_id: str = "") -> None:
        """`what` cannot be used: persist, or a candidate."""
        refusal = {name: printable(text) for name, text in error.as_dict().items()}
        self.refusals.append({"what": what, "set": set_id, **refusal})
        self._say(f"powernode: refused {what}: {error.code}: {refusal['message']}")
        if "found" in refusal:
            self._say(f"powernode:   found: {refusal['found']}")

    def tell(self, line: str) -> None:
        """A line for the console that repeats what the facts hold."""
        self._say(f"powernode: {line}")

    def document(self, outcome: str) -> dict[str, Json]:
        refusals: list[Json] = [dict(refusal) for refusal in self.refusals]
        document: dict[str, Json] = {
            **self.facts,
            "version": VERSION,
            "outcome": outcome,
            "finished_ms": self._now_ms(),
            "stages": self._stages,
            "warnings": self._warnings,
            "refused": refusals,
        }
        return document

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def write(document: dict[str, Json], path: str) -> None:
    write_durably(path, canonical.encode(redacted(document)) + b"\n", mode=0o600)


def read(path: str) -> dict[str, Json] | None:
    """A boot report; None where there is none."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    document = canonical.decode(data, what=path, max_bytes=MAX_BYTES)
    return document if isinstance(document, dict) else None


def printable(text: str) -> str:
    """Names and messages come from disks and command lines: a terminal must not obey them, JSON must be able to hold
    them."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)


def redacted(value: Json) -> Json:
    """The last guard: whoever put a secret under an honest name into the facts, it does not get out."""
    if isinstance(value, dict):
        return {
            name: REDACTED if isinstance(item, str) and any(word in name for word in _SECRET_WORDS) else redacted(item)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [redacted(item) for item in value]
    if isinstance(value, str) and "@" in value.partition("://")[2].partition("/")[0]:
        return REDACTED  # a password may stand before the @
    return value
