# SPDX-License-Identifier: MIT
"""The values of a module manifest; `model` reads and writes them, and says what they are for.

Field names are the keys of the document, defaults are those of the format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.base.canonical import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    requires: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Init:
    """Commands as they were written; `command.parse_command` takes them apart."""

    start: str | None = None
    stop: str | None = None
    restart: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    endpoint: str
    method: str = "GET"
    interval_s: int = 30
    timeout_s: int = 5
    initial_delay_s: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDependency:
    service: str
    kind: str = "requires_health"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Has either `start_command` or `unit_body`."""

    name: str
    start_command: str | None = None
    stop_command: str | None = None
    unit_body: str | None = None
    restart_policy: str = "always"
    user: str | None = None
    working_directory: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    exposed_ports: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    health: Health | None = None
    dependencies: tuple[ServiceDependency, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Ids are the platform's to give."""

    name: str
    description: str = ""
    home: str = "/nonexistent"
    shell: str = "/usr/sbin/nologin"
    group: str | None = None
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sudoers:
    grant_id: str
    service_user: str
    commands: tuple[str, ...]
    runas_user: str = "root"
    runas_group: str | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """No capabilities and no egress unless they are named."""

    capabilities: tuple[str, ...] = ()
    selinux_profile: str | None = None
    apparmor_profile: str | None = None
    seccomp_profile: str | None = None
    egress_allow: tuple[str, ...] = ()
    privileged: bool = False
    user_namespace: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOption:
    name: str
    packages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    ubuntu_digest: str | None = None
    apt_snapshot: str | None = None
    suite: str = "trixie"
    remove: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    options: tuple[BuildOption, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleManifest:
    """`file_spec` None: left out, so everything of the packages and of rootfs/ ships."""

    schema_version: int
    name: str
    display_name: str = ""
    description: str = ""
    license: str | None = None
    package_spec: tuple[str, ...] = ()
    file_spec: tuple[str, ...] | None = None
    mask: tuple[str, ...] = ()
    protected_spec: tuple[str, ...] = ()
    dependency_spec: tuple[str, ...] = ()
    carve_waivers: tuple[str, ...] = ()
    dependencies: Dependencies = field(default_factory=Dependencies)
    init: Init = field(default_factory=Init)
    services: tuple[Service, ...] = ()
    users: tuple[User, ...] = ()
    groups: tuple[Group, ...] = ()
    sudoers: tuple[Sudoers, ...] = ()
    security: Security = field(default_factory=Security)
    reboot_required: bool = False
    skills: tuple[Json, ...] = ()
    build: Build = field(default_factory=Build)
