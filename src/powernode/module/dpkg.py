# SPDX-License-Identifier: MIT
"""Which Debian packages are installed in a root, which files each has, and under which licences.

Read from what dpkg keeps in the root itself: `/var/lib/dpkg/status`, `/var/lib/dpkg/info/*.list` and the packages'
copyright files. Nothing of it is executed and no dpkg is needed.

Invariants: a root with a package that is half installed is refused, and so is a package without its list of files;
packages come sorted by name and architecture. Paths are those in the tree: what a list calls `/lib/x` is `/usr/lib/x`
since the merge, and what another package diverted is where it was diverted to.

Files that belong to no package (made by maintainer scripts, `update-alternatives`, `rootfs/`) are in no list.

    database = collect(tree, read_file)       # the built root as a composefs tree
    packages = installed(database.status, database.lists, database.copyrights, database.diversions)
    packages[0].name, packages[0].source_version, packages[0].licence.expression
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from posixpath import normpath

from powernode.base.errors import DataError
from powernode.composefs.tree import Directory, Node, RegularFile, Symlink
from powernode.module import copyright
from powernode.module._deb822 import paragraphs
from powernode.module.copyright import Licence

__all__ = ["Database", "Installed", "collect", "installed"]

_CODE = "module.dpkg"
_MAX_STATUS_BYTES = 64 << 20
_MAX_FILE_BYTES = 32 << 20
_MAX_PATHS = 1_000_000
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]{0,127}")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+~:-]{0,255}")
_ARCHITECTURE = re.compile(r"[a-z0-9-]{1,32}")
_SOURCE = re.compile(r"(\S+)(?: \((\S+)\))?")
_COMPLETE = {"installed", "triggers-awaited", "triggers-pending"}
_ABSENT = {"not-installed", "config-files"}
_MERGED = (b"/bin/", b"/sbin/", b"/lib/", b"/lib32/", b"/lib64/", b"/libo32/", b"/libx32/")
_DPKG, _DOC = "var/lib/dpkg", "usr/share/doc"
_MAX_LINKS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """One binary package. `source` and `source_version` are what vulnerabilities are known by; they differ from name
    and version where one source makes several packages, or a package was built again without a change (`+b1`)."""

    name: str
    version: str
    architecture: str
    source: str
    source_version: str
    licence: Licence
    files: frozenset[bytes]
    """Paths from the root on, directories among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """What `installed` needs, by the names it wants: `libc6:amd64` for lists, `libc6` for copyright files."""

    status: bytes
    lists: Mapping[str, bytes]
    copyrights: Mapping[str, bytes]
    diversions: bytes


def installed(
    status: bytes, lists: Mapping[str, bytes], copyrights: Mapping[str, bytes], diversions: bytes = b""
) -> tuple[Installed, ...]:
    """The packages whose installation is complete.

    `lists` go by the name of the file without `.list`, `copyrights` by the name of the folder in /usr/share/doc.
    """
    moved = _diversions(diversions)
    found: dict[tuple[str, str], Installed] = {}
    for fields in paragraphs(status, what="dpkg's status file", max_bytes=_MAX_STATUS_BYTES):
        name = _field(fields, "package", _NAME, "a package")
        if _is_installed(fields, name):
            package = _package(fields, name, lists, copyrights, moved)
            if found.setdefault((name, package.architecture), package) is not package:
                raise DataError(f"{_CODE}.twice", f"{name} is there twice in dpkg's status file")
    return tuple(found[key] for key in sorted(found))


def collect(tree: Directory, read: Callable[[RegularFile], bytes]) -> Database | None:
    """dpkg's files in a root; None where no dpkg has been. Documentation that is a link is another package's."""
    status = _lookup(tree, f"{_DPKG}/status")
    if not isinstance(status, RegularFile):
        return None
    info, doc, diversions = (_lookup(tree, f"{_DPKG}/info"), _lookup(tree, _DOC), _lookup(tree, f"{_DPKG}/diversions"))
    lists = {
        name[:-5].decode("ascii", "replace"): _read(node, read, name)
        for name, node in (info.entries.items() if isinstance(info, Directory) else ())
        if name.endswith(b".list") and isinstance(node, RegularFile)
    }
    copyrights = {}
    for folder in doc.entries if isinstance(doc, Directory) else ():
        name = folder.decode("ascii", "replace")
        node = _lookup(tree, f"{_DOC}/{name}/copyright")
        if isinstance(node, RegularFile):
            copyrights[name] = _read(node, read, folder)
    return Database(
        status=_read(status, read, b"status"),
        lists=lists,
        copyrights=copyrights,
        diversions=_read(diversions, read, b"diversions") if isinstance(diversions, RegularFile) else b"",
    )


