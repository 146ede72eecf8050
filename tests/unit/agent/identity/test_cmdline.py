# SPDX-License-Identifier: MIT
from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.agent.identity import cmdline
from powernode.agent.identity.fields import AnchorError
from powernode.base.errors import DataError
from unit.agent.identity.trees import UUID, Tree, plenty, values


def test_words_of_ours_with_quotes(tree: Tree) -> None:
    tree.put(
        "proc/cmdline",
        f'console=ttyS0 powernode.instance_uuid="{UUID}" powernode.ca_pem_url=https://p.example/ca powernode.boot=1 '
        "instance_name=other -- powernode.platform_url=https://init.example\n",
    )
    assert values(cmdline.read(tree.around(), plenty())) == {
        "instance_uuid": UUID,
        "ca_pem_url": "https://p.example/ca",
    }


def test_nothing_of_ours(tree: Tree) -> None:
    tree.put("proc/cmdline", "quiet powernode.boot=1\n")
    found = cmdline.read(tree.around(), plenty())
    assert (values(found), found.remark) == ({}, "no identity in powernode.* words")


def test_the_same_twice_is_one_value(tree: Tree) -> None:
    tree.put("proc/cmdline", f"powernode.instance_uuid={UUID} powernode.instance_uuid={UUID}")
    assert values(cmdline.read(tree.around(), plenty())) == {"instance_uuid": UUID}


def test_a_contradiction_ends_the_cascade(tree: Tree) -> None:
    tree.put("proc/cmdline", f"powernode.bootstrap_token=s3cret-a powernode.bootstrap_token=s3cret-b {UUID}")
    with pytest.raises(AnchorError) as caught:
        cmdline.read(tree.around(), plenty())
    assert caught.value.code == "identity.conflict"
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(("data", "code"), [(b"a=\xff\n", "identity.encoding"), (b"a" * 65537, "identity.too-large")])
def test_bad_command_lines(tree: Tree, data: bytes, code: str) -> None:
    tree.put("proc/cmdline", data)
    with pytest.raises(DataError) as caught:
        cmdline.read(tree.around(), plenty())
    assert caught.value.code == code


words = st.text(st.sampled_from('powernde.istac_u=" \t-\nA0'), max_size=80)
lines = st.lists(st.one_of(st.just("powernode.instance_uuid="), st.just("powernode.ca_pem"), words)).map("".join)


@given(lines)
def test_any_text_is_material_or_a_refusal(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tree = Tree(Path(folder))
        tree.put("proc/cmdline", text)
        try:
            found = cmdline.read(tree.around(), plenty())
        except AnchorError:
            return
        assert found.entries or found.remark
        # Characters may go (quotes, a comment's end), none may come or change their order.
        for entry in found.entries.values():
            rest = iter(text)
            assert all(character in rest for character in entry.value)
