# SPDX-License-Identifier: MIT
"""May this set run on this node? The fleet's signature, its terms, and the digest the kernel was told to insist on.

Invariants: a set from persist is what the fleet signed or it is refused; the base needs no signature, because it is
part of the initramfs and as trusted as the code that reads it, but its terms count too; with
`powernode.root_digest` on the command line nothing else boots.

Out of scope: reading sets (`sets`), the files a set stands for (`seal`).

    gate = Gate(keys=load_public_keys(pem), instance=uuid, now=now, not_before=written, root_digest=None)
    boot_set = gate.signed(envelope)
"""

from __future__ import annotations

from powernode.base.digest import Digest
from powernode.base.errors import DataError
from powernode.trust.bootset import check_terms, verify_set
from powernode.wire import bootset

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from powernode.trust.keys import PublicKey

__all__ = ["Gate"]


class Gate:
    """Everything a set is held against."""

    def __init__(
        self,
        *,
        keys: Sequence[PublicKey],
        instance: str | None,
        now: int | None,
        not_before: int,
        root_digest: Digest | None,
    ) -> None:
        self._keys = keys
        self._instance = instance
        self._now = now
        self._not_before = not_before
        self._root_digest = root_digest

    def signed(self, envelope: bytes) -> bootset.BootSet:
        boot_set = verify_set(envelope, self._keys, instance=self._instance, now=self._now, not_before=self._not_before)
        return self._expected(boot_set)

    def baked(self, payload: bytes) -> bootset.BootSet:
        boot_set = bootset.parse(payload)
        check_terms(boot_set, instance=self._instance, now=self._now, not_before=self._not_before)
        return self._expected(boot_set)

    def _expected(self, boot_set: bootset.BootSet) -> bootset.BootSet:
        if self._root_digest is not None and boot_set.root_digest != self._root_digest:
            raise DataError(
                "boot.root-digest",
                "the kernel command line allows another root only",
                expected=str(self._root_digest),
                found=str(boot_set.root_digest),
                hint="assign the node the set that belongs to this boot image, or boot the image of the set",
            )
        return boot_set
