# SPDX-License-Identifier: MIT
"""The merge against a slow model that knows no trees: dictionaries from path to node, layered from the bottom up."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from powernode.composefs.merge import MergeInput, MergeResult, explain, merge
from powernode.composefs.report import ConflictKind, MergeConflictError, Rule
from powernode.composefs.tree import CharacterDevice, Directory, Node, RegularFile, Symlink, walk
from powernode.manifest.globs import GlobSet, compile_globs

OPAQUE = (b"trusted.overlay.opaque", b"y")
PARTIAL = (Rule.ATTRIBUTES, Rule.OPACITY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A module with its globs as text; `parent` makes it a dependant, whose `file_spec` is then not used."""

    name: str
    priority: int
    tree: Directory
    file_spec: tuple[str, ...]
    mask: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    dependency: tuple[str, ...] = ()
    locked: bool = False
    parent: str | None = None

    def input(self) -> MergeInput:
        return MergeInput(
            name=self.name,
            effective_priority=self.priority,
            tree=self.tree,
            file_spec=None if self.parent else compile_globs(self.file_spec),
            mask=compile_globs(self.mask),
            protected_spec=compile_globs(self.protected),
            dependency_spec=compile_globs(self.dependency),
            locked=self.locked,
            parent=self.parent,
        )


# -- the model ---------------------------------------------------------------------------------------------------------


def lineage(path: bytes) -> Iterator[bytes]:
    """The path and the directories above it, without the root."""
    while path != b"/":
        yield path
        path = path.rpartition(b"/")[0] or b"/"


def covers(globs: GlobSet, path: bytes, nodes: dict[bytes, Node]) -> bool:
    return any(globs.matches(at, is_directory=isinstance(nodes[at], Directory)) for at in lineage(path))


