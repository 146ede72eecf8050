# SPDX-License-Identifier: MIT
"""What this machine is told and what it finds: settings, identity, which sets there are, by which rules they may run.

Invariants: it only reads, so that a dry run, introspection and the boot know the same; what is found goes into the
report; an identity that cannot be found out is told and does not stop the boot: sets for every node remain.

Out of scope: acting on it (`boot`, `plan`).

    situation = Situation(paths, report, clocks)
    situation.read_settings()
    gate = situation.gate(situation.identify(None), not_before=0)
    choice = situation.choose(sets, base)
"""

from __future__ import annotations

import os

from powernode.agent.admit import Gate
from powernode.agent.choose import Candidate, Choice, Facts, choose
from powernode.agent.config import Config, read_optional
from powernode.agent.config import read as read_config
from powernode.agent.sets import GOOD, PENDING, SetStore, set_id_of
from powernode.base.digest import Digest
from powernode.base.errors import InternalError, MachineError, PowernodeError
from powernode.base.values import Value
from powernode.linux.cmdline import CommandLine
from powernode.linux.cmdline import parse as parse_cmdline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from powernode.agent.identity.surroundings import BootPartition, Network
    from powernode.agent.paths import Paths, StorePaths
    from powernode.agent.report import Report
    from powernode.base.canonical import Json
    from powernode.trust.keys import PublicKey
    from powernode.wire.bootset import BootSet

__all__ = ["KNOWN_KEYS", "Clocks", "Situation", "admitted", "as_refusal", "in_integers", "store_of"]

KNOWN_KEYS = frozenset(
    f"powernode.{name}"
    for name in (
        *("boot", "root_digest", "recovery_seconds"),
        *("instance_uuid", "instance_name", "bootstrap_token", "platform_url", "ca_pem", "ca_pem_url"),
        *("parent_url", "acceptance_token", "spawn_mode", "parent_peer_id", "contract_version"),
    )
)
_KEYS_MAX_BYTES = 64 << 10


