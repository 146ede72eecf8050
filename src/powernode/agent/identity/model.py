# SPDX-License-Identifier: MIT
"""The values of the identity cascade: what a source said, who the machine is, and how each attempt went.

Plain classes, immutable by convention: this is on the start-up path of the initramfs. `as_dict` is for reports and
never contains a secret.

    identity.instance_uuid, identity.provenance["instance_uuid"].source     # ("6f1c…", "fw_cfg")
"""

from __future__ import annotations

from powernode.agent.identity.secret import REDACTED, Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOUND = "found"
ABSENT = "absent"
REFUSED = "refused"
TIMEOUT = "timeout"

SETTINGS = ("platform_url", "ca_pem", "ca_pem_url")
SECRETS = ("bootstrap_token", "acceptance_token")
FEDERATION = ("parent_url", "acceptance_token", "spawn_mode", "parent_peer_id", "contract_version")
KEYS = ("instance_uuid", "instance_name", "bootstrap_token", *SETTINGS, *FEDERATION)


class Entry:
    """One value as a source gave it, unchecked, and the place in the source where it stood."""

    __slots__ = ("place", "value")

    def __init__(self, value: str, place: str) -> None:
        self.value = value
        self.place = place


class Material:
    """Everything one source said. No entries: the source does not apply, and `remark` says why."""

    __slots__ = ("entries", "remark")

    def __init__(self, entries: Mapping[str, Entry], remark: str = "") -> None:
        self.entries = entries
        self.remark = remark


class Origin:
    """Where a field comes from: the source and the place in it."""

    __slots__ = ("place", "source")

    def __init__(self, source: str, place: str) -> None:
        self.source = source
        self.place = place

    def __str__(self) -> str:
        return f"{self.source}: {self.place}"

    def __repr__(self) -> str:
        return f"Origin({self.source!r}, {self.place!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin) and (self.source, self.place) == (other.source, other.place)

    def __hash__(self) -> int:
        return hash((self.source, self.place))


class Hardware:
    """What the machine says of itself; `places` has the file each field was read from, `refused` why one is missing."""

    __slots__ = ("dmi_uuid", "mac", "model", "places", "refused", "serial", "vendor")

    def __init__(
        self,
        *,
        vendor: str | None = None,
        model: str | None = None,
        serial: str | None = None,
        dmi_uuid: str | None = None,
        mac: str | None = None,
        places: Mapping[str, str] | None = None,
        refused: Sequence[str] = (),
    ) -> None:
        self.vendor = vendor
        self.model = model
        self.serial = serial
        self.dmi_uuid = dmi_uuid
        self.mac = mac
        self.places = dict(places or {})
        self.refused = tuple(refused)

    @property
    def identifies(self) -> bool:
        """A vendor and a model are shared by many machines; these three are not."""
        return bool(self.serial or self.dmi_uuid or self.mac)

    def as_dict(self) -> dict[str, object]:
        names = ("vendor", "model", "serial", "dmi_uuid", "mac")
        fields = {
            name: {"value": getattr(self, name), "source": "hardware", "place": self.places.get(name, "")}
            for name in names
            if getattr(self, name) is not None
        }
        return {"fields": fields, "refused": list(self.refused)}


class Identity:
    """Who this machine is. `provenance` has an Origin for every field that is set."""

    __slots__ = (
        "bootstrap_token",
        "ca_pem",
        "ca_pem_url",
        "federation",
        "hardware",
        "instance_name",
        "instance_uuid",
        "platform_url",
        "provenance",
        "source",
    )

    def __init__(
        self,
        *,
        source: str,
        hardware: Hardware,
        values: Mapping[str, str | Secret],
        provenance: Mapping[str, Origin],
    ) -> None:
        self.source = source
        self.hardware = hardware
        self.instance_uuid = _text(values, "instance_uuid")
        self.instance_name = _text(values, "instance_name")
        self.platform_url = _text(values, "platform_url")
        self.ca_pem = _text(values, "ca_pem")
        self.ca_pem_url = _text(values, "ca_pem_url")
        token = values.get("bootstrap_token")
        self.bootstrap_token = token if isinstance(token, Secret) else None
        self.federation = {name: values[name] for name in FEDERATION if name in values}
        self.provenance = dict(provenance)

    def value(self, name: str) -> str | Secret | None:
        """A field by its key name, whichever group it is in."""
        if name in FEDERATION:
            return self.federation.get(name)
        value: str | Secret | None = getattr(self, name)
        return value

    def as_dict(self) -> dict[str, object]:
        fields = {}
        for name, origin in self.provenance.items():
            value = self.value(name)
            shown = REDACTED if isinstance(value, Secret) else value
            fields[name] = {"value": shown, "source": origin.source, "place": origin.place}
        return {"source": self.source, "fields": fields}


def _text(values: Mapping[str, str | Secret], name: str) -> str | None:
    value = values.get(name)
    return value if isinstance(value, str) else None


class Attempt:
    """How one source answered; `code` is that of the refusal."""

    __slots__ = ("code", "outcome", "reason", "seconds", "source")

    def __init__(self, source: str, outcome: str, reason: str, seconds: float, code: str | None = None) -> None:
        self.source = source
        self.outcome = outcome
        self.reason = reason
        self.seconds = seconds
        self.code = code

    def __repr__(self) -> str:
        return f"Attempt({self.source!r}, {self.outcome!r}, {self.reason!r}, {self.seconds:.3f}, {self.code!r})"

    def as_dict(self) -> dict[str, object]:
        found: dict[str, object] = {"source": self.source, "outcome": self.outcome, "reason": self.reason}
        if self.code is not None:
            found["code"] = self.code
        found["seconds"] = round(self.seconds, 3)
        return found


class Resolution:
    """The answer of the cascade. `stopped_by` is the source whose refusal ended it, see docs/identity.md."""

    __slots__ = ("attempts", "hardware", "identity", "stopped_by")

    def __init__(
        self, *, identity: Identity | None, hardware: Hardware, attempts: Sequence[Attempt], stopped_by: str | None
    ) -> None:
        self.identity = identity
        self.hardware = hardware
        self.attempts = tuple(attempts)
        self.stopped_by = stopped_by

    def as_dict(self) -> dict[str, object]:
        return {
            "identity": self.identity.as_dict() if self.identity else None,
            "hardware": self.hardware.as_dict(),
            "attempts": [attempt.as_dict() for attempt in self.attempts],
            "stopped_by": self.stopped_by,
        }
