# SPDX-License-Identifier: MIT
"""A boot set that the fleet has signed for this node and that is still valid.

Invariants: what is returned was signed by one of `keys`, is meant for `instance` or for everybody, and is not expired
as far as anybody can tell.

A node often starts without knowing the time: no battery, no network yet. Locking it out would turn every empty battery
into a visit. So a set counts as expired only if it is over at the latest time that is known to have passed: that of the
clock, or `not_before`, when something was last written here. Each of them can only make a set expire: whoever writes a
date of the far future to the disk gains nothing. Whoever can turn back both can replay an expired set of this node,
but never run an unsigned one.

Out of scope: serial numbers (who has seen which is the node's memory), the digest on the kernel's command line.

    boot_set = verify_set(envelope, keys, instance=uuid, now=now, not_before=written_at)
"""

from __future__ import annotations

from powernode.base.errors import DataError
from powernode.trust import dsse
from powernode.wire import bootset

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from powernode.trust.keys import PublicKey

__all__ = ["check_terms", "verify_set"]

_MAX_ENVELOPE = 2 * bootset.MAX_BYTES


def verify_set(
    envelope: bytes, keys: Sequence[PublicKey], *, instance: str | None, now: int | None, not_before: int = 0
) -> bootset.BootSet:
    """The set in `envelope`; codes of `dsse.verify`, of `wire.bootset.parse` and of `check_terms`."""
    payload = dsse.verify(envelope, keys, bootset.PAYLOAD_TYPE, max_bytes=_MAX_ENVELOPE)
    boot_set = bootset.parse(payload)
    check_terms(boot_set, instance=instance, now=now, not_before=not_before)
    return boot_set


def check_terms(boot_set: bootset.BootSet, *, instance: str | None, now: int | None, not_before: int = 0) -> None:
    """Refuse a set that is meant for another node (trust.set.other-instance) or is over (trust.set.expired).

    `instance` is None on a node that does not know who it is: it may only run what is meant for everybody.
    """
    if boot_set.instance not in (bootset.ANY_INSTANCE, instance):
        raise DataError(
            "trust.set.other-instance",
            "the set is meant for another node",
            expected=instance or "a set for every node, as this one has no identity",
            found=boot_set.instance,
        )
    passed = max(now or 0, not_before)
    if boot_set.not_after is not None and passed > boot_set.not_after:
        raise DataError(
            "trust.set.expired",
            "the set is not valid any more",
            expected=f"not after {boot_set.not_after}",
            found=f"it is {passed} or later; the clock says {now}",
            hint="assign the node a newer set; if the clock is wrong, set it",
        )
