# SPDX-License-Identifier: MIT
"""A module's folder to an artifact: the stages of each architecture, one after the other, then one exchange.

    OUT/ARCH/       the module directory: module.json, image.erofs, objects/
    OUT/oci/        the OCI layout of the version, all architectures
    OUT/logs/       what stage 1 had to say, one file an architecture; of a build that failed it stays in the cache
    OUT/build.json  the plans, the digests, and what did not ship

Invariants: `out` holds the old build or a new one, whole; what no build made is never replaced. The same folder, lock
and options give the same manifest digests, wherever and by whomever they are built. What can be refused is refused for
all architectures before anything is installed. Stage 1 is kept in the cache, so a build that failed later, or whose
rootfs/ changed, does not repeat it. Nothing gets to `out` whose layer, image and digests were not proven to agree.

Out of scope: what the manifest may say (`manifest.model`), signing, pushing.

    request = Request(folder=Path("."), version="0.1.0", arches=("amd64",))
    outcome = build(request, sources, Path("build"), report=print)
    outcome.published.index.digest
"""

from __future__ import annotations

import errno
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from powernode.base.digest import Digest
from powernode.base.errors import MachineError, OperatorError
from powernode.debian.inputs import Inputs
from powernode.debian.lock import Lock
from powernode.manifest.model import ModuleManifest
from powernode.module import bootstrap, containerfile, feed, lock
from powernode.module._tools import Report
from powernode.module.bootstrap import Bootstrap, Root
from powernode.module.check import check
from powernode.module.compose import compose
from powernode.module.containerfile import Containerfile
from powernode.module.directory import DEFAULT_PRIORITY
from powernode.module.layer import LEVEL, Progress, write_layer
from powernode.module.place import beside, put
from powernode.module.publish import Built, Published, Saying, publish
from powernode.module.source import read_source
from powernode.module.stages import Compose, Pack, Plan, Publish, Stage, check_options, version_with
from powernode.module.subject import tag_of
from powernode.oci.layout import Layout

__all__ = ["BUILD", "Made", "Outcome", "Request", "Sources", "build", "plan"]

BUILD, LAYOUT, LOGS = "build.json", "oci", "logs"

_CODE = "module.build"
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")
_TOLD_BYTES = 64 << 20
"""Of contents: packing more takes long enough to be told about."""

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
    source = read_source(request.folder)
    manifest = source.manifest
    check_options(manifest, request.options)
    _check_request(request)
    with _on_this_machine(sources.cache):
        pins = {arch: _lock(request, lock.Request.of(manifest), arch, sources, report) for arch in request.arches}
        plans = [plan(request, manifest, arch, pins[arch]) for arch in request.arches]
        with beside(out) as work:
            new = work / "new"
            (new / LOGS).mkdir(parents=True)
            made = [
                Made(plan=each, built=_perform(each, request, sources, pins[each.compose.arch], new, report))
                for each in plans
            ]
            version = version_with(request.version, request.options)
            report(f"{manifest.name}: {made[0].plan.publish.describe()}")
            published = publish(
                new / LAYOUT,
                [each.built for each in made],
                manifest,
                tag=tag_of(version),
                saying=Saying(
                    builder=request.builder,
                    manifest=Digest("sha256", bytes.fromhex(source.document.sha256)),
                    advisories=request.advisories,
                ),
            )
            for each in made:
                each.built.layer.unlink()
                report(f"{each.built.arch}: prove that layer, image and digests agree")
                check(Layout(new / LAYOUT), published.manifests[each.built.arch])
            outcome = Outcome(name=manifest.name, version=version, out=out, made=tuple(made), published=published)
            (new / BUILD).write_text(json.dumps(outcome.as_dict(), indent=1, sort_keys=True) + "\n")
            _refuse_others(out)
            put(new, out)
    return outcome


def _check_request(request: Request) -> None:
    """What would be seen at the end only."""
    if not _URI.fullmatch(request.builder):
        raise OperatorError(
            f"{_CODE}.builder",
            "who builds is named by a URI",
            expected="one such as https://ci.example.com/acme",
            found=repr(request.builder[:100]),
        )
    if request.advisories is not None:
        feed.files(request.advisories)


