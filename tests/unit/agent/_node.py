# SPDX-License-Identifier: MIT
"""A node in a tree, and a kernel for it: real images, objects, signatures and files; only mounting is pretended.

`FakeKernel` is the agent's port with a mount table: mounting an image copies the tree it was made from to the target,
unmounting takes it away, so what the agent reads there is there exactly as long as it would be.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from powernode.agent.boot import Boot, Outcome
from powernode.agent.kernel import LinuxKernel
from powernode.agent.outcome import ImageMount, SealProblem
from powernode.agent.paths import Paths
from powernode.agent.report import Report
from powernode.agent.sets import SetStore, set_id_of
from powernode.agent.situation import Clocks
from powernode.base.digest import Digest
from powernode.base.errors import DataError, MachineError, PowernodeError
from powernode.composefs.image import digest
from powernode.composefs.scan import ScanOptions, image_of
from powernode.composefs.store import ObjectStore
from powernode.signing.keys import generate
from powernode.signing.sets import sign_set
from powernode.verity import digest_fd, digest_file
from powernode.wire.bootset import BootSet, ModuleRef, RootPolicy, encode
from unit.agent._elf_files import elf
from unit.linux._superblocks import ext4

INSTANCE = "6f1c2b1e-9d1a-4f43-8a52-6f0a4a6f3c11"
PRIVATE, PUBLIC = generate("ed25519")
OTHER_PRIVATE, _ = generate("ed25519")
NOW = 1_790_000_000
BIG = 5000
"""Files of this size are objects; 64 bytes and less are inside the image."""


class FakeKernel:
    """Fails where `failures` has a function name (and target); `sealed` are the files with fs-verity."""

    def __init__(self) -> None:
        self.table: dict[str, str] = {}
        self.trees: dict[bytes, Path] = {}
        self.sealed: set[str] = set()
        self.flipped: set[str] = set()
        self.failures: dict[tuple[str, str], PowernodeError] = {}
        self.log: list[str] = []
        self.can_seal = True
        self.level = "kernel-verity"
        self.fsck = (0, "")
        self.restarted = False
        self.after_mount: Callable[[str], None] | None = None

    def _enter(self, action: str, what: str) -> None:
        self.log.append(f"{action} {what}")
        if (action, what) in self.failures:
            raise self.failures[action, what]

    def _mount(self, target: str, what: str) -> None:
        assert os.path.isdir(target), f"nobody made {target}"
        assert target not in self.table, f"{target} is taken by {self.table.get(target)}"
        self.table[target] = what

    def mount_disk(self, device: str, target: str, *, filesystem: str = "ext4", read_only: bool = False) -> None:
        self._enter("mount_disk", device)
        self._mount(target, f"{filesystem} {device}{' ro' if read_only else ''}")

    def mount_tmpfs(self, target: str, *, size: str, mode: str) -> None:
        self._enter("mount_tmpfs", target)
        self._mount(target, "tmpfs")

    def mount_host(self, kind: str, tag: str, target: str, options: str) -> None:
        self._enter("mount_host", tag)
        self._mount(target, f"{kind} {tag} {options}".strip())

    def mount_image(self, image: ImageMount) -> str:
        self._enter("mount_image", image.target)
        if image.floor == "kernel-verity" and image.image not in self.sealed:
            raise MachineError("composefs.mount.image-not-sealed", "the kernel cannot vouch for it")
        if digest_file(image.image).value != image.digest:
            raise DataError("boot.image-digest", "another image")
        for folder in image.upper or ():
            assert os.path.isdir(folder)
        if not image.subtree:
            shutil.copytree(self.trees[image.digest], image.target, dirs_exist_ok=True, symlinks=True)
        self._mount(image.target, f"image {image.digest.hex()[:8]} {image.subtree} {'rw' if image.upper else 'ro'}")
        if self.after_mount is not None:
            self.after_mount(image.target)
        return self.level

    def make_read_only(self, target: str) -> None:
        self.table[target] += " ro"

    def bind(self, source: str, target: str) -> None:
        self._enter("bind", target)
        self._mount(target, f"bind {source}")

    def move(self, source: str, target: str) -> None:
        self._enter("move", source)
        assert os.path.isdir(target)
        self.table[target] = self.table.pop(source, f"moved {source}")

    def unmount(self, target: str) -> None:
        what = self.table.pop(target)
        assert not [other for other in self.table if other.startswith(f"{target}/")], "something is mounted inside"
        if what.startswith(("image", "tmpfs")):
            for name in os.listdir(target):
                path = f"{target}/{name}"
                shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
        self._enter("unmount", target)

    def seal(self, folder: str, files: Sequence[tuple[str, bytes]]) -> list[SealProblem]:
        self._enter("seal", str(len(files)))
        if not self.can_seal:
            raise MachineError("linux.fsverity.no-feature", "made without the verity feature")
        kept = [(name, digest) for name, digest in files if self._is_intact(f"{folder}/{name}")]
        self.sealed.update(f"{folder}/{name}" for name, _ in files)
        return self.compare(folder, [each for each in files if each not in kept])

    def _is_intact(self, path: str) -> bool:
        """Sealed, and still the same file: then the digest it was sealed with is what is measured."""
        return path in self.sealed and path in self.flipped

    def flip(self, path: Path) -> None:
        """Change a sealed file behind the kernel's back."""
        path.write_bytes(b"!" * path.stat().st_size)
        self.flipped.add(str(path))

    def compare(self, folder: str, files: Sequence[tuple[str, bytes]]) -> list[SealProblem]:
        return LinuxKernel().compare(folder, files)

    def sync(self, folder: str) -> None:
        self._enter("sync", os.path.basename(folder))

    def grow(self, mount_point: str, blocks: int) -> None:
        self._enter("grow", str(blocks))

    def check_disk(self, tool: str, device: str) -> tuple[int, str]:
        self._enter("check_disk", device)
        return self.fsck

    def restart(self) -> None:
        self.restarted = True


