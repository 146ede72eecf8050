# SPDX-License-Identifier: MIT
"""What a node says of itself, before, without and after a boot; dry runs; confirming and staging."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from powernode.agent.confirm import confirm, stage
from powernode.agent.identity.surroundings import Surroundings
from powernode.agent.introspect import introspect
from powernode.agent.plan import dry_run
from powernode.agent.report import Report
from powernode.agent.situation import Situation
from powernode.base.errors import DataError, OperatorError
from powernode.cli.agent import main
from powernode.signing.sets import sign_set
from unit.agent._node import INSTANCE, NOW, OTHER_PRIVATE, PRIVATE, Node


def known(node: Node) -> Any:
    around = Surroundings(root=node.paths.at("/"), clock=node.clock, sleep=node.sleep)
    return introspect(node.paths, around, version="1", library="none")


def snapshot(root: Path) -> dict[str, tuple[int, bytes | str]]:
    """Every file below `root`, its time and content."""
    found: dict[str, tuple[int, bytes | str]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
        found[str(path)] = (status.st_mtime_ns, content)
    return found


def test_everything_with_its_source(node: Node) -> None:
    node.cmdline(
        f"powernode.instance_uuid={INSTANCE} powernode.platform_url=https://p.example "
        "powernode.bootstrap_token=s3cr3t powernode.x=1"
    )
    set_id = node.pending(node.boot_set(node.root_image()))
    before = snapshot(node.root)
    document = known(node)
    assert snapshot(node.root) == before
    fields = document["identity"]["identity"]["fields"]
    assert fields["instance_uuid"] == {"value": INSTANCE, "source": "cmdline", "place": "powernode.instance_uuid"}
    assert document["cmdline"]["unknown"] == ["powernode.x"]
    assert document["sets"]["pending"] == set_id
    assert document["disks"][0]["label"] == "persist"
    assert document["config"]["source"] == node.paths.config
    assert "s3cr3t" not in json.dumps(document)
    assert document["boot"] is None


def test_after_a_boot_it_has_the_report(node: Node) -> None:
    set_id = node.good(node.boot_set(node.root_image()))
    node.boot()
    assert known(node)["boot"]["root"]["set"] == set_id


def test_one_broken_part_hides_no_other(node: Node) -> None:
    node.write("etc/powernode/config.json", b"{")
    node.write("run/powernode/boot.json", b"[1,")
    os.symlink("nowhere", f"{node.store.sets}/good")
    document = known(node)
    assert document["config"]["error"]["code"] == "json.syntax"
    assert document["boot"]["error"]["code"] == "json.syntax"
    assert document["sets"]["error"]["code"] == "agent.sets.pointer"
    assert document["identity"]["identity"]["fields"]["instance_uuid"]["value"] == INSTANCE


def planned(node: Node) -> bool:
    node.console.clear()
    report = Report(clock=node.clock, say=node.console.append)
    found = dry_run(Situation(node.paths, report, node.clocks()), node.paths, report)
    node.document = report.document("dry-run")
    return found


def test_a_dry_run_changes_nothing(node: Node) -> None:
    good, pending = node.root_image("old"), node.root_image("new")
    node.good(node.boot_set(good))
    new = node.pending(node.boot_set(pending, serial=2))
    before = snapshot(node.root)
    assert planned(node)
    assert snapshot(node.root) == before
    assert node.kernel.log == []
    plans = [line for line in node.console if line.startswith("powernode: plan: ")]
    assert plans[0] == f"powernode: plan: pending {new[:12]}: root {pending} policy=ro, to be sealed first"
    assert len(plans) == 2


def test_a_dry_run_refuses_what_the_boot_would(node: Node) -> None:
    root = node.root_image()
    node.good(node.boot_set(root), OTHER_PRIVATE)
    os.unlink(node.store.image(root.hex))
    node.base(node.boot_set(root))
    assert not planned(node)
    assert node.codes() == [("good", "trust.dsse.signature"), ("base", "boot.image-missing")]


def test_confirm_what_is_running(node: Node) -> None:
    new = node.pending(node.boot_set(node.root_image("new")))
    node.boot()
    later = node.pending(node.boot_set(node.root_image("later"), serial=2))
    assert confirm(node.paths) == new
    assert (node.sets.pointer("good"), node.sets.pointer("pending")) == (new, later)


def test_nothing_to_confirm(node: Node) -> None:
    with pytest.raises(OperatorError) as caught:
        confirm(node.paths)
    assert caught.value.code == "agent.confirm.no-boot"
    node.base(node.boot_set(node.root_image()))
    node.boot()
    assert confirm(node.paths) is None


def test_staging_refuses_what_would_be_refused(node: Node) -> None:
    root = node.root_image()
    node.good(node.boot_set(root))
    node.boot()
    other = node.boot_set(root, instance="00000000-0000-4000-8000-000000000000")
    for envelope, code in (
        (sign_set(node.boot_set(root, serial=2), OTHER_PRIVATE), "trust.dsse.signature"),
        (sign_set(other, PRIVATE), "trust.set.other-instance"),
        (sign_set(node.boot_set(root, not_after=NOW - 1), PRIVATE), "trust.set.expired"),
    ):
        with pytest.raises(DataError) as caught:
            stage(envelope, node.paths, now=NOW)
        assert caught.value.code == code
    assert node.sets.pointer("pending") is None
    mine = sign_set(node.boot_set(root, serial=2, instance=INSTANCE), PRIVATE)
    assert stage(mine, node.paths, now=NOW) == node.sets.pointer("pending")


def test_commands(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    prefix = f"--root={node.root}"
    root = node.root_image()
    node.good(node.boot_set(root))
    assert main(["boot", "--dry-run", prefix]) == 0
    assert f"root {root} policy=ro" in capsys.readouterr().out
    assert main(["boot", "--dry-run", "--json", prefix]) == 0
    assert json.loads(capsys.readouterr().out)["outcome"] == "dry-run"
    assert main(["introspect", "--json", prefix]) == 0
    assert json.loads(capsys.readouterr().out)["identity"]["identity"]["source"] == "cmdline"
    assert main(["introspect", prefix]) == 0
    assert f"instance_uuid: {INSTANCE}  (from cmdline: powernode.instance_uuid)" in capsys.readouterr().out
    node.boot()
    node.write("new.json", sign_set(node.boot_set(root, serial=2, not_after=int(time.time()) + 1000), PRIVATE))
    assert main(["sets", prefix, str(node.root / "new.json"), "--json"]) == 0
    sets = json.loads(capsys.readouterr().out)
    assert (sets["good"], sets["pending"], sets["attempts"]) == (
        node.sets.pointer("good"),
        node.sets.pointer("pending"),
        0,
    )
    assert main(["confirm", "--json", prefix]) == 0
    assert json.loads(capsys.readouterr().out) == {"good": sets["good"]}


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        ([], 2, "usage"),
        (["--help"], 0, "introspect"),
        (["boot", "--help"], 0, "--dry-run"),
        (["boto"], 2, "cli.verb"),
        (["boot", "--dryrun"], 2, "cli.option"),
        (["confirm", "--root=/nowhere", "--json"], 2, "agent.confirm.no-boot"),
        (["version"], 0, "C library"),
    ],
)
def test_words(words: list[str], status: int, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == status
    assert text in "".join(capsys.readouterr())


def test_a_dry_run_with_nothing_to_boot(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", "--dry-run", f"--root={node.root}"]) == 10
    assert "there is no set at all" in capsys.readouterr().out
