# SPDX-License-Identifier: MIT
"""The recipe of the base, the repository made of locked packages, and whether foreign programs can run."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from powernode.base.errors import DataError, MachineError, OperatorError
from powernode.debian import binfmt, lock, repository
from powernode.image import packages
from powernode.manifest.globs import compile_globs
from powernode.module import systembase

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


def recipe(folder: Path, **changes: object) -> Path:
    document = json.loads((BASE / "recipe.json").read_text()) | changes
    (folder / "recipe.json").write_text(json.dumps(document))
    return folder


def test_the_recipe_asks_for_what_the_lock_has() -> None:
    base = systembase.read_recipe(BASE)
    for arch in lock.ARCHITECTURES:
        locked = lock.parse((CHECKOUT / f"initramfs/lock/{arch}.json").read_bytes())
        for options in ([], ["ssh"]):
            names = {package.name for package in locked.group(systembase.group(base, options))}
            assert set(base.wanted(options)) <= names
            asked = packages.GROUPS[systembase.group(base, options)].names
            assert set(asked) - {"?essential"} == set(base.wanted(options))


def test_no_dbus_and_no_apt_in_the_lock() -> None:
    for arch in lock.ARCHITECTURES:
        locked = lock.parse((CHECKOUT / f"initramfs/lock/{arch}.json").read_bytes())
        assert {"apt", "dbus"}.isdisjoint(package.name for package in locked.group("system-base"))


def test_licences_stay_and_secrets_go() -> None:
    base = systembase.read_recipe(BASE)
    remove, keep = compile_globs(base.remove), compile_globs(base.keep)
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


def test_an_option_that_is_not_there_is_refused() -> None:
    with pytest.raises(OperatorError) as refused:
        systembase.read_recipe(BASE).wanted(["telnet"])
    assert (refused.value.code, refused.value.expected) == ("module.base.option", "ssh")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"package": []}, "module.base.recipe.unknown-key"),
        ({"packages": "systemd"}, "module.base.recipe.type"),
        ({"options": [{"name": "ssh"}]}, "module.base.recipe.missing"),
        ({"effective_priority": -1}, "module.base.recipe.value"),
    ],
)
def test_a_recipe_with_a_mistake_is_refused(tmp_path: Path, changes: dict[str, object], code: str) -> None:
    with pytest.raises(DataError) as refused:
        systembase.read_recipe(recipe(tmp_path, **changes))
    assert refused.value.code == code


def test_a_folder_without_a_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError) as refused:
        systembase.read_recipe(tmp_path)
    assert refused.value.code == "module.base.recipe"


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
    assert refused.value.code == "image.repository.package"


def test_the_newest_package_gives_the_time(tmp_path: Path) -> None:
    assert repository.newest([deb(tmp_path, "a", built_s=7), deb(tmp_path, "b", built_s=9)]) == 9
    (tmp_path / "no.deb").write_bytes(b"text")
    with pytest.raises(DataError) as refused:
        repository.newest([tmp_path / "no.deb"])
    assert refused.value.code == "image.repository.package"


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


def test_a_module_that_is_there_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(OperatorError) as refused:
        systembase.build(systembase.read_recipe(BASE), [], arch="amd64", directory=tmp_path, scratch=tmp_path)
    assert refused.value.code == "module.directory.exists"


def test_name_servers_are_taken_from_the_state_of_networkd(tmp_path: Path) -> None:
    state, result = tmp_path / "state", tmp_path / "run/resolv.conf"
    command = ["sh", str(BASE / "rootfs/usr/lib/powernode/resolv-conf"), str(state), str(result)]
    subprocess.run(command, check=True)
    assert not result.exists()
    state.write_text("# private\nOPER_STATE=routable\nDNS=10.0.2.3 fe80::1%2#name\nDOMAINS=a.example b.example\n")
    subprocess.run(command, check=True)
    assert result.read_text() == "nameserver 10.0.2.3\nnameserver fe80::1%2\nsearch a.example b.example\n"
