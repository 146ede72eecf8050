# SPDX-License-Identifier: MIT
"""Boot sets on persist: after every prefix of every change, what would boot is the old thing or the new one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powernode.agent.choose import Choice, Facts, choose
from powernode.agent.sets import (
    ATTEMPTS,
    GOOD,
    MAX_BYTES,
    PENDING,
    SetStore,
    Step,
    plan_confirm,
    plan_stage,
    set_id_of,
)
from powernode.base.errors import DataError, MachineError, OperatorError

A, B, C = b'{"a":1}', b'{"b":2}', b'{"c":3}'
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@pytest.fixture
def sets(folder: Path) -> SetStore:
    store = SetStore(str(folder / "sets"))
    os.mkdir(store.folder)
    return store


def chosen(sets: SetStore) -> Choice:
    """What a boot would make of it, every envelope read; the files must be right at every moment."""
    pending, good = sets.pointer(PENDING), sets.pointer(GOOD)
    for set_id in filter(None, (pending, good)):
        sets.read(set_id)
    attempts = sets.attempts(pending) if pending else 0
    return choose(Facts(pending=pending, attempts=attempts, good=good, base=None, max_attempts=3))


def order(sets: SetStore) -> list[tuple[str, str]]:
    return [(candidate.set_id, candidate.reason) for candidate in chosen(sets).candidates]


def test_stage_then_confirm(sets: SetStore) -> None:
    assert (sets.pointer(GOOD), sets.pointer(PENDING)) == (None, None)
    a = sets.stage(A)
    assert a == set_id_of(A)
    assert (sets.pointer(PENDING), sets.read(a), sets.attempts(a)) == (a, A, 0)
    sets.record_attempt(a, 1)
    assert sets.attempts(a) == 1
    sets.confirm(a)
    assert (sets.pointer(GOOD), sets.pointer(PENDING), sets.recorded()) == (a, None, None)
    assert os.readlink(f"{sets.folder}/good") == f"{a}.json"


def test_confirming_leaves_what_was_staged_meanwhile(sets: SetStore) -> None:
    a = sets.stage(A)
    sets.record_attempt(a, 1)
    b = sets.stage(B)
    sets.confirm(a)
    assert (sets.pointer(GOOD), sets.pointer(PENDING), sets.attempts(b)) == (a, b, 0)


def test_staging_again_gives_new_attempts(sets: SetStore) -> None:
    a = sets.stage(A)
    sets.record_attempt(a, 3)
    sets.stage(B)
    assert sets.stage(A) == a
    assert sets.attempts(a) == 0


def test_what_is_not_there_is_not_confirmed(sets: SetStore) -> None:
    a = sets.stage(A)
    with pytest.raises(DataError) as caught:
        sets.confirm(set_id_of(B))
    assert caught.value.code == "agent.sets.missing"
    assert (sets.pointer(GOOD), sets.pointer(PENDING)) == (None, a)


def write_steps(sets: SetStore, name: str, data: bytes) -> None:
    sets.perform([Step(action="write", name=name, data=data)])


@pytest.mark.parametrize(
    "target", ["../x.json", "a.json", "A" * 64 + ".json", "a" * 64, "a" * 64 + ".json/..", "/etc/passwd"]
)
def test_pointers_elsewhere(sets: SetStore, target: str) -> None:
    os.symlink(target, f"{sets.folder}/good")
    with pytest.raises(DataError) as caught:
        sets.pointer(GOOD)
    assert caught.value.code == "agent.sets.pointer"


def test_a_file_is_no_pointer(sets: SetStore) -> None:
    write_steps(sets, GOOD, b"x")
    with pytest.raises(DataError) as caught:
        sets.pointer(GOOD)
    assert caught.value.code == "agent.sets.pointer"


@pytest.mark.parametrize("data", [b"", b"x", b"a" * 64, b"%s -1" % (b"a" * 64), b"%s 1 2" % (b"a" * 64), b"\xff" * 70])
def test_damaged_attempts(sets: SetStore, data: bytes) -> None:
    a = sets.stage(A)
    write_steps(sets, ATTEMPTS, data)
    with pytest.raises(DataError) as caught:
        sets.attempts(a)
    assert caught.value.code == "agent.sets.attempts"
    assert sets.stage(B) == set_id_of(B)  # a new set starts clean
    assert sets.attempts(set_id_of(B)) == 0


def test_sizes(sets: SetStore) -> None:
    with pytest.raises(OperatorError) as refused:
        sets.stage(b"x" * (MAX_BYTES + 1))
    assert refused.value.code == "agent.sets.size"
    write_steps(sets, f"{'a' * 64}.json", b"x" * (MAX_BYTES + 1))
    with pytest.raises(DataError) as caught:
        sets.read("a" * 64)
    assert caught.value.code == "agent.sets.content"


def test_no_folder(tmp_path: Path) -> None:
    sets = SetStore(str(tmp_path / "none"))
    assert (sets.pointer(GOOD), sets.recorded()) == (None, None)
    with pytest.raises(MachineError) as caught:
        sets.record_attempt("a" * 64, 1)
    assert caught.value.code == "durable.no-folder"


ENVELOPES = st.sampled_from([A, B, C])
ACTIONS = st.lists(
    st.tuples(st.just("stage"), ENVELOPES)
    | st.tuples(st.just("boot"), st.just(b""))
    | st.tuples(st.just("confirm"), st.just(b"")),
    max_size=8,
)


def plan(sets: SetStore, action: str, envelope: bytes) -> list[Step]:
    """The steps of an action, as the agent would make them now."""
    pending = sets.pointer(PENDING)
    candidates = chosen(sets).candidates
    if action == "stage":
        return plan_stage(envelope, sets.recorded())
    if not candidates:
        return []
    first = candidates[0]
    if action == "confirm":
        return plan_confirm(first.set_id, pending)
    if first.kind != "pending":
        return []
    number = sets.attempts(first.set_id) + 1
    return [Step(action="write", name=ATTEMPTS, data=f"{first.set_id} {number}\n".encode())]


@settings(max_examples=60)
@given(ACTIONS)
def test_a_power_cut_leaves_the_old_or_the_new(actions: list[tuple[str, bytes]]) -> None:
    """Performs histories; before each action is done, every prefix of its steps is tried on a copy of the disk."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as top:
        sets = SetStore(f"{top}/sets")
        os.mkdir(sets.folder)
        for number, (action, envelope) in enumerate(actions):
            steps = plan(sets, action, envelope)
            states = []
            for cut in range(len(steps) + 1):
                copy = SetStore(f"{top}/{number}-{cut}")
                clone(sets.folder, copy.folder)
                copy.perform(steps[:cut])
                states.append(order(copy))
            old, new = states[0], states[-1]
            # Staging what is pending already, with attempts used, only gives it new ones: that is the new state.
            assert all(state in (old, new) for state in states), (action, states)
            for cut, state in enumerate(states):  # and once it is the new one it stays that
                assert state == new or all(earlier == old for earlier in states[:cut])
            sets.perform(steps)


def clone(source: str, target: str) -> None:
    os.mkdir(target)
    for name in os.listdir(source):
        path = f"{source}/{name}"
        if os.path.islink(path):
            os.symlink(os.readlink(path), f"{target}/{name}")
        else:
            Path(f"{target}/{name}").write_bytes(Path(path).read_bytes())


@settings(max_examples=30)
@given(boots=st.integers(0, 6), limit=st.integers(1, 4))
def test_a_set_that_always_panics_is_tried_as_often_as_allowed(boots: int, limit: int) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as top:
        sets = SetStore(top)
        sets.stage(A)
        sets.confirm(set_id_of(A))
        new = sets.stage(B)
        tried = []
        for _ in range(boots):
            facts = Facts(pending=new, attempts=sets.attempts(new), good=set_id_of(A), base=None, max_attempts=limit)
            first = choose(facts).candidates[0]
            if first.kind == "pending":
                sets.record_attempt(new, sets.attempts(new) + 1)
            tried.append(first.kind)
        assert tried == (["pending"] * limit + ["good"] * boots)[:boots]
