# SPDX-License-Identifier: MIT
"""The rules of the manifest that are more than a pattern: of single texts, and between members.

A rule of a text raises a DataError with a code of its own. A rule between members reports; it is asked only about
values whose own shapes are right.

Out of scope: what depends on files, packages or other modules (`module.validate`).
"""

from __future__ import annotations

import re

from powernode.base.errors import DataError
from powernode.manifest.dependencies import Requirement
from powernode.manifest.globs import parse_glob
from powernode.manifest.problem import Problem, path_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from powernode.base.canonical import Json
    from powernode.manifest.problem import Path

HOME_ROOTS = (
    *("/home/", "/var/lib/", "/run/", "/var/run/", "/nonexistent", "/usr/sbin", "/bin", "/dev"),
    *("/root", "/run/sshd"),
)
"""Where a user's home may be; those without a slash at the end are meant exactly."""

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]*[a-z0-9+]")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_SUDOERS_SPECIAL = re.compile(r"[,:=\\*?\[\]!\"'#(){}^$]")


def package_name(text: str) -> None:
    if not _PACKAGE.fullmatch(text):
        hint = None
        if "=" in text:
            hint = "versions are pinned by packages.lock, which `powernode module lock` renews"
        elif ":" in text:
            hint = "a module is built for each architecture; leave the architecture out"
        elif "/" in text:
            hint = "the release is build.suite"
        elif text != text.lower():
            hint = f"Debian's packages are written in small letters: {text.lower()[:100]}"
        raise DataError(
            "manifest.package",
            "this is no Debian package's name",
            expected="small letters, digits, + - and .; a letter or digit first, no - or . last",
            found=repr(text[:100]),
            hint=hint,
        )


def owned_glob(text: str) -> None:
    """A glob of file_spec: never below /home."""
    glob = parse_glob(text)
    first = text[1:].partition("/")[0]
    below = "/" in text[1:]
    # A first name with stars in it is for the build to judge, which knows what there is.
    if below and first != "**" and "*" not in first and _is_home(first):
        raise DataError(
            "manifest.home",
            "a module ships nothing below /home: homes are the users' and live on the machine",
            found=repr(glob.text),
            hint="ship it below /etc/skel, or declare the user in `users`",
        )


def _is_home(name: str) -> bool:
    from powernode.manifest.globs import compile_globs

    return compile_globs([f"/{name}"]).matches(b"/home", is_directory=True)


def absolute_path(text: str) -> None:
    if not text.startswith("/") or any(part in ("", ".", "..") for part in text[1:].split("/")):
        raise DataError(
            "manifest.path",
            "this is no absolute path",
            expected="/ and names, without . .. or //",
            found=repr(text[:100]),
        )


def home(text: str) -> None:
    absolute_path(text)
    if not any(text == root or (root.endswith("/") and text.startswith(root)) for root in HOME_ROOTS):
        raise DataError(
            "manifest.user-home", "a home cannot be there", expected=", ".join(HOME_ROOTS), found=repr(text[:100])
        )


def egress(text: str) -> None:
    host, port = text, None
    if "/" in text:
        hint = "leave out the scheme and path" if "://" in text else "networks are not known; list the hosts"
        raise _no_egress(text, hint)
    if text.startswith("["):
        host, closed, after = text[1:].partition("]")
        if not closed or (after and not after.startswith(":")):
            raise _no_egress(text)
        port = after[1:] if after else None
        _check_ipv6(host, text)
    else:
        if text.count(":") > 1:
            raise _no_egress(text, "put an IPv6 address into brackets: [2001:db8::1]:443")
        if ":" in text:
            host, _, port = text.partition(":")
        if not _HOST.fullmatch(host) or len(host) > 253:
            raise _no_egress(text, "wildcards are not known; list the hosts" if "*" in host else None)
    if port is not None and not (_PORT.fullmatch(port) and int(port) < 1 << 16):
        raise _no_egress(text)


def _check_ipv6(host: str, text: str) -> None:
    import ipaddress

    if "%" in host:  # a zone: anything may follow, and only the machine would know what it means
        raise _no_egress(text)
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        raise _no_egress(text) from None


def _no_egress(text: str, hint: str | None = None) -> DataError:
    return DataError(
        "manifest.egress",
        "this is no host",
        expected="host or host:port, port 1 to 65535",
        found=repr(text[:100]),
        hint=hint,
    )


def port(text: str) -> None:
    number, _, protocol = text.partition("/")
    if not (_PORT.fullmatch(number) and int(number) < 1 << 16 and protocol in ("tcp", "udp")):
        raise DataError(
            "manifest.port",
            "this is no port",
            expected='PORT/tcp or PORT/udp, such as "6379/tcp"',
            found=repr(text[:100]),
        )


def sudo_command(text: str) -> None:
    """One command of a sudoers grant: an absolute path and plain arguments."""
    program, *arguments = text.split(" ")
    if program == "ALL":
        raise DataError("manifest.sudo-all", "ALL would be every command there is", hint="name the commands")
    if not program.startswith("/"):
        raise DataError("manifest.sudo-command", "a command of a grant is an absolute path", found=repr(text[:100]))
    absolute_path(program)
    special = _SUDOERS_SPECIAL.search(text)
    if special is not None or "" in arguments:
        found = special[0] if special else "an empty argument"
        hint = "patterns of sudoers match more than they seem to; name each command" if found in "*?[]^$" else None
        raise DataError("manifest.sudo-command", "this means something to sudoers", found=found, hint=hint)


