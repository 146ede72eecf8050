# SPDX-License-Identifier: MIT
"""Assemble the root of a set at /sysroot: its image, the upper layer its policy asks for, /var, the modules' images.

`ro`          nothing of the root can be changed;
`ephemeral`   changes are kept in memory;
`persistent`  changes are kept on persist, for this root digest: the upper layer of an overlay belongs to one lower.

/var is an overlay of its own over the same image, with its upper layer on persist (in memory without one), unless the
policy is `persistent`: it could not be stacked on the root's overlay, because EROFS in a file and one overlay are all
the depth the kernel allows, so both are made of the image directly.

Invariants: every image is mounted by its digest, with the enforcement the floor asks for or more; what was reached is
in the result. Mounts are entered in `mounts`, and the caller undoes them when anything here raises.

Out of scope: whether the set may run (`admit`), the state of its objects (`seal`).

    root = assemble(boot_set, "ro", places, Mounts(kernel), floor="kernel-verity")
"""

from __future__ import annotations

from powernode.agent.mounts import Mounts, make_folder, make_folder_in
from powernode.agent.outcome import ImageMount
from powernode.base.digest import Digest
from powernode.base.errors import MachineError
from powernode.base.values import Value
from powernode.wire.nodeconfig import FLOORS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.agent.paths import Paths, StorePaths
    from powernode.base.canonical import Json
    from powernode.wire.bootset import BootSet

__all__ = ["Places", "Root", "assemble"]

_MODULES = "/var/lib/powernode/modules"
_SCRATCH_SIZE = "25%"
_MODULES_SIZE = "1m"


class Places(Value):
    """Where things come from: `persist` is None where nothing can be kept."""

    __slots__ = ("paths", "persist", "store")

    def __init__(self, *, paths: Paths, store: StorePaths, persist: str | None) -> None:
        self.paths = paths
        self.store = store
        self.persist = persist


class Root(Value):
    """What was assembled; `upper` and `var` say where changes go."""

    __slots__ = ("digest", "level", "modules", "policy", "upper", "var")

    def __init__(
        self, *, digest: str, level: str, policy: str, upper: str, var: str, modules: tuple[tuple[str, str], ...]
    ) -> None:
        self.digest = digest
        self.level = level
        self.policy = policy
        self.upper = upper
        self.var = var
        self.modules = modules

    def as_dict(self) -> dict[str, Json]:
        return {
            "digest": self.digest,
            "enforcement": self.level,
            "policy": self.policy,
            "upper": self.upper,
            "var": self.var,
        }


def assemble(boot_set: BootSet, policy: str, places: Places, mounts: Mounts, *, floor: str) -> Root:
    builder = _Builder(places, mounts, floor)
    digest = boot_set.root_digest
    upper, var = builder.layers(policy, digest.hex)
    level = builder.image(digest, "/", upper)
    if var is not None:
        builder.image(digest, "/var", var, subtree="var")
    modules = []
    mounts.tmpfs(make_folder_in(places.paths.sysroot, _MODULES), size=_MODULES_SIZE)
    for module in boot_set.modules:
        make_folder(builder.below(f"{_MODULES}/{module.name}"))
        modules.append((module.name, builder.image(module.digest, f"{_MODULES}/{module.name}", None)))
    mounts.read_only(builder.below(_MODULES))
    return Root(
        digest=str(digest),
        level=level,
        policy=policy,
        upper={"ro": "none", "ephemeral": "memory", "persistent": "persist"}[policy],
        var="root" if var is None else "persist" if places.persist is not None else "memory",
        modules=tuple(modules),
    )


class _Builder:
    def __init__(self, places: Places, mounts: Mounts, floor: str) -> None:
        self._places = places
        self._mounts = mounts
        self._floor = floor
        self._has_scratch = False

    def below(self, path: str) -> str:
        return self._places.paths.sysroot + path.rstrip("/")

    def layers(self, policy: str, root_hex: str) -> tuple[tuple[str, str] | None, tuple[str, str] | None]:
        """The upper layers of the root and of /var; a layer is its upper and its work directory."""
        persist = self._places.persist
        if policy == "persistent":
            if persist is None:
                raise MachineError(
                    "boot.policy",
                    "the root is to keep its changes and there is nothing to keep them on",
                    expected="a persist filesystem",
                    hint="repair persist, or run a set with the policy ro or ephemeral",
                )
            return _layer(persist, f"/root/{root_hex}"), None
        upper = self._in_memory("root") if policy == "ephemeral" else None
        var = self._in_memory("var") if persist is None else _layer(persist, "/var-upper")
        return upper, var

    def image(self, digest: Digest, target: str, upper: tuple[str, str] | None, *, subtree: str = "") -> str:
        store = self._places.store
        level = self._mounts.image(
            ImageMount(
                image=store.image(digest.hex),
                objects=store.objects,
                target=self.below(target),
                digest=digest.value,
                floor=self._floor,
                is_root=target == "/",
                subtree=subtree,
                upper=upper,
            )
        )
        if FLOORS.index(level) < FLOORS.index(self._floor):
            raise MachineError(
                "boot.enforcement",
                f"{store.image(digest.hex)} is not enforced as it has to be",
                expected=f"{self._floor} or better",
                found=level,
                hint="boot a kernel with fs-verity and Linux 6.6 or later, persist being ext4 with the verity feature",
            )
        return level

    def _in_memory(self, name: str) -> tuple[str, str]:
        scratch = self._places.paths.scratch_upper
        if not self._has_scratch:
            make_folder(scratch)
            self._mounts.tmpfs(scratch, size=_SCRATCH_SIZE)
            self._has_scratch = True
        return _layer(scratch, f"/{name}")


def _layer(root: str, folder: str) -> tuple[str, str]:
    return make_folder_in(root, f"{folder}/upper"), make_folder_in(root, f"{folder}/work")
