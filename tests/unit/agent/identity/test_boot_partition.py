# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest

from powernode.agent.identity import boot_partition
from powernode.agent.identity.fields import AnchorError
from powernode.agent.identity.model import Material
from powernode.agent.identity.surroundings import read_bounded
from powernode.base.errors import DataError, MachineError
from unit.agent.identity.trees import CERTIFICATE, UUID, Tree, plenty, values


def read(tree: Tree) -> Material:
    def port(name: str, limit: int, timeout_s: float) -> bytes | None:
        return read_bounded(str(tree.root / "boot" / name), limit)

    return boot_partition.read(tree.around(boot_partition=port), plenty())


def test_everything(tree: Tree) -> None:
    tree.put(
        "boot/identity.cfg",
        f"SERVER=https://p.example\r\nID={UUID}\r\nTOKEN=s3cret\r\nCOLOUR=red\r\nCA_PEM_FILE=my.pem",
    )
    tree.put("boot/my.pem", CERTIFICATE)
    tree.put("boot/powernode-ca.pem", "not looked at")
    found = read(tree)
    assert values(found) == {
        "platform_url": "https://p.example",
        "instance_uuid": UUID,
        "bootstrap_token": "s3cret",
        "ca_pem": CERTIFICATE.rstrip(),
    }
    assert found.entries["instance_uuid"].place == "identity.cfg line 2"
    assert found.entries["ca_pem"].place == "my.pem"
    assert found.remark == "unknown keys ignored: COLOUR"


def test_the_usual_ca_needs_no_name(tree: Tree) -> None:
    tree.put("boot/identity.cfg", "SERVER=https://p.example\n")
    tree.put("boot/powernode-ca.pem", CERTIFICATE)
    assert values(read(tree)) == {"platform_url": "https://p.example", "ca_pem": CERTIFICATE.rstrip()}


def test_no_file_and_no_partition(tree: Tree) -> None:
    def nowhere(name: str, limit: int, timeout_s: float) -> bytes | None:
        raise MachineError("identity.no-partition", "no FAT filesystem is labelled BOOT")

    assert read(tree).remark == "the boot partition has no identity.cfg"
    found = boot_partition.read(tree.around(boot_partition=nowhere), plenty())
    assert (values(found), found.remark) == ({}, "no FAT filesystem is labelled BOOT")


def test_keys_are_upper_case(tree: Tree) -> None:
    tree.put("boot/identity.cfg", f"instance_uuid={UUID}\n")
    found = read(tree)
    assert (values(found), found.remark) == ({}, "no key of ours in identity.cfg; unknown keys ignored: instance_uuid")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("SERVER=https://a.example\nSERVER=https://b.example\n", "identity.conflict"),
        ("CA_PEM_FILE=a.pem\nCA_PEM_FILE=b.pem\n", "identity.conflict"),
        ("CA_PEM_FILE=missing.pem\n", "identity.ca-file"),
        ("CA_PEM_FILE=\n", "identity.ca-file"),
        ("CA_PEM_FILE=../etc/passwd\n", "identity.ca-file"),
        ("CA_PEM_FILE=/etc/passwd\n", "identity.ca-file"),
        ("CA_PEM_FILE=..\n", "identity.ca-file"),
        ("CA_PEM_FILE=huge.pem\n", "identity.too-large"),
    ],
)
def test_bad_anchors_end_the_cascade(tree: Tree, text: str, code: str) -> None:
    tree.put("boot/identity.cfg", text)
    tree.put("boot/a.pem", CERTIFICATE)
    tree.put("boot/huge.pem", b"x" * 65537)
    with pytest.raises(AnchorError) as caught:
        read(tree)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"SERVER\n", "identity.syntax"), (b"\xff", "identity.encoding"), (b"#" * 65537, "identity.too-large")],
)
def test_bad_files(tree: Tree, data: bytes, code: str) -> None:
    tree.put("boot/identity.cfg", data)
    with pytest.raises(DataError) as caught:
        read(tree)
    assert caught.value.code == code
    assert not isinstance(caught.value, AnchorError)


def test_the_port_is_told_how_much_and_how_long(tree: Tree) -> None:
    asked: list[tuple[str, int, bool]] = []

    def port(name: str, limit: int, timeout_s: float) -> bytes | None:
        asked.append((name, limit, 0 < timeout_s <= 60))
        return b"SERVER=https://p.example\n" if name == "identity.cfg" else None

    boot_partition.read(tree.around(boot_partition=port), plenty())
    assert asked == [("identity.cfg", 65536, True), ("powernode-ca.pem", 65536, True)]
