"""One worker's states, message by message, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec import structs
from serving import chat

from ominix.errors import Busy, InferenceFailed, TooLarge, Unavailable, WorkerCrashed
from ominix.wire.control import Admitting, Batch, Beat, Cancel, Command, Ending, EngineSpec, Loaded, Loading
from ominix.wire.events import ChatDone, Delta, Failed, Started
from ominix.wire.jobs import Caller, ChatJob, TranscriptionJob
from ominix.wire.outbox import OutboxFull
from ominix.wire.transport import FrameTooLarge
from ominix.workers.process import LEAST_LOAD_STALL_SECONDS, LEAST_MOVED_BYTES, Observer, WorkerProcess


class ScriptedProcess:
    """Keeps what it is sent; fails where it is told to. Implements `process.Process`."""

    pid = 1

    def __init__(self) -> None:
        self.sent: list[Command] = []
        self.descriptors: list[int] = []
        self.kills = 0
        self.error: Exception | None = None

    def start(self, observer: Observer) -> None:
        if self.error:
            raise self.error

    def send(self, command: Command, descriptors: Sequence[int] = (), *, urgent: bool = False) -> None:
        if self.error:
            raise self.error
        self.sent.append(command)
        self.descriptors += descriptors

    def kill(self) -> None:
        self.kills += 1

    def join(self, timeout_seconds: float) -> None: ...


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def process() -> ScriptedProcess:
    return ScriptedProcess()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def news() -> list[int]:
    return []


@pytest.fixture
def worker(process, clock, news) -> WorkerProcess:
    spec = EngineSpec("scripted", "", slots=2)
    return WorkerProcess("m", spec, process, 10.0, lambda worker: news.append(worker.used_bytes), clock)


def of(client: str) -> ChatJob:
    return structs.replace(chat("a"), caller=Caller("", client))


def test_a_client_with_no_job_aboard_finds_a_place_beside_a_flood(worker, process):
    flood = [worker.submit(of("flood")) for _ in range(2)]
    guest = worker.submit(of("guest"))
    for client in ("flood", "guest", "another"):  # one place more, and it is taken
        with pytest.raises(Busy):
            worker.submit(of(client))

    flood[0].close()
    with pytest.raises(Busy):
        worker.submit(of("flood"))
    worker.submit(of("another"))
    guest.close()
    flood[1].close()
    assert len(worker._clients) == worker.jobs_aboard == 1


def test_events_go_to_their_own_stream_and_the_last_frees_the_slot(worker, process):
    one, two = worker.submit(chat("a")), worker.submit(chat("b"))
    with pytest.raises(Busy):
        worker.submit(chat("c"))
    assert [command.job_id for command in process.sent] == [1, 2]
    worker.on_message(Batch([(2, Delta("b")), (1, Started()), (2, ChatDone(1, 1))]))
    assert two.get(0.0) == [Delta("b"), ChatDone(1, 1)]
    assert one.get(0.0) == [Started()]
    assert worker.jobs_aboard == 1
    worker.submit(chat("c"))


def test_a_closed_stream_is_cancelled_once_and_hears_no_more(worker, process):
    stream = worker.submit(chat("a"))
    stream.close()
    stream.close()
    worker.on_message(Batch([(1, Delta("late"))]))
    assert process.sent[1:] == [Cancel(1)]
    assert worker.jobs_aboard == 0


def test_a_job_s_descriptor_goes_beside_it(worker, process):
    worker.submit(TranscriptionJob(7))
    assert process.descriptors == [7]


def test_silence_with_jobs_aboard_is_a_stall_and_without_none(worker, process, clock):
    worker.on_message(Loaded(5))
    clock.now += 1000.0
    worker.on_quiet()
    assert not process.kills
    stream = worker.submit(chat("a"))
    clock.now += 9.0
    worker.on_message(Beat(5))
    clock.now += 9.0
    worker.on_quiet()
    assert not process.kills
    assert worker.silent_seconds == 9.0
    clock.now += 1.1
    worker.on_quiet()
    assert (process.kills, worker.is_over) == (1, True)
    worker.on_end("died of SIGKILL")
    with pytest.raises(WorkerCrashed, match="no sign of life for 10 s"):
        stream.get(0.0)


def test_a_load_may_take_long_as_long_as_it_goes_on(worker, process, clock):
    stream = worker.submit(chat("a"))
    for step in range(1, 100):
        clock.now += LEAST_LOAD_STALL_SECONDS - 1.0
        worker.on_message(Loading(5, step * LEAST_MOVED_BYTES))
        worker.on_quiet()
    assert worker.trouble is None
    for _ in range(4):
        clock.now += LEAST_LOAD_STALL_SECONDS / 4
        worker.on_message(Loading(5, 99 * LEAST_MOVED_BYTES + LEAST_MOVED_BYTES // 2))
        worker.on_quiet()
    assert worker.trouble == "loading, without progress for 15 s"
    assert not process.kills
    clock.now += 1.0
    worker.on_quiet()
    assert process.kills
    worker.on_end("died of SIGKILL")
    with pytest.raises(Unavailable, match="could not be loaded: no progress for 15 s"):
        stream.get(0.0)


def test_a_job_that_stands_still_is_told_before_it_is_stopped(worker, process):
    worker.on_message(Loaded())
    worker.submit(chat("a"))
    worker.on_message(Beat(5, 4.0))
    assert worker.trouble is None
    worker.on_message(Beat(5, 6.0))
    assert worker.trouble == "a request without progress for 6 s"
    assert not process.kills


def test_of_two_jobs_aboard_the_one_that_was_being_taken_in_is_the_cause(worker):
    worker.on_message(Loaded())
    old, new = worker.submit(chat("a")), worker.submit(chat("b"))
    worker.on_message(Admitting(1))
    worker.on_message(Batch([(1, Started())]))
    worker.on_message(Admitting(2))
    worker.on_end("died of SIGSEGV")
    with pytest.raises(WorkerCrashed, match="died of SIGSEGV"):
        new.get(0.0)
    assert old.get(0.0) == [Started()]
    with pytest.raises(Unavailable, match="SIGSEGV; another request may be why: try again"):
        old.get(0.0)


def test_where_nobody_knows_which_job_it_died_of_all_may_try_again(worker):
    worker.on_message(Loaded())
    streams = [worker.submit(chat("a")), worker.submit(chat("b"))]
    worker.on_message(Admitting(2))
    worker.on_message(Beat())
    worker.on_end("died of SIGKILL")
    for stream in streams:
        with pytest.raises(Unavailable, match="try again"):
            stream.get(0.0)


def test_its_last_words_count_more_than_its_exit_status(worker):
    worker.on_message(Loaded())
    stream = worker.submit(chat("a"))
    worker.on_message(Ending("failed with RuntimeError"))
    worker.on_end("ended with exit code 1")
    with pytest.raises(WorkerCrashed, match="the process of m failed with RuntimeError"):
        stream.get(0.0)
    with pytest.raises(WorkerCrashed):
        worker.submit(chat("b"))


def test_a_retired_worker_takes_no_jobs_and_a_busy_one_is_not_retired(worker, process):
    worker.on_message(Loaded())
    stream = worker.submit(chat("a"))
    assert not worker.retire("was unloaded")
    stream.close()
    assert worker.retire("was unloaded")
    assert not worker.retire("again")
    with pytest.raises(WorkerCrashed, match="was unloaded"):
        worker.submit(chat("b"))
    worker.on_end("died of SIGKILL")
    assert (worker.end_reason, process.kills) == ("was unloaded", 1)


@pytest.mark.parametrize(("error", "raised"), [(OutboxFull(), Busy), (FrameTooLarge("big"), TooLarge)])
def test_a_job_that_cannot_be_sent_takes_no_slot(worker, process, error, raised):
    process.error = error
    with pytest.raises(raised):
        worker.submit(chat("a"))
    assert worker.jobs_aboard == 0


def test_a_job_sent_to_a_dead_process_ends_with_the_reason_of_its_death(worker, process):
    worker.on_message(Loaded())
    process.error = BrokenPipeError()
    stream = worker.submit(chat("a"))
    worker.on_end("died of SIGSEGV")
    with pytest.raises(WorkerCrashed, match="SIGSEGV"):
        stream.get(0.0)


def test_a_process_that_cannot_be_started_fails_the_jobs_that_came_meanwhile(worker, process):
    stream = worker.submit(chat("a"))
    process.error = OSError(12, "Cannot allocate memory")
    with pytest.raises(Unavailable, match="could not be started: Cannot allocate memory"):
        worker.start()
    with pytest.raises(Unavailable, match="could not be started"):
        stream.get(0.0)


def test_news_of_memory_and_quiet_moments_are_passed_on(worker, news):
    worker.on_message(Loaded(5))
    worker.on_message(Beat(7))
    worker.on_quiet()
    assert news == [5, 7, 7]


def test_a_failed_event_ends_its_job_alone(worker):
    one, two = worker.submit(chat("a")), worker.submit(chat("b"))
    worker.on_message(Batch([(1, Failed("no")), (2, Delta("b"))]))
    with pytest.raises(InferenceFailed):
        one.get(0.0)
    assert two.get(0.0) == [Delta("b")]
