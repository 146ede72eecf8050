# SPDX-License-Identifier: MIT
from __future__ import annotations

import os

import pytest

from powernode.agent.identity import local_file
from powernode.base.errors import DataError
from unit.agent.identity.trees import OTHER, UUID, Tree, plenty, values

PATH = "etc/powernode/local-id"


@pytest.mark.parametrize("text", [UUID, f"{UUID}\n", f"# rack 7\r\n\r\n  {UUID}\r\n"])
def test_one_uuid(tree: Tree, text: str) -> None:
    tree.put(PATH, text)
    found = local_file.read(tree.around(), plenty())
    assert values(found) == {"instance_uuid": UUID}
    assert found.entries["instance_uuid"].place == f"/{PATH}"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "identity.syntax"),
        (f"{UUID}\n{OTHER}\n".encode(), "identity.syntax"),
        (b"\xff\n", "identity.uuid"),
        (b"#" * 4097, "identity.too-large"),
    ],
)
def test_bad_files(tree: Tree, data: bytes, code: str) -> None:
    tree.put(PATH, data)
    with pytest.raises(DataError) as caught:
        local_file.read(tree.around(), plenty())
    assert caught.value.code == code


def test_a_fifo_does_not_hold_up_the_boot(tree: Tree) -> None:
    tree.put(PATH, "")
    (tree.root / PATH).unlink()
    os.mkfifo(tree.root / PATH)
    with pytest.raises(DataError) as caught:
        local_file.read(tree.around(), plenty())
    assert caught.value.code == "identity.not-a-file"
