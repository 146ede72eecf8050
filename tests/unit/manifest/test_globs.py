# SPDX-License-Identifier: MIT
"""The globs against their documentation and against a slow, obvious matcher."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powernode.base.errors import DataError
from powernode.manifest import _globmachine
from powernode.manifest.globs import GlobSet, GlobState, compile_globs

DOCUMENT = Path(__file__).parents[3] / "docs" / "formats" / "globs.md"
ROW = re.compile(r"^\| `(?P<glob>[^`]+)` \| `(?P<path>[^`]+)` \| (?P<verdict>yes|no) \|$", re.MULTILINE)
ROWS = [(row["glob"], row["path"], row["verdict"]) for row in ROW.finditer(DOCUMENT.read_text("utf-8"))]


def test_the_document_has_its_table() -> None:
    text = DOCUMENT.read_text("utf-8").split("## Examples")[1]
    assert len(ROWS) == sum(line.startswith("| `") for line in text.splitlines()) > 30


@pytest.mark.parametrize(("glob", "path", "verdict"), ROWS)
def test_the_documented_examples(glob: str, path: str, verdict: str) -> None:
    plain = path.rstrip("/").encode()
    assert compile_globs([glob]).matches(plain, is_directory=path.endswith("/")) == (verdict == "yes")


@pytest.mark.parametrize(
    ("glob", "code"),
    [
        ("etc/redis", "anchor"),
        ("", "anchor"),
        ("!/etc", "anchor"),
        (" /etc", "anchor"),
        ("//", "component"),
        ("//etc", "component"),
        ("/etc//redis", "component"),
        ("/etc/redis//", "component"),
        ("/etc/./redis", "component"),
        ("/etc/*/../redis", "component"),
        ("/etc/\\.\\.", "component"),
        ("/etc/***", "stars"),
        ("/etc/[", "class"),
        ("/etc/[]", "class"),
        ("/etc/[a-", "class"),
        ("/etc/[z-a]", "class"),
        ("/etc/[[:nonsense:]]", "class"),
        ("/etc/[[:", "class"),
        ("/etc/[a/b]", "class"),
        ("/etc/[é]", "class"),
        ("/etc/a\\", "escape"),
        ("/etc/a\\/b", "escape"),
        ("/etc/a\0b", "nul"),
        ("/etc/\ud800", "encoding"),
        ("/" + "a" * 4096, "length"),
    ],
)
def test_what_is_refused(glob: str, code: str) -> None:
    with pytest.raises(DataError) as caught:
        compile_globs([glob])
    assert caught.value.code == f"glob.{code}"


def test_a_dot_that_is_not_a_component_is_fine() -> None:
    matcher = compile_globs(["/etc/.*", "/etc/..x", "/?"])
    assert matcher.matches(b"/etc/.hidden")
    assert matcher.matches(b"/etc/..x")


def test_undecodable_names_are_matched_as_bytes() -> None:
    assert compile_globs([b"/srv/\xff*"]).matches(b"/srv/\xff\xfe")
    assert compile_globs(["/srv/\udcff*"]).matches(b"/srv/\xff\xfe")


def test_an_empty_list_matches_nothing() -> None:
    assert compile_globs([]).start() is None
    assert not compile_globs([]).matches(b"/a")


def test_the_root_is_matched_by_itself_only() -> None:
    assert compile_globs(["/a", "/"]).matches(b"/", is_directory=True)
    assert not compile_globs(["/**"]).matches(b"/", is_directory=True)


def test_relative_paths_are_refused() -> None:
    with pytest.raises(DataError) as caught:
        compile_globs(["/a"]).matches(b"a")
    assert caught.value.code == "glob.path"


def test_a_walk_learns_where_it_can_stop() -> None:
    state = compile_globs(["/etc/redis/**", "/usr/share/doc/", "/srv/*.txt"]).start()
    assert state is not None
    assert state.step(b"home", True) == (False, None)
    _, etc = state.step(b"etc", True)
    assert etc is not None
    assert not etc.everything
    matched, redis = etc.step(b"redis", True)
    assert not matched
    assert redis is not None
    assert redis.everything
    assert etc.step(b"redis", False) == (False, None)
    _, usr = state.step(b"usr", True)
    assert usr is not None
    _, share = usr.step(b"share", True)
    assert share is not None
    matched, doc = share.step(b"doc", True)
    assert matched
    assert doc is not None
    assert doc.everything
    _, srv = state.step(b"srv", True)
    assert srv is not None
    assert srv.step(b"a.txt", True) == (True, None)


# -- the reference: tries everything, reads the pattern as it goes -----------------------------------------------------


def slowly(pattern: str, path: str) -> bool:
    """Does the pattern, without a trailing slash, match all of the path."""
    if pattern == "":
        return path == ""
    if pattern.startswith("**"):
        return any(slowly(pattern[2:], path[i:]) for i in range(len(path) + 1))
    if pattern.startswith("*"):
        end = path.find("/")
        return any(slowly(pattern[1:], path[i:]) for i in range((len(path) if end < 0 else end) + 1))
    if path == "":
        return False
    if pattern.startswith("["):
        end = pattern.index("]")
        members = pattern[1:end]
        hit = path[0] not in members[1:] if members[0] == "!" else path[0] in members
        return hit and path[0] != "/" and slowly(pattern[end + 1 :], path[1:])
    if pattern.startswith("\\"):
        pattern = pattern[1:]
    elif pattern.startswith("?"):
        return path[0] != "/" and slowly(pattern[1:], path[1:])
    return pattern[0] == path[0] and slowly(pattern[1:], path[1:])


def reference(pattern: str, path: str, is_directory: bool) -> bool:
    if not pattern.endswith("/"):
        return slowly(pattern, path)
    if is_directory and slowly(pattern[:-1], path):
        return True
    parts = path.split("/")
    return any(slowly(pattern[:-1], "/".join(parts[:i])) for i in range(1, len(parts)))


ATOM = st.sampled_from(["a", "a", "b", "b", "?", "*", "**", "[ab]", "[!a]", "\\*", "\\a", "*"])
COMPONENT = st.lists(ATOM, min_size=1, max_size=4).map("".join).filter(lambda text: "***" not in text)
COMPONENTS = st.lists(COMPONENT, min_size=1, max_size=4)
PATTERN = st.builds(lambda parts, slash: "/" + "/".join(parts) + slash, COMPONENTS, st.sampled_from(["", "/"]))
PATTERNS = st.lists(st.one_of(PATTERN, st.just("/")), max_size=5)
NAME = st.text(alphabet="ab*", min_size=1, max_size=4)
PATH = st.lists(NAME, min_size=1, max_size=5).map(lambda names: "/" + "/".join(names))


@settings(max_examples=600)
@given(PATTERNS, st.lists(PATH, min_size=1, max_size=12), st.booleans())
def test_agrees_with_the_slow_matcher(patterns: list[str], paths: list[str], is_directory: bool) -> None:
    matcher = compile_globs(patterns)
    for path in paths:
        expected = any(reference(pattern, path, is_directory) for pattern in patterns)
        assert matcher.matches(path.encode(), is_directory=is_directory) == expected, (patterns, path)


@settings(max_examples=200)
@given(PATTERNS, st.lists(PATH, min_size=1, max_size=12))
def test_forgetting_changes_nothing(patterns: list[str], paths: list[str]) -> None:
    remembering, forgetful = compile_globs(patterns), compile_globs(patterns)
    for machine in machines(forgetful):
        machine._max_known = 1
    for path in paths:
        assert remembering.matches(path.encode()) == forgetful.matches(path.encode())


def machines(matcher: GlobSet) -> Iterator[_globmachine.Machine]:
    state = matcher.start()
    if state is None:
        return
    yield from (machine for machine, _ in state._running)
    stack = [] if state._branch is None else list(state._branch.branches.values())
    while stack:
        branch = stack.pop()
        stack.extend(branch.branches.values())
        if branch.machine is not None:
            yield branch.machine


@settings(max_examples=300)
@given(PATTERNS, PATH, PATH)
def test_stopping_early_is_never_wrong(patterns: list[str], above: str, below: str) -> None:
    state: GlobState | None = compile_globs(patterns).start()
    for name in above.encode()[1:].split(b"/"):
        state = None if state is None else state.step(name, True)[1]
    expected = any(reference(pattern, above + below, False) for pattern in patterns)
    if state is None:
        assert not expected
    elif state.everything:
        assert expected


# -- effort: counted, not timed ----------------------------------------------------------------------------------------

HOSTILE = [
    "/" + "**a" * 1000 + "b",
    "/" + "*a" * 1000 + "b",
    "/**a" + "?" * 2000,
    "/" + "**/" * 500 + "x",
    "/**[ab]" + "[!c]" * 500 + "**?" * 200,
]


class Counting(_globmachine.Machine):
    steps = 0

    def advance(self, places: _globmachine.Places, byte: int) -> _globmachine.Places:
        Counting.steps += 1
        return super().advance(places, byte)


@pytest.mark.parametrize("glob", HOSTILE)
def test_a_hostile_pattern_costs_at_most_one_step_a_byte(glob: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("powernode.manifest.globs.Machine", Counting)
    matcher = compile_globs([glob])
    path = b"/" + (b"abaab" * 50 + b"/") * 20 + b"aaab" * 60
    Counting.steps = 0
    matcher.matches(path)
    assert 0 < Counting.steps <= len(path)


def test_what_is_remembered_is_bounded() -> None:
    matcher = compile_globs(["/**a" + "?" * 200])
    letters = Random(1)
    path = b"/" + bytes(letters.choice(b"ab") for _ in range(60_000))
    matcher.matches(path)
    (machine,) = machines(matcher)
    assert len(machine._known) <= machine._max_known < 20_000
    alive = sum(isinstance(thing, _globmachine.Places) and thing.machine is machine for thing in gc.get_objects())
    assert alive <= machine._max_known + 2  # the start and the one just left


def test_wildcards_have_a_limit_and_plain_lists_do_not() -> None:
    compile_globs(f"/usr/share/{number}/some-rather-long-file-name" for number in range(20_000))
    with pytest.raises(DataError) as caught:
        compile_globs(f"/*/{number}/some-rather-long-file-name" for number in range(20_000))
    assert caught.value.code == "glob.too-many"
