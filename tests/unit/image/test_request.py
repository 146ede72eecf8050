# SPDX-License-Identifier: MIT
"""What is asked for is read and checked before anything is planned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from powernode.base.errors import PowernodeError
from powernode.image.request import Options, make
from powernode.module.directory import merge_root
from powernode.wire import bootset, nodeconfig
from powernode.wire.bootset import RootPolicy
from unit.image._small_builds import ARCH, module_in

OPTIONS = Options(arch=ARCH)


def refused(options: Options) -> PowernodeError:
    with pytest.raises(PowernodeError) as caught:
        make(options)
    return caught.value


def config(folder: Path, text: str) -> Options:
    (folder / "config.json").write_text(text)
    return replace(OPTIONS, config=folder / "config.json")


def test_nothing_but_an_architecture() -> None:
    request = make(OPTIONS)
    assert (request.root, request.base_set, request.modules, request.fleet_root) == (None, None, (), b"")
    assert request.config == {"version": 1, "arch": ARCH, "board": "qemu"}
    assert request.floor == "kernel-verity"
    assert request.kernel_group == request.target.kernel == "kernel-cloud"
    assert make(replace(OPTIONS, kernel="kernel-generic")).kernel_group == "kernel-generic"


def test_the_base_set_names_the_root_that_the_modules_make(tmp_path: Path) -> None:
    site = module_in(tmp_path, "site", priority=2000, architecture="all")
    base = module_in(tmp_path, "base")
    request = make(replace(OPTIONS, modules=(site.directory, base.directory), policy="persistent"))
    assert request.base_set is not None
    found = bootset.parse(request.base_set)
    assert found.root_digest == merge_root([base, site]).digest
    assert found.root_policy is RootPolicy.PERSISTENT
    assert [(item.name, item.digest) for item in found.modules] == [("base", base.digest), ("site", site.digest)]
    other = make(replace(OPTIONS, modules=(base.directory, site.directory), policy="persistent"))
    assert other.base_set == request.base_set


def test_the_configuration_is_taken_and_completed(tmp_path: Path) -> None:
    text = json.dumps({"recovery": {"seconds": 10}, "enforcement": {"floor": "userspace"}, "board": "qemu"})
    request = make(config(tmp_path, text))
    assert request.floor == "userspace"
    parsed = nodeconfig.parse(json.dumps(request.config).encode())
    assert (parsed.recovery.seconds, parsed.arch, parsed.board) == (10, ARCH, "qemu")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "json.syntax"),
        ("[]", "image.request.config"),
        ('{"version":2}', "agent.config.value"),
        ('{"recoverie":{}}', "agent.config.unknown-key"),
        ('{"recovery":{"seconds":"10"}}', "agent.config.type"),
        ('{"enforcement":{"floor":"some"}}', "agent.config.value"),
        ('{"arch":"m68k"}', "image.request.config"),
        ('{"board":"rpi4"}', "image.request.config"),
        ('{"board":["qemu"]}', "image.request.config"),
    ],
)
def test_a_configuration_that_the_agent_would_refuse(tmp_path: Path, text: str, code: str) -> None:
    assert refused(config(tmp_path, text)).code == code


@pytest.mark.parametrize("name", ["config", "fleet_root"])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    for path, reason in ((tmp_path / "gone", "No such file"), (tmp_path, "Is a directory")):
        error = refused(replace(OPTIONS, **{name: path}))  # type: ignore[arg-type]
        assert (error.code, error.exit_status) == ("image.request.file", 2)
        assert f"--{name.replace('_', '-')}" in error.message
        assert f"{path}: {reason}" in str(error.found)


def test_modules_that_make_no_root(tmp_path: Path) -> None:
    assert refused(replace(OPTIONS, modules=(tmp_path,))).code == "module.directory.no-module"
    other = module_in(tmp_path, "other", architecture={"amd64": "arm64", "arm64": "amd64"}[ARCH])
    assert refused(replace(OPTIONS, modules=(other.directory,))).code == "image.request.architecture"
    one = module_in(tmp_path, "one")
    assert refused(replace(OPTIONS, modules=(one.directory, one.directory))).code == "merge.input"


def test_boards_and_room() -> None:
    assert refused(replace(OPTIONS, board="../qemu")).code == "image.board.unknown"
    assert refused(replace(OPTIONS, board="")).code == "image.board.unknown"
    assert refused(replace(OPTIONS, arch="amd64", board="rpi4")).code == "image.board.arch"
    assert make(replace(OPTIONS, room_mib=16 << 10)).room_mib == 16 << 10
    assert refused(replace(OPTIONS, room_mib=(16 << 10) + 1)).code == "image.request.room"
