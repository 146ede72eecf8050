# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from powernode.agent import config
from powernode.agent.identity.cascade import DEFAULT_ORDER, SOURCES
from powernode.agent.identity.model import ABSENT, FOUND, REFUSED, TIMEOUT, Origin
from powernode.agent.identity.secret import Secret
from powernode.base.errors import MachineError, OperatorError
from unit.agent.identity.trees import CERTIFICATE, OTHER, UUID, Clock, Tree, attempt, identity

ROOT = Path(__file__).resolve().parents[4]
URL = "https://platform.example"


def test_a_bare_machine_is_nobody_and_every_source_says_why(tree: Tree) -> None:
    found = tree.resolve()
    assert found.identity is None
    assert found.stopped_by is None
    assert [(a.source, a.outcome, a.reason) for a in found.attempts] == [
        ("cmdline", ABSENT, "no /proc/cmdline"),
        ("fw_cfg", ABSENT, "no fw_cfg device, or its module is not loaded"),
        ("smbios", ABSENT, "the firmware has no OEM strings"),
        ("cloud", ABSENT, "no cloud known by its firmware (no DMI)"),
        ("boot_partition", ABSENT, "nothing here can read a boot partition"),
        ("local_file", ABSENT, "no /etc/powernode/local-id"),
        ("hardware", ABSENT, "no serial, UUID or MAC address"),
    ]


def test_the_first_success_wins_and_ends_the_asking(tree: Tree) -> None:
    tree.cmdline(instance_uuid=UUID.upper(), platform_url=URL + "/", bootstrap_token="s3cret", boot="1")
    tree.fw_cfg(instance_uuid=OTHER)
    found = tree.resolve()
    who = identity(found)
    assert (who.source, who.instance_uuid, who.platform_url) == ("cmdline", UUID, URL)
    assert who.bootstrap_token == Secret("s3cret")
    assert [a.source for a in found.attempts] == ["cmdline"]
    assert who.provenance == {
        key: Origin("cmdline", f"powernode.{key}") for key in ("instance_uuid", "platform_url", "bootstrap_token")
    }


def test_the_order_is_the_callers(tree: Tree) -> None:
    tree.cmdline(instance_uuid=UUID)
    tree.fw_cfg(instance_uuid=OTHER)
    who = identity(tree.resolve(order=("fw_cfg", "cmdline")))
    assert (who.source, who.instance_uuid) == ("fw_cfg", OTHER)


def test_a_malformed_value_refuses_its_source_and_the_next_is_asked(tree: Tree) -> None:
    tree.cmdline(instance_uuid="not-one", platform_url="https://other.example")
    tree.fw_cfg(instance_uuid=UUID)
    found = tree.resolve()
    assert (attempt(found, "cmdline").outcome, attempt(found, "cmdline").code) == (REFUSED, "identity.uuid")
    assert identity(found).source == "fw_cfg"
    assert identity(found).platform_url is None, "a refused source lends nothing"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"platform_url": "http://platform.example"}, "identity.platform-url"),
        ({"platform_url": ""}, "identity.platform-url"),
        ({"ca_pem": "rubbish"}, "identity.ca-pem"),
        ({"ca_pem_url": "ftp://platform.example/ca"}, "identity.ca-pem-url"),
        ({"parent_url": "platform.example"}, "identity.parent-url"),
        ({"platform_url": "https://a.example powernode.platform_url=https://b.example"}, "identity.conflict"),
    ],
)
def test_a_malformed_trust_anchor_ends_the_cascade(tree: Tree, words: dict[str, str], code: str) -> None:
    tree.cmdline(instance_uuid=UUID, **words)
    tree.fw_cfg(instance_uuid=OTHER, platform_url="https://attacker.example")
    found = tree.resolve()
    assert found.identity is None
    assert found.stopped_by == "cmdline"
    assert [(a.outcome, a.code) for a in found.attempts] == [(REFUSED, code)]


def test_http_needs_permission(tree: Tree) -> None:
    tree.cmdline(instance_uuid=UUID, platform_url="http://10.0.2.2:8080")
    assert identity(tree.resolve(allow_http=True)).platform_url == "http://10.0.2.2:8080"


