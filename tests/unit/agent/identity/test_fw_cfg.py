# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest

from powernode.agent.identity import fw_cfg
from powernode.agent.identity.fields import AnchorError
from powernode.agent.identity.surroundings import Deadline, DeadlineError
from powernode.base.errors import DataError
from unit.agent.identity.trees import CERTIFICATE, FW_CFG, OTHER, UUID, Clock, Tree, plenty, values

CREDENTIALS = f"{FW_CFG}/io.systemd.credentials"


def test_both_names(tree: Tree) -> None:
    tree.fw_cfg(instance_uuid=f"{UUID}\n", ca_pem=CERTIFICATE)
    tree.put(f"{CREDENTIALS}/powernode.bootstrap_token/raw", "s3cret\0")
    tree.put(f"{CREDENTIALS}/powernode.instance_uuid/raw", UUID)
    tree.put(f"{CREDENTIALS}/ssh.authorized_keys/raw", "not ours")
    found = fw_cfg.read(tree.around(), plenty())
    assert values(found) == {
        "instance_uuid": UUID,
        "ca_pem": CERTIFICATE.rstrip(),
        "bootstrap_token": "s3cret",
    }
    assert found.entries["bootstrap_token"].place == "opt/io.systemd.credentials/powernode.bootstrap_token"
    assert found.remark == ""


def test_unknown_keys_are_named_and_not_read(tree: Tree) -> None:
    tree.fw_cfg(instance_uuid=UUID, platfrom_url="https://p.example")
    tree.put(f"{FW_CFG}/com.powernode/seed.tar/raw", b"x" * 100_000)
    found = fw_cfg.read(tree.around(), plenty())
    assert found.remark == "unknown keys ignored: platfrom_url, seed.tar"
    assert values(found) == {"instance_uuid": UUID}


def test_a_device_with_nothing_of_ours(tree: Tree) -> None:
    tree.put("sys/firmware/qemu_fw_cfg/by_name/etc/e820/raw", b"x")
    found = fw_cfg.read(tree.around(), plenty())
    assert (values(found), found.remark) == (
        {},
        "nothing in opt/com.powernode, no powernode.* in opt/io.systemd.credentials",
    )


@pytest.mark.parametrize(
    ("key", "content", "code", "ends"),
    [
        ("instance_uuid", b"x" * 65537, "identity.too-large", False),
        ("ca_pem", b"x" * 65537, "identity.too-large", True),
        ("instance_uuid", b"\xff", "identity.uuid", False),
        ("platform_url", b"\xff", "identity.platform-url", True),
    ],
)
def test_bad_files(tree: Tree, key: str, content: bytes, code: str, ends: bool) -> None:
    tree.put(f"{FW_CFG}/com.powernode/{key}/raw", content)
    with pytest.raises(DataError) as caught:
        fw_cfg.read(tree.around(), plenty())
    assert caught.value.code == code
    assert isinstance(caught.value, AnchorError) == ends


def test_two_names_that_disagree(tree: Tree) -> None:
    tree.fw_cfg(instance_uuid=UUID)
    tree.put(f"{CREDENTIALS}/powernode.instance_uuid/raw", OTHER)
    with pytest.raises(AnchorError) as caught:
        fw_cfg.read(tree.around(), plenty())
    assert caught.value.code == "identity.conflict"
    assert "opt/com.powernode/instance_uuid and opt/io.systemd.credentials/" in caught.value.message


def test_a_folder_in_the_place_of_a_value(tree: Tree) -> None:
    (tree.root / FW_CFG / "com.powernode/instance_uuid/raw").mkdir(parents=True)
    with pytest.raises(DataError) as caught:
        fw_cfg.read(tree.around(), plenty())
    assert caught.value.code == "identity.not-a-file"


def test_stops_at_the_end_of_its_time(tree: Tree) -> None:
    tree.fw_cfg(instance_uuid=UUID)
    clock = Clock()
    deadline = Deadline(clock, 1)
    clock.sleep(1)
    with pytest.raises(DeadlineError):
        fw_cfg.read(tree.around(), deadline)
