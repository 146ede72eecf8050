# SPDX-License-Identifier: MIT
"""The boot report: what is said is kept, what is secret is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from powernode.agent.report import Report, read, write
from powernode.base.errors import DataError
from unit.agent._node import Node


def test_what_is_said_is_kept(folder: Path) -> None:
    said: list[str] = []
    times = iter([1.2344, 2.0, 3.0, 4.0])
    report = Report(clock=lambda: next(times), say=said.append)
    report.stage("persist", "there")
    report.warn("x.y", "careful")
    report.refuse("good", DataError("a.b", "no", expected="e", found="f", hint="h"), set_id="12")
    report.facts["persist"] = {"device": "/dev/vda2"}
    write(report.document("nothing"), f"{folder}/boot.json")
    assert read(f"{folder}/boot.json") == {
        "version": 1,
        "outcome": "nothing",
        "finished_ms": 3000,
        "stages": [{"name": "persist", "at_ms": 1234, "message": "there"}],
        "warnings": [{"code": "x.y", "message": "careful", "at_ms": 2000}],
        "refused": [
            {"what": "good", "set": "12", "code": "a.b", "message": "no", "expected": "e", "found": "f", "hint": "h"}
        ],
        "persist": {"device": "/dev/vda2"},
    }
    assert said == [
        "powernode: persist: there",
        "powernode: WARNING: x.y: careful",
        "powernode: refused good: a.b: no",
        "powernode:   found: f",
    ]


@pytest.mark.parametrize("name", ["bootstrap_token", "password", "client_secret", "private_key_pem"])
def test_what_is_called_a_secret_is_one(node: Node, folder: Path, name: str) -> None:
    report = Report(clock=node.clock, say=node.console.append)
    report.facts["x"] = {"list": [{name: "s3cr3t"}]}
    write(report.document("booted"), f"{folder}/boot.json")
    assert "s3cr3t" not in (text := (folder / "boot.json").read_text())
    assert json.loads(text)["x"] == {"list": [{name: "[redacted]"}]}


def test_no_report(folder: Path) -> None:
    assert read(f"{folder}/none") is None


@pytest.mark.parametrize("text", ["https://user:pass@p.example/x", "https://token@p.example"])
def test_a_password_in_an_address_does_not_get_out(folder: Path, text: str) -> None:
    report = Report(clock=lambda: 0.0, say=print)
    report.facts["x"] = [{"platform_url": text, "other": "https://p.example/a@b", "mail": "a@b"}]
    write(report.document("nothing"), f"{folder}/boot.json")
    assert (read(f"{folder}/boot.json") or {})["x"] == [
        {"platform_url": "[redacted]", "other": "https://p.example/a@b", "mail": "a@b"}
    ]