def test_a_platform_without_an_instance_is_lent_to_a_later_source(tree: Tree) -> None:
    tree.cmdline(platform_url=URL, ca_pem_url=f"{URL}/ca.pem")
    tree.put("etc/powernode/local-id", f"{UUID}\n")
    found = tree.resolve()
    who = identity(found)
    assert attempt(found, "cmdline").outcome == ABSENT
    assert "platform_url, ca_pem_url kept for a later source" in attempt(found, "cmdline").reason
    assert (who.source, who.instance_uuid, who.platform_url) == ("local_file", UUID, URL)
    assert who.ca_pem_url == f"{URL}/ca.pem"
    assert {name: origin.source for name, origin in who.provenance.items()} == {
        "instance_uuid": "local_file",
        "platform_url": "cmdline",
        "ca_pem_url": "cmdline",
    }


@pytest.mark.parametrize("own", [{"platform_url": "https://own.example"}, {"ca_pem": CERTIFICATE}])
def test_platform_settings_of_two_sources_are_never_mixed(tree: Tree, own: dict[str, str]) -> None:
    tree.cmdline(platform_url=URL, ca_pem_url=f"{URL}/ca.pem")
    tree.fw_cfg(instance_uuid=UUID, **own)
    who = identity(tree.resolve())
    assert {origin.source for origin in who.provenance.values()} == {"fw_cfg"}
    assert who.ca_pem_url is None
    assert who.platform_url == own.get("platform_url")


def test_the_first_lender_counts(tree: Tree) -> None:
    tree.cmdline(platform_url=URL)
    tree.fw_cfg(platform_url="https://second.example")
    tree.put("etc/powernode/local-id", UUID)
    assert identity(tree.resolve()).platform_url == URL


@pytest.mark.parametrize(
    "words", [{"bootstrap_token": "t"}, {"platform_url": URL, "bootstrap_token": "t"}, {"acceptance_token": "t"}]
)
def test_a_source_that_names_nobody_is_incomplete(tree: Tree, words: dict[str, str]) -> None:
    tree.cmdline(**words)
    found = tree.resolve()
    assert attempt(found, "cmdline").code == "identity.incomplete"
    assert found.identity is None


def test_a_child_platform_joins_its_parent(tree: Tree) -> None:
    tree.fw_cfg(
        parent_url=URL, acceptance_token="s3cret", spawn_mode="vm", parent_peer_id="p-1", contract_version="2\n"
    )
    who = identity(tree.resolve())
    assert who.instance_uuid is None
    assert who.federation == {
        "parent_url": URL,
        "acceptance_token": Secret("s3cret"),
        "spawn_mode": "vm",
        "parent_peer_id": "p-1",
        "contract_version": "2",
    }


def test_hardware_is_who_is_left(tree: Tree) -> None:
    tree.cmdline(platform_url=URL)
    tree.put("proc/device-tree/serial-number", b"10000000a1b2c3d4\0")
    found = tree.resolve()
    who = identity(found)
    assert (who.source, who.instance_uuid, who.platform_url) == ("hardware", None, URL)
    assert who.hardware.serial == "10000000a1b2c3d4"
    assert attempt(found, "hardware").reason == "to be claimed by serial"


def test_hardware_of_placeholders_is_refused(tree: Tree) -> None:
    tree.put("sys/class/dmi/id/product_serial", "To be filled by O.E.M.\n")
    found = attempt(tree.resolve(), "hardware")
    assert (found.outcome, found.code) == (REFUSED, "identity.hardware")
    assert found.reason == "/sys/class/dmi/id/product_serial is a placeholder: To be filled by O.E.M."


def test_hardware_is_seen_whatever_source_wins(tree: Tree) -> None:
    tree.cmdline(instance_uuid=UUID)
    tree.put("proc/device-tree/model", b"Raspberry Pi 4 Model B Rev 1.4\0")
    found = tree.resolve(order=("cmdline",))
    assert identity(found).hardware.model == found.hardware.model == "Raspberry Pi 4 Model B Rev 1.4"
    assert found.hardware.places == {"model": "/proc/device-tree/model"}


def test_a_source_that_uses_up_its_time(tree: Tree) -> None:
    clock = Clock()

    def slow(name: str, limit: int, timeout_s: float) -> bytes | None:
        assert timeout_s == 2.5
        clock.sleep(timeout_s)
        return b"SERVER=https://p.example\n"

    tree.put("etc/powernode/local-id", UUID)
    ports = {"clock": clock, "sleep": clock.sleep, "boot_partition": slow}
    found = tree.resolve(ports=ports, budget_s={"boot_partition": 2.5})
    late = attempt(found, "boot_partition")
    assert (late.outcome, late.code, late.seconds) == (TIMEOUT, None, 2.5)
    assert identity(found).source == "local_file"
    assert attempt(found, "local_file").outcome == FOUND


