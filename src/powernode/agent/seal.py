# SPDX-License-Identifier: MIT
"""Every image and object of a set is there, is what its name says, and is sealed before the set is mounted.

Invariants: the kernel is asked for the digest of every image at every boot, before a byte of it is interpreted, and of
every object the first time; then a stamp says so. `full` asks for all of them at every boot and reads them to the end:
a sealed file keeps its digest when somebody changes its blocks on the disk, and only reading finds out. The stamp is
written last, when everything it stands for is durable, so an interrupted run is simply done again and finds most files
sealed already. Where the kernel enforces nothing a stamp would say nothing: there everything is read at every boot.

A missing or wrong object refuses the set while there is no stamp (and always with `full`). Under a stamp it makes
reading that one file fail, which the kernel sees to, and leaves the rest of the machine running.

Out of scope: which images (`boot`), what the kernel enforces afterwards.

    outcome = prepare([root_digest, *module_digests], store, kernel, floor="kernel-verity", full=False)
    outcome.level               # "kernel-verity"
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from powernode.agent.outcome import SealProblem
from powernode.base.digest import Digest
from powernode.base.durable import write_durably
from powernode.base.errors import DataError, MachineError
from powernode.base.values import Value
from powernode.linux.files import read_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.agent.paths import StorePaths
    from powernode.agent.port import Kernel

__all__ = ["SealOutcome", "prepare"]

CANNOT_SEAL = ("linux.fsverity.no-kernel", "linux.fsverity.no-feature")
_IMAGE_MAX_BYTES = 1 << 30
_SHOWN = 5
_WORST_FIRST = ("digest", "unreadable", "missing")


class SealOutcome(Value):
    """`objects` is None where the stamp made looking at them unnecessary."""

    __slots__ = ("images", "level", "objects")

    def __init__(self, *, level: str, images: int, objects: int | None) -> None:
        self.level = level
        self.images = images
        self.objects = objects

    def describe(self) -> str:
        objects = "the stamp is there" if self.objects is None else f"{self.objects} objects proven"
        return f"{self.images} images proven, {objects} ({self.level})"


def prepare(images: Sequence[Digest], store: StorePaths, kernel: Kernel, *, floor: str, full: bool) -> SealOutcome:
    """`images`: that of the root first."""
    wanted = list(dict.fromkeys(images))
    sealer = _Sealer(kernel, floor, full=full)
    names = [(os.path.basename(store.image(digest.hex)), digest.value) for digest in wanted]
    for digest in wanted:
        _check_size(store.image(digest.hex))
    sealer.prove("image", store.images, names)
    stamp = "".join(f"{digest.hex}\n" for digest in wanted).encode()
    stamp_path = store.stamp(wanted[0].hex)
    is_enforced = sealer.level == "kernel-verity"
    is_stamped = is_enforced and _read(stamp_path, len(stamp) + 1) == stamp
    if is_stamped and not full:
        return SealOutcome(level=sealer.level, images=len(wanted), objects=None)
    objects = _objects_of(wanted, store)
    sealer.prove("object", store.objects, list(objects.items()))
    if is_enforced and not is_stamped:
        kernel.sync(store.objects)
        os.makedirs(store.sealed, exist_ok=True)
        write_durably(stamp_path, stamp, mode=0o644)
    return SealOutcome(level=sealer.level, images=len(wanted), objects=len(objects))


class _Sealer:
    """By the kernel; in user space where it cannot and the floor allows that."""

    def __init__(self, kernel: Kernel, floor: str, *, full: bool) -> None:
        self.level = "kernel-verity"
        self._kernel = kernel
        self._floor = floor
        self._full = full
        self._method: Callable[[str, Sequence[tuple[str, bytes]]], list[SealProblem]] = kernel.seal

    def prove(self, what: str, folder: str, files: Sequence[tuple[str, bytes]]) -> None:
        try:
            problems = self._method(folder, files)
        except MachineError as error:
            if error.code not in CANNOT_SEAL:
                raise
            if self._floor == "kernel-verity":
                raise MachineError(
                    "boot.enforcement",
                    "the kernel cannot enforce this set",
                    expected=self._floor,
                    found=error.message,
                    hint=error.hint,
                ) from error
            self.level, self._method = "userspace", self._kernel.compare
            problems = self._method(folder, files)
        if self._full and not problems and self.level == "kernel-verity":
            problems = self._kernel.compare(folder, files)
        if problems:
            raise _refusal(what, problems, len(files))


def _refusal(what: str, problems: Sequence[SealProblem], total: int) -> DataError:
    cause = next(cause for cause in _WORST_FIRST if any(problem.cause == cause for problem in problems))
    worst = [problem for problem in problems if problem.cause == cause]
    texts = {"digest": "not what its name says", "unreadable": "unreadable", "missing": "missing"}
    shown = "; ".join(f"{problem.path}: {problem.found}" for problem in worst[:_SHOWN])
    others = len(problems) - len(worst[:_SHOWN])
    return DataError(
        f"boot.{what}-{cause}",
        f"an {what} is {texts[cause]}: {len(problems)} of {total} have a problem",
        found=shown + (f"; and {others} more" if others else ""),
        hint=f"fetch the {what} again; the set is not started without it",
    )


def _objects_of(images: Sequence[Digest], store: StorePaths) -> dict[str, bytes]:
    """The objects that the images need, as paths in the store, with their digests."""
    from powernode.composefs.image import objects
    from powernode.composefs.store import digest_of

    found: dict[str, bytes] = {}
    for digest in images:
        path = store.image(digest.hex)
        for reference in objects(_image(path)):
            found[reference.decode("ascii")] = digest_of(reference)
    return dict(sorted(found.items()))


def _check_size(path: str) -> None:
    """Before it is hashed: a sparse file of terabytes in the place of an image would hold up the boot for hours."""
    try:
        size = os.lstat(path).st_size
    except OSError:
        return  # whoever opens it tells
    if size > _IMAGE_MAX_BYTES:
        raise DataError(
            "boot.image-size", f"{path} is too large", expected=f"at most {_IMAGE_MAX_BYTES} bytes", found=f"{size}"
        )


def _image(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise DataError(
            "boot.image-unreadable", f"{path} cannot be read", found=os.strerror(error.errno or 0)
        ) from error


def _read(path: str, limit: int) -> bytes | None:
    """A stamp; one that cannot be read says nothing."""
    try:
        return read_regular(path, limit)
    except OSError:
        return None
