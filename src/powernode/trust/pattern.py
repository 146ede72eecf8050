# SPDX-License-Identifier: MIT
"""Texts to compare with whole names: exact ones, or regular expressions that never back-track.

Invariants: a pattern matches the whole text or not at all, with or without anchors in it; matching takes time in
proportion to the length of the text times that of the pattern, whatever the two are (Thompson's construction: all
possible places in the pattern are followed at once); what the dialect does not have (flags, look-around,
back-references, word boundaries, lazy quantifiers) is refused when the pattern is made. The dialect is a part of RE2's,
and so of cosign's: literals, `.` (no line break), `[…]`, `[^…]`, `\\d \\w \\s`, escaped punctuation, `|`, `(…)`,
`(?:…)`, `* + ? {m} {m,} {m,n}`, and `^` at the beginning and `$` at the end of the whole.

Out of scope: which names to compare (`policy`).

    exact("me@example.org").matches("me@example.org")
    matching(r"https://git\\.example\\.org/acme/.*@refs/tags/v[0-9.]+").matches(subject)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from powernode.base.errors import OperatorError

if TYPE_CHECKING:
    from typing import NoReturn, TypeAlias

    Node: TypeAlias = "_Test | _Sequence | _Choice | _Repeat"

__all__ = ["MAX_SUBJECT", "Pattern", "exact", "matching"]

MAX_SUBJECT = 2048
"""Longer names match nothing."""

_MAX_PATTERN = 512
_MAX_STATES = 2048
_MAX_DEPTH = 16
_MAX_REPEAT = 256
_MAX_TRIED = 16

_ESCAPABLE = frozenset(r"\.+*?()|[]{}^$/-_@:#&~%=!,;<>'\"` ")
_CLASSES = {
    "d": (("0", "9"),),
    "w": (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z")),
    "s": (("\t", "\n"), ("\f", "\r"), (" ", " ")),
}


@dataclass(frozen=True, slots=True)
class _Test:
    """One character: in one of `ranges`, or in none of them."""

    ranges: tuple[tuple[str, str], ...]
    is_negated: bool = False

    def passes(self, character: str) -> bool:
        return any(first <= character <= last for first, last in self.ranges) != self.is_negated


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    part: Node
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Pattern:
    """What was asked for; `exact` and `matching` make it."""

    expression: str
    is_exact: bool
    _machine: _Machine | None = field(compare=False, repr=False)

    def matches(self, text: str) -> bool:
        """Whether the whole of `text` is what the pattern says."""
        if len(text) > MAX_SUBJECT:
            return False
        return text == self.expression if self._machine is None else self._machine.accepts(text)

    def nearly(self, text: str) -> str | None:
        """What to try, if somebody may have meant `text`."""
        if self._machine is None:
            near = text != self.expression and text.rstrip("/") == self.expression.rstrip("/")
            return "they differ in a / at the end" if near else None
        # A name has few places where the part that is meant may end; every one of them would take long to try.
        ends = [end for end, letter in enumerate(text[:MAX_SUBJECT]) if letter in "/@"][:_MAX_TRIED]
        if any(self._machine.accepts(text[: end + more]) for end in ends for more in (0, 1)):
            return "a pattern has to match the whole name: add .* (or /.*) to allow what comes after it"
        return None

    def __str__(self) -> str:
        return repr(self.expression) if self.is_exact else f"/{self.expression}/"


def exact(text: str) -> Pattern:
    """Matches this text and no other."""
    if not text:
        raise OperatorError("trust.pattern.empty", "an empty name matches nobody", hint="say who has to sign")
    return Pattern(text, True, None)


def matching(expression: str) -> Pattern:
    """Matches what the regular expression describes as a whole; codes trust.pattern.{empty,size,syntax}."""
    if not expression:
        raise OperatorError("trust.pattern.empty", "an empty pattern matches nobody", hint="say who has to sign")
    if len(expression) > _MAX_PATTERN:
        raise OperatorError(
            "trust.pattern.size",
            "the pattern is too long",
            expected=f"at most {_MAX_PATTERN} characters",
            found=str(len(expression)),
        )
    machine = _Machine()
    start, end = machine.state(), machine.state()
    machine.add(_Parser(expression).whole(), start, end)
    return Pattern(expression, False, machine)


class _Machine:
    """State n has a test and one successor, or no test and any number of free steps. 0 is the start and 1 the end."""

    def __init__(self) -> None:
        self._tests: list[_Test | None] = []
        self._steps: list[list[int]] = []

    def state(self, test: _Test | None = None) -> int:
        if len(self._tests) >= _MAX_STATES:
            raise OperatorError(
                "trust.pattern.size", "the pattern repeats too much", hint="use * or + for long repeats"
            )
        self._tests.append(test)
        self._steps.append([])
        return len(self._tests) - 1

    def add(self, node: Node, start: int, end: int) -> None:
        """Every way through `node` leads from `start` to `end`. Recursion as deep as the parser allowed."""
        if isinstance(node, _Test):
            state = self.state(node)
            self._steps[start].append(state)
            self._steps[state].append(end)
        elif isinstance(node, _Choice):
            for part in node.parts:
                self.add(part, start, end)
        elif isinstance(node, _Sequence):
            for part in node.parts:
                after = self.state()
                self.add(part, start, after)
                start = after
            self._steps[start].append(end)
        else:
            self._add_repeat(node, start, end)

    def _add_repeat(self, node: _Repeat, start: int, end: int) -> None:
        for _ in range(node.least):
            after = self.state()
            self.add(node.part, start, after)
            start = after
        if node.most is None:
            loop = self.state()
            self._steps[start].append(loop)
            self.add(node.part, loop, loop)
            self._steps[loop].append(end)
            return
        for _ in range(node.most - node.least):
            after = self.state()
            self._steps[start].append(end)
            self.add(node.part, start, after)
            start = after
        self._steps[start].append(end)

    def accepts(self, text: str) -> bool:
        current = self._closure({0})
        for character in text:
            after = set()
            for state in current:
                test = self._tests[state]
                if test is not None and test.passes(character):
                    after.add(self._steps[state][0])
            if not after:
                return False
            current = self._closure(after)
        return 1 in current

    def _closure(self, states: set[int]) -> set[int]:
        """`states` and what can be reached from them without reading a character."""
        pending = list(states)
        while pending:
            state = pending.pop()
            if self._tests[state] is None:
                new = [step for step in self._steps[state] if step not in states]
                states.update(new)
                pending.extend(new)
        return states


class _Parser:
    """Recursive descent, with a bound on the depth."""

    def __init__(self, expression: str) -> None:
        self._text = expression
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        if self._peek() == "^":
            self._at += 1
        node = self._choice()
        if self._at < len(self._text):
            self._refuse("a ) that closes nothing")
        return node

    def _choice(self) -> Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            self._refuse(f"groups more than {_MAX_DEPTH} deep")
        parts = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            parts.append(self._sequence())
        self._depth -= 1
        return _Choice(tuple(parts))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while (character := self._peek()) not in ("", "|", ")"):
            if character == "$" and self._at + 1 == len(self._text) and self._depth == 1:
                self._at += 1
                break
            parts.append(self._repeated(self._atom()))
        return _Sequence(tuple(parts))

    def _repeated(self, node: Node) -> Node:
        bounds: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        character = self._peek()
        if character in bounds:
            self._at += 1
            least, most = bounds[character]
        elif character == "{":
            least, most = self._counts()
        else:
            return node
        if self._peek() in ("*", "+", "?", "{"):
            self._refuse("a quantifier after a quantifier (there are no lazy ones)")
        return _Repeat(node, least, most)

    def _counts(self) -> tuple[int, int | None]:
        close = self._text.find("}", self._at)
        low, comma, high = self._text[self._at + 1 : max(close, 0)].partition(",")
        if not all(part.isascii() and part.isdigit() and len(part) <= 3 for part in (low, high or "0")):
            self._refuse("a { without numbers; escape it to mean the character")
        least = int(low)
        most = (int(high) if high else None) if comma else least
        if max(least, most or 0) > _MAX_REPEAT or (most is not None and most < least):
            self._refuse(f"a count that is not from 0 to {_MAX_REPEAT}, the smaller first")
        self._at = close + 1
        return least, most

    def _atom(self) -> Node:
        character = self._take()
        if character == "(":
            return self._group()
        if character == "[":
            return self._set()
        if character == ".":
            return _Test((("\n", "\n"), ("\r", "\r")), is_negated=True)
        if character == "\\":
            return _Test(self._escaped())
        if character in "*+?{^$":
            self._refuse(f"a {character} that has no meaning here; escape it to mean the character", back=1)
        return _Test(((character, character),))

    def _group(self) -> Node:
        if self._peek() == "?":
            if self._text[self._at : self._at + 2] != "?:":
                self._refuse("a group with flags, a name or look-around, which there are not")
            self._at += 2
        node = self._choice()
        if self._take() != ")":
            self._refuse("a group without end")
        return node

    def _set(self) -> Node:
        is_negated = self._peek() == "^"
        self._at += is_negated
        ranges: list[tuple[str, str]] = []
        while (character := self._take()) != "]":
            if character == "[":
                self._refuse("a [ inside a set; escape it to mean the character", back=1)
            if character == "\\":
                ranges.extend(self._escaped())
                continue
            last = character
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", "\\", ""):
                self._at += 1
                last = self._take()
            if last < character:
                self._refuse("a range that ends before it begins", back=1)
            ranges.append((character, last))
        if not ranges:
            self._refuse("an empty set")
        return _Test(tuple(ranges), is_negated)

    def _escaped(self) -> tuple[tuple[str, str], ...]:
        character = self._take()
        if character in _CLASSES:
            return _CLASSES[character]
        if character not in _ESCAPABLE:
            self._refuse(f"the escape \\{character}, which there is not", back=1)
        return ((character, character),)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        character = self._peek()
        if not character:
            self._refuse("an end too early")
        self._at += 1
        return character

    def _refuse(self, found: str, *, back: int = 0) -> NoReturn:
        raise OperatorError(
            "trust.pattern.syntax",
            f"the pattern is not one we take, at character {self._at - back + 1}",
            expected="literals, sets, groups, | * + ? {m,n}, without flags, look-around and back-references",
            found=found,
        )
