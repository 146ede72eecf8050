# SPDX-License-Identifier: MIT
"""The base system's module, the repository made of locked packages, and whether foreign programs can run."""

from __future__ import annotations

import gzip
import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from powernode.base.errors import DataError, MachineError, OperatorError
from powernode.composefs import image as images
from powernode.debian import binfmt, lock, repository
from powernode.debian.basesystem import SYSTEM_BASE
from powernode.image import packages
from powernode.manifest.globs import compile_globs
from powernode.module import directory as modules
from powernode.module import systembase
from powernode.module.source import read_source
from unit.module._fake_root import Debs, calls, fake_mmdebstrap

CHECKOUT = Path(__file__).resolve().parents[3]
BASE = CHECKOUT / "examples/modules/system-base"


def deb(folder: Path, name: str, *, built_s: int = 1000, extra: str = "") -> Path:
    control = f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: nobody\n{extra}Description: x\n more\n"
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as tar:
        info = tarfile.TarInfo("./control")
        info.size = len(control)
        tar.addfile(info, io.BytesIO(control.encode()))
    data = b"!<arch>\n"
    for member, content in (("debian-binary", b"2.0\n"), ("control.tar.gz", gzip.compress(inner.getvalue()))):
        data += f"{member:<16}{built_s:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content
        data += b"\n" * (len(content) % 2)
    path = folder / f"{name}-{built_s}.deb"
    path.write_bytes(data)
    return path


def test_the_module_asks_for_what_the_lock_has() -> None:
    base = read_source(BASE).manifest
    extra = {option.name: option.packages for option in base.build.options}
    assert set(base.package_spec) == set(SYSTEM_BASE) - {"?essential"}
    for arch in lock.ARCHITECTURES:
        locked = lock.parse((CHECKOUT / f"initramfs/lock/{arch}.json").read_bytes())
        for options in ([], ["ssh"]):
            wanted = {*base.package_spec, *(package for option in options for package in extra[option])}
            names = {package.name for package in locked.group(systembase.group(options))}
            assert wanted <= names
            assert set(packages.GROUPS[systembase.group(options)].names) - {"?essential"} == wanted


def test_no_dbus_and_no_apt_in_the_lock() -> None:
    for arch in lock.ARCHITECTURES:
        locked = lock.parse((CHECKOUT / f"initramfs/lock/{arch}.json").read_bytes())
        assert {"apt", "dbus"}.isdisjoint(package.name for package in locked.group("system-base"))


def test_licences_stay_and_secrets_go() -> None:
    build = read_source(BASE).manifest.build
    remove, keep = compile_globs(build.remove), compile_globs(build.keep)
    for path in (b"/etc/ssh/ssh_host_ed25519_key", b"/etc/resolv.conf", b"/etc/hostname", b"/var/log/dpkg.log"):
        assert remove.matches(path)
        assert not keep.matches(path)
    assert keep.matches(b"/usr/share/doc/bash/copyright")
    assert not keep.matches(b"/usr/share/doc/bash/changelog.gz")
    assert not remove.matches(b"/etc/machine-id")


def test_the_machine_id_is_empty_and_what_is_to_run_is_executable() -> None:
    assert (BASE / "rootfs/etc/machine-id").read_bytes() == b""
    for script in BASE.glob("rootfs*/usr/lib/powernode/*"):
        assert script.stat().st_mode & 0o111, script
        assert script.read_text().startswith("#!/bin/sh\n")


def build(debs: Debs, tmp_path: Path, name: str, *options: str) -> modules.Module:
    locked = lock.Lock(arch=debs.arch, suite="trixie", groups={systembase.group(options): debs.packages})
    return systembase.build(
        BASE,
        locked,
        debs.deb,
        arch=debs.arch,
        directory=tmp_path / name,
        cache=tmp_path / "cache",
        options=options,
        report=lambda _: None,
    )


@pytest.fixture
def debs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Debs:
    monkeypatch.setenv("PATH", str(fake_mmdebstrap(tmp_path / "bin")))
    return Debs(tmp_path / "debs", {"base-files": {"/etc/motd": b"hello\n", "/etc/hostname": b"builder\n"}})


def test_a_base_of_small_packages(debs: Debs, tmp_path: Path) -> None:
    module = build(debs, tmp_path, "base")
    assert (module.facts.name, module.facts.version) == ("system-base", "13.1.0")
    assert (module.facts.effective_priority, module.facts.file_spec) == (0, ("/**",))
    image = module.image.read_bytes()
    assert modules.merge_root([module]).digest == module.digest
    assert b"/etc/machine-id" in (dump := images.dump(image))
    assert b"/persist " in dump
    assert b"\n/etc/hostname " not in dump
    assert build(debs, tmp_path, "again").digest == module.digest
    assert calls(tmp_path / "bin") == 1


def test_an_option_brings_its_files(debs: Debs, tmp_path: Path) -> None:
    module = build(debs, tmp_path, "base", "ssh")
    assert module.facts.version == "13.1.0+ssh"
    assert b"/etc/ssh/sshd_config.d/50-powernode.conf" in images.dump(module.image.read_bytes())


