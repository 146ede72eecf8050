# SPDX-License-Identifier: MIT
"""YAML as people should write it: bytes to plain values, and where each key and value is.

Everything that two readers of YAML could understand differently, or that hides what a document says, is an error with
its place: anchors, aliases, merge keys, tags, directives, a key twice, a second document, `yes` and `off`, `017` and
`1:30`, `7.4` and `2026-04-15` where nobody said that a string is meant, NUL and other control characters, marks that
turn the reading direction. Nothing is constructed but strings, integers, true, false, null, lists and mappings with
strings as keys; without aliases a document cannot grow, and its size and depth are bounded.

PyYAML's parser gives the events (always the one in Python, so a message is the same on every machine); what a plain
word means is decided here.

Out of scope: what the document should hold (`manifest.model`).

    document = read(b"name: nginx\nmask: [/etc/x]\n", "manifest.yaml")
    document.value, document.position(("mask", 0))          # {...}, (2, 8)
    examine(b"a: yes\na: *b\n").traps                       # all that is wrong, as far as it can be read
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

import yaml
from yaml import events

from powernode.base.canonical import MAX_DEPTH
from powernode.manifest.problem import Problem
from powernode.module._plainwords import Doubtful, plain_word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.base.canonical import Json
    from powernode.manifest.problem import Path

__all__ = ["Document", "Reading", "Trap", "examine", "read"]

MAX_BYTES = 128 << 10

_HINTS = (
    ("mapping values are not allowed", 'a text with ": " in it needs quotes'),
    ("'\\t'", "indent with spaces"),
    ("cannot start any token", "a text that begins with this needs quotes"),
)
"""What to do about what PyYAML says."""

_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trap:
    """What is wrong with the document as YAML, and where; lines and columns count from 1. `path`: of the value."""

    problem: Problem
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A value, the places of its parts, and the digest (in hexadecimal digits) of the bytes it was read from."""

    value: Json
    sha256: str
    values: Mapping[Path, tuple[int, int]]
    keys: Mapping[Path, tuple[int, int]]

    def position(self, path: Path, *, at_key: bool = False) -> tuple[int, int]:
        """Line and column of the value there (or of its key), or of what is nearest above it."""
        if at_key and path in self.keys:
            return self.keys[path]
        while path not in self.values and path:
            path = path[:-1]
        return self.values.get(path, (1, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """`document` is None if it could not be read to its end; values with a trap are in it as the text they were."""

    document: Document | None
    traps: tuple[Trap, ...]


def read(data: bytes, name: str) -> Document:
    """The document, or a DataError with its first trap."""
    reading = examine(data)
    if reading.traps:
        first = min(reading.traps, key=lambda trap: (trap.line, trap.column))
        raise first.problem.error(f"{name}:{first.line}:{first.column}")
    assert reading.document is not None
    return reading.document


def examine(data: bytes) -> Reading:
    """All that is wrong with the document, and what could be read of it."""
    if len(data) > MAX_BYTES:
        return _unread("yaml.size", "the document is too long", 1, 1, f"at most {MAX_BYTES} bytes", f"{len(data)}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        return _unread("yaml.utf8", "the document is not UTF-8 here", *_place(before, len(before)))
    text = text.replace("\r\n", "\n")
    forbidden = _FORBIDDEN.search(text)
    if forbidden is not None or "\r" in text:
        at = forbidden.start() if forbidden is not None else text.index("\r")
        return _unread(
            "yaml.character",
            "a control character, or one that hides what is written",
            *_place(text, at),
            found=f"U+{ord(text[at]):04X}",
        )
    reader = _Reader()
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if not reader.take(event):
                break
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        message = f"this is not YAML: {error.problem or error.context}"
        hint = next((hint for part, hint in _HINTS if part in message), None)
        reader.trap("syntax", message, line, column, hint=hint)
        reader.whole = False
    except (ValueError, OverflowError):  # PyYAML converts \UFFFFFFFF and the like without looking
        reader.trap("syntax", "this is not YAML: a number in it is too large", *reader.last)
        reader.whole = False
    if not reader.whole:
        return Reading(document=None, traps=tuple(reader.traps))
    return Reading(
        document=Document(value=reader.root, sha256=sha256(data).hexdigest(), values=reader.values, keys=reader.keys),
        traps=tuple(reader.traps),
    )


@dataclass(slots=True, kw_only=True)
class _Open:
    """A list or mapping whose end has not come. `key` None: a key comes next; one with a NUL: its value is dropped."""

    container: dict[str, Json] | list[Json]
    path: Path
    key: str | None = None


@dataclass(slots=True)
class _Reader:
    """Puts the values together, event by event; never recursive."""

    root: Json = None
    whole: bool = True
    last: tuple[int, int] = (1, 1)
    values: dict[Path, tuple[int, int]] = field(default_factory=dict)
    keys: dict[Path, tuple[int, int]] = field(default_factory=dict)
    traps: list[Trap] = field(default_factory=list)
    _open: list[_Open] = field(default_factory=list)
    _documents: int = 0

    def take(self, event: yaml.Event) -> bool:
        """False when there is no sense in going on."""
        assert event.start_mark is not None
        line, column = self.last = event.start_mark.line + 1, event.start_mark.column + 1
        if isinstance(event, events.DocumentStartEvent):
            return self._start(event, line, column)
        if isinstance(event, events.CollectionEndEvent):
            self._open.pop()
        elif isinstance(event, events.NodeEvent):
            return self._node(event, line, column)
        return True

    def trap(
        self,
        cause: str,
        message: str,
        line: int,
        column: int,
        *,
        path: Path = (),
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
        at_key: bool = False,
    ) -> None:
        problem = Problem(
            path=path,
            code=f"yaml.{cause}",
            message=message,
            expected=expected,
            found=found,
            hint=hint,
            at_key=at_key,
        )
        self.traps.append(Trap(problem=problem, line=line, column=column))

    def _start(self, event: events.DocumentStartEvent, line: int, column: int) -> bool:
        if event.version or event.tags:
            self.trap(
                "directive", "a directive changes what the document means", line, column, hint="remove the % line"
            )
        self._documents += 1
        if self._documents > 1:
            self.trap("documents", "a second document begins here", line, column, hint="one file is one document")
        return self._documents == 1

    def _node(self, event: events.NodeEvent, line: int, column: int) -> bool:
        holder = self._open[-1] if self._open else None
        if holder is not None and isinstance(holder.container, dict) and holder.key is None:
            self._key(holder, event, line, column)
            return self.whole
        path = self._path(holder)
        self._check_marks(event, path, line, column)
        value: Json
        if isinstance(event, events.ScalarEvent):
            value = self._scalar(event, path, line, column)
        elif isinstance(event, events.AliasEvent):
            value = None
        else:
            if len(self._open) >= MAX_DEPTH:
                self.trap("depth", f"lists and mappings are more than {MAX_DEPTH} deep", line, column)
                self.whole = False
                return False
            value = {} if isinstance(event, events.MappingStartEvent) else []
        self._put(holder, value)
        self.values[path] = (line, column)
        if isinstance(value, dict | list):
            self._open.append(_Open(container=value, path=path))
        return True

    def _key(self, holder: _Open, event: events.NodeEvent, line: int, column: int) -> None:
        if not isinstance(event, events.ScalarEvent):
            self.trap(
                "key", "a key is a list, a mapping or an alias", line, column, path=holder.path, expected="a word"
            )
            self.whole = False
            return
        name = event.value
        path = (*holder.path, name)
        before = len(self.traps)
        self._check_marks(event, path, line, column)
        meant = self._scalar(event, path, line, column)
        if not isinstance(meant, str) and len(self.traps) == before:
            found = "nothing" if meant is None else f"{name}, which is no string"
            self.trap("key", "a key is a string", line, column, path=path, found=found, hint=f'write "{name}"')
        assert isinstance(holder.container, dict)
        if name in holder.container:
            first = self.keys.get(path)
            hint = f"it is in line {first[0]} already" if first is not None else None
            message = f"the key {name[:100]!r} is there twice"
            self.trap("duplicate-key", message, line, column, path=path, hint=hint, at_key=True)
            holder.key = f"{name}\0{line}:{column}"
            return
        holder.key = name
        self.keys[path] = (line, column)

    def _check_marks(self, event: events.NodeEvent, path: Path, line: int, column: int) -> None:
        if isinstance(event, events.AliasEvent):
            hint = "write the value out; what begins with * needs quotes"
            self.trap("alias", "an alias stands for what is written elsewhere", line, column, path=path, hint=hint)
            return
        if event.anchor is not None:
            hint = "remove it; what begins with & needs quotes"
            self.trap("anchor", "an anchor has no use without aliases", line, column, path=path, hint=hint)
        tag = getattr(event, "tag", None)
        if tag is not None:
            hint = "remove it; what begins with ! needs quotes"
            self.trap(
                "tag", "a tag would say what the value becomes", line, column, path=path, found=tag[:100], hint=hint
            )

    def _scalar(self, event: events.ScalarEvent, path: Path, line: int, column: int) -> Json:
        text: str = event.value
        odd = _FORBIDDEN.search(text) or re.search("[\r\ud800-\udfff]", text)
        if odd is not None:
            found = f"U+{ord(odd[0]):04X}"
            self.trap("character", "the value has a control character", line, column, path=path, found=found)
        if event.style is not None or event.tag is not None:
            return text
        meant = plain_word(text)
        if isinstance(meant, Doubtful):
            self.trap(meant.cause, f"{text[:60]} {meant.message}", line, column, path=path, hint=meant.hint)
            return text
        return meant

    def _put(self, holder: _Open | None, value: Json) -> None:
        if holder is None:
            self.root = value
        elif isinstance(holder.container, list):
            holder.container.append(value)
        else:
            assert holder.key is not None
            if "\0" not in holder.key:
                holder.container[holder.key] = value
            holder.key = None

    def _path(self, holder: _Open | None) -> Path:
        if holder is None:
            return ()
        if isinstance(holder.container, list):
            return (*holder.path, len(holder.container))
        assert holder.key is not None
        return (*holder.path, holder.key)


def _unread(
    code: str, message: str, line: int, column: int, expected: str | None = None, found: str | None = None
) -> Reading:
    problem = Problem(path=(), code=code, message=message, expected=expected, found=found)
    return Reading(document=None, traps=(Trap(problem=problem, line=line, column=column),))


def _place(text: str, at: int) -> tuple[int, int]:
    """Line and column of a character."""
    return text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1
