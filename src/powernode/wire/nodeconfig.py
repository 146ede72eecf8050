# SPDX-License-Identifier: MIT
"""The builder's configuration of a node, /etc/powernode/config.json in the initramfs.

Invariants: every key has a default and the defaults are the strict ones; a key, type or value without meaning is a
refusal, never a default; what is mounted from outside can never cover the verified root's programs.

Out of scope: what the settings do (their modules), what comes from the kernel command line.

    config = parse(b'{"version":1,"recovery":{"seconds":10}}')
    config.recovery.seconds, config.floor       # 10, "kernel-verity"
"""

from __future__ import annotations

from powernode.base.canonical import decode
from powernode.base.fields import Fields
from powernode.base.values import Value

__all__ = ["FLOORS", "POLICIES", "SOURCES", "Bind", "Config", "PersistConfig", "RecoveryConfig", "parse"]

SOURCES = ("cmdline", "fw_cfg", "smbios", "cloud", "boot_partition", "local_file", "hardware")
FLOORS = ("none", "userspace", "kernel-verity")
"""Enforcement levels, weakest first."""
POLICIES = ("ro", "ephemeral", "persistent")
_MAX_BYTES = 1 << 16
_BIND_PLACES = ("/run/", "/mnt/", "/media/", "/srv/", "/var/")
_SECONDS_MAX = 24 * 3600


class PersistConfig(Value):
    __slots__ = ("check", "grow", "label", "tmpfs_fallback", "wait_s")

    def __init__(
        self,
        *,
        label: str = "persist",
        wait_s: int = 15,
        tmpfs_fallback: bool = False,
        grow: bool = True,
        check: bool = True,
    ) -> None:
        self.label = label
        self.wait_s = wait_s
        self.tmpfs_fallback = tmpfs_fallback
        self.grow = grow
        self.check = check


class RecoveryConfig(Value):
    __slots__ = ("seconds", "shell")

    def __init__(self, *, seconds: int = 60, shell: bool = False) -> None:
        self.seconds = seconds
        self.shell = shell


class Bind(Value):
    """A directory of the host's, by 9p or virtiofs."""

    __slots__ = ("options", "tag", "target", "type")

    def __init__(self, *, type: str, tag: str, target: str, options: str = "") -> None:
        self.type = type
        self.tag = tag
        self.target = target
        self.options = options


class Config(Value):
    __slots__ = (
        "arch",
        "binds",
        "board",
        "floor",
        "full_preflight",
        "identity_budget_s",
        "identity_order",
        "max_attempts",
        "modules",
        "persist",
        "policy",
        "recovery",
    )

    def __init__(
        self,
        *,
        arch: str = "",
        board: str = "",
        persist: PersistConfig | None = None,
        identity_order: tuple[str, ...] = SOURCES,
        identity_budget_s: tuple[tuple[str, int], ...] = (("cloud", 5),),
        max_attempts: int = 3,
        floor: str = "kernel-verity",
        full_preflight: bool = False,
        policy: str | None = None,
        recovery: RecoveryConfig | None = None,
        binds: tuple[Bind, ...] = (),
        modules: tuple[str, ...] = (),
    ) -> None:
        self.arch = arch
        self.board = board
        self.persist = persist or PersistConfig()
        self.identity_order = identity_order
        self.identity_budget_s = identity_budget_s
        self.max_attempts = max_attempts
        self.floor = floor
        self.full_preflight = full_preflight
        self.policy = policy
        """Overrides the policy of every set."""
        self.recovery = recovery or RecoveryConfig()
        self.binds = binds
        self.modules = modules