def _lookup(root: Directory, path: str) -> Node | None:
    """The node at a path; links lead where they would in a root of its own."""
    node: Node | None = root
    pending = path.encode().split(b"/")
    here: list[bytes] = []
    links = 0
    while pending and isinstance(node, Directory):
        name = pending.pop(0)
        entry = node.entries.get(name)
        if isinstance(entry, Symlink):
            links += 1
            if links > _MAX_LINKS:
                return None
            target = normpath(b"/" + b"/".join((*here, entry.target)) if entry.target[:1] != b"/" else entry.target)
            pending = [part for part in target.split(b"/") if part] + pending
            node, here = root, []
        else:
            node = entry
            here.append(name)
    return node


def _read(node: RegularFile, read: Callable[[RegularFile], bytes], name: bytes) -> bytes:
    if node.size > _MAX_STATUS_BYTES:
        raise DataError(
            f"{_CODE}.size", f"{name!r} of dpkg is too large", expected=f"at most {_MAX_STATUS_BYTES} bytes"
        )
    return read(node)


def _is_installed(fields: Mapping[str, str], name: str) -> bool:
    words = fields.get("status", "").split()
    state = words[2] if len(words) == 3 else ""
    if state not in _COMPLETE | _ABSENT:
        raise DataError(
            f"{_CODE}.state",
            f"{name} is not completely installed",
            expected="install ok installed",
            found=repr(fields.get("status", "")[:80]),
        )
    return state in _COMPLETE


def _package(
    fields: Mapping[str, str],
    name: str,
    lists: Mapping[str, bytes],
    copyrights: Mapping[str, bytes],
    moved: Mapping[bytes, tuple[bytes, bytes]],
) -> Installed:
    version = _field(fields, "version", _VERSION, name)
    architecture = _field(fields, "architecture", _ARCHITECTURE, name)
    source, source_version = _source(fields, name, version)
    # Packages that can be installed for several architectures at once have the architecture in the name of the list.
    listed = lists.get(f"{name}:{architecture}", lists.get(name))
    if listed is None:
        raise DataError(f"{_CODE}.list", f"{name} has no list of its files", expected=f"{_DPKG}/info/{name}.list")
    return Installed(
        name=name,
        version=version,
        architecture=architecture,
        source=source,
        source_version=source_version,
        licence=copyright.read(copyrights.get(name)),
        files=_paths(listed, name, moved),
    )


def _source(fields: Mapping[str, str], name: str, version: str) -> tuple[str, str]:
    match = _SOURCE.fullmatch(fields.get("source", name))
    if match is None or not _NAME.fullmatch(match[1]) or not _VERSION.fullmatch(match[2] or version):
        raise DataError(f"{_CODE}.value", f"the Source of {name}", found=repr(fields["source"][:100]))
    return match[1], match[2] or version


def _paths(listed: bytes, name: str, moved: Mapping[bytes, tuple[bytes, bytes]]) -> frozenset[bytes]:
    lines = listed.split(b"\n")
    if len(listed) > _MAX_FILE_BYTES or len(lines) > _MAX_PATHS:
        raise DataError(f"{_CODE}.size", f"the list of files of {name} is too long", expected=f"{_MAX_PATHS} paths")
    paths = set()
    for line in lines:
        if line in (b"", b"/."):
            continue
        if not line.startswith(b"/"):
            raise DataError(f"{_CODE}.path", f"a path of {name} does not begin at the root", found=repr(line[:100]))
        target, owner = moved.get(line, (line, b""))
        paths.add(_merged(line if owner == name.encode() else target))
    return frozenset(paths)


def _merged(path: bytes) -> bytes:
    return b"/usr" + path if path.startswith(_MERGED) else path


def _diversions(data: bytes) -> dict[bytes, tuple[bytes, bytes]]:
    """Where files of a path went, and whose they still are there; three lines each."""
    lines = data.split(b"\n")[:-1] if data.endswith(b"\n") else data.split(b"\n") if data else []
    if len(data) > _MAX_FILE_BYTES or len(lines) % 3:
        raise DataError(f"{_CODE}.diversions", "dpkg's list of diversions is incomplete", expected="three lines each")
    return {lines[at]: (lines[at + 1], lines[at + 2]) for at in range(0, len(lines), 3)}


def _field(fields: Mapping[str, str], name: str, pattern: re.Pattern[str], what: str) -> str:
    value = fields.get(name, "")
    if not pattern.fullmatch(value):
        raise DataError(
            f"{_CODE}.value",
            f"the {name} of {what}",
            expected=pattern.pattern,
            found=repr(value[:100]) if value else "nothing",
        )
    return value
