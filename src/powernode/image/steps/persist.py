# SPDX-License-Identifier: MIT
"""Write the disk that persists, with the objects and images of the base."""

from __future__ import annotations

from dataclasses import dataclass, field

from powernode.image import persistdisk
from powernode.image.plan import Workspace
from powernode.image.request import Request
from powernode.module.directory import Module, Root

__all__ = ["PERSIST", "WritePersist"]

PERSIST = "persist.img"
_LOCAL = {"local": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class WritePersist:
    root_digest: str
    modules: tuple[str, ...]
    room_mib: int
    merged: Root = field(metadata=_LOCAL)
    directories: tuple[Module, ...] = field(metadata=_LOCAL)

    @classmethod
    def of(cls, request: Request) -> WritePersist:
        assert request.root is not None
        return cls(
            root_digest=str(request.root.digest),
            modules=tuple(f"{item.facts.name} {item.facts.version} {item.digest}" for item in request.modules),
            room_mib=request.room_mib,
            merged=request.root,
            directories=request.modules,
        )

    def describe(self) -> str:
        return f"write the disk for {len(self.modules)} modules, root {self.root_digest}"

    def run(self, workspace: Workspace) -> None:
        files = persistdisk.node_files(self.directories, self.merged, {})
        persistdisk.write(workspace.out / PERSIST, files, room_bytes=self.room_mib << 20)
        workspace.tools.update(persistdisk.tools())
        workspace.facts["root"] = {"digest": self.root_digest, "modules": list(self.modules)}
