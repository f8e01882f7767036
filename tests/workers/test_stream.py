"""Events of one job, in order, to one reader."""

from __future__ import annotations

import pytest

from ominix.errors import InferenceFailed, JobRefused, WorkerCrashed
from ominix.wire.events import ChatDone, Delta, Failed, Refused, Started
from ominix.workers.stream import Stream


@pytest.fixture
def cancelled() -> list[bool]:
    return []


@pytest.fixture
def stream(cancelled) -> Stream:
    return Stream(cancel=lambda: cancelled.append(True))


def test_all_events_there_are_come_at_once(stream):
    for event in (Started(), Delta("a"), ChatDone(1, 1)):
        stream.put(event)
    assert stream.get(0.0) == [Started(), Delta("a"), ChatDone(1, 1)]
    assert stream.ended


def test_nothing_came_in_time(stream):
    assert stream.get(0.01) == []
    assert not stream.ended


@pytest.mark.parametrize(
    ("last", "error"),
    [
        (Refused("no", "file"), JobRefused),
        (Failed("no"), InferenceFailed),
        (WorkerCrashed("died of SIGSEGV"), WorkerCrashed),
    ],
)
def test_events_before_an_error_are_given_first(stream, cancelled, last, error):
    stream.put(Delta("a"))
    stream.put(last)
    assert stream.get(0.0) == [Delta("a")]
    with pytest.raises(error):
        stream.get(0.0)
    assert stream.ended
    stream.close()
    assert not cancelled


def test_closing_cancels_once_and_only_what_has_not_ended(stream, cancelled):
    stream.put(Delta("a"))
    stream.close()
    stream.close()
    assert cancelled == [True]
