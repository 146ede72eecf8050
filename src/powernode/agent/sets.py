# SPDX-License-Identifier: MIT
"""The boot sets on persist: envelopes named by their content, a pointer to the good one, one to the pending one.

Invariants: an envelope is what its name says or it is refused; every change is a list of steps of which each is durable
and atomic by itself, in such an order that a power cut between any two leaves the sets as before or as after; an
attempt is on the disk before the set is tried.

Out of scope: whose signature is on an envelope (`trust`), which set is tried (`choose`).

    sets = SetStore("/persist/var/lib/powernode/sets")
    set_id = sets.stage(envelope)             # pending from now on
    sets.record_attempt(set_id, 1)
    sets.confirm(set_id)                      # good from now on
"""

from __future__ import annotations

import os

from powernode.base.durable import remove_durably, replace_symlink, write_durably
from powernode.base.errors import DataError, OperatorError
from powernode.base.values import Value
from powernode.linux.files import read_regular

__all__ = ["MAX_BYTES", "SetStore", "Step", "plan_confirm", "plan_stage", "set_id_of"]

MAX_BYTES = 1 << 20
"""The largest envelope that is read."""

GOOD, PENDING, ATTEMPTS = "good", "pending", "pending.attempts"
_SUFFIX = ".json"
_LOWER_HEX = frozenset("0123456789abcdef")
_ATTEMPTS_MAX = 1 << 20


class Step(Value):
    """One durable change of one name: `write` content, `point` a link at a set, or `remove`."""

    __slots__ = ("action", "data", "name")

    def __init__(self, *, action: str, name: str, data: bytes = b"") -> None:
        self.action = action
        self.name = name
        self.data = data


def set_id_of(envelope: bytes) -> str:
    from hashlib import sha256  # opens libcrypto: only when there is something to hash

    return sha256(envelope).hexdigest()


def plan_stage(envelope: bytes, attempts: tuple[str, int] | None) -> list[Step]:
    """Make a set the pending one. Attempts that are recorded for this very set are from an earlier life of it."""
    set_id = set_id_of(envelope)
    steps = [Step(action="write", name=set_id + _SUFFIX, data=envelope)]
    if attempts is not None and attempts[0] == set_id:
        steps.append(Step(action="remove", name=ATTEMPTS))
    return [*steps, Step(action="point", name=PENDING, data=(set_id + _SUFFIX).encode())]


def plan_confirm(set_id: str, pending: str | None) -> list[Step]:
    """Make a set that has booted the good one. A pending set that is another one by now stays pending."""
    steps = [Step(action="point", name=GOOD, data=(set_id + _SUFFIX).encode())]
    if pending == set_id:
        steps += [Step(action="remove", name=PENDING), Step(action="remove", name=ATTEMPTS)]
    return steps


class SetStore:
    """The folder of the sets; it need not exist to be asked."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def pointer(self, name: str) -> str | None:
        """The set that `good` or `pending` points to; None without the link."""
        try:
            target = os.readlink(f"{self.folder}/{name}")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataError(
                "agent.sets.pointer", f"{self.folder}/{name} is no symbolic link", found=os.strerror(error.errno or 0)
            ) from error
        set_id = target.removesuffix(_SUFFIX)
        if target == set_id or not _is_set_id(set_id):
            raise DataError(
                "agent.sets.pointer",
                f"{self.folder}/{name} points to no set",
                expected=f"64 hexadecimal digits and {_SUFFIX}",
                found=repr(target[:100]),
            )
        return set_id

    def read(self, set_id: str) -> bytes:
        """The envelope, proven to be the one of this name."""
        path = f"{self.folder}/{set_id}{_SUFFIX}"
        try:
            data = read_regular(path, MAX_BYTES + 1)
        except OSError as error:
            raise DataError(
                "agent.sets.missing",
                f"the set {set_id} cannot be read",
                found=error.strerror,
                hint="stage it again",
            ) from error
        if len(data) > MAX_BYTES or set_id_of(data) != set_id:
            raise DataError(
                "agent.sets.content",
                f"{path} is not the set it should be",
                expected=f"sha256 {set_id}",
                found=f"more than {MAX_BYTES} bytes" if len(data) > MAX_BYTES else f"sha256 {set_id_of(data)}",
                hint="the storage is damaged or somebody changed it; stage the set again",
            )
        return data

    def recorded(self) -> tuple[str, int] | None:
        """The set that attempts are recorded for, and how many; None if nothing is recorded."""
        path = f"{self.folder}/{ATTEMPTS}"
        try:
            data = read_regular(path, 256)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataError("agent.sets.attempts", f"{path} cannot be read", found=error.strerror) from error
        words = data.decode("latin-1").split()
        if len(words) != 2 or not _is_set_id(words[0]) or not (words[1].isascii() and words[1].isdigit()):
            raise DataError("agent.sets.attempts", f"{path} is damaged", expected="HEX N", found=repr(data[:80]))
        return words[0], min(int(words[1]), _ATTEMPTS_MAX)

    def attempts(self, set_id: str) -> int:
        """How often this set was tried; what is recorded for another one does not count."""
        recorded = self.recorded()
        return recorded[1] if recorded is not None and recorded[0] == set_id else 0

    def record_attempt(self, set_id: str, number: int) -> None:
        """On the disk when this returns: only then may the set be tried."""
        self.perform([Step(action="write", name=ATTEMPTS, data=f"{set_id} {number}\n".encode())])

    def stage(self, envelope: bytes) -> str:
        """Make a set the pending one; returns its name."""
        if len(envelope) > MAX_BYTES:
            raise OperatorError(
                "agent.sets.size", "the set is too large", expected=f"{MAX_BYTES} bytes", found=f"{len(envelope)} bytes"
            )
        os.makedirs(self.folder, exist_ok=True)
        self.perform(plan_stage(envelope, self._recorded_if_readable()))
        return set_id_of(envelope)

    def confirm(self, set_id: str) -> None:
        """Make the set that has booted the good one."""
        self.read(set_id)
        self.perform(plan_confirm(set_id, self.pointer(PENDING)))

    def perform(self, steps: list[Step]) -> None:
        for step in steps:
            path = f"{self.folder}/{step.name}"
            if step.action == "write":
                write_durably(path, step.data, mode=0o644)
            elif step.action == "point":
                replace_symlink(path, step.data.decode())
            else:
                remove_durably(path)

    def _recorded_if_readable(self) -> tuple[str, int] | None:
        try:
            return self.recorded()
        except DataError:  # a damaged file counts against whatever is pending, also against the set to come
            self.perform([Step(action="remove", name=ATTEMPTS)])
            return None


def _is_set_id(text: str) -> bool:
    return len(text) == 64 and _LOWER_HEX.issuperset(text)