def parse(data: bytes) -> Config:
    document = decode(data, what="the node's configuration", max_bytes=_MAX_BYTES)
    with Fields(document, code="agent.config", what="the node's configuration") as fields:
        fields.integer("version", least=1, most=1)
        order, budget_s = _identity(fields)
        return Config(
            arch=fields.text("arch", ""),
            board=fields.text("board", ""),
            persist=_persist(fields),
            identity_order=order,
            identity_budget_s=budget_s,
            max_attempts=_choice(fields),
            floor=_enforcement(fields),
            full_preflight=_one_of(fields, "preflight", ("stamped", "full"), "stamped") == "full",
            policy=_root(fields),
            recovery=_recovery(fields),
            binds=tuple(_binds(fields)),
            modules=tuple(fields.texts("modules", [], most=1024, longest=64)),
        )


def _persist(outer: Fields) -> PersistConfig:
    if not outer.has("persist"):
        return PersistConfig()
    with outer.fields("persist") as fields:
        return PersistConfig(
            label=fields.text("label", "persist", longest=16),
            wait_s=fields.integer("wait_s", 15, least=0, most=_SECONDS_MAX),
            tmpfs_fallback=_flag(fields, "tmpfs_fallback", False),
            grow=_flag(fields, "grow", True),
            check=_flag(fields, "check", True),
        )


def _identity(outer: Fields) -> tuple[tuple[str, ...], tuple[tuple[str, int], ...]]:
    default = Config()
    if not outer.has("identity"):
        return default.identity_order, default.identity_budget_s
    with outer.fields("identity") as fields:
        order = tuple(fields.texts("order", list(SOURCES), most=len(SOURCES)))
        for name in order:
            if name not in SOURCES or order.count(name) > 1:
                raise fields.refusal(
                    "value", "order of the identity sources", expected=f"each of {', '.join(SOURCES)} once", found=name
                )
        budget_s = default.identity_budget_s
        if fields.has("budget_s"):
            with fields.fields("budget_s") as seconds:
                budget_s = tuple(
                    (name, seconds.integer(name, least=1, most=600)) for name in SOURCES if seconds.has(name)
                )
        return order, budget_s


def _choice(outer: Fields) -> int:
    if not outer.has("choice"):
        return 3
    with outer.fields("choice") as fields:
        return fields.integer("max_attempts", 3, least=1, most=100)


def _enforcement(outer: Fields) -> str:
    if not outer.has("enforcement"):
        return FLOORS[-1]
    with outer.fields("enforcement") as fields:
        return _one_of(fields, "floor", FLOORS, FLOORS[-1])


def _root(outer: Fields) -> str | None:
    if not outer.has("root"):
        return None
    with outer.fields("root") as fields:
        if fields.null("policy") or not fields.has("policy"):
            return None
        return _one_of(fields, "policy", POLICIES, POLICIES[0])


def _recovery(outer: Fields) -> RecoveryConfig:
    if not outer.has("recovery"):
        return RecoveryConfig()
    with outer.fields("recovery") as fields:
        seconds = fields.integer("seconds", 60, least=0, most=_SECONDS_MAX)
        return RecoveryConfig(seconds=seconds, shell=_flag(fields, "shell", False))


def _binds(outer: Fields) -> list[Bind]:
    if not outer.has("binds"):
        return []
    found = []
    for fields in outer.each("binds", most=64):
        bind = Bind(
            type=_one_of(fields, "type", ("9p", "virtiofs"), None),
            tag=fields.text("tag", longest=31),
            target=fields.text("target", longest=255),
            options=fields.text("options", "", longest=255),
        )
        parts = bind.target.split("/")
        if not bind.target.startswith(_BIND_PLACES) or not all(parts[1:]) or {".", ".."} & set(parts):
            raise fields.refusal(
                "bind-target",
                "a directory of the host's may not be mounted here",
                expected=f"a plain path below {', '.join(_BIND_PLACES)}",
                found=repr(bind.target),
            )
        found.append(bind)
    return found


def _flag(fields: Fields, name: str, default: bool) -> bool:
    return fields.flag(name) if fields.has(name) else default


def _one_of(fields: Fields, name: str, choices: tuple[str, ...], default: str | None) -> str:
    value = fields.text(name, default)
    if value not in choices:
        raise fields.refusal("value", f"{name} of {fields.what}", expected=" or ".join(choices), found=repr(value))
    return value
