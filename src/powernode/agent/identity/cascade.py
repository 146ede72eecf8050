# SPDX-License-Identifier: MIT
"""Who is this machine? Asks the sources in order; the first that names an instance is the answer.

Invariants: an identity comes from one source and is never mixed, with one exception: a source that names a platform and
no instance (an image made for one platform) lends platform_url, ca_pem and ca_pem_url, all of them, to a later source
that has none of the three. Malformed input refuses its source and the next one is asked; a malformed or contradictory
trust anchor ends the cascade. No source waits longer than its budget. Every source asked leaves an Attempt.

Out of scope: claiming and enrolling. An identity without instance_uuid is one that must claim by its hardware.

    resolution = resolve(Surroundings(root="/", clock=time.monotonic, sleep=time.sleep))
    resolution.identity, resolution.attempts
"""

from __future__ import annotations

from powernode.agent.identity import boot_partition, cloud, cmdline, fw_cfg, local_file, smbios
from powernode.agent.identity.fields import AnchorError, check
from powernode.agent.identity.hardware import observe
from powernode.agent.identity.model import (
    ABSENT,
    FOUND,
    KEYS,
    REFUSED,
    SETTINGS,
    TIMEOUT,
    Attempt,
    Hardware,
    Identity,
    Material,
    Origin,
    Resolution,
)
from powernode.agent.identity.surroundings import Deadline, DeadlineError, Surroundings
from powernode.base.errors import DataError, OperatorError, PowernodeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from powernode.agent.identity.secret import Secret

    Values = dict[str, "str | Secret"]
    Origins = dict[str, Origin]


class Source:
    """A row of the table in docs/identity.md. `hardware` has no reader: it is what is left when nobody spoke."""

    __slots__ = ("budget_s", "name", "read", "where")

    def __init__(
        self, name: str, where: str, budget_s: float, read: Callable[[Surroundings, Deadline], Material] | None
    ) -> None:
        self.name = name
        self.where = where
        self.budget_s = budget_s
        self.read = read


SOURCES = (
    Source("cmdline", "`powernode.*` words in /proc/cmdline", 1, cmdline.read),
    Source("fw_cfg", "QEMU fw_cfg `opt/com.powernode/*`, `opt/io.systemd.credentials/powernode.*`", 1, fw_cfg.read),
    Source("smbios", "SMBIOS type 11 `io.systemd.credential:powernode.*` and `…credential.binary:…`", 1, smbios.read),
    Source("cloud", "user data of AWS, GCP, Azure, OpenStack and relatives", 5, cloud.read),
    Source("boot_partition", "identity.cfg on the FAT filesystem labelled BOOT", 5, boot_partition.read),
    Source("local_file", "/etc/powernode/local-id", 1, local_file.read),
    Source("hardware", "DMI or device-tree serial, DMI UUID, MAC address: to be claimed by", 1, None),
)
DEFAULT_ORDER = tuple(source.name for source in SOURCES)
_BY_NAME = {source.name: source for source in SOURCES}


def resolve(
    around: Surroundings,
    *,
    order: Sequence[str] = DEFAULT_ORDER,
    budget_s: Mapping[str, float] | None = None,
    allow_http: bool = False,
) -> Resolution:
    """Asks the sources named in `order`; budgets not given are those of the table."""
    check_order(order, budget_s or {})
    cascade = _Cascade(around, observe(around), allow_http)
    for name in order:
        source = _BY_NAME[name]
        before = around.clock()
        deadline = Deadline(around.clock, (budget_s or {}).get(name, source.budget_s))
        outcome, reason, code = cascade.ask(source, deadline)
        cascade.attempts.append(Attempt(name, outcome, reason, around.clock() - before, code))
        if cascade.identity or cascade.stopped_by:
            break
    return Resolution(
        identity=cascade.identity,
        hardware=cascade.hardware,
        attempts=cascade.attempts,
        stopped_by=cascade.stopped_by,
    )


def check_order(order: Sequence[str], budget_s: Mapping[str, float]) -> None:
    """Refuses a configuration that names what there is not; for whoever reads configurations, too."""
    for name in (*order, *budget_s):
        if name not in _BY_NAME:
            raise OperatorError(
                "identity.source", "no such source of identity", expected=", ".join(DEFAULT_ORDER), found=repr(name)
            )
    if len(set(order)) != len(order):
        raise OperatorError("identity.order", "a source of identity is in the order twice", found=", ".join(order))
    for name, seconds in budget_s.items():
        if not 0 <= seconds <= 3600:
            raise OperatorError(
                "identity.budget", f"{name} cannot have that time", expected="0 to 3600 seconds", found=f"{seconds}"
            )


class _Cascade:
    def __init__(self, around: Surroundings, hardware: Hardware, allow_http: bool) -> None:
        self._around = around
        self._allow_http = allow_http
        self._lent: tuple[Values, Origins] = ({}, {})
        self.hardware = hardware
        self.attempts: list[Attempt] = []
        self.identity: Identity | None = None
        self.stopped_by: str | None = None

    def ask(self, source: Source, deadline: Deadline) -> tuple[str, str, str | None]:
        """Outcome, reason and code of one source."""
        if source.read is None:
            return self._by_hardware(source.name)
        try:
            material = source.read(self._around, deadline)
            if not material.entries:
                return ABSENT, material.remark, None
            return self._judge(source.name, material)
        except DeadlineError:
            return TIMEOUT, "its time was used up", None
        except AnchorError as error:
            self.stopped_by = source.name
            return REFUSED, f"{error}; no other source is asked", error.code
        except PowernodeError as error:
            return REFUSED, str(error), error.code

    def _judge(self, name: str, material: Material) -> tuple[str, str, str | None]:
        values: Values = {}
        origins: Origins = {}
        for key in KEYS:
            if (entry := material.entries.get(key)) is not None:
                values[key] = check(key, entry, allow_http=self._allow_http)
                origins[key] = Origin(name, entry.place)
        note = f"; {material.remark}" if material.remark else ""
        joins = "parent_url" in values and "acceptance_token" in values
        if "instance_uuid" in values or joins:
            self._accept(name, values, origins)
            return FOUND, f"gives {', '.join(values)}{note}", None
        if "platform_url" in values and all(key in SETTINGS for key in values):
            if not self._lent[0]:
                self._lent = values, origins
            return ABSENT, f"names a platform and no instance: {', '.join(values)} kept for a later source{note}", None
        raise DataError(
            "identity.incomplete",
            f"{name} does not say which instance this is",
            expected="instance_uuid, or parent_url with acceptance_token, or platform_url alone",
            found=", ".join(values),
        )

    def _by_hardware(self, name: str) -> tuple[str, str, str | None]:
        refused = "; ".join(self.hardware.refused)
        if self.hardware.identifies:
            self._accept(name, {}, {})
            fields = [field for field in ("serial", "dmi_uuid", "mac") if getattr(self.hardware, field)]
            return FOUND, f"to be claimed by {', '.join(fields)}{'; ' if refused else ''}{refused}", None
        if refused:
            return REFUSED, refused, "identity.hardware"
        return ABSENT, "no serial, UUID or MAC address", None

    def _accept(self, name: str, values: Values, origins: Origins) -> None:
        if not any(key in values for key in SETTINGS):
            values, origins = {**values, **self._lent[0]}, {**origins, **self._lent[1]}
        self.identity = Identity(source=name, hardware=self.hardware, values=values, provenance=origins)