def test_an_option_that_is_not_there_is_refused(debs: Debs, tmp_path: Path) -> None:
    with pytest.raises(OperatorError) as refused:
        build(debs, tmp_path, "base", "telnet")
    assert (refused.value.code, refused.value.expected) == ("module.build.option", "ssh")


def test_a_module_that_is_there_is_refused_before_anything_is_built(debs: Debs, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    with pytest.raises(OperatorError) as refused:
        build(debs, tmp_path, "base")
    assert refused.value.code == "module.directory.exists"
    assert calls(tmp_path / "bin") == 0


def test_the_repository_lists_what_it_holds(tmp_path: Path) -> None:
    debs = [deb(tmp_path, "b", extra="Depends: a,\n c (>= 1)\n"), deb(tmp_path, "a")]
    place = tmp_path / "repository"
    place.mkdir()
    repository.write_repository(debs, place)
    first, second = (place / "Packages").read_text().split("\n\n")
    assert first.startswith("Package: a\nVersion: 1\nArchitecture: all\nFilename: ./a.deb\n")
    assert "Depends: a, c (>= 1)\n" in second
    assert f"Size: {debs[0].stat().st_size}\nSHA256: " in second
    assert (place / "b.deb").read_bytes() == debs[0].read_bytes()
    assert "Maintainer" not in first


def test_the_repository_does_not_depend_on_the_order(tmp_path: Path) -> None:
    debs = [deb(tmp_path, name) for name in ("b", "a")]
    for place, order in ((tmp_path / "x", debs), (tmp_path / "y", debs[::-1])):
        place.mkdir()
        repository.write_repository(order, place)
    assert (tmp_path / "x/Packages").read_bytes() == (tmp_path / "y/Packages").read_bytes()


def test_a_package_there_twice_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "repository"
    place.mkdir()
    with pytest.raises(DataError) as refused:
        repository.write_repository([deb(tmp_path, "a"), deb(tmp_path, "a", built_s=2000)], place)
    assert refused.value.code == "debian.repository.package"


def test_the_newest_package_gives_the_time(tmp_path: Path) -> None:
    assert repository.newest([deb(tmp_path, "a", built_s=7), deb(tmp_path, "b", built_s=9)]) == 9
    (tmp_path / "no.deb").write_bytes(b"text")
    with pytest.raises(DataError) as refused:
        repository.newest([tmp_path / "no.deb"])
    assert refused.value.code == "debian.repository.package"


def test_the_own_architecture_needs_no_interpreter(tmp_path: Path) -> None:
    binfmt.ensure("arm64", kernel=tmp_path, packaged=tmp_path, machine="aarch64")


def test_a_registered_interpreter_is_enough(tmp_path: Path) -> None:
    (tmp_path / "qemu-aarch64").write_text("enabled\ninterpreter /usr/bin/qemu-aarch64\n")
    binfmt.ensure("arm64", kernel=tmp_path, packaged=tmp_path, machine="x86_64")


def test_a_missing_interpreter_is_named(tmp_path: Path) -> None:
    with pytest.raises(MachineError) as refused:
        binfmt.ensure("arm64", kernel=tmp_path, packaged=tmp_path, machine="x86_64")
    assert refused.value.code == "debian.binfmt.missing"


def test_a_forgotten_interpreter_is_registered(tmp_path: Path) -> None:
    (tmp_path / "qemu-aarch64.conf").write_text("# from the package\n:qemu-aarch64:M::x:y:/usr/bin/qemu:F\n")
    (tmp_path / "register").write_text("")
    (tmp_path / "qemu-aarch64").write_text("disabled\n")
    binfmt.ensure("arm64", kernel=tmp_path, packaged=tmp_path, machine="x86_64")
    assert (tmp_path / "register").read_text() == ":qemu-aarch64:M::x:y:/usr/bin/qemu:F"


def test_an_interpreter_that_cannot_be_registered_is_told(tmp_path: Path) -> None:
    (tmp_path / "qemu-aarch64.conf").write_text(":qemu-aarch64:M::x:y:/usr/bin/qemu:F\n")
    (tmp_path / "register").mkdir()  # nobody can write there
    with pytest.raises(MachineError) as refused:
        binfmt.ensure("arm64", kernel=tmp_path, packaged=tmp_path, machine="x86_64")
    assert (refused.value.code, refused.value.hint) == (
        "debian.binfmt.register",
        "as root: systemctl restart systemd-binfmt",
    )


def test_name_servers_are_taken_from_the_state_of_networkd(tmp_path: Path) -> None:
    state, result = tmp_path / "state", tmp_path / "run/resolv.conf"
    command = ["sh", str(BASE / "rootfs/usr/lib/powernode/resolv-conf"), str(state), str(result)]
    subprocess.run(command, check=True)
    assert not result.exists()
    state.write_text("# private\nOPER_STATE=routable\nDNS=10.0.2.3 fe80::1%2#name\nDOMAINS=a.example b.example\n")
    subprocess.run(command, check=True)
    assert result.read_text() == "nameserver 10.0.2.3\nnameserver fe80::1%2\nsearch a.example b.example\n"
