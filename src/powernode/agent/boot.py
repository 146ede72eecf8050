# SPDX-License-Identifier: MIT
"""From a started kernel to a verified root at /sysroot, or to the reasons why there is none.

The stages: config, persist, identity, choice; then for each candidate: verify, seal, mount, preflight; then the hand
over. Invariants: a refusal of one candidate undoes everything that was mounted for it, is recorded, and the next one is
tried; an attempt with the pending set is on the disk before anything of the set is looked at; nothing that was not
verified is ever mounted; whatever goes wrong, the outcome says what.

Out of scope: the screen when nothing boots (`recovery`), changing to the new root (init does).

    outcome = Boot(paths, kernel, report, Clocks(…)).run()
    outcome.kind            # "booted", "disabled" or "nothing"
"""

from __future__ import annotations

import os

from powernode.agent.bootpartition import BootPartition
from powernode.agent.choose import Candidate
from powernode.agent.config import read_optional
from powernode.agent.handover import hand_over, mount_binds
from powernode.agent.mounts import Mounts
from powernode.agent.network import EarlyNetwork
from powernode.agent.persist import Persist, open_persist
from powernode.agent.preflight import preflight
from powernode.agent.report import write
from powernode.agent.rootfs import Places, assemble
from powernode.agent.seal import prepare
from powernode.agent.sets import MAX_BYTES, PENDING, SetStore
from powernode.agent.situation import Clocks, Situation, admitted, as_refusal, store_of
from powernode.base.errors import PowernodeError
from powernode.base.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.agent.admit import Gate
    from powernode.agent.paths import Paths, StorePaths
    from powernode.agent.port import Kernel
    from powernode.agent.report import Report
    from powernode.wire.bootset import BootSet

__all__ = ["Boot", "Outcome"]

_FATAL = "boot"


class Outcome(Value):
    """`kind` is booted, disabled or nothing; `recovery_s` and `shell` are for the screen when it is `nothing`."""

    __slots__ = ("kind", "recovery_s", "shell")

    def __init__(self, *, kind: str, recovery_s: int, shell: bool) -> None:
        self.kind = kind
        self.recovery_s = recovery_s
        self.shell = shell


class Boot:
    """One start of the machine."""

    def __init__(self, paths: Paths, kernel: Kernel, report: Report, clocks: Clocks, *, stay: bool = False) -> None:
        self._paths = paths
        self._kernel = kernel
        self._report = report
        self._clocks = clocks
        self._stay = stay
        self._situation = Situation(paths, report, clocks)
        self._persist = Persist(kind="none")

    def run(self) -> Outcome:
        kind = "nothing"
        try:
            self._situation.read_settings()
            if self._situation.cmdline.get("powernode.boot") == "0":
                self._report.stage("config", "powernode.boot=0: this machine is left to others")
                return self._outcome("disabled")
            if self._start():
                kind = "booted"
        except Exception as error:  # a machine that restarts by itself is better than one that shows a traceback
            self._report.refuse(_FATAL, as_refusal(error))
        return self._outcome(kind)

    def _start(self) -> bool:
        """Whether a candidate is ready to run."""
        paths, situation, clocks = self._paths, self._situation, self._clocks
        self._persist = open_persist(
            situation.config.persist, paths, self._kernel, self._report, clock=clocks.monotonic, sleep=clocks.sleep
        )
        with EarlyNetwork(paths, clock=clocks.monotonic, sleep=clocks.sleep) as network:
            instance = situation.identify(BootPartition(paths, self._kernel), network)
        gate = situation.gate(instance, not_before=self._persist.written_s)
        store = paths.baked_store if self._persist.kind == "none" else paths.store
        sets = SetStore(store.sets)
        base = read_optional(paths.base_set, MAX_BYTES)
        choice = situation.choose(sets, base)
        return any(self._try(candidate, sets, base, store, gate) for candidate in choice.candidates)

    def _try(self, candidate: Candidate, sets: SetStore, base: bytes | None, store: StorePaths, gate: Gate) -> bool:
        """Whether this candidate is ready to run; if not, nothing of it is left."""
        mounts = Mounts(self._kernel)
        try:
            if candidate.kind == PENDING:
                sets.record_attempt(candidate.set_id, sets.attempts(candidate.set_id) + 1)
            boot_set = admitted(candidate, sets, base, gate)
            self._mount(candidate, boot_set, store_of(boot_set, store, self._paths), mounts)
        except Exception as error:  # whatever it is, also a fault of ours: the next candidate gets its chance
            self._refuse(candidate, as_refusal(error), mounts)
            return False
        return True

    def _mount(self, candidate: Candidate, boot_set: BootSet, store: StorePaths, mounts: Mounts) -> None:
        config, report, paths = self._situation.config, self._report, self._paths
        report.stage("verify", f"{candidate.kind} {candidate.set_id[:12]}, serial {boot_set.serial}")
        images = [boot_set.root_digest, *(module.digest for module in boot_set.modules)]
        sealed = prepare(images, store, self._kernel, floor=config.floor, full=config.full_preflight)
        report.stage("seal", sealed.describe())
        policy = config.policy or boot_set.root_policy.value
        persist = paths.persist if self._persist.kind == "ext4" else None
        root = assemble(boot_set, policy, Places(paths=paths, store=store, persist=persist), mounts, floor=config.floor)
        report.stage("mount", f"{root.level}, {len(root.modules)} modules, changes to {root.upper}, /var to {root.var}")
        if root.upper == "persist":
            report.warn(
                "boot.unverified",
                f"policy {policy}: the changes kept on persist are not verified and can replace every file of the root",
            )
        files = preflight(paths.sysroot, arch=config.arch)
        report.stage("preflight", f"{len(files)} files")
        report.facts["binds"] = mount_binds(config.binds, paths, mounts, report)
        levels = dict(root.modules)
        report.facts["root"] = {
            **root.as_dict(),
            "set": candidate.set_id,
            "kind": candidate.kind,
            "reason": candidate.reason,
            "serial": boot_set.serial,
            "modules": [
                {
                    "name": module.name,
                    "version": module.version,
                    "digest": module.digest.hex,
                    "enforcement": levels[module.name],
                }
                for module in boot_set.modules
            ],
        }
        report.tell(
            f"root {root.digest} {root.level} policy={policy} set={candidate.set_id[:12]} reason={candidate.kind}"
        )
        os.makedirs(paths.run, exist_ok=True)
        write(report.document("booted"), paths.boot_report)
        hand_over(paths, self._kernel, mounts, has_persist=self._persist.kind != "none", stay=self._stay)

    def _refuse(self, candidate: Candidate, error: PowernodeError, mounts: Mounts) -> None:
        self._report.facts.pop("root", None)
        self._report.refuse(candidate.kind, error, set_id=candidate.set_id)
        for problem in mounts.undo():
            self._report.warn("boot.undo", str(problem))

    def _outcome(self, kind: str) -> Outcome:
        seconds = self._situation.config.recovery.seconds
        try:
            text = self._situation.cmdline.get("powernode.recovery_seconds") or ""
        except PowernodeError:
            text = ""
        if text.isascii() and text.isdigit():
            seconds = min(int(text), 24 * 3600)
        return Outcome(kind=kind, recovery_s=seconds, shell=self._situation.config.recovery.shell)
