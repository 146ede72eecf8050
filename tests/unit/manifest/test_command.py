# SPDX-License-Identifier: MIT
"""Commands without a shell: what they become, and that nothing a shell would interpret slips through."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.base.errors import DataError
from powernode.manifest.command import parse_command


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("systemctl start redis-server", ("/usr/bin/systemctl", "start", "redis-server")),
        ("/usr/bin/systemctl reload a.service b@1.timer", ("/usr/bin/systemctl", "reload", "a.service", "b@1.timer")),
        ("systemctl --no-block restart x", ("/usr/bin/systemctl", "--no-block", "restart", "x")),
        ("systemctl daemon-reload", ("/usr/bin/systemctl", "daemon-reload")),
        ("/usr/bin/x  'a b;c' \"d 'e'\" f=g", ("/usr/bin/x", "a b;c", "d 'e'", "f=g")),
        ("/usr/bin/x ''", ("/usr/bin/x", "")),
        ("/usr/bin/x a#b c~ d!", ("/usr/bin/x", "a#b", "c~", "d!")),
        ("'/opt/a b/run' --flag", ("/opt/a b/run", "--flag")),
    ],
)
def test_words(text: str, words: tuple[str, ...]) -> None:
    assert parse_command(text) == words


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("''", "empty"),
        ("redis-server", "program"),
        ("./start", "program"),
        ("bin/start", "program"),
        ("~/start", "shell"),
        ("FOO=bar /usr/bin/x", "program"),
        ("/usr/bin/../bin/x", "program"),
        ("//usr/bin/x", "program"),
        ("/usr/bin/", "program"),
        ("/usr/bin/a | /usr/bin/b", "shell"),
        ("/usr/bin/a && /usr/bin/b", "shell"),
        ("/usr/bin/a; /usr/bin/b", "shell"),
        ("/usr/bin/a > /tmp/x", "shell"),
        ("/usr/bin/a < /tmp/x", "shell"),
        ("/usr/bin/a $HOME", "shell"),
        ('/usr/bin/a "$HOME"', "shell"),
        ("/usr/bin/a `id`", "shell"),
        ('/usr/bin/a "`id`"', "shell"),
        ("/usr/bin/a $(id)", "shell"),
        ("/usr/bin/a *.conf", "shell"),
        ("/usr/bin/a {1,2}", "shell"),
        ("/usr/bin/a [ab]", "shell"),
        ("/usr/bin/a # comment", "shell"),
        ("/usr/bin/a \\n", "shell"),
        ("/usr/bin/a\n/usr/bin/b", "shell"),
        ("/usr/bin/a '\n'", "shell"),
        ("/usr/bin/a\tb", "shell"),
        ("/usr/bin/a\u00a0b", "shell"),
        ("/bin/sh -c 'rm -rf /'", "shell"),
        ("/usr/bin/env bash", "shell"),
        ("/usr/bin/busybox sh", "shell"),
        ("/usr/bin/a 'b", "quote"),
        ('/usr/bin/a "b', "quote"),
        ("systemctl", "systemctl"),
        ("systemctl start", "systemctl"),
        ("systemctl poweroff", "systemctl"),
        ("systemctl enable redis", "systemctl"),
        ("systemctl isolate rescue.target", "systemctl"),
        ("systemctl -H other start redis", "systemctl"),
        ("systemctl --root=/ start redis", "systemctl"),
        ("systemctl start ../x", "systemctl"),
        ("/usr/bin/systemctl reboot", "systemctl"),
    ],
)
def test_what_is_no_command(text: str, code: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_command(text)
    assert caught.value.code == f"command.{code}"


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"])), max_size=4))
def test_quoted_words_come_out_as_they_went_in(words: list[str]) -> None:
    if any("'" in word for word in words):
        words = [word.replace("'", "") for word in words]
    text = " ".join(["/usr/bin/x", *(f"'{word}'" for word in words)])
    assert parse_command(text) == ("/usr/bin/x", *words)


@given(st.text(alphabet="ab/ '\"$`\\|&;<>()*?[]{}~#!=\n-", max_size=20).map("/x {}".format))
def test_what_is_taken_means_the_same_to_a_shell(text: str) -> None:
    """A command that is taken has the words that POSIX would see, so nobody is surprised either way."""
    try:
        words = parse_command(text)
    except DataError:
        return
    assert list(words) == shlex.split(text)