def test_what_this_machine_cannot_do_is_a_refusal_with_its_code(tree: Tree) -> None:
    def broken(name: str, limit: int, timeout_s: float) -> bytes | None:
        raise MachineError("linux.mount.vfat", "the kernel has no vfat")

    found = attempt(tree.resolve(ports={"boot_partition": broken}), "boot_partition")
    assert (found.outcome, found.code, found.reason) == (REFUSED, "linux.mount.vfat", "the kernel has no vfat")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"order": ("cmdline", "dhcp")}, "identity.source"),
        ({"order": ("cmdline", "cmdline")}, "identity.order"),
        ({"budget_s": {"dhcp": 1}}, "identity.source"),
        ({"budget_s": {"cloud": -1}}, "identity.budget"),
        ({"budget_s": {"cloud": float("nan")}}, "identity.budget"),
    ],
)
def test_a_configuration_of_what_there_is_not(tree: Tree, options: dict[str, Any], code: str) -> None:
    with pytest.raises(OperatorError) as caught:
        tree.resolve(**options)
    assert caught.value.code == code


def test_no_report_shows_a_secret(tree: Tree) -> None:
    tree.fw_cfg(instance_uuid=UUID, bootstrap_token="s3cret-1", parent_url=URL, acceptance_token="s3cret-2")
    found = tree.resolve()
    who = identity(found)
    assert who.bootstrap_token is not None
    assert who.bootstrap_token.reveal() == "s3cret-1"
    report = json.dumps(found.as_dict())
    assert "s3cret" not in report
    assert report.count("[redacted]") == 2
    assert json.loads(report)["identity"]["fields"]["instance_uuid"] == {
        "value": UUID,
        "source": "fw_cfg",
        "place": "opt/com.powernode/instance_uuid",
    }


@pytest.mark.parametrize("key", ["bootstrap_token", "acceptance_token"])
def test_no_refusal_shows_a_secret(tree: Tree, key: str) -> None:
    tree.fw_cfg(instance_uuid=UUID, **{key: "s3cret with spaces"})
    found = tree.resolve()
    assert attempt(found, "fw_cfg").outcome == REFUSED
    assert "s3cret" not in json.dumps(found.as_dict()) + repr(found.attempts)


SLOW = {
    "json",
    "http",
    "http.client",
    "urllib",
    "urllib.parse",
    "re",
    "dataclasses",
    "enum",
    "typing",
    "socket",
    "base64",
}
PROGRAM = """
import sys, time
sys.path.insert(0, sys.argv[1])
from powernode.agent.identity.cascade import resolve
from powernode.agent.identity.surroundings import Surroundings
found = resolve(Surroundings(root=sys.argv[2], clock=time.monotonic, sleep=time.sleep))
print(found.identity.source, *sorted(set(sys.argv[3].split(",")) & set(sys.modules)))
"""


@pytest.mark.parametrize("source", ["fw_cfg", "smbios", "hardware"])
def test_the_usual_way_imports_nothing_slow(tree: Tree, source: str) -> None:
    tree.cmdline(platform_url=URL)
    if source == "fw_cfg":
        tree.fw_cfg(instance_uuid=UUID, ca_pem=CERTIFICATE)
    elif source == "smbios":
        tree.smbios(b"io.systemd.credential:powernode.instance_uuid=" + UUID.encode())
    tree.put("sys/class/dmi/id/product_uuid", OTHER)
    command = [sys.executable, "-I", "-S", "-c", PROGRAM, str(ROOT / "src"), str(tree.root), ",".join(SLOW)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.split() == [source]


def test_the_documented_table_is_the_one_in_the_code() -> None:
    rows = [f"| {n} | `{s.name}` | {s.where} | {s.budget_s:g} s |" for n, s in enumerate(SOURCES, 1)]
    lines = (ROOT / "docs" / "identity.md").read_text().splitlines()
    start = lines.index(rows[0]) if rows[0] in lines else 0
    assert lines[start : start + len(rows) + 1] == [*rows, ""], "copy into docs/identity.md:\n" + "\n".join(rows)


def test_the_configuration_knows_the_same_sources() -> None:
    assert config.SOURCES == DEFAULT_ORDER
