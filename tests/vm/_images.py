# SPDX-License-Identifier: MIT
"""Images to boot in tests, built by the real builder, and a root so small that it boots in seconds.

Built once and kept in the tests' cache under the digest of their plan. When the archive no longer serves what the
committed lock pins, a lock renewed into the cache is used: a moved archive does not fail the tests.

    image = Images(tmp_path).kernel_initrd("amd64", modules=[tiny])
    results = boot(image, disk=copy).results
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from powernode.base.errors import PowernodeError
from powernode.debian import lock
from powernode.debian.apt import PrivateApt
from powernode.debian.inputs import Inputs
from powernode.image import board, guest, qemu, variants
from powernode.image.build import Sources, build
from powernode.image.packages import resolve
from powernode.image.plan import digest_of_files
from powernode.image.request import Options, make
from powernode.module import systembase
from powernode.module.directory import Facts, Module, from_tree, read, write
from support.debian import CACHE, CHECKOUT

_RESULT = re.compile(r"^@@ (\S+) (.*)$")
HOST_ARCH = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]

_INIT = """#!/usr/bin/busybox sh
busybox() { /usr/bin/busybox "$@"; }
tell() { echo; echo "@@ $1 $2"; }
for file in /data/*; do
    if busybox cat "$file" >/dev/null 2>&1; then read=ok; else read=refused; fi
    [ $read = ok ] || tell "refused:${file##*/}" '"'"$(busybox cat "$file" 2>&1 >/dev/null | busybox sed 's/.*: //')"'"'
done
tell report "$(busybox cat /run/powernode/boot.json)"
tell mounts '"'"$(busybox awk '{printf "%s %s %s;", $2, $3, $4}' /proc/mounts)"'"'
tell objects "$(busybox find /run/powernode/persist/var/lib/powernode/objects -type f | busybox wc -l)"
tell exit 0
busybox sync
busybox poweroff -f
"""
_PANICS = "#!/usr/bin/busybox sh\nexit 1\n"


@cache
def locked(arch: str) -> lock.Lock:
    """The committed lock, or a renewed one where the archive has moved on."""
    committed = lock.parse((CHECKOUT / lock.path_of(arch)).read_bytes())
    try:
        inputs = Inputs(committed, CACHE)
        for package in (*committed.group("initramfs"), *committed.group("kernel-cloud")):
            inputs.deb(package.name)
        return committed
    except PowernodeError as error:
        if error.code != "debian.input.gone":
            raise
    private = PrivateApt(committed.suite, arch, CACHE / "apt")
    private.update()
    return resolve(private, committed.suite, arch)


def sources(arch: str) -> Sources:
    inputs = Inputs(locked(arch), CACHE)
    return Sources(
        inputs=inputs, host_inputs=inputs if arch == HOST_ARCH else Inputs(locked(HOST_ARCH), CACHE), cache=CACHE
    )


def kernel_initrd(options: Options) -> Path:
    """The folder of the built image."""
    plan = variants.plan("kernel-initrd", make(options), locked(options.arch), locked(HOST_ARCH))
    folder = CACHE / "images" / plan.digest
    if not folder.exists():
        build(plan, sources(options.arch), folder, report=lambda _: None)
    return folder


def tiny_module(
    folder: Path,
    arch: str,
    *,
    name: str = "tiny",
    init: str = _INIT,
    files: int = 6,
    more: Mapping[str, bytes] | None = None,
) -> Module:
    """A module with busybox, an init that says what it sees, and some files to damage."""
    tree = folder / f"{name}-tree"
    for path in ("usr/bin", "usr/sbin", "usr/lib", "data", "dev", "proc", "sys", "run", "var", "etc", "tmp", "persist"):
        (tree / path).mkdir(parents=True)
    for link in ("bin", "sbin", "lib"):
        (tree / link).symlink_to(f"usr/{link}")
    shutil.copy(Inputs(locked(arch), CACHE).tree("busybox-static") / "usr/bin/busybox", tree / "usr/bin/busybox")
    (tree / "usr/sbin/init").write_text(init)
    (tree / "usr/sbin/init").chmod(0o755)
    for number in range(files):
        (tree / f"data/{number:03}").write_bytes(f"{name} file {number}\n".encode() * 1500)
    for inside, data in (more or {}).items():
        (tree / inside).parent.mkdir(parents=True, exist_ok=True)
        (tree / inside).write_bytes(data)
    for each in (tree, *tree.rglob("*")):
        os.utime(each, (0, 0), follow_symlinks=False)
    facts = Facts(name=name, version="1", architecture=arch, effective_priority=1000)
    return write(folder / name, facts, from_tree(tree))


def panicking_module(folder: Path, arch: str) -> Module:
    return tiny_module(folder, arch, name="panics", init=_PANICS, files=1)


def system_base(arch: str) -> Module:
    """The base system of the examples."""
    source = CHECKOUT / "examples/modules/system-base"
    inputs = digest_of_files(CHECKOUT, [path for path in source.rglob("*") if path.is_file()])
    folder = CACHE / "bases" / f"{arch}-{locked(arch).digest[:16]}-{inputs[:16]}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = Path(scratch) / "made"
            deb = Inputs(locked(arch), CACHE).deb
            systembase.build(source, locked(arch), deb, arch=arch, directory=made, cache=CACHE, report=lambda _: None)
            made.rename(folder)
    return read(folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted:
    """`results` is what the guest told, `lines` its console."""

    lines: list[str]
    end: guest.End | None
    results: Mapping[str, Any] = field(default_factory=dict)

    @property
    def report(self) -> Mapping[str, Any]:
        assert "report" in self.results, "the guest did not boot:\n" + "\n".join(self.lines[-60:])
        found: Mapping[str, Any] = self.results["report"]
        return found

    @property
    def refused(self) -> list[tuple[str, str]]:
        """Every refusal on the console: what, and its code."""
        return [(m[1], m[2]) for line in self.lines if (m := re.match(r"powernode: refused (\S+): ([\w.-]+):", line))]


def machine(folder: Path, arch: str, *, disks: Sequence[qemu.Disk] = (), append: str = "", **more: Any) -> qemu.Machine:
    built_for = json.loads((folder / "build-manifest.json").read_text())["plan"]["board"]
    return qemu.Machine(
        target=board.read(CHECKOUT / "board", built_for).target(arch),
        kernel=folder / "vmlinuz",
        initramfs=folder / "initramfs.cpio.zst",
        cmdline=f"{(folder / 'cmdline').read_text().strip()} powernode.recovery_seconds=1 panic=-1 {append}",
        disks=tuple(disks),
        network=False,
        **more,
    )


def boot(machine: qemu.Machine, *, timeout_s: float = 180, until: str | None = None) -> Booted:
    """Run until the guest powers off, restarts or crashes, or until a line has `until` in it."""
    with guest.start(machine, timeout_s=timeout_s) as running:
        lines = []
        for line in running.lines():
            lines.append(line)
            if until is not None and until in line:
                break
    results = {match[1]: json.loads(match[2]) for line in lines if (match := _RESULT.match(line))}
    return Booted(lines=lines, end=running.end, results=results)
