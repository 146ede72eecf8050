# SPDX-License-Identifier: MIT
"""A module's folder to an artifact: the stages of each architecture, one after the other, then one exchange.

    OUT/ARCH/       the module directory: module.json, image.erofs, objects/
    OUT/oci/        the OCI layout of the version, all architectures
    OUT/logs/       what stage 1 had to say, one file an architecture
    OUT/build.json  the plans, the digests, and what did not ship

Invariants: `out` holds the old build or a new one, whole; what no build made is never replaced. The same folder, lock
and options give the same manifest digests, wherever and by whomever they are built. Stage 1 is kept in the cache, so a
build that failed later, or whose rootfs/ changed, does not repeat it.

Out of scope: what the manifest may say (`manifest.model`), signing, pushing.

    request = Request(folder=Path("."), version="0.1.0", arches=("amd64",))
    outcome = build(request, sources, Path("build"), report=print)
    outcome.published.index.digest
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from powernode.base.digest import Digest
from powernode.base.errors import MachineError, OperatorError
from powernode.debian.inputs import Inputs
from powernode.debian.lock import Lock
from powernode.manifest.model import ModuleManifest
from powernode.module import bootstrap, containerfile, lock
from powernode.module.bootstrap import Bootstrap, Root
from powernode.module.compose import Composed, compose
from powernode.module.containerfile import Containerfile
from powernode.module.layer import LEVEL, write_layer
from powernode.module.publish import Built, Published, Saying, publish
from powernode.module.source import read_manifest, read_source
from powernode.module.stages import Compose, Pack, Plan, Publish, Report, Stage, check_options, version_with

__all__ = ["BUILD", "DEFAULT_PRIORITY", "Made", "Outcome", "Request", "Sources", "build", "plan"]

BUILD, LAYOUT, LOGS = "build.json", "oci", "logs"
DEFAULT_PRIORITY = 500_000
"""The effective priority in a module directory, until somebody assembles modules and gives another."""

_CODE = "module.build"
_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be built; `builder` is a URI for who builds, `advisories` a folder that VEX is made from."""

    folder: Path
    version: str
    arches: tuple[str, ...]
    options: tuple[str, ...] = ()
    containerfile: bool = False
    level: int = LEVEL
    jobs: int = 1
    builder: str = "urn:powernode:builder:local"
    advisories: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where bytes come from: `obtain` makes the lock of an architecture that has none, `inputs` its packages."""

    cache: Path
    obtain: Callable[[lock.Request, str], Lock]
    inputs: Callable[[Lock], Inputs]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One architecture."""

    plan: Plan
    built: Built


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    name: str
    version: str
    out: Path
    made: tuple[Made, ...]
    published: Published

    def as_dict(self) -> dict[str, object]:
        """For JSON: what `build.json` says."""
        return {
            "name": self.name,
            "version": self.version,
            "index": self.published.index.digest,
            "architectures": {each.built.arch: self._architecture(each) for each in self.made},
        }

    def _architecture(self, made: Made) -> dict[str, object]:
        built = made.built
        return {
            "manifest": self.published.manifests[built.arch].digest,
            "composefs": str(built.composed.module.digest),
            "layer": {"digest": built.written.digest, "size_bytes": built.written.size},
            "shipped": built.composed.report.as_dict(),
            "plan_digest": made.plan.digest,
            "plan": made.plan.as_dict(),
        }


def build(request: Request, sources: Sources, out: Path, *, report: Report) -> Outcome:
    """Everything of one version, in `out`."""
    out = out.resolve()  # where a link leads, not in the link's place
    _refuse_others(out)
    manifest = read_source(request.folder).manifest
    check_options(manifest, request.options)
    digest = Digest("sha256", sha256(read_manifest(request.folder)).digest())
    with _on_this_machine(sources.cache):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as text:
            new = Path(text) / "new"
            (new / LOGS).mkdir(parents=True)
            made = [_make(request, manifest, sources, arch, new, report) for arch in request.arches]
            version = version_with(request.version, request.options)
            report(f"{manifest.name}: {made[0].plan.stages[-1].describe()}")
            published = publish(
                new / LAYOUT,
                [each.built for each in made],
                manifest,
                tag=f"v{version.replace('+', '_')}",  # a tag of a registry has no +
                saying=Saying(builder=request.builder, manifest=digest, advisories=request.advisories),
            )
            for each in made:
                each.built.layer.unlink()
            outcome = Outcome(name=manifest.name, version=version, out=out, made=tuple(made), published=published)
            (new / BUILD).write_text(json.dumps(outcome.as_dict(), indent=1, sort_keys=True) + "\n")
            _exchange(out, new, Path(text) / "old")
    return outcome


