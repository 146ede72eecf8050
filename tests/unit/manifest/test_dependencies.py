# SPDX-License-Identifier: MIT
"""Who meets a requirement, and what is said where nobody does."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.base.errors import DataError, OperatorError
from powernode.manifest.constraint import Version
from powernode.manifest.dependencies import Candidate, Capability, Requirement, Unmet, resolve


def module(label: str, *requires: str, provides: tuple[str, ...] = ()) -> Candidate:
    """`owner/name@version`, each but the name optional."""
    subject, _, version = label.partition("@")
    owner, _, name = subject.rpartition("/")
    return Candidate(
        name=name,
        owner=owner or None,
        version=Version.parse(version) if version else None,
        requires=requires,
        provides=provides,
    )


def test_a_module_is_met_by_name_owner_and_version() -> None:
    found = resolve([module("acme/redis@1.0.0", "acme/base@^1.0"), module("acme/base@1.4.0")])
    assert found.met == (("acme/redis@1.0.0", "acme/base@^1.0", "acme/base@1.4.0"),)
    assert found.order == ("acme/base@1.4.0", "acme/redis@1.0.0")
    assert (found.missing, found.conflicts, found.ambiguous, found.cycles) == ((), (), (), ())


def test_another_owners_module_of_the_same_name_is_not_it() -> None:
    found = resolve([module("acme/site@1.0.0", "acme/nginx"), module("evil/nginx@1.0.0")])
    assert found.met == ()
    assert found.missing == (Unmet(by="acme/site@1.0.0", requirement="acme/nginx"),)


def test_without_an_owner_ones_own_comes_first() -> None:
    candidates = [module("acme/site@1.0.0", "nginx"), module("evil/nginx@9.0.0"), module("acme/nginx@1.0.0")]
    assert resolve(candidates).met == (("acme/site@1.0.0", "nginx", "acme/nginx@1.0.0"),)


def test_without_an_owner_and_with_several_nobody_guesses() -> None:
    found = resolve([module("acme/site@1.0.0", "nginx"), module("evil/nginx@9.0.0"), module("else/nginx@1.0.0")])
    labels = ("else/nginx@1.0.0", "evil/nginx@9.0.0")
    assert found.ambiguous == (Unmet(by="acme/site@1.0.0", requirement="nginx", found=labels),)
    assert (found.met, found.missing) == ((), ())


def test_the_newest_that_is_allowed() -> None:
    versions = ["1.0.0", "1.9.0", "1.10.0", "2.0.0", "1.11.0-rc.1"]
    candidates = [module("a/x@1.0.0", "a/base@^1.0"), *(module(f"a/base@{version}") for version in versions)]
    assert resolve(candidates).met == (("a/x@1.0.0", "a/base@^1.0", "a/base@1.10.0"),)


def test_a_version_that_is_not_allowed() -> None:
    found = resolve([module("a/x@1.0.0", "a/base@^2.0"), module("a/base@1.0.0")])
    assert found.conflicts == (Unmet(by="a/x@1.0.0", requirement="a/base@^2.0", found=("a/base@1.0.0",)),)


def test_a_module_without_a_version_is_the_one_being_written() -> None:
    assert resolve([module("x", "base@^2.0"), module("base")]).met == (("x", "base@^2.0", "base"),)


def test_capabilities() -> None:
    docker = module("a/docker@1.0.0", provides=("container.runtime@27.0.0", "docker"))
    podman = module("b/podman@1.0.0", provides=("container.runtime@5.0.0",))
    plain = module("c/plain@1.0.0", provides=("container.runtime",))
    wants = module("a/x@1.0.0", "capability:container.runtime@>=20", "capability:docker", "capability:kubernetes")
    found = resolve([docker, podman, plain, wants])
    assert [provider for *_, provider in found.met] == ["a/docker@1.0.0", "a/docker@1.0.0"]
    assert [unmet.requirement for unmet in found.missing] == ["capability:kubernetes"]


def test_a_capability_without_a_version_meets_no_constraint() -> None:
    found = resolve([module("x", "capability:tls@>=1"), module("y", provides=("tls",))])
    assert [unmet.requirement for unmet in found.conflicts] == ["capability:tls@>=1"]


def test_a_cycle_is_told_with_its_path_once() -> None:
    found = resolve([module("c", "a"), module("a", "b"), module("b", "c"), module("d", "a")])
    assert found.cycles == (("a", "b", "c", "a"),)
    assert sorted(found.order) == ["a", "b", "c", "d"]


def test_requiring_oneself_is_a_cycle() -> None:
    assert resolve([module("a", "a")]).cycles == (("a", "a"),)


def test_twice_the_same_module() -> None:
    with pytest.raises(OperatorError) as caught:
        resolve([module("a/x@1.0.0"), module("a/x@1.0.0")])
    assert caught.value.code == "dependency.duplicate"


def test_long_chains_need_no_recursion() -> None:
    count = 3000
    chain = [module(f"m{number:05}", f"m{number + 1:05}") for number in range(count)]
    found = resolve([*chain, module(f"m{count:05}")])
    assert found.order[0] == f"m{count:05}"
    assert len(found.met) == count


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdefg"), unique=True, max_size=4)),
    st.randoms(),
)
def test_nothing_is_lost_and_order_does_not_matter(graph: dict[str, list[str]], random: Random) -> None:
    candidates = [module(name, *requires) for name, requires in graph.items()]
    found = resolve(candidates)
    random.shuffle(candidates)
    assert resolve(candidates) == found
    told = [(by, text) for by, text, _ in found.met] + [(unmet.by, unmet.requirement) for unmet in found.missing]
    assert sorted(told) == sorted((name, text) for name, requires in graph.items() for text in requires)
    assert sorted(found.order) == sorted(graph)
    in_cycles = {name for cycle in found.cycles for name in cycle}
    if not in_cycles:
        place = {name: number for number, name in enumerate(found.order)}
        assert all(place[provider] < place[by] for by, _, provider in found.met)
    for cycle in found.cycles:
        assert all(after in graph[before] for before, after in pairwise(cycle))


@pytest.mark.parametrize(
    "text",
    ["owner/module@^1.0", "module", "module@1.2.3", "a.b-c_d/e", "capability:container.runtime@>=1.2", "capability:x"],
)
def test_a_requirement_is_what_it_prints(text: str) -> None:
    assert str(Requirement.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "dependency.requirement"),
        ("a/b/c", "dependency.requirement"),
        ("registry.example.com/a/b@^1", "dependency.requirement"),
        ("a@", "dependency.requirement"),
        ("a b", "dependency.requirement"),
        ("a/@1", "dependency.requirement"),
        ("../a", "dependency.requirement"),
        ("base^1.0", "dependency.requirement"),
        ("a@@1", "constraint.syntax"),
        ("a@latest", "constraint.syntax"),
        ("capability:", "dependency.tag"),
        ("capability:Docker", "dependency.tag"),
        ("capability:a..b", "dependency.tag"),
        ("a" * 600, "dependency.requirement"),
    ],
)
def test_what_is_no_requirement(text: str, code: str) -> None:
    with pytest.raises(DataError) as caught:
        Requirement.parse(text)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("text", "code"),
    [("", "dependency.tag"), ("A", "dependency.tag"), ("a@", "constraint.version"), ("a@1.0", "constraint.version")],
)
def test_what_is_no_capability(text: str, code: str) -> None:
    with pytest.raises(DataError) as caught:
        Capability.parse(text)
    assert caught.value.code == code
