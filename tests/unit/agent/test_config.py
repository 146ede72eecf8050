# SPDX-License-Identifier: MIT
"""The builder's configuration: strict where it is wrong, strict where it is silent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from powernode.agent.identity.cascade import DEFAULT_ORDER
from powernode.base.errors import DataError
from powernode.composefs.mount import Enforcement
from powernode.wire.bootset import RootPolicy
from powernode.wire.nodeconfig import FLOORS, POLICIES, SOURCES, Bind, Config, PersistConfig, RecoveryConfig, parse


def read(**settings: Any) -> Config:
    return parse(json.dumps({"version": 1, **settings}).encode())


def test_silence_means_the_strict_defaults() -> None:
    config = read()
    assert config == Config()
    assert (config.floor, config.max_attempts, config.full_preflight, config.policy) == (
        "kernel-verity",
        3,
        False,
        None,
    )
    assert (config.persist.tmpfs_fallback, config.recovery.shell) == (False, False)
    assert (config.persist.label, config.persist.wait_s, config.recovery.seconds) == ("persist", 15, 60)


def test_everything_said() -> None:
    persist = {"label": "p", "wait_s": 2, "tmpfs_fallback": True, "grow": False, "check": False}
    config = read(
        arch="arm64",
        board="rpi4",
        persist=persist,
        identity={"order": ["cloud", "cmdline"], "budget_s": {"cloud": 9}},
        choice={"max_attempts": 5},
        enforcement={"floor": "userspace"},
        preflight="full",
        root={"policy": "ephemeral"},
        recovery={"seconds": 0, "shell": True},
        binds=[{"type": "9p", "tag": "seed", "target": "/run/powernode/seed", "options": "ro"}],
        modules=["virtio_blk"],
    )
    assert config == Config(
        arch="arm64",
        board="rpi4",
        persist=PersistConfig(label="p", wait_s=2, tmpfs_fallback=True, grow=False, check=False),
        identity_order=("cloud", "cmdline"),
        identity_budget_s=(("cloud", 9),),
        max_attempts=5,
        floor="userspace",
        full_preflight=True,
        policy="ephemeral",
        recovery=RecoveryConfig(seconds=0, shell=True),
        binds=(Bind(type="9p", tag="seed", target="/run/powernode/seed", options="ro"),),
        modules=("virtio_blk",),
    )


def test_null_policy_is_none() -> None:
    assert read(root={"policy": None}).policy is None
    assert read(root={}).policy is None


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"version": 2}, "agent.config.value"),
        ({"version": "1"}, "agent.config.type"),
        ({"enforcment": {}}, "agent.config.unknown-key"),
        ({"persist": {"lable": "x"}}, "agent.config.unknown-key"),
        ({"persist": {"label": "x" * 17}}, "agent.config.value"),
        ({"persist": {"tmpfs_fallback": 1}}, "agent.config.type"),
        ({"persist": {"wait_s": -1}}, "agent.config.value"),
        ({"enforcement": {"floor": "some"}}, "agent.config.value"),
        ({"preflight": "none"}, "agent.config.value"),
        ({"root": {"policy": "rw"}}, "agent.config.value"),
        ({"choice": {"max_attempts": 0}}, "agent.config.value"),
        ({"identity": {"order": ["cmdline", "cmdline"]}}, "agent.config.value"),
        ({"identity": {"order": ["guess"]}}, "agent.config.value"),
        ({"identity": {"budget_s": {"guess": 1}}}, "agent.config.unknown-key"),
        ({"identity": {"budget_s": {"cloud": 0}}}, "agent.config.value"),
        ({"binds": [{"type": "nfs", "tag": "x", "target": "/run/x"}]}, "agent.config.value"),
        ({"binds": [{"type": "9p", "target": "/run/x"}]}, "agent.config.missing"),
        ({"recovery": {"shell": "yes"}}, "agent.config.type"),
        ({"modules": [1]}, "agent.config.type"),
    ],
)
def test_refusals(settings: dict[str, Any], code: str) -> None:
    with pytest.raises(DataError) as caught:
        read(**settings)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "target", ["/usr", "/etc/x", "/", "run/x", "/run", "/run/", "/run/../usr", "/run//x", "/run/./x", "/var/../sbin"]
)
def test_binds_never_cover_what_was_verified(target: str) -> None:
    with pytest.raises(DataError) as caught:
        read(binds=[{"type": "9p", "tag": "x", "target": target}])
    assert caught.value.code == "agent.config.bind-target"


def test_words_are_those_of_the_others() -> None:
    assert SOURCES == DEFAULT_ORDER
    assert set(FLOORS) == {level.value for level in Enforcement}
    assert tuple(policy.value for policy in RootPolicy) == POLICIES
