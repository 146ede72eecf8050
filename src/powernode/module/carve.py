# SPDX-License-Identifier: MIT
"""What of a built tree is the module: the paths that `file_spec` includes, minus `mask`; and what that leaves behind.

Invariants: pure. Ownership is decided by the merge itself, run on this module alone, so the build and the node cannot
disagree: carving what was carved changes nothing. Every path of an added package that does not ship, and that neither
`mask` nor a waiver names, is in the report. A module that would ship nothing is refused, and one that would ship what
is a user's (below /home) or what a running system makes for itself (below /run, /tmp and so on).

`file_spec` left out stands for the files of the packages that the module adds to the base system, and for `rootfs/`.
Directories that the base system has, too, come along as parents only, so their modes and owners stay the base's. What
it stands for is then written out: short globs that include exactly what ships (`Carved.file_spec`).

Out of scope: making the tree (`tree`, `bootstrap`), which packages are the base's (`lock`), the contents of files.

    carved = carve(tree, Wanted(file_spec=("/etc/redis/**",), mask=(), waivers=()), Owners(added={…}, base=…, rootfs=…))
    carved.tree, carved.report.describe({"redis-server"})
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from powernode.base.errors import DataError, OperatorError
from powernode.composefs.matching import PathMatcher
from powernode.composefs.merge import MergeInput, MergeResult, merge
from powernode.composefs.report import Rule
from powernode.composefs.tree import Directory, RegularFile, walk
from powernode.manifest.globs import compile_globs
from powernode.module.directory import MAX_GLOBS
from powernode.module.tree import RUNTIME

__all__ = ["CarveReport", "Carved", "Owners", "Wanted", "carve"]

_CODE = "module.carve"
_SPECIAL = re.compile(r"([*?\[\\])")
_SHOWN_PATHS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The manifest's globs. `waivers` name paths of packages that are left behind on purpose."""

    file_spec: tuple[str, ...] | None
    mask: tuple[str, ...] = ()
    waivers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners:
    """Whose the paths of the tree are: of each package that the module adds, of the base system's, of `rootfs/`."""

    added: Mapping[str, AbstractSet[bytes]]
    base: AbstractSet[bytes]
    rootfs: AbstractSet[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class CarveReport:
    """`unshipped`: by package; `idle_globs` and `idle_masks`: those that match nothing, or take nothing away."""

    files: int
    entries: int
    size_bytes: int
    unshipped: Mapping[str, tuple[bytes, ...]]
    masked: tuple[bytes, ...]
    rootfs_unshipped: tuple[bytes, ...]
    idle_globs: tuple[str, ...]
    idle_masks: tuple[str, ...]

    def describe(self, asked: AbstractSet[str]) -> str:
        """For people: what ships, then a line for each thing worth a look, such as a package that was `asked` for and
        does not ship whole; those that only came with it are counted."""
        lines = [f"{self.files:,} files in {self.entries:,} entries ship, {self.size_bytes / 1e6:,.1f} MB"]
        others = [paths for package, paths in self.unshipped.items() if package not in asked]
        for package, paths in self.unshipped.items():
            if package in asked:
                lines.append(f"{_count(len(paths), 'path')} of {package} do not ship: {_few(paths)}")
        if others:
            paths_count = _count(sum(map(len, others)), "path")
            lines.append(
                f"{paths_count} of {_count(len(others), 'package')} that package_spec does not name do not ship"
            )
        if self.rootfs_unshipped:
            lines.append(f"file_spec does not include all of rootfs/: {_few(self.rootfs_unshipped)}")
        lines += [f"file_spec {glob} matches nothing" for glob in self.idle_globs]
        lines += [f"mask {glob} takes nothing away" for glob in self.idle_masks]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "files": self.files,
            "entries": self.entries,
            "size_bytes": self.size_bytes,
            "unshipped": {package: _texts(paths) for package, paths in self.unshipped.items()},
            "masked": _texts(self.masked),
            "rootfs_unshipped": _texts(self.rootfs_unshipped),
            "idle_globs": list(self.idle_globs),
            "idle_masks": list(self.idle_masks),
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Carved:
    """The module's tree; `file_spec` includes exactly what is in it."""

    tree: Directory
    file_spec: tuple[str, ...]
    report: CarveReport


def carve(tree: Directory, wanted: Wanted, owners: Owners) -> Carved:
    """The module's part of the tree."""
    own = _own_paths(tree, owners)
    globs = wanted.file_spec if wanted.file_spec is not None else tuple(_literal(path) for path in sorted(own))
    file_spec, mask = compile_globs(globs), compile_globs(wanted.mask)
    result = _merged(tree, file_spec, mask)
    if not result.tree.entries:
        raise _empty(wanted, owners)
    _refuse_places(result.givers)
    return Carved(
        tree=result.tree,
        file_spec=wanted.file_spec if wanted.file_spec is not None else _written_out(result.tree, own),
        report=_report(tree, result, wanted, owners, _merged(tree, file_spec, None).tree if wanted.mask else None),
    )


def _own_paths(tree: Directory, owners: Owners) -> frozenset[bytes]:
    """What the module adds: also a file of the base system that rootfs/ replaces, but no directory that it has."""
    directories = {path for path, node in walk(tree) if isinstance(node, Directory)}
    added = frozenset[bytes]().union(*owners.added.values())
    return (added | owners.rootfs) - owners.base - {b"/"} | owners.rootfs - directories


def _merged(tree: Directory, file_spec: PathMatcher, mask: PathMatcher | None) -> MergeResult:
    return merge([MergeInput(name="module", effective_priority=0, tree=tree, file_spec=file_spec, mask=mask)])


def _empty(wanted: Wanted, owners: Owners) -> OperatorError:
    if wanted.file_spec is None:
        expected = "a package that the base system does not have, or files below rootfs/"
        found = "mask leaves nothing of them" if owners.added or owners.rootfs else "neither"
    else:
        expected = "a file_spec that includes something of the tree"
        found = ", ".join(wanted.file_spec[:_SHOWN_PATHS]) or "an empty list"
    return OperatorError(
        f"{_CODE}.empty",
        "the module would ship nothing",
        expected=expected,
        found=found,
        hint="leave file_spec out to ship the packages of package_spec and rootfs/",
    )


def _refuse_places(paths: Iterable[bytes]) -> None:
    listed = sorted(paths)
    if homes := [path for path in listed if path.startswith(b"/home/")]:
        raise OperatorError(
            "manifest.home",
            "a module ships nothing below /home: homes are the users' and live on the machine",
            found=_few(homes),
            hint="ship it below /etc/skel, or leave it out with mask",
        )
    if made := [path for path in listed if RUNTIME.matches(path)]:
        raise OperatorError(
            f"{_CODE}.runtime",
            "a module ships nothing below /dev, /proc, /run, /sys and /tmp: a running system makes that for itself",
            found=_few(made),
            hint="folders are made by tmpfiles.d (ship a file in /usr/lib/tmpfiles.d); or leave it out with mask",
        )


def _report(
    tree: Directory, result: MergeResult, wanted: Wanted, owners: Owners, unmasked: Directory | None
) -> CarveReport:
    shipped = result.givers
    left = {loss.path: loss.rule for loss in result.lost}
    leaves = {
        path: isinstance(node, Directory)
        for path, node in walk(tree)
        if not (isinstance(node, Directory) and node.entries)
    }
    waivers = compile_globs(wanted.waivers)

    def behind(paths: Iterable[bytes]) -> tuple[bytes, ...]:
        lost = {path for path in paths if left.get(path) is Rule.NOT_INCLUDED} & leaves.keys()
        return tuple(sorted(path for path in lost if not waivers.matches(path, is_directory=leaves[path])))

    unshipped = {package: behind(paths - owners.base) for package, paths in sorted(owners.added.items())}
    claimed = frozenset[bytes]().union(owners.rootfs, *owners.added.values())
    files = [node for _, node in walk(result.tree) if isinstance(node, RegularFile)]
    return CarveReport(
        files=len(files),
        entries=len(shipped),
        size_bytes=sum(node.size for node in files),
        unshipped={package: paths for package, paths in unshipped.items() if paths},
        masked=tuple(sorted(path for path in claimed & leaves.keys() if left.get(path) is Rule.MASK)),
        rootfs_unshipped=behind(owners.rootfs),
        idle_globs=tuple(_idle(wanted.file_spec or (), tree)),
        idle_masks=tuple(_idle(wanted.mask, unmasked)) if unmasked is not None else (),
    )


def _idle(globs: Sequence[str], tree: Directory) -> Iterator[str]:
    """Those that match no path of the tree."""
    for glob in globs:
        pending = [(tree, compile_globs([glob]).start())]
        while pending:
            directory, state = pending.pop()
            if state is None:
                continue
            if state.everything and directory.entries:
                break
            steps = [(node, *state.step(name, isinstance(node, Directory))) for name, node in directory.entries.items()]
            if any(matched for _, matched, _ in steps):
                break
            pending += [(node, below) for node, _, below in steps if isinstance(node, Directory)]
        else:
            yield glob


def _written_out(tree: Directory, own: AbstractSet[bytes]) -> tuple[str, ...]:
    globs = tuple(_globs_for(tree, own))
    if len(globs) > MAX_GLOBS:
        raise OperatorError(
            f"{_CODE}.globs",
            "the module has too many files in folders of the base system for its file_spec to be written out",
            expected=f"at most {MAX_GLOBS} globs",
            found=str(len(globs)),
            hint="write a file_spec",
        )
    return globs


def _globs_for(tree: Directory, own: AbstractSet[bytes]) -> Iterator[str]:
    """Globs that include the `own` paths of this tree and nothing else of it: a directory stands for all below it."""
    order: list[tuple[bytes, Directory]] = [(b"", tree)]
    for path, directory in order:  # grows while it is read
        order += [(path + b"/" + name, node) for name, node in directory.entries.items() if isinstance(node, Directory)]
    whole: set[bytes] = set()
    for path, directory in reversed(order):
        below = [(path + b"/" + name, isinstance(node, Directory)) for name, node in directory.entries.items()]
        if path in own and all(inner in (whole if is_directory else own) for inner, is_directory in below):
            whole.add(path)
    covered: set[bytes] = set()
    for path, _ in walk(tree):
        if path.rpartition(b"/")[0] in covered:
            covered.add(path)
        elif path in whole:
            covered.add(path)
            yield _literal(path) + "/"
        elif path in own:
            yield _literal(path)


def _literal(path: bytes) -> str:
    try:
        return _SPECIAL.sub(r"\\\1", path.decode("utf-8"))
    except UnicodeDecodeError:
        raise DataError(
            f"{_CODE}.name",
            "a path that is not UTF-8 cannot be written out",
            found=repr(path),
            hint="write a file_spec",
        ) from None


def _texts(paths: Iterable[bytes]) -> list[str]:
    return [path.decode("utf-8", "backslashreplace") for path in paths]


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _few(paths: Sequence[bytes]) -> str:
    shown = ", ".join(_texts(paths[:_SHOWN_PATHS]))
    return shown if len(paths) <= _SHOWN_PATHS else f"{shown}, …"