class Clocks(Value):
    """`monotonic` counts seconds since the kernel started; `wall` tells seconds since 1970, right or not."""

    __slots__ = ("monotonic", "sleep", "wall")

    def __init__(
        self, *, monotonic: Callable[[], float], wall: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self.monotonic = monotonic
        self.wall = wall
        self.sleep = sleep


class Situation:
    """One machine at one start."""

    def __init__(self, paths: Paths, report: Report, clocks: Clocks) -> None:
        self._paths = paths
        self._report = report
        self._clocks = clocks
        self.config = Config()
        self.cmdline = CommandLine([])

    def read_settings(self) -> None:
        data = read_optional(self._paths.cmdline, 1 << 16)
        self.cmdline = parse_cmdline((data or b"").decode("utf-8", "surrogateescape"))
        unknown = [key for key in self.cmdline.keys("powernode.") if key not in KNOWN_KEYS]
        for key in unknown:
            self._report.warn("boot.cmdline", f"{key} on the kernel command line means nothing to this agent")
        config = read_config(self._paths.config)
        if config is None:
            self._report.stage("config", "no config.json in this image: the defaults")
            return
        self.config = config
        self._report.facts["config"] = {
            "arch": config.arch,
            "board": config.board,
            "floor": config.floor,
            "preflight": "full" if config.full_preflight else "stamped",
        }
        self._report.stage("config", f"{config.board or 'no board'} {config.arch}, floor {config.floor}")

    def identify(self, boot_partition: BootPartition | None, network: Network | None = None) -> str | None:
        """The instance's UUID, if anybody tells. `boot_partition` reads files of the FAT partition."""
        from powernode.agent.identity.cascade import resolve
        from powernode.agent.identity.surroundings import Surroundings

        clocks = self._clocks
        around = Surroundings(
            root=self._paths.at("/"),
            clock=clocks.monotonic,
            sleep=clocks.sleep,
            network=network,
            boot_partition=boot_partition,
        )
        try:
            resolution = resolve(around, order=self.config.identity_order, budget_s=dict(self.config.identity_budget_s))
        except Exception as error:  # a fault in one of many sources is no reason not to boot
            self._report.refuse("identity", as_refusal(error))
            return None
        self._report.facts["identity"] = in_integers(resolution.as_dict())
        identity = resolution.identity
        if identity is None:
            stopped = f"; {resolution.stopped_by} ended the search" if resolution.stopped_by else ""
            self._report.warn("boot.identity", f"this machine does not know who it is{stopped}")
            return None
        who = identity.instance_uuid or "to be claimed"
        model = identity.hardware.model
        self._report.stage("identity", f"{who} from {identity.source}{f' on {model}' if model else ''}")
        return identity.instance_uuid

    def gate(self, instance: str | None, *, not_before: int) -> Gate:
        """`not_before` is when persist was last written to: it is later than that, whatever the clock says."""
        pinned = self.cmdline.get("powernode.root_digest")
        now = int(self._clocks.wall())
        self._report.facts["clock"] = {"now_s": now, "not_before_s": not_before, "pinned_root": pinned}
        return Gate(
            keys=self._keys(),
            instance=instance,
            now=now,
            not_before=not_before,
            root_digest=None if pinned is None else Digest.parse(pinned),
        )

    def _keys(self) -> Sequence[PublicKey]:
        """The fleet's keys; without them only the base can boot."""
        from powernode.trust.keys import load_public_keys

        try:
            return load_public_keys(read_optional(self._paths.fleet_root, _KEYS_MAX_BYTES) or b"")
        except PowernodeError as error:
            self._report.refuse("keys", error)
            return ()

    def choose(self, sets: SetStore, base: bytes | None) -> Choice:
        pending, attempts = self._pending(sets)
        choice = choose(
            Facts(
                pending=pending,
                attempts=attempts,
                good=self._pointer(sets, GOOD),
                base=None if base is None else set_id_of(base),
                max_attempts=self.config.max_attempts,
            )
        )
        self._report.facts["choice"] = {
            "candidates": [_described(candidate) for candidate in choice.candidates],
            "left_out": [_described(candidate) for candidate in choice.left_out],
        }
        for candidate in choice.left_out:
            self._report.stage("choice", f"not {candidate.kind} {candidate.set_id[:12]}: {candidate.reason}")
        order = ", ".join(f"{candidate.kind} {candidate.set_id[:12]}" for candidate in choice.candidates)
        self._report.stage("choice", order or "there is no set at all")
        return choice

    def _pending(self, sets: SetStore) -> tuple[str | None, int]:
        pending = self._pointer(sets, PENDING)
        if pending is None:
            return None, 0
        try:
            return pending, sets.attempts(pending)
        except PowernodeError as error:  # nobody knows how often it was tried: not once more
            self._report.refuse(PENDING, error, set_id=pending)
            return None, 0

    def _pointer(self, sets: SetStore, name: str) -> str | None:
        try:
            return sets.pointer(name)
        except PowernodeError as error:
            self._report.refuse(name, error)
            return None


def admitted(candidate: Candidate, sets: SetStore, base: bytes | None, gate: Gate) -> BootSet:
    """The candidate's set, if it may run here."""
    return gate.baked(base or b"") if candidate.kind == "base" else gate.signed(sets.read(candidate.set_id))


def store_of(boot_set: BootSet, store: StorePaths, paths: Paths) -> StorePaths:
    """Where the set's files are: in `store`, or in the initramfs, where a base may have brought its own."""
    name = boot_set.root_digest.hex
    if not os.path.exists(store.image(name)) and os.path.exists(paths.baked_store.image(name)):
        return paths.baked_store
    return store


def as_refusal(error: Exception) -> PowernodeError:
    if isinstance(error, PowernodeError):
        return error
    if isinstance(error, OSError):
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "a file"
        return MachineError("boot.system", f"{name} cannot be used", found=error.strerror or str(error))
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{os.path.basename(place.tb_frame.f_code.co_filename)}:{place.tb_lineno}" if place is not None else ""
    return InternalError("boot.internal", "the agent has a fault", found=f"{type(error).__name__} {error} in {where}")


def _described(candidate: Candidate) -> Json:
    return {"kind": candidate.kind, "set": candidate.set_id, "reason": candidate.reason}


def in_integers(value: object) -> Json:
    """Canonical JSON has no floats: seconds become milliseconds."""
    if isinstance(value, dict):
        found: dict[str, Json] = {}
        for name, item in value.items():
            if isinstance(item, float):
                found[name.replace("seconds", "ms")] = int(item * 1000)
            else:
                found[name] = in_integers(item)
        return found
    if isinstance(value, list | tuple):
        return [in_integers(item) for item in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)
