# SPDX-License-Identifier: MIT
"""A kernel to boot in tests: Debian's cloud flavour of the next release, unpacked in the user's cache.

The archive's address is taken from this machine's own apt sources; nothing is installed and apt's state is private.
Once unpacked, the cache is used without asking the archive again: remove it to get a newer kernel.

    kernel = get_kernel()          # raises VmUnavailableError with the reason
    kernel.image, kernel.module("erofs")
"""

from __future__ import annotations

import lzma
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SUITE = "trixie"
_META_PACKAGE = "linux-image-cloud-amd64"
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_DEBIAN_PATH = re.compile(r"\S+/debian/?$")


class VmUnavailableError(Exception):
    """Why no virtual machine can be had here; tests skip with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    image: Path
    modules: Path

    def module(self, name: str) -> bytes | None:
        """The module, uncompressed; None if it is built in."""
        for path in self.modules.rglob(f"{name}.ko*"):
            data = path.read_bytes()
            return lzma.decompress(data) if path.suffix == ".xz" else data
        return None

    def closure(self, names: tuple[str, ...]) -> list[tuple[str, bytes]]:
        """The modules with what they depend on, in the order to load them."""
        loaded: dict[str, bytes] = {}

        def load(name: str) -> None:
            data = self.module(name)
            if name in loaded or data is None:
                return
            for needed in _depends(data):
                load(needed)
            loaded[name] = data

        for name in names:
            load(name)
        return list(loaded.items())


def get_kernel() -> Kernel:
    """The newest kernel in the cache, or a freshly downloaded one."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = home / "powernode" / "vm"
    kernels = sorted(cache.glob("linux-image-*"))
    return _kernel_in(kernels[-1] if kernels else _download(cache))


def _kernel_in(root: Path) -> Kernel:
    images = sorted(root.glob("boot/vmlinuz-*"))
    modules = sorted([*root.glob("usr/lib/modules/*/kernel"), *root.glob("lib/modules/*/kernel")])
    if not images or not modules:
        raise VmUnavailableError(f"{root} holds no kernel; remove it and try again")
    return Kernel(image=images[0], modules=modules[0])


def _download(cache: Path) -> Path:
    for tool in ("apt-get", "apt-cache", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise VmUnavailableError(f"{tool} is not here to get a kernel with")
    cache.mkdir(parents=True, exist_ok=True)
    work = cache / f"apt-{os.getpid()}"
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    try:
        (work / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {_archive()} {SUITE} main\n")
        _run("apt-get", work, "update")
        depends = _run("apt-cache", work, "depends", _META_PACKAGE)
        packages: list[str] = re.findall(r"Depends: (linux-image-\S+)", depends)
        if not packages:
            raise VmUnavailableError(f"the archive has no {_META_PACKAGE} for {SUITE}")
        _run("apt-get", work, "download", packages[0])
        subprocess.run(["dpkg-deb", "-x", str(next(work.glob("*.deb"))), str(work / "root")], check=True)
        final = cache / packages[0]
        (work / "root").rename(final)
        return final
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _run(tool: str, work: Path, *arguments: str) -> str:
    options = {
        "Dir::State": work / "state",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": work / "cache",
        "Dir::Etc::sourcelist": work / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Acquire::Languages": "none",
        "APT::Architecture": "amd64",
        "APT::Architectures": "amd64",
        # apt's own user cannot write into a private directory; the archive's signature is checked all the same
        "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
    }
    command = [tool, *(f"-o{key}={value}" for key, value in options.items()), *arguments]
    try:
        result = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired as error:
        raise VmUnavailableError(f"{tool} {arguments[0]} took too long") from error
    if result.returncode:
        raise VmUnavailableError(f"{tool} {' '.join(arguments)} failed: {result.stderr.strip()[-300:]}")
    return result.stdout


def _archive() -> str:
    """The first Debian archive in this machine's apt sources, one-line or deb822."""
    for uri in _uris():
        if _DEBIAN_PATH.match(uri):
            return uri
    raise VmUnavailableError("no Debian archive in this machine's apt sources")


def _uris() -> Iterator[str]:
    etc = Path("/etc/apt")
    for path in (etc / "sources.list", *sorted(etc.glob("sources.list.d/*"))):
        if not path.is_file():
            continue
        for line in path.read_text("utf-8", "replace").splitlines():
            words = line.split()
            if words[:1] == ["URIs:"]:
                yield from words[1:]
            elif words[:1] == ["deb"]:
                yield from (word for word in words[1:] if "://" in word)


def _depends(module: bytes) -> list[str]:
    start = module.find(b"\0depends=") + 1
    if not start:
        return []
    text = module[start : module.index(b"\0", start)].decode().removeprefix("depends=")
    return [name for name in text.split(",") if name]
