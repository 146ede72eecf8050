# SPDX-License-Identifier: MIT
"""Everything the agent knows about this node, each with where it comes from.

Invariants: reads only; a part that cannot be read is told as its refusal and hides nothing else; no secret is in the
result.

    document = introspect(Paths("/"), surroundings)
    document["identity"]["identity"]["fields"]["instance_uuid"]     # {"value": …, "source": "fw_cfg", "place": …}
"""

from __future__ import annotations

import os

from powernode.agent.config import Config, read_optional
from powernode.agent.config import read as read_config
from powernode.agent.plan import store_in_use
from powernode.agent.report import read as read_report
from powernode.agent.report import redacted
from powernode.agent.sets import GOOD, PENDING, SetStore
from powernode.agent.situation import KNOWN_KEYS, in_integers
from powernode.base.errors import PowernodeError
from powernode.linux import blockdev
from powernode.linux.cmdline import parse as parse_cmdline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from powernode.agent.identity.surroundings import Surroundings
    from powernode.agent.paths import Paths
    from powernode.base.canonical import Json

__all__ = ["introspect"]


def introspect(paths: Paths, surroundings: Surroundings, *, version: str, library: str) -> dict[str, Json]:
    """`library` says how the C library is in use."""
    config = Config()

    def settings() -> Json:
        nonlocal config
        found = read_config(paths.config)
        config = found or config
        return {"source": "defaults" if found is None else paths.config, **_settings(config)}

    document: dict[str, Json] = {"agent": {"version": version, "library": library}}
    document["config"] = _or_refusal(settings)
    document["cmdline"] = _or_refusal(lambda: _cmdline(paths))
    document["identity"] = _or_refusal(lambda: _identity(surroundings, config))
    document["kernel"] = _or_refusal(lambda: _kernel(paths))
    document["disks"] = _or_refusal(lambda: _disks(paths))
    document["sets"] = _or_refusal(lambda: _sets(paths))
    document["boot"] = _or_refusal(lambda: read_report(paths.boot_report))
    clean = redacted(document)
    assert isinstance(clean, dict)
    return clean


def _or_refusal(part: Callable[[], Json]) -> Json:
    try:
        return part()
    except PowernodeError as error:
        return {"error": dict(error.as_dict())}
    except OSError as error:
        return {"error": {"code": "introspect.unreadable", "message": str(error)}}


def _settings(config: Config) -> dict[str, Json]:
    return {
        "arch": config.arch,
        "board": config.board,
        "floor": config.floor,
        "preflight": "full" if config.full_preflight else "stamped",
        "max_attempts": config.max_attempts,
        "policy": config.policy,
        "persist_label": config.persist.label,
        "tmpfs_fallback": config.persist.tmpfs_fallback,
        "recovery_seconds": config.recovery.seconds,
        "recovery_shell": config.recovery.shell,
        "identity_order": list(config.identity_order),
    }


def _cmdline(paths: Paths) -> Json:
    data = read_optional(paths.cmdline, 1 << 16) or b""
    line = parse_cmdline(data.decode("utf-8", "surrogateescape"))
    keys = line.keys("powernode.")
    return {
        "known": {key: line.get(key) for key in keys if key in KNOWN_KEYS},
        "unknown": [key for key in keys if key not in KNOWN_KEYS],
    }


def _identity(surroundings: Surroundings, config: Config) -> Json:
    from powernode.agent.identity.cascade import resolve

    resolution = resolve(surroundings, order=config.identity_order, budget_s=dict(config.identity_budget_s))
    return in_integers(resolution.as_dict())


def _kernel(paths: Paths) -> Json:
    """What enforcement needs, as the kernel tells it."""
    filesystems = (read_optional(paths.at("/proc/filesystems"), 1 << 16) or b"").decode().split()
    release = (read_optional(paths.at("/proc/sys/kernel/osrelease"), 256) or b"").decode().strip()
    return {
        "release": release,
        "erofs": "erofs" in filesystems,
        "overlay": "overlay" in filesystems,
        "fs_verity": os.path.isdir(paths.at("/proc/sys/fs/verity"))
        or os.path.exists(f"{paths.sys}/fs/ext4/features/verity"),
    }


def _disks(paths: Paths) -> Json:
    found: list[Json] = []
    for device in blockdev.devices(sys=paths.sys, dev=paths.dev):
        filesystem = blockdev.probe(device.path)
        disk: dict[str, Json] = {"device": device.path, "size_bytes": device.size_bytes}
        if filesystem is not None:
            disk.update(
                filesystem=filesystem.kind,
                label=filesystem.label,
                uuid=filesystem.uuid,
                features=[*sorted(filesystem.features)],
            )
        found.append(disk)
    return found


def _sets(paths: Paths) -> Json:
    store = store_in_use(paths)
    sets = SetStore(store.sets)
    good, pending = sets.pointer(GOOD), sets.pointer(PENDING)
    return {
        "source": store.sets,
        "good": good,
        "pending": pending,
        "attempts": 0 if pending is None else sets.attempts(pending),
        "has_base": os.path.exists(paths.base_set),
    }