def _make(request: Request, manifest: ModuleManifest, sources: Sources, arch: str, new: Path, report: Report) -> Made:
    """Stages 1 to 3 of one architecture."""
    asked = lock.Request.of(manifest)
    pinned = None if request.containerfile else _lock(request.folder, asked, arch, sources, report)
    chosen = plan(request, manifest, arch, pinned)
    return Made(
        plan=chosen, built=_perform(chosen, request, sources, pinned, new, lambda text: report(f"{arch}: {text}"))
    )


def plan(request: Request, manifest: ModuleManifest, arch: str, pinned: Lock | None) -> Plan:
    """What will be done for one architecture; `pinned` is None for a module that asks for no packages."""
    version = version_with(request.version, request.options)
    added = frozenset[str]()
    first: list[Stage] = []
    if request.containerfile:
        first = [Containerfile.of(request.folder, manifest, arch=arch, options=request.options)]
    elif pinned is not None:
        added = lock.added(pinned, request.options)
        first = [Bootstrap(arch=arch, packages=lock.packages(pinned, request.options))]
    second = Compose.of(request.folder, manifest, version=version, arch=arch, added=added, options=request.options)
    stages = (*first, second, Pack(level=request.level), Publish())
    return Plan(name=manifest.name, version=version, arch=arch, stages=stages)


def _perform(plan: Plan, request: Request, sources: Sources, pinned: Lock | None, new: Path, report: Report) -> Built:
    root: Root | None = None
    composed: Composed | None = None
    log, layer = new / LOGS / f"{plan.arch}.log", new / f"{plan.arch}.layer"
    with tempfile.TemporaryDirectory(dir=new) as work:
        for stage in plan.stages[:-1]:
            report(stage.describe())
            if isinstance(stage, Bootstrap):
                assert pinned is not None
                root = bootstrap.make(stage, sources.inputs(pinned).deb, sources.cache, report=report)
                shutil.copyfile(root.archive.with_name(bootstrap.LOG), log)
            elif isinstance(stage, Containerfile):
                root = containerfile.make(stage, request.folder, Path(work), log, report=report)
            elif isinstance(stage, Compose):
                files, place = stage.files, new / plan.arch
                composed = compose(stage, root, place, effective_priority=DEFAULT_PRIORITY, jobs=request.jobs)
                for line in composed.report.describe().splitlines():
                    report(line)
            elif isinstance(stage, Pack):
                assert composed is not None
                with open(layer, "w+b") as file:
                    written = write_layer(composed.module, file, level=stage.level, threads=request.jobs)
    assert composed is not None
    return Built(
        arch=plan.arch,
        version=plan.version,
        composed=composed,
        layer=layer,
        written=written,
        packages=lock.packages(pinned, request.options) if pinned is not None else (),
        files=files,
        containerfile=next((stage.content for stage in plan.stages if isinstance(stage, Containerfile)), None),
    )


def _lock(folder: Path, asked: lock.Request, arch: str, sources: Sources, report: Report) -> Lock | None:
    """The pins; None for a module that asks for no packages, which is made of its rootfs/ alone."""
    if not asked.packages and not any(asked.options.values()):
        return None
    pinned = lock.read(folder, asked, arch)
    if pinned is None:
        report(f"{arch}: there is no {lock.path_of(folder, arch)} yet: asking the archive")
        pinned = sources.obtain(asked, arch)
        path = lock.write(folder, pinned)
        report(f"{arch}: {path} now pins {len(lock.packages(pinned))} packages; keep it with the module")
    return pinned


def _refuse_others(out: Path) -> None:
    """What is replaced is removed, so it had better be ours."""
    if not out.exists() or (out.is_dir() and ((out / BUILD).is_file() or not any(out.iterdir()))):
        return
    raise OperatorError(
        f"{_CODE}.out",
        f"{out} is there already and is no build",
        expected=f"a folder with {BUILD}, an empty one, or none",
        hint="remove it, or give another --out",
    )


def _exchange(out: Path, new: Path, old: Path) -> None:
    """`new` in the place of `out`; of two builds that end at once, neither sees the other's half of an exchange."""
    descriptor = os.open(out.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _refuse_others(out)
        if out.exists():
            out.rename(old)
        new.rename(out)
    except BaseException:
        if old.exists() and not out.exists():
            old.rename(out)
        raise
    finally:
        os.close(descriptor)


@contextmanager
def _on_this_machine(cache: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _SPACE:
            raise
        raise MachineError(
            f"{_CODE}.no-space",
            "there is no space left for the build",
            found=f"{error.filename or 'a file'}: {error.strerror}",
            hint=f"free some where the build goes and in {cache}: roots/ can be removed at any time",
        ) from error
