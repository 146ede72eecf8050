# SPDX-License-Identifier: MIT
"""What went over the wire, for people and machines."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.oci.client import Registry


def traffic_of(registry: Registry) -> dict[str, int]:
    """Requests, and bytes with their heads."""
    from powernode.net.transport import HttpTransport

    transport = registry.transport
    assert isinstance(transport, HttpTransport)
    traffic = transport.traffic
    return {
        "requests": traffic.requests,
        "sent_bytes": traffic.sent_bytes,
        "received_bytes": traffic.received_bytes,
    }
