# SPDX-License-Identifier: MIT
"""Options as data. argparse would cost more start-up time than hashing a file does.

GNU conventions: `--name=VALUE`, `--name VALUE`, `-n VALUE`, `--` ends the options, options and operands in any order.
An unknown option is an error with a suggestion.

    COMMAND = Command("verity digest", "FILE…", "…", options=(Option("--jobs", "N", "…", natural),), example="…")
    arguments = COMMAND.parse(["--jobs=2", "x"])      # None if help was asked for
    arguments.jobs, arguments.operands
"""

from __future__ import annotations

from powernode.base.errors import OperatorError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


class Option:
    """`metavar` None is a flag. `convert` turns the text into a value and raises ValueError with what it expected."""

    __slots__ = ("convert", "default", "help", "metavar", "name", "repeat", "short")

    def __init__(
        self,
        name: str,
        metavar: str | None,
        help: str,
        convert: Callable[[str], Any] = str,
        *,
        default: Any = None,
        short: str | None = None,
        repeat: bool = False,
    ) -> None:
        self.name = name
        self.metavar = metavar
        self.help = help
        self.convert = convert
        self.default = False if metavar is None else default
        self.short = short
        self.repeat = repeat

    @property
    def key(self) -> str:
        return self.name.lstrip("-").replace("-", "_")


class Arguments:
    """The parsed options as attributes, and the operands."""

    def __init__(self, values: dict[str, Any], operands: list[str]) -> None:
        self.__dict__.update(values)
        self.operands = operands

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


class Command:
    __slots__ = ("example", "full_name", "least", "most", "name", "operands", "options", "summary")

    def __init__(
        self,
        name: str,
        operands: str,
        summary: str,
        *,
        options: tuple[Option, ...] = (),
        example: str,
        least: int = 0,
        most: int | None = None,
        program: str = "powernode",
    ) -> None:
        self.name = name
        self.full_name = f"{program} {name}"
        self.operands = operands
        self.summary = summary
        self.options = options
        self.example = example
        self.least = least
        self.most = most

    def parse(self, words: Sequence[str]) -> Arguments | None:
        """The arguments, or None when help was asked for."""
        values: dict[str, Any] = {option.key: [] if option.repeat else option.default for option in self.options}
        operands: list[str] = []
        rest = iter(words)
        for word in rest:
            if word == "--":
                operands += rest
            elif word in ("-h", "--help"):
                return None
            elif word.startswith("-") and word != "-":
                self._take(word, rest, values)
            else:
                operands.append(word)
        if len(operands) < self.least or (self.most is not None and len(operands) > self.most):
            raise OperatorError(
                "cli.operands",
                f"`{self.full_name}` got {len(operands)} operand(s)",
                expected=self.operands or "none",
                hint=f"{self.full_name} --help",
            )
        return Arguments(values, operands)

    def _take(self, word: str, rest: Any, values: dict[str, Any]) -> None:
        name, equals, text = word.partition("=")
        option = next((each for each in self.options if name in (each.name, each.short)), None)
        if option is None:
            raise self._unknown(name)
        if option.metavar is None:
            if equals:
                raise OperatorError("cli.option", f"{name} takes no value", found=word, hint=f"{self.full_name} --help")
            values[option.key] = True
            return
        if not equals:
            following = next(rest, None)
            if following is None:
                raise OperatorError("cli.option", f"{name} needs a value", expected=f"{name}={option.metavar}")
            text = following
        try:
            value = option.convert(text)
        except ValueError as error:
            raise OperatorError("cli.option", f"{name} cannot be {text!r}", expected=str(error)) from None
        if option.repeat:
            values[option.key].append(value)
        else:
            values[option.key] = value

    def _unknown(self, name: str) -> OperatorError:
        from difflib import get_close_matches

        near = get_close_matches(name, [option.name for option in self.options], 1)
        hint = f"did you mean {near[0]}?" if near else f"{self.full_name} --help"
        return OperatorError("cli.option", f"`{self.full_name}` has no option {name}", hint=hint)

    def help_text(self) -> str:
        from textwrap import fill

        rows = [
            (
                ", ".join(filter(None, (option.short, option.name))) + (f"={option.metavar}" if option.metavar else ""),
                option.help,
            )
            for option in self.options
        ]
        width = max((len(left) for left, _ in rows), default=0) + 2
        lines = [f"usage: {self.full_name} [options] {self.operands}".rstrip(), "", fill(self.summary, 100)]
        if rows:
            lines += ["", "options:"]
            lines += [
                fill(text, 100, initial_indent=f"  {left:{width}}", subsequent_indent=" " * (width + 2))
                for left, text in rows
            ]
        lines += ["", "example:", *(f"  {line}" for line in self.example.strip().splitlines())]
        return "\n".join(lines)


def natural(text: str) -> int:
    """A number from 0 up."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError("a number from 0 up")
    return int(text)


def one_of(*choices: str) -> Callable[[str], str]:
    def convert(text: str) -> str:
        if text not in choices:
            raise ValueError(" or ".join(choices))
        return text

    return convert


def hex_bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ValueError("hexadecimal digits, two a byte") from None