class Sound:
    """Looks values up that nothing is wrong with so far."""

    def __init__(self, value: Mapping[str, Json], problems: Iterable[Problem]) -> None:
        self._value = value
        self._wrong = {problem.path for problem in problems if not problem.at_key}
        self._holds_wrong = {path[:length] for path in self._wrong for length in range(len(path))}

    def at(self, *path: str | int) -> Any:
        """The value there, or None if there is none or something is wrong with it."""
        return self._get(path) if path not in self._holds_wrong else None

    def is_unsound(self, *path: str | int) -> bool:
        """Is it there, and something wrong with it?"""
        return path in self._wrong or path in self._holds_wrong

    def entries(self, *path: str | int) -> list[tuple[int, Any]]:
        """The sound entries of a list, with their numbers."""
        found = self._get(path)
        numbers = range(len(found)) if isinstance(found, list) else ()
        return [(number, entry) for number in numbers if (entry := self.at(*path, number)) is not None]

    def _get(self, path: Path) -> Any:
        found: Any = self._value
        for length, part in enumerate(path, 1):
            if path[:length] in self._wrong:
                return None
            try:
                found = found[part]
            except (KeyError, IndexError, TypeError):
                return None
        return found


def between(sound: Sound) -> Iterator[Problem]:
    """What is wrong between members."""
    yield from _services(sound)
    yield from _capabilities(sound)
    yield from _sudoers(sound)
    name = sound.at("name")
    for number, text in sound.entries("dependencies", "requires"):
        requirement = Requirement.parse(text)
        if requirement.name == name and not requirement.is_capability:
            yield Problem(
                path=("dependencies", "requires", number),
                code="dependency.self",
                message=f"{name} requires a module of its own name",
            )


def _services(sound: Sound) -> Iterator[Problem]:
    services = sound.entries("services")
    every = not sound.is_unsound("services")  # else a name may be that of an entry with a problem
    names = {service["name"] for _, service in services}
    after: dict[str, list[str]] = {}
    for number, service in services:
        path = ("services", number)
        ways = [way for way in ("start_command", "unit_body") if way in service]
        if len(ways) != 1:
            what = "both start_command and" if ways else "neither start_command nor"
            message = f"{path_text(path)} has {what} unit_body"
            yield Problem(path=path, code="manifest.service-start", message=message, expected="one of them")
        health = service.get("health")
        if health is not None and (health.get("method") == "TCP") == ("://" in health["endpoint"]):
            yield Problem(
                path=(*path, "health", "endpoint"),
                code="manifest.health",
                message=f"the endpoint of {service['name']} does not go with the way it is asked",
                expected="host:port with method: TCP, http://… or https://… with the others",
                found=health["endpoint"],
            )
        for place, edge in enumerate(service.get("dependencies", [])):
            if edge["service"] not in names and every:
                yield Problem(
                    path=(*path, "dependencies", place, "service"),
                    code="manifest.service-unknown",
                    message=f"{service['name']} depends on a service that this module does not have",
                    expected=", ".join(sorted(names)),
                    found=edge["service"],
                )
            after.setdefault(service["name"], []).append(edge["service"])
    cycle = _cycle(after)
    if cycle and every:
        yield Problem(
            path=("services",),
            code="manifest.service-cycle",
            message="services wait for each other in a circle",
            found=" -> ".join(cycle),
        )


def _capabilities(sound: Sound) -> Iterator[Problem]:
    """What an operator reads in `security` is all that a service can have."""
    if sound.is_unsound("security") or sound.at("security", "privileged"):
        return
    named = sound.at("security", "capabilities") or []
    for number, service in sound.entries("services"):
        for place, capability in enumerate(service.get("capabilities", [])):
            if capability not in named:
                yield Problem(
                    path=("services", number, "capabilities", place),
                    code="manifest.service-capability",
                    message=f"{service['name']} has a capability that security.capabilities does not name",
                    expected=", ".join(named) or "none",
                    found=capability,
                    hint="add it to security.capabilities",
                )


def _cycle(after: Mapping[str, list[str]]) -> list[str]:
    """Names that nobody can start before: take away who waits for nobody until nothing changes."""
    waiting = {name: set(others) for name, others in after.items()}
    while free := [name for name, others in waiting.items() if not others & waiting.keys()]:
        for name in free:
            del waiting[name]
    if not waiting:
        return []
    trail = [min(waiting)]
    while trail[-1] not in trail[:-1]:
        trail.append(min(waiting[trail[-1]] & waiting.keys()))
    return trail[trail.index(trail[-1]) :]


def _sudoers(sound: Sound) -> Iterator[Problem]:
    users = [user["name"] for _, user in sound.entries("users")]
    if sound.is_unsound("users"):
        return  # the name may be that of an entry with a problem
    for number, grant in sound.entries("sudoers"):
        if grant["service_user"] not in users:
            yield Problem(
                path=("sudoers", number, "service_user"),
                code="manifest.sudo-user",
                message="a grant is for a user whom this module declares",
                expected=", ".join(users) or "an entry of users",
                found=grant["service_user"],
            )
