# SPDX-License-Identifier: MIT
"""What a boot would do here, without doing it: `powernode-agent boot --dry-run`.

Invariants: nothing is mounted, written, sealed or counted; the same settings, identity, choice and gate are used as in
the boot, so what is refused here would be refused there. What only mounting can show is not known and not claimed.

    would_boot = dry_run(Situation(paths, report, clocks), paths, report)
"""

from __future__ import annotations

import os

from powernode.agent.config import read_optional
from powernode.agent.persist import describe, find
from powernode.agent.sets import MAX_BYTES, SetStore
from powernode.agent.situation import Situation, admitted, store_of
from powernode.base.errors import DataError, PowernodeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.agent.choose import Candidate
    from powernode.agent.paths import Paths, StorePaths
    from powernode.agent.report import Report
    from powernode.wire.bootset import BootSet

__all__ = ["dry_run", "store_in_use"]


def dry_run(situation: Situation, paths: Paths, report: Report) -> bool:
    """Whether a candidate was found that nothing speaks against so far."""
    situation.read_settings()
    written_s = _look_for_persist(situation, paths, report)
    gate = situation.gate(situation.identify(None), not_before=written_s)
    store = store_in_use(paths)
    report.stage("store", f"{store.root} is looked at")
    sets = SetStore(store.sets)
    base = read_optional(paths.base_set, MAX_BYTES)
    found = False
    for candidate in situation.choose(sets, base).candidates:
        try:
            boot_set = admitted(candidate, sets, base, gate)
            where = store_of(boot_set, store, paths)
            _check_images(boot_set, where)
        except PowernodeError as error:
            report.refuse(candidate.kind, error, set_id=candidate.set_id)
        else:
            report.stage("plan", _described(candidate, boot_set, where, situation))
            found = True
    return found


def store_in_use(paths: Paths) -> StorePaths:
    """On a running node, in an initramfs with persist mounted, or what the image brought along: whichever is there."""
    for store in (paths.running_store, paths.store):
        if os.path.isdir(store.root):
            return store
    return paths.baked_store


def _look_for_persist(situation: Situation, paths: Paths, report: Report) -> int:
    """When it was last written to; 0 if it is not there."""
    label = situation.config.persist.label
    try:
        found = find(label, paths)
    except PowernodeError as error:
        report.refuse("persist", error)
        return 0
    if found is None:
        report.stage("persist", f"no filesystem is labelled {label} now")
        return 0
    device, filesystem = found
    report.facts["persist"] = describe(device, filesystem)
    report.stage("persist", f"{filesystem.kind} {filesystem.uuid} on {device.path}")
    return filesystem.written_s


def _check_images(boot_set: BootSet, store: StorePaths) -> None:
    for digest in (boot_set.root_digest, *(module.digest for module in boot_set.modules)):
        if not os.path.exists(store.image(digest.hex)):
            raise DataError("boot.image-missing", "an image is missing", found=store.image(digest.hex))


def _described(candidate: Candidate, boot_set: BootSet, store: StorePaths, situation: Situation) -> str:
    stamp = "stamped" if os.path.exists(store.stamp(boot_set.root_digest.hex)) else "to be sealed first"
    policy = situation.config.policy or boot_set.root_policy.value
    return f"{candidate.kind} {candidate.set_id[:12]}: root {boot_set.root_digest} policy={policy}, {stamp}"
