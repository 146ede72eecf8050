# SPDX-License-Identifier: MIT
"""Sign a boot set.

envelope = sign_set(BootSet(serial=7, …), private_pem)
trust.bootset.verify_set(envelope, keys, …)
"""

from __future__ import annotations

from powernode.signing import dsse
from powernode.wire import bootset

__all__ = ["sign_set"]


def sign_set(boot_set: bootset.BootSet, private_pem: bytes) -> bytes:
    """The envelope a node keeps in sets/; a set that a node could not read is refused here."""
    return dsse.sign(bootset.encode(boot_set), bootset.PAYLOAD_TYPE, private_pem)
