# SPDX-License-Identifier: MIT
"""Real initramfs contents from the locked packages: their size, their bytes, and the interpreter in them."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import subprocess
from functools import cache
from pathlib import Path

import pytest

from powernode.base.errors import PowernodeError
from powernode.debian.inputs import Inputs
from powernode.debian.lock import parse
from powernode.image import elf, initramfs, library
from powernode.image.kernel import load_order, open_kernel, parse_list
from powernode.image.pack import Packed, pack, unpack
from powernode.image.runtime import interpreter
from powernode.image.trees import Trees
from support.debian import CACHE, CHECKOUT

HOST = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "")
BUDGET_BYTES = 8_000_000
ARCHITECTURES = ("amd64", "arm64")


@cache
def inputs(arch: str) -> Inputs:
    return Inputs(parse((CHECKOUT / f"initramfs/lock/{arch}.json").read_bytes()), CACHE)


def build(arch: str, *, source: Path = CHECKOUT / "src", csrc: Path = CHECKOUT / "csrc", work: Path = CACHE) -> Packed:
    if not HOST:
        pytest.skip(f"no lock for {platform.machine()}, whose Python would have to compile")
    if shutil.which(f"{elf.TRIPLETS[arch]}-gcc") is None:
        pytest.skip(f"no C compiler for {arch} here")
    try:
        lock = inputs(arch).lock
        trees = Trees([inputs(arch).tree(package.name) for package in lock.group("initramfs")])
        python = {name: Trees([inputs(name).tree(one) for one in interpreter.PACKAGES]) for name in {arch, HOST}}
        kernel = open_kernel(inputs(arch).tree(lock.group("kernel-cloud")[0].name))
    except PowernodeError as error:
        if error.code not in ("debian.input.gone", "debian.input.unreachable", "debian.apt.archive"):
            raise
        pytest.skip(f"the packages cannot be had: {error}")
    lists = [CHECKOUT / f"initramfs/kernel-modules/{name}.list" for name in ("common", arch, "qemu")]
    contents = initramfs.Contents(
        arch=arch,
        trees=trees,
        interpreter=interpreter.build(
            python[arch], python[HOST], arch=arch, host_arch=HOST, source=source, roots=["powernode.cli.agent"]
        ),
        native=library.build(csrc, arch, work).data,
        modules=tuple(load_order(kernel, [one for path in lists for one in parse_list(path.read_text(), path.name)])),
        init=(CHECKOUT / "initramfs/init").read_bytes(),
        config={"etc/powernode/config.json": b'{"version":1}'},
    )
    return pack(initramfs.assemble(contents), work)


@cache
def built(arch: str) -> Packed:
    return build(arch)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_agents_share_is_within_its_budget(arch: str) -> None:
    sizes = built(arch).sizes
    share = {component.value: sizes[component].packed for component in initramfs.AGENT_SHARE}
    assert sum(share.values()) <= BUDGET_BYTES, share


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_there_are_no_sources_and_nothing_of_another_architecture(arch: str) -> None:
    for entry in unpack(built(arch).data):
        assert not entry.path.endswith(".py")
        assert "/test/" not in entry.path
        if stat.S_ISREG(entry.mode) and entry.data.startswith(b"\x7fELF") and not entry.path.endswith(".ko"):
            assert elf.needs(entry.data, entry.path).machine == elf.MACHINES[arch], entry.path


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_another_place_and_environment_give_the_same_bytes(
    arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    here, there = tmp_path / "here", tmp_path / "a much longer/place"
    for folder in ("src", "csrc"):
        shutil.copytree(CHECKOUT / folder, here / folder, ignore=ignored)
        shutil.copytree(here / folder, there / folder, ignore=ignored)
    first = build(arch, source=here / "src", csrc=here / "csrc")
    for name, value in {"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONHASHSEED": "7", "LANG": "tr_TR"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    work = tmp_path / "cache"
    for folder in ("packed", "native"):  # compiling and compressing again would take long; the key is the content
        shutil.copytree(CACHE / folder, work / folder)
    before = os.umask(0o077)
    try:
        second = build(arch, source=there / "src", csrc=there / "csrc", work=work)
    finally:
        os.umask(before)
    assert first.data == second.data


CHECKS = """
import sys
import powernode.cli.agent.boot
from powernode import native
assert native.library().path == "/usr/lib/powernode/libpowernode.so", native.reason()
import ssl
assert len(ssl.create_default_context().get_ca_certs()) > 100
import datetime, socket, traceback
datetime.datetime.strptime("2026-01-02", "%Y-%m-%d")
"a.example".encode("idna")
import threading, time
for number in range(4):  # still running at the end: libc ends them, and needs a library for it
    threading.Thread(target=lambda: [time.sleep(0.0001) for _ in range(10**9)], daemon=True).start()
assert sys.path == ["/usr/lib/python313.zip", "/usr/lib/python3.13", "/usr/lib/python3.13/lib-dynload"], sys.path
print("fine")
"""


def test_two_versions_of_python_are_refused(tmp_path: Path) -> None:
    built(HOST)  # skips when there are no packages
    host = Trees([inputs(HOST).tree(one) for one in interpreter.PACKAGES])
    changed = tmp_path / "usr/lib/python3.13/json/decoder.py"
    changed.parent.mkdir(parents=True)
    changed.write_bytes(host.read("usr/lib/python3.13/json/decoder.py") + b"# a later version\n")
    assert refused(Trees([tmp_path, *host.roots]), host) == "image.python.versions"


def test_packages_without_an_interpreter_are_refused(tmp_path: Path) -> None:
    assert refused(Trees([tmp_path]), Trees([tmp_path])) == "image.python.packages"


def refused(target: Trees, host: Trees) -> str:
    with pytest.raises(PowernodeError) as refusal:
        interpreter.build(
            target, host, arch=HOST, host_arch=HOST, source=CHECKOUT / "src", roots=["powernode.base.canonical"]
        )
    return refusal.value.code


def test_the_interpreter_starts_in_it(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("changing the root needs root")
    for entry in unpack(built(HOST).data):
        path = tmp_path / entry.path
        if stat.S_ISDIR(entry.mode):
            path.mkdir(exist_ok=True)
        elif stat.S_ISLNK(entry.mode):
            path.symlink_to(entry.data.decode())
        elif stat.S_ISREG(entry.mode):
            path.write_bytes(entry.data)
            path.chmod(entry.mode & 0o777)
    python = ["chroot", str(tmp_path), "/usr/bin/python3.13", "-I", "-S", "-W", "error"]
    for arguments, said in ((["-c", CHECKS], "fine"), (["-m", "powernode.cli.agent", "--version"], "powernode-agent")):
        result = subprocess.run(
            [*python, *arguments],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.startswith(said)