class Model:
    """`paths`: what is left, with the module that gave it; `kinds`: the kinds of conflict but equal priority."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self.order = sorted(cases, key=lambda case: (-case.priority, case.name))
        self.by_name = {case.name: case for case in cases}
        self.carved = {case.name: self.carve(case) for case in cases}
        self.kinds: set[ConflictKind] = set()
        self.shields: dict[bytes, set[str]] = {}
        left = {case.name: self.left(case) for case in self.order}
        self.layers: dict[bytes, list[tuple[Case, Node, bool]]] = {}
        for case in reversed(self.order):
            self.lay(case, left[case.name])
        self.paths = {path: self.giver(path, layers) for path, layers in self.layers.items()}

    def spec(self, case: Case) -> tuple[str, ...]:
        return self.by_name[case.parent].dependency if case.parent else case.file_spec

    def carve(self, case: Case) -> dict[bytes, tuple[Node, bool]]:
        """Path to node, and whether the module may hide what is below it."""
        nodes = dict(walk(case.tree))
        spec, mask = compile_globs(self.spec(case)), compile_globs(case.mask)
        owned = {p for p, n in nodes.items() if spec.matches(p, is_directory=isinstance(n, Directory))}
        if {"/", "/**"} & set(self.spec(case)):
            owned.add(b"/")
        kept = {b"/"}
        for path in owned:
            if not covers(mask, path, nodes):
                kept.update(lineage(path))
        return {path: (nodes[path], path in owned) for path in kept}

    def left(self, case: Case) -> dict[bytes, tuple[Node, bool]]:
        entries = self.carved[case.name]
        nodes = {path: node for path, (node, _) in entries.items()}
        left = {}
        for path in entries:
            protectors = [c for c in self.order if covers(compile_globs(c.protected), path, nodes)]
            lockers = [c for c in self.order if c.locked and self.reserves(c, path, nodes)]
            if len(protectors) > 1:
                self.kinds.add(ConflictKind.BOTH_PROTECT)
            for protector in protectors:
                if any(k.priority > protector.priority and k.parent != protector.name for k in lockers):
                    self.kinds.add(ConflictKind.PROTECTED_AND_RESERVED)
                if protector.name in (case.name, case.parent):
                    for above in [*list(lineage(path))[1:], b"/"]:
                        self.shields.setdefault(above, set()).add(protector.name)
            mine = {case.name, case.parent}
            taken = any(c.name not in mine for c in protectors)
            taken |= any(c.name not in mine and c.priority > case.priority for c in lockers)
            if not taken:
                left[path] = entries[path]
        return left

    def reserves(self, case: Case, path: bytes, nodes: dict[bytes, Node]) -> bool:
        # Two lists, not one: the conflict rule asks the same of either.
        return any(covers(compile_globs(globs), path, nodes) for globs in (self.spec(case), case.dependency))

    def lay(self, case: Case, entries: dict[bytes, tuple[Node, bool]]) -> None:
        for path in sorted(entries):
            node, owned = entries[path]
            shields = [self.by_name[n] for n in self.shields.get(path, set()) - {case.name, case.parent or ""}]
            prefix = path.rstrip(b"/") + b"/"
            if isinstance(node, Directory):
                hidden = owned and OPAQUE in node.xattrs and all(c.priority > case.priority for c in shields)
                below = self.layers.get(path, [])
                if hidden:
                    self.drop(prefix)
                if hidden or not all(isinstance(other, Directory) for _, other, _ in below):
                    below = []
                self.layers[path] = [*below, (case, node, owned)]
            elif not shields:
                self.drop(prefix)
                self.layers.pop(path, None)
                if not (isinstance(node, CharacterDevice) and node.rdev == 0):
                    self.layers[path] = [(case, node, owned)]

    def drop(self, prefix: bytes) -> None:
        for path in [p for p in self.layers if p.startswith(prefix) and p != b"/"]:
            del self.layers[path]

    def giver(self, path: bytes, layers: list[tuple[Case, Node, bool]]) -> tuple[str, Node]:
        """The last of the most entitled: who protects the path, who includes it, who has it."""

        def claim(place: int) -> tuple[bool, bool, int]:
            case, _, owned = layers[place]
            return self.protects(case, path), owned, place

        case, node, _ = layers[max(range(len(layers)), key=claim)]
        return case.name, node

    def protects(self, case: Case, path: bytes) -> bool:
        if {"/", "/**"} & set(case.protected):
            return True
        return covers(compile_globs(case.protected), path, dict(walk(case.tree)))


Flat = dict[bytes, tuple[object, ...]]


def inode(node: Node) -> tuple[object, ...]:
    """Everything about a node but its links, its times and what a directory holds or hides."""
    xattrs = tuple(pair for pair in node.xattrs if pair != OPAQUE)
    own = getattr(node, "payload", None), getattr(node, "target", None), getattr(node, "rdev", None)
    return type(node).__name__, node.mode, node.uid, node.gid, xattrs, own


def flat(tree: Directory) -> Flat:
    return {path: inode(node) for path, node in walk(tree)}


# -- cases -------------------------------------------------------------------------------------------------------------

PATTERNS = """/ /** /a /a/ /a/** /a/b /a/b/ /a/b/** /a/c /b /b/ /b/* /c
    /* /*/b /*/*/c /**/c /**a /[ab]/* /[bc]/ /a/**/c"""
GLOBS = st.sampled_from(PATTERNS.split())
NAMES = st.sampled_from([b"a", b"b", b"c"])


@st.composite
def trees(draw: st.DrawFn, module: str) -> Directory:
    leaves: list[Node] = []

    def leaf() -> Node:
        kind = draw(st.sampled_from(["file", "file", "file", "link", "whiteout", "hardlink"]))
        if kind == "hardlink" and leaves:
            return draw(st.sampled_from(leaves))
        if kind == "whiteout":
            return CharacterDevice(rdev=0)
        mark = f"{module}{len(leaves)}".encode()
        node: Node = Symlink(target=mark) if kind == "link" else RegularFile(size=99, payload=mark, nlink=7)
        leaves.append(node)
        return node

    def directory(depth: int) -> Directory:
        names = draw(st.sets(NAMES, min_size=depth > 1, max_size=3))
        entries: dict[bytes, Node] = {}
        for name in draw(st.permutations(sorted(names))):
            deeper = depth > 0 and draw(st.integers(0, 2)) > 0
            entries[name] = directory(depth - 1) if deeper else leaf()
        return Directory(
            mode=draw(st.sampled_from([0o755, 0o700])),
            xattrs=(OPAQUE,) if draw(st.integers(0, 4)) == 0 else (),
            mtime_s=draw(st.integers(0, 3)),
            entries=entries,
        )

    return directory(2)


@st.composite
def stacks(draw: st.DrawFn, *, ties: bool = False, claims: bool = True) -> list[Case]:
    count = draw(st.integers(1, 4))
    names = draw(st.permutations(["p", "q", "r", "s"]))[:count]
    lists = st.lists(GLOBS, max_size=2).map(tuple)
    few = st.one_of(st.just(()), lists) if claims else st.just(())
    cases = []
    for place, name in enumerate(names):
        dependant = place > 0 and claims and not ties and draw(st.integers(0, 3)) == 0
        cases.append(
            Case(
                name=name,
                priority=draw(st.integers(1, 2)) if ties else place,
                tree=draw(trees(name)),
                file_spec=draw(st.one_of(st.just(("/**",)), lists)),
                mask=draw(few),
                protected=draw(few) if draw(st.booleans()) else (),
                dependency=draw(few),
                locked=claims and draw(st.integers(0, 3)) == 0,
                parent=names[0] if dependant else None,
            )
        )
    return cases


def attempt(cases: Sequence[Case]) -> MergeResult | MergeConflictError:
    try:
        return merge([case.input() for case in cases])
    except MergeConflictError as error:
        return error


# -- properties --------------------------------------------------------------------------------------------------------


@settings(max_examples=500)
@given(stacks())
def test_equals_the_model(cases: list[Case]) -> None:
    result, model = attempt(cases), Model(cases)
    if isinstance(result, MergeConflictError):
        assert {conflict.kind for conflict in result.conflicts} == model.kinds
        return
    assert not model.kinds
    assert flat(result.tree) == {path: inode(node) for path, (_, node) in model.paths.items()}
    assert result.givers == {path: name for path, (name, _) in model.paths.items()}
    nodes = dict(walk(result.tree))
    left = {path: giver for path, giver in model.paths.items() if not isinstance(giver[1], Directory)}
    for path, (name, node) in left.items():
        names = {other for other, giver in left.items() if giver == (name, node)}
        assert {other for other, at in nodes.items() if at is nodes[path]} == names
        assert nodes[path].nlink == len(names)


@settings(max_examples=150)
@given(stacks())
def test_the_order_of_the_input_does_not_matter(cases: list[Case]) -> None:
    one = attempt(cases)
    for other in map(attempt, list(permutations(cases))[1:4]):
        if isinstance(one, MergeConflictError):
            assert isinstance(other, MergeConflictError)
            assert one.conflicts == other.conflicts
        else:
            assert isinstance(other, MergeResult)
            assert flat(one.tree) == flat(other.tree)
            assert (one.lost, one.givers, one.removed) == (other.lost, other.givers, other.removed)


@settings(max_examples=150)
@given(stacks())
def test_every_path_is_accounted_for(cases: list[Case]) -> None:
    result = attempt(cases)
    assume(isinstance(result, MergeResult))
    assert isinstance(result, MergeResult)
    nodes = dict(walk(result.tree))
    assert result.givers.keys() == nodes.keys()
    whole = Counter((loss.path, loss.loser) for loss in result.lost if loss.rule not in PARTIAL)
    assert set(whole.values()) <= {1}
    sources = {(path, case.name): node for case in cases for path, node in walk(case.tree)}
    for (path, name), node in sources.items():
        given = result.givers.get(path) == name or result.removed.get(path) == name
        merged = isinstance(node, Directory) and isinstance(nodes.get(path), Directory)
        assert ((path, name) in whole) != (given or (merged and (path, name) not in whole)), (path, name)
    for path, name in result.givers.items():
        assert inode(sources[path, name]) == inode(nodes[path])
    for loss in result.lost:
        assert (loss.path, loss.loser) in sources
        assert loss in explain(result, loss.path).lost


@settings(max_examples=150)
@given(stacks())
def test_merging_the_result_again_changes_nothing(cases: list[Case]) -> None:
    result = attempt(cases)
    assume(isinstance(result, MergeResult))
    assert isinstance(result, MergeResult)
    again = merge([Case(name="again", priority=0, tree=result.tree, file_spec=("/",)).input()])
    assert not again.lost
    assert list(map(node_with_links, walk(again.tree))) == list(map(node_with_links, walk(result.tree)))


def node_with_links(named: tuple[bytes, Node]) -> tuple[object, ...]:
    path, node = named
    return path, inode(node), node.nlink, node.mtime_s


@settings(max_examples=150)
@given(stacks(ties=True, claims=False))
def test_names_decide_nothing_but_times(cases: list[Case]) -> None:
    """Where equals merge without a conflict, naming them otherwise gives the same tree."""
    result = attempt(cases)
    names = sorted(case.name for case in cases)
    for order in permutations(names):
        renamed = [replace(case, name=order[names.index(case.name)]) for case in cases]
        other = attempt(renamed)
        if isinstance(result, MergeConflictError):
            assert isinstance(other, MergeConflictError)
            assert {c.kind for c in other.conflicts} == {ConflictKind.EQUAL_PRIORITY}
            assert independent(other) == independent(result)
        else:
            assert isinstance(other, MergeResult)
            assert flat(other.tree) == flat(result.tree)


def independent(error: MergeConflictError) -> set[bytes]:
    """The paths in conflict but for those that lie in a directory whose content is itself undecided."""
    told = "directories with different attributes"
    undecided = [c.path.rstrip(b"/") + b"/" for c in error.conflicts if c.detail != told]
    return {c.path for c in error.conflicts if not any(c.path != b"/" and c.path.startswith(p) for p in undecided)}


# -- effort: our own runs against each other, processor time, best of three --------------------------------------------


def wide(count: int, mark: bytes) -> Directory:
    shelves: dict[bytes, dict[bytes, Node]] = {}
    for i in range(count):
        shelf = shelves.setdefault(b"shelf-%d" % (i // 100), {})
        shelf[b"%s-%d" % (mark if i % 2 else b"common", i)] = RegularFile(size=1, content=b"x")
    return Directory(entries={b"usr": Directory(entries={k: Directory(entries=v) for k, v in shelves.items()})})


def effort(count: int) -> float:
    cases = [
        Case(name="low", priority=1, tree=wide(count, b"l"), file_spec=("/usr/**",), mask=("/usr/**/*-*7",)),
        Case(name="high", priority=2, tree=wide(count, b"h"), file_spec=("/**",), protected=("/usr/**/common-*5",)),
    ]
    inputs = [case.input() for case in cases]
    best = float("inf")
    for _ in range(3):
        begin = time.process_time()
        result = merge(inputs)
        best = min(best, time.process_time() - begin)
    assert len(result.lost) > count // 3
    return best


def test_ten_times_the_entries_take_about_ten_times_the_time() -> None:
    # A quadratic step would make it a hundred times.
    assert effort(30_000) / effort(3_000) < 30


def test_depth_is_no_danger() -> None:
    tree = Directory(entries={b"f": RegularFile(size=1, content=b"x")})
    for _ in range(3000):
        tree = Directory(entries={b"d": tree})
    cases = [Case(name=name, priority=place, tree=tree, file_spec=("/**/f",)) for place, name in enumerate("ab")]
    result = merge([case.input() for case in cases])
    assert len(result.givers) == 3002
    assert [loss.loser for loss in result.lost] == ["a"]
