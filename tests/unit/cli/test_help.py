# SPDX-License-Identifier: MIT
"""What every verb has in common: help, an example that can be typed, suggestions, refusals, and how output may end."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from powernode import cli
from powernode.cli import GROUPS
from powernode.cli.options import Command
from unit.cli._command import PROGRAM, Run

VERBS = [(group, verb) for group, (_, verbs) in GROUPS.items() for verb in verbs]
JSON = {"digest", "measure", "kernels", "create", "merge", "explain", "mount", "fsck", "gc"}
JSON |= {"base", "build", "plan", "verify", "fetch", "lock", "new", "set"}
JSON |= {"diff", "inspect", "pull", "push", "sign", "validate", "ca", "show"}
"""Verbs that can answer in JSON."""


def command(group: str, verb: str) -> Command:
    module = import_module(f"powernode.cli.{group}.{verb.replace('-', '_')}")
    found = module.COMMAND
    assert isinstance(found, Command)
    return found


@pytest.mark.parametrize(("group", "verb"), VERBS)
class TestEveryVerb:
    def test_help(self, run: Run, group: str, verb: str) -> None:
        answer = run(group, verb, "--help")
        text = answer.out.decode()
        assert (answer.status, answer.err) == (0, "")
        assert text.startswith(f"usage: powernode {group} {verb}")
        for option in command(group, verb).options:
            assert option.name in text
        assert max(map(len, text.split("example:")[0].splitlines())) <= 130
        assert answer.out == run(group, verb, "-h").out

    def test_the_example_can_be_typed(self, run: Run, group: str, verb: str) -> None:
        """Every `powernode` in its first line parses: the options exist and the operands are as many as they must."""
        first = command(group, verb).example.splitlines()[0]
        assert f"powernode {group} {verb}" in first
        for part in first.replace("…", "0").split("|"):
            program, given_group, given_verb, *words = shlex.split(part)
            assert program == "powernode"
            assert command(given_group, given_verb).parse(words) is not None

    def test_an_unknown_option(self, run: Run, group: str, verb: str) -> None:
        answer = run(group, verb, "--no-such-option")
        assert (answer.status, answer.code, answer.out) == (2, "cli.option", b"")
        assert "--no-such-option" in answer.err

    def test_a_mistyped_option_is_suggested(self, run: Run, group: str, verb: str) -> None:
        for option in command(group, verb).options:
            wrong = option.name[:-2] + option.name[-1] if len(option.name) > 5 else option.name + "x"
            if any(wrong == other.name for other in command(group, verb).options):
                continue
            answer = run(group, verb, wrong)
            assert answer.status == 2
            assert re.search(r"did you mean --", answer.err)

    def test_an_option_without_its_value(self, run: Run, group: str, verb: str) -> None:
        for option in command(group, verb).options:
            answer = run(group, verb, option.name if option.metavar else f"{option.name}=x")
            assert (answer.status, answer.code) == (2, "cli.option")

    def test_json_where_it_is_documented(self, run: Run, group: str, verb: str) -> None:
        assert ("--json" in [option.name for option in command(group, verb).options]) == (verb in JSON)

    def test_too_few_operands(self, run: Run, group: str, verb: str) -> None:
        if command(group, verb).least == 0:
            assert command(group, verb).parse([]) is not None
            return
        answer = run(group, verb)
        assert (answer.status, answer.code) == (2, "cli.operands")
        assert f"powernode {group} {verb} --help" in answer.err


@pytest.mark.parametrize("words", [["--help"], ["help"], ["-h"], ["composefs", "--help"], ["verity", "help"]])
def test_overviews(run: Run, words: list[str]) -> None:
    answer = run(*words)
    assert answer.status == 0
    for group, verb in VERBS:
        if words[0] in ("--help", "help", "-h", group):
            assert f" {verb} " in answer.out.decode()


def test_nothing_asked_for(run: Run) -> None:
    assert run().status == 2
    assert run("composefs").status == 2


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        (["composfs"], "powernode composefs"),
        (["composefs", "crate"], "powernode composefs create"),
        (["composefs", "missing"], None),
        (["verity", "digset"], "powernode verity digest"),
        (["zzz"], None),
    ],
)
def test_unknown_words(run: Run, words: list[str], suggestion: str | None) -> None:
    answer = run(*words)
    assert (answer.status, answer.code) == (2, "cli.verb")
    assert suggestion is None or f"did you mean `{suggestion}`?" in answer.err


def test_version(run: Run) -> None:
    assert re.match(rb"powernode \S+\nC library: ", run("--version").out)


def test_double_dash_ends_the_options(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "--json").write_bytes(b"x")
    answer = run("verity", "digest", "--", "--json")
    assert answer.status == 0
    assert answer.out.endswith(b" --json\n")


def test_refusals_for_machines(run: Run, tmp_path: Path) -> None:
    for words in (
        ["verity", "digest", "--json", "--block-size=3000", "x"],
        ["verity", "digest", "--json", tmp_path / "x"],
    ):
        answer = run(*words)
        assert answer.status in (2, 4)
        error = json.loads(answer.err)["error"]
        assert {"code", "message"} <= set(error)
        assert answer.out == b""


@pytest.mark.parametrize("words", [["--help"], ["composefs", "create", "--help"], ["composefs", "dump", "IMAGE"]])
class TestOutput:
    def arguments(self, words: list[str], tmp_path: Path) -> list[str]:
        if "IMAGE" not in words:
            return [*PROGRAM, *words]
        dump, image = tmp_path / "dump", tmp_path / "image"
        lines = [f"/{number:05d} 0 100644 1 0 0 0 0.0 - - -\n" for number in range(20_000)]
        dump.write_text("/ 0 40755 2 0 0 0 0.0 - - -\n" + "".join(lines))
        subprocess.run([*PROGRAM, "composefs", "create", "--from-file", dump, image], check=True)
        return [*PROGRAM, *words[:-1], str(image)]

    def test_a_reader_that_goes_away(self, words: list[str], tmp_path: Path) -> None:
        arguments = self.arguments(words, tmp_path)
        reading, writing = os.pipe()
        os.close(reading)
        try:
            result = subprocess.run(arguments, stdout=writing, stderr=subprocess.PIPE, check=False)
        finally:
            os.close(writing)
        assert (result.returncode, result.stderr) == (141, b"")

    def test_a_full_disk(self, words: list[str], tmp_path: Path) -> None:
        with open("/dev/full", "wb") as full:
            result = subprocess.run(
                self.arguments(words, tmp_path), stdout=full, stderr=subprocess.PIPE, text=True, check=False
            )
        assert result.returncode == 4
        assert result.stderr.splitlines() == ["powernode: No space left on device", "  code: cli.system"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["help"], "exit status: 0 done"),
        (["--help"], "exit status: 0 done"),
        (["help", "module"], "usage: powernode module VERB"),
        (["help", "module", "new"], "usage: powernode module new"),
        (["module", "help"], "usage: powernode module VERB"),
    ],
)
def test_asking_for_help(words: list[str], said: str, run: Run) -> None:
    answer = run(*words)
    assert (answer.status, answer.err) == (0, "")
    assert said in answer.out.decode()


@pytest.mark.parametrize("name", ["there", b"there", Path("there")], ids=["str", "bytes", "path"])
def test_whatever_a_failure_names_is_said(name: object, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    def fail(_: list[str]) -> int:
        raise FileNotFoundError(2, "No such file or directory", name)

    monkeypatch.setattr(cli, "_dispatch", fail)
    answer = run("verity", "kernels")
    assert (answer.status, answer.err.splitlines()[0]) == (4, "powernode: there: No such file or directory")


def test_names_come_out_as_they_went_in(tmp_path: Path) -> None:
    """Whatever the locale."""
    name = os.fsencode(tmp_path) + b"/\xff \xc3\xa9"
    Path(os.fsdecode(name)).touch()
    for locale in ("C", "C.UTF-8", "POSIX"):
        environment = {**os.environ, "LC_ALL": locale}
        result = subprocess.run([*PROGRAM, "verity", "digest", name], env=environment, capture_output=True, check=False)
        assert result.stdout.endswith(b" " + name + b"\n"), result.stderr


def test_nothing_slow_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys; from powernode.cli import main; main(['--version'])\n"
        "print(sorted({'argparse', 'json', 'ssl', 'asyncio', 'subprocess', 'typing'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert "argparse" not in result.stdout.splitlines()[-1]
    assert "json" not in result.stdout.splitlines()[-1]
    assert "asyncio" not in result.stdout.splitlines()[-1]


def test_refusals_cannot_speak_to_the_terminal(run: Run) -> None:
    answer = run("module", "inspect", "\x1b[2Jx/y\x07")
    assert answer.status == 2
    assert answer.err.replace("\n", "").isprintable()
    assert "\\x1b[2J" in answer.err
