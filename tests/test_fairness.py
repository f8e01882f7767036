from __future__ import annotations

import pytest

from ominix import fairness
from ominix.fairness import FairQueue, Served


def queue(*names: str) -> FairQueue[str]:
    """Names begin with their client."""
    made: FairQueue[str] = FairQueue(lambda name: name[0])
    for name in names:
        made.append(name)
    return made


def all_of(waiting: FairQueue[str]) -> list[str]:
    return [waiting.popleft() for _ in range(len(waiting))]


def test_clients_take_turns_and_keep_their_own_order():
    assert all_of(queue("a1", "a2", "a3", "b1", "c1", "b2")) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_behind_a_flood_one_waits_for_one():
    waiting = queue(*(f"a{i}" for i in range(100)))
    waiting.popleft()
    waiting.append("b")
    assert [waiting.popleft() for _ in range(2)] == ["a1", "b"]


def test_who_comes_back_at_once_does_not_pass_those_who_wait():
    waiting = queue("a1", "b1", "b2")
    assert waiting.popleft() == "a1"
    waiting.append("a2")
    assert all_of(waiting) == ["b1", "a2", "b2"]


def test_what_is_removed_is_not_counted_and_takes_no_turn():
    waiting = queue("a1", "a2", "b1")
    waiting.remove("b1")
    waiting.remove("a1")
    with pytest.raises(ValueError):
        waiting.remove("a1")
    assert all_of(waiting) == ["a2"]
    with pytest.raises(IndexError):
        waiting.popleft()


def test_turns_of_those_who_are_gone_are_forgotten():
    served = Served()
    for client in "aba":
        served.add(client)
    before = served.copy()
    served.keep(["a"])
    assert [served.last(client) for client in "abc"] == [3, 0, 0]
    assert before.last("b") == 2


def test_there_is_room_for_a_guest_beyond_any_bound():
    assert [fairness.guests(places) for places in (1, 4, 7, 16)] == [1, 1, 1, 4]
