# SPDX-License-Identifier: MIT
"""A boot set that the fleet has signed for this node and that is still valid.

Invariants: what is returned was signed by one of `keys`, is meant for `instance` or for everybody, and is not expired
as far as the clock can tell.

A node often starts without knowing the time: no battery, no network yet. Locking it out would turn every empty battery
into a visit. So expiry counts only against a believable clock: one that is not behind `not_before`, the time at which
the image was built. Whoever can turn the clock back further than that can replay an expired set of this node, but
never run an unsigned one. `believable` tells the report which case it was.

Out of scope: serial numbers (who has seen which is the node's memory), the digest on the kernel's command line.

    boot_set = verify_set(envelope, keys, instance=uuid, now=now, not_before=built_at)
"""

from __future__ import annotations

from powernode.base.errors import DataError
from powernode.trust import dsse
from powernode.wire import bootset

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from powernode.trust.keys import PublicKey

__all__ = ["believable", "check_terms", "verify_set"]

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
    if now is None or boot_set.not_after is None or not believable(now, not_before=not_before):
        return
    if now > boot_set.not_after:
        raise DataError(
            "trust.set.expired",
            "the set is not valid any more",
            expected=f"not after {boot_set.not_after}",
            found=f"the clock says {now}",
            hint="assign the node a newer set; if the clock is wrong, set it",
        )


def believable(now: int | None, *, not_before: int) -> bool:
    """Whether the clock can be right: the image that runs was built at `not_before`, so it is later now."""
    return now is not None and now >= not_before
