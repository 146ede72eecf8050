# SPDX-License-Identifier: MIT
"""What strangers name their files must not reach a terminal as a command."""

from __future__ import annotations

import pytest

from powernode.base.errors import DataError
from powernode.composefs._show import decoded, shown
from powernode.composefs._tree_check import check_tree
from powernode.composefs.tree import Directory, Symlink


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (b"/etc/motd", "/etc/motd"),
        (b"/two words", "/two words"),
        ("/größe".encode(), "/größe"),
        (b"/\xff", "/\\xff"),
        (b"/\x1b[2J\n", "/\\x1b[2J\\n"),
        ("/\u202e".encode(), "/\\u202e"),
    ],
)
def test_shown(path: bytes, text: str) -> None:
    assert shown(path) == text


def test_decoded_is_reversible() -> None:
    path = bytes(range(1, 256))
    assert decoded(path).encode("utf-8", "surrogateescape") == path


def test_a_refused_tree_does_not_clear_the_screen() -> None:
    with pytest.raises(DataError) as caught:
        check_tree(Directory(entries={b"\x1b[2J": Symlink(target=b"")}))
    assert str(caught.value).isprintable()