class Node:
    """An initramfs with persist in it, below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths = Paths(str(root))
        self.kernel = FakeKernel()
        self.console: list[str] = []
        self.document: dict[str, Any] = {}
        self.now_s = 1.5
        for folder in ("proc", "sys", "dev", "run", "sysroot", "etc/powernode", "persist", "usr/sbin"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for folder in (self.store.images, self.store.objects, self.store.sets):
            os.makedirs(folder)
        self.cmdline(f"quiet powernode.boot=1 powernode.instance_uuid={INSTANCE}")
        self.configure()
        self.write("etc/powernode/fleet-root.pem", PUBLIC)
        self.disk("vda2", ext4())

    @property
    def store(self) -> Any:
        return self.paths.store

    @property
    def sets(self) -> SetStore:
        return SetStore(self.store.sets)

    def write(self, path: str, data: bytes) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(data)

    def cmdline(self, text: str) -> None:
        self.write("proc/cmdline", f"{text}\n".encode())

    def configure(self, **settings: Any) -> None:
        settings = {"version": 1, "arch": "amd64", "board": "qemu", "identity": {"order": ["cmdline"]}, **settings}
        self.write("etc/powernode/config.json", json.dumps(settings).encode())

    def disk(self, name: str, content: bytes, *, size: int = 64 << 20) -> None:
        self.write(f"sys/class/block/{name}/size", f"{size // 512}\n".encode())
        self.write(f"sys/class/block/{name}/ro", b"0\n")
        self.write(f"dev/{name}", content)

    def image(self, name: str, files: dict[str, bytes], folders: Sequence[str] = ()) -> Digest:
        """A composefs image of these files in the node's store, with its objects."""
        tree = self.root.parent / f"{self.root.name}-trees" / name
        for folder in folders:
            (tree / folder).mkdir(parents=True, exist_ok=True)
        for path, data in files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(data)
            (tree / path).chmod(0o755)
        store = ObjectStore(self.store.objects, digest_fd=lambda fd: digest_fd(fd).value, seal=False)
        data = image_of(tree, ScanOptions(), store=store, min_version=1)
        found = digest(data)
        Path(self.store.image(found.hex)).write_bytes(data)
        self.kernel.trees[found.value] = tree
        return found

    def root_image(self, name: str = "root", **files: bytes) -> Digest:
        content = {
            "sbin/init": elf(interpreter="/lib64/ld.so", needed=["libc.so.6"], size=BIG) + name.encode(),
            "lib64/ld.so": elf(size=BIG),
            "lib/x86_64-linux-gnu/libc.so.6": elf(size=BIG) + b"libc",
            "etc/name": name.encode(),
        }
        folders = ("proc", "sys", "dev", "run", "var/lib", "persist")
        return self.image(name, {**content, **{key.replace("__", "/"): data for key, data in files.items()}}, folders)

    def boot_set(self, root: Digest, *, modules: dict[str, Digest] | None = None, **terms: Any) -> BootSet:
        return BootSet(
            serial=terms.get("serial", 1),
            instance=terms.get("instance", "*"),
            not_after=terms.get("not_after"),
            root_digest=root,
            root_policy=RootPolicy(terms.get("policy", "ro")),
            modules=tuple(ModuleRef(name=name, version="1", digest=value) for name, value in (modules or {}).items()),
        )

    def good(self, boot_set: BootSet, key: bytes = PRIVATE) -> str:
        set_id = self.pending(boot_set, key)
        self.sets.confirm(set_id)
        return set_id

    def pending(self, boot_set: BootSet, key: bytes = PRIVATE) -> str:
        return self.sets.stage(sign_set(boot_set, key))

    def base(self, boot_set: BootSet) -> str:
        payload = encode(boot_set)
        self.write("etc/powernode/base.set", payload)
        return set_id_of(payload)

    def clock(self) -> float:
        self.now_s += 0.001
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def clocks(self) -> Clocks:
        return Clocks(monotonic=self.clock, wall=lambda: float(NOW), sleep=self.sleep)

    def prepare(self, *, stay: bool = False) -> tuple[Boot, Report]:
        report = Report(clock=self.clock, say=self.console.append)
        return Boot(self.paths, self.kernel, report, self.clocks(), stay=stay), report

    def boot(self) -> Outcome:
        """One start; what was said is in `console`, the report in `document`."""
        self.console.clear()
        boot, report = self.prepare()
        outcome = boot.run()
        self.document = report.document(outcome.kind)
        return outcome

    def restart(self) -> None:
        """The power is back: nothing is mounted, memory is empty."""
        for target in sorted(self.kernel.table, reverse=True):
            what = self.kernel.table.pop(target)
            if what.startswith(("image", "tmpfs")) and os.path.isdir(target):
                shutil.rmtree(target)
                os.mkdir(target)
        shutil.rmtree(self.root / "sysroot")
        shutil.rmtree(self.root / "run")
        (self.root / "sysroot").mkdir()
        (self.root / "run").mkdir()

    def codes(self) -> list[tuple[str, str]]:
        """What was refused and why, in order."""
        return [(refusal["what"], refusal["code"]) for refusal in self.document["refused"]]

    def warnings(self) -> list[str]:
        return [warning["code"] for warning in self.document["warnings"]]

    def mounted(self) -> dict[str, str]:
        """The mount table with the prefix taken off."""
        prefix = str(self.root)
        return {target.removeprefix(prefix): what.replace(prefix, "") for target, what in self.kernel.table.items()}

    def running(self) -> str:
        """The name of the root image that is mounted, by its content."""
        return (self.root / "sysroot/etc/name").read_text()
