# SPDX-License-Identifier: MIT
"""The kernel command line, split the way the kernel splits it.

Invariants: quotes may surround a value or a whole parameter and protect white space; everything behind a lone `--` is
init's and not looked at; a key that is there twice with different values has no value but is a refusal when asked for,
because two readers could choose differently.

Out of scope: what the keys mean.

    line = parse('quiet powernode.boot=1 x="a b"\\n')
    line.get("x")                        # "a b"
    line.keys("powernode.")              # ["powernode.boot"]
"""

from __future__ import annotations

from powernode.base.errors import DataError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CommandLine", "parse"]

_MAX_CHARACTERS = 1 << 16  # no architecture's COMMAND_LINE_SIZE is larger


class CommandLine:
    """The parameters in their order."""

    __slots__ = ("parameters",)

    def __init__(self, parameters: list[tuple[str, str | None]]) -> None:
        self.parameters = parameters

    def get(self, key: str) -> str | None:
        """The value of `key`; None where it is absent. A key without `=` has the value `""`."""
        values = {value or "" for name, value in self.parameters if name == key}
        if len(values) > 1:
            raise DataError(
                "linux.cmdline.conflict",
                f"the kernel command line says {key} several times and differently",
                expected="one value",
                found=f"{len(values)} values",
                hint="look at what the boot loader appends",
            )
        return values.pop() if values else None

    def keys(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix`, sorted, each once."""
        return sorted({name for name, _ in self.parameters if name.startswith(prefix)})


def parse(text: str) -> CommandLine:
    parameters: list[tuple[str, str | None]] = []
    for word in _words(text[:_MAX_CHARACTERS].rstrip("\0\n")):
        if word == "--":
            break
        parameters.append(_parameter(word))
    return CommandLine(parameters)


def _words(text: str) -> Iterator[str]:
    """The words between white space outside of quotes, quotes still in them."""
    word, in_quotes = "", False
    for character in text:
        if character == '"':
            in_quotes = not in_quotes
        if character.isspace() and not in_quotes:
            if word:
                yield word
            word = ""
        else:
            word += character
    if word:
        yield word


def _parameter(word: str) -> tuple[str, str | None]:
    """As next_arg() in the kernel's lib/cmdline.c: the outermost quotes of the word or of the value go."""
    if word.startswith('"'):
        word = word[1:].removesuffix('"')
    key, equals, value = word.partition("=")
    if not equals:
        return key, None
    if value.startswith('"'):
        value = value[1:].removesuffix('"')
    return key, value