def plan(request: Request, manifest: ModuleManifest, arch: str, pinned: Lock | None) -> Plan:
    """What will be done for one architecture; `pinned` is None for a module that asks for no packages."""
    version = version_with(request.version, request.options)
    added = frozenset[str]()
    root: Stage | None = None
    if request.containerfile:
        root = Containerfile.of(request.folder, manifest, arch=arch, options=request.options)
    elif pinned is not None:
        added = lock.added(pinned, request.options)
        root = Bootstrap(arch=arch, packages=lock.packages(pinned, request.options))
    second = Compose.of(request.folder, manifest, version=version, arch=arch, added=added, options=request.options)
    last = Publish(advisories=request.advisories is not None)
    return Plan(root=root, compose=second, pack=Pack(level=request.level), publish=last)


def _perform(plan: Plan, request: Request, sources: Sources, pinned: Lock | None, new: Path, report: Report) -> Built:
    """Stages 1 to 3 of one architecture."""
    stage = plan.compose
    layer = new / f"{stage.arch}.layer"

    def told(text: str) -> None:
        report(f"{stage.arch}: {text}")

    with tempfile.TemporaryDirectory(dir=new) as work:
        root = _root(plan, request, sources, pinned, Path(work), new / LOGS / f"{stage.arch}.log", told)
        told(stage.describe())
        composed = compose(stage, root, new / stage.arch, effective_priority=DEFAULT_PRIORITY, jobs=request.jobs)
    for line in composed.report.describe(_asked(stage)).splitlines():
        told(line)
    told(plan.pack.describe())
    progress = _packing(composed.report.size_bytes, told)
    with open(layer, "w+b") as file:
        written = write_layer(composed.module, file, level=plan.pack.level, threads=request.jobs, progress=progress)
    return Built(
        arch=stage.arch,
        version=stage.version,
        options=stage.options,
        composed=composed,
        layer=layer,
        written=written,
        packages=lock.packages(pinned, request.options) if pinned is not None else (),
        files={folder.name: digest for folder, digest in zip(stage.folders, stage.files, strict=True)},
        containerfile=plan.root.content if isinstance(plan.root, Containerfile) else None,
    )


def _asked(stage: Compose) -> frozenset[str]:
    """The packages that somebody named, and so means to ship."""
    asked = lock.Request.of(stage.manifest)
    return frozenset(asked.packages).union(*(asked.options[option] for option in stage.options))


def _root(
    plan: Plan, request: Request, sources: Sources, pinned: Lock | None, work: Path, log: Path, report: Report
) -> Root | None:
    """Stage 1, and its log."""
    stage = plan.root
    if stage is None:
        return None
    if isinstance(stage, Containerfile):
        report(stage.describe())
        kept = sources.cache / "roots" / f"{plan.digest}.log"
        kept.parent.mkdir(parents=True, exist_ok=True)
        root = containerfile.make(stage, request.folder, work, kept, report=report)
        shutil.move(kept, log)
        return root
    assert isinstance(stage, Bootstrap)
    assert pinned is not None
    root = bootstrap.make(stage, sources.inputs(pinned).deb, sources.cache, report=report)
    shutil.copyfile(root.archive.with_name(bootstrap.LOG), log)
    return root


def _packing(size: int, report: Report) -> Progress | None:
    """Tells every quarter of what takes long."""
    if size < _TOLD_BYTES:
        return None
    said = 0

    def progress(_: int, done: int) -> None:
        nonlocal said
        if done * 4 // size > said:
            said = done * 4 // size
            report(f"{said * 25} % of {size / 1e6:,.0f} MB are packed")

    return progress


def _lock(request: Request, asked: lock.Request, arch: str, sources: Sources, report: Report) -> Lock | None:
    """The pins; None where no lock is needed: a Containerfile, or nothing but rootfs/."""
    wanted = [*asked.packages, *(package for option in request.options for package in asked.options[option])]
    if request.containerfile or not wanted:
        return None
    pinned = lock.read(request.folder, asked, arch)
    if pinned is None:
        report(f"{arch}: there is no {lock.path_of(request.folder, arch)} yet: asking the archive")
        pinned = sources.obtain(asked, arch)
        path = lock.write(request.folder, pinned)
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
