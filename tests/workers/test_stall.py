"""Which jobs stand still, on a clock that the test moves."""

from __future__ import annotations

import pytest

from ominix.workers.stall import LEAST_SECONDS, StallWatch


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock) -> StallWatch:
    return StallWatch(20.0, clock)


def test_a_job_without_progress_is_named_after_the_limit_and_no_other(watch, clock):
    assert watch.look({1: 5, 2: 5}) == []
    clock.now = 19.0
    assert watch.look({1: 5, 2: 6}) == []
    assert watch.longest_seconds == 19.0
    clock.now = 21.0
    assert watch.look({1: 5, 2: 6}) == [1]


def test_a_job_that_waited_for_its_turn_begins_anew(watch, clock):
    watch.look({1: 5})
    clock.now = 15.0
    assert watch.look({}) == []
    assert watch.longest_seconds == 0.0
    clock.now = 30.0
    assert watch.look({1: 5}) == []
    clock.now = 45.0
    assert watch.look({1: 5}) == []


def test_no_limit_is_shorter_than_a_busy_machine_needs(clock):
    assert StallWatch(1.0, clock).limit_seconds == LEAST_SECONDS
