# SPDX-License-Identifier: MIT
"""Every path the agent uses, all below one prefix, so that the whole agent can run against a tree.

Invariants: with the prefix `/` these are the real places; no other module of the agent spells an absolute path.

    paths = Paths("/tmp/tree")
    paths.config                # /tmp/tree/etc/powernode/config.json
    paths.store.image(hex)      # /tmp/tree/persist/var/lib/powernode/images/HEX.erofs
"""

from __future__ import annotations

__all__ = ["Paths", "StorePaths"]


class StorePaths:
    """Where the images, objects and sets of a node are: on persist, or in the initramfs itself."""

    __slots__ = ("images", "objects", "root", "sealed", "sets", "state")

    def __init__(self, root: str) -> None:
        self.root = root
        self.images = f"{root}/images"
        self.objects = f"{root}/objects"
        self.sealed = f"{root}/sealed"
        self.sets = f"{root}/sets"
        self.state = f"{root}/state"

    def image(self, digest: str) -> str:
        return f"{self.images}/{digest}.erofs"

    def stamp(self, digest: str) -> str:
        return f"{self.sealed}/{digest}"


class Paths:
    """The places on a node; see docs for what each holds."""

    __slots__ = ("prefix",)

    def __init__(self, prefix: str = "/") -> None:
        self.prefix = prefix.rstrip("/")

    def at(self, path: str) -> str:
        """Any absolute path of the node."""
        return self.prefix + path

    @property
    def config(self) -> str:
        return self.at("/etc/powernode/config.json")

    @property
    def fleet_root(self) -> str:
        return self.at("/etc/powernode/fleet-root.pem")

    @property
    def base_set(self) -> str:
        return self.at("/etc/powernode/base.set")

    @property
    def cmdline(self) -> str:
        return self.at("/proc/cmdline")

    @property
    def sys(self) -> str:
        return self.at("/sys")

    @property
    def dev(self) -> str:
        return self.at("/dev")

    @property
    def run(self) -> str:
        return self.at("/run/powernode")

    @property
    def boot_report(self) -> str:
        return f"{self.run}/boot.json"

    @property
    def persist(self) -> str:
        """Where persist is mounted in the initramfs."""
        return self.at("/persist")

    @property
    def persist_later(self) -> str:
        """Where persist is once the root is running."""
        return f"{self.run}/persist"

    @property
    def sysroot(self) -> str:
        return self.at("/sysroot")

    @property
    def scratch_upper(self) -> str:
        """A tmpfs for the upper layers that nobody wants to keep."""
        return f"{self.run}/upper"

    @property
    def e2fsck(self) -> tuple[str, ...]:
        return tuple(self.at(path) for path in ("/sbin/e2fsck", "/usr/sbin/e2fsck"))

    @property
    def store(self) -> StorePaths:
        """The store on persist while the initramfs runs."""
        return StorePaths(f"{self.persist}/var/lib/powernode")

    @property
    def running_store(self) -> StorePaths:
        """The store on persist once the root is running."""
        return StorePaths(f"{self.persist_later}/var/lib/powernode")

    @property
    def baked_store(self) -> StorePaths:
        """A store inside the initramfs, for nodes that have no disk."""
        return StorePaths(self.at("/var/lib/powernode"))
