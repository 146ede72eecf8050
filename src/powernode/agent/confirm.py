# SPDX-License-Identifier: MIT
"""What the running node does with its boot sets: takes a new one, and says that the one it runs is good.

Invariants: only the set that the boot report names as running can be confirmed, whatever was staged since; a set this
node would refuse at its next start is refused now.

Out of scope: fetching the images and objects of a set.

    stage(envelope, Paths("/"), now=int(time.time()))
    confirm(Paths("/"))
"""

from __future__ import annotations

from powernode.agent.plan import store_in_use
from powernode.agent.report import read
from powernode.agent.sets import SetStore
from powernode.base.errors import OperatorError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.agent.paths import Paths
    from powernode.base.canonical import Json

__all__ = ["confirm", "stage"]


def confirm(paths: Paths) -> str | None:
    """The set that is the good one now; None where the base is running, which needs no confirmation."""
    root = _running(paths)
    set_id = root.get("set")
    if root.get("kind") == "base" or not isinstance(set_id, str):
        return None
    SetStore(store_in_use(paths).sets).confirm(set_id)
    return set_id


def stage(envelope: bytes, paths: Paths, *, now: int) -> str:
    from powernode.agent.config import read_optional
    from powernode.trust.bootset import verify_set
    from powernode.trust.keys import load_public_keys

    document = read(paths.boot_report) or {}
    keys = load_public_keys(read_optional(paths.fleet_root, 1 << 16) or b"")
    verify_set(envelope, keys, instance=_instance(document), now=now)
    return SetStore(store_in_use(paths).sets).stage(envelope)


def _running(paths: Paths) -> dict[str, Json]:
    document = read(paths.boot_report) or {}
    root = document.get("root")
    if document.get("outcome") != "booted" or not isinstance(root, dict):
        raise OperatorError(
            "agent.confirm.no-boot",
            "nothing is known about the set that is running",
            expected=f"the report of a boot by this agent, {paths.boot_report}",
            hint="only a root that powernode-agent has booted can be confirmed",
        )
    return root


def _instance(document: dict[str, Json]) -> str | None:
    """Who this node is, by its boot report."""
    value: Json = document
    for name in ("identity", "identity", "fields", "instance_uuid", "value"):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None
