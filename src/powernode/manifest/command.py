# SPDX-License-Identifier: MIT
"""The commands of `init` and `services`: a line of text that becomes a program and its arguments without a shell.

Words are separated by spaces. Quotes keep a word together: '…' holds anything, "…" anything without `$`, a backquote
or a backslash. What a shell would interpret outside of quotes is refused, not passed on: whoever wrote `a && b` did not
mean two arguments. The program is an absolute path; `systemctl` alone stands for /usr/bin/systemctl and must be given
something to do with units.

    parse_command("systemctl start redis-server")       # ("/usr/bin/systemctl", "start", "redis-server")
"""

from __future__ import annotations

import re

from powernode.base.errors import DataError

__all__ = ["parse_command"]

SYSTEMCTL = "/usr/bin/systemctl"
_UNIT_VERBS = (
    "start",
    "stop",
    "restart",
    "reload",
    "try-restart",
    "reload-or-restart",
    "try-reload-or-restart",
    "kill",
)
_PLAIN_VERBS = ("daemon-reload", "reset-failed")
_SYSTEMCTL_OPTIONS = ("--no-block", "--quiet", "-q", "--wait")
_UNIT = re.compile(r"[A-Za-z0-9:_.@-]+")
_SHELLS = frozenset(("sh", "bash", "dash", "ash", "zsh", "ksh", "busybox", "env", "eval"))
_MEANING = {
    "|": "a pipe",
    "&": "`&`",
    ";": "`;`",
    "<": "a redirection",
    ">": "a redirection",
    "$": "an expansion",
    "`": "a substitution",
    "\\": "a backslash",
    **dict.fromkeys("()", "a subshell"),
    **dict.fromkeys("*?[]", "a wildcard"),
    **dict.fromkeys("{}", "braces"),
    "~": "a home directory",
    "#": "a comment",
    "!": "`!`",
}
_HINT = "put it into a script below rootfs/ and name the script here"


def parse_command(text: str) -> tuple[str, ...]:
    """Program and arguments; a DataError says why it cannot be run."""
    words = _words(text)
    program = words[0]
    if program == "systemctl":
        words[0] = program = SYSTEMCTL
    if re.match(r"[A-Za-z_][A-Za-z0-9_]*=", program):
        raise _refusal("program", "a variable comes before the program", found=program, hint="no shell would set it")
    if not program.startswith("/") or program.endswith("/"):
        raise _refusal(
            "program",
            "the program is not an absolute path",
            expected="a path such as /usr/bin/redis-cli, or systemctl",
            found=program,
            hint="there is no PATH to search and no directory to start from",
        )
    if any(part in ("", ".", "..") for part in program[1:].split("/")):
        raise _refusal("program", "the program's path is not plain", expected="no //, . or ..", found=program)
    name = program.rpartition("/")[2]
    if name in _SHELLS:
        raise _refusal("shell", f"{name} would interpret its arguments again", found=program, hint=_HINT)
    if name == "systemctl":
        _check_systemctl(words[1:])
    return tuple(words)


def _words(text: str) -> list[str]:
    words: list[str] = []
    word: list[str] | None = None
    quote = ""
    for number, character in enumerate(text):
        if character in "\n\r\0" or (not quote and character.isspace() and character != " "):
            raise _refusal("shell", "a command is one line, its words separated by spaces")
        if quote:
            if character == quote:
                quote = ""
            elif quote == '"' and character in "$`\\":
                raise _meaning(character, number, "within double quotes; single quotes keep it as it is")
            else:
                assert word is not None
                word.append(character)
        elif character in "'\"":
            quote = character
            word = [] if word is None else word
        elif character == " ":
            if word is not None:
                words.append("".join(word))
            word = None
        elif character in _MEANING and not (character in "~#!" and word):
            raise _meaning(character, number, _HINT)
        else:
            word = [] if word is None else word
            word.append(character)
    if quote:
        raise _refusal("quote", "a quote is never closed", found=text[:100])
    if word is not None:
        words.append("".join(word))
    if not words or not words[0]:
        raise _refusal("empty", "there is no command", hint="leave the key out")
    return words


def _check_systemctl(arguments: list[str]) -> None:
    operands = [word for word in arguments if not word.startswith("-")]
    odd = next((word for word in arguments if word.startswith("-") and word not in _SYSTEMCTL_OPTIONS), None)
    if odd is not None:
        expected = ", ".join(_SYSTEMCTL_OPTIONS)
        raise _refusal("systemctl", "this option of systemctl has no place here", expected=expected, found=odd)
    verb = operands[0] if operands else ""
    if verb in _PLAIN_VERBS:
        return
    if verb not in _UNIT_VERBS:
        raise _refusal(
            "systemctl",
            f"systemctl cannot be told to {verb or 'do nothing'} here",
            expected=", ".join((*_UNIT_VERBS, *_PLAIN_VERBS)),
            found=verb or None,
            hint="units are enabled by a link below rootfs/, and the machine is restarted by reboot_required",
        )
    if len(operands) < 2:
        raise _refusal("systemctl", f"systemctl {verb} names no unit", expected=f"systemctl {verb} NAME")
    wrong = next((unit for unit in operands[1:] if not _UNIT.fullmatch(unit)), None)
    if wrong is not None:
        raise _refusal("systemctl", "this is no unit's name", expected=_UNIT.pattern, found=wrong)


def _meaning(character: str, number: int, hint: str) -> DataError:
    message = f"{_MEANING[character]} would need a shell, and no shell runs this"
    return _refusal("shell", message, found=f"{character} at character {number + 1}", hint=hint)


def _refusal(
    cause: str, message: str, *, expected: str | None = None, found: str | None = None, hint: str | None = None
) -> DataError:
    return DataError(f"command.{cause}", message, expected=expected, found=found, hint=hint)
