"""Real worker processes, real signals; the engine is the scripted one."""

from __future__ import annotations

import time

import psutil
import pytest
from serving import chat, drain, eventually, scripted, text_of

from ominix.errors import Busy, InferenceFailed, InputFailed, JobRefused, Unavailable, WorkerCrashed
from ominix.wire.control import EngineSpec
from ominix.wire.events import ChatDone, Finished, Started
from ominix.workers.pool import Pool
from ominix.workers.spawned import SpawnedProcess

A, B = scripted("a"), scripted("b")


def test_a_job_s_events_come_in_order(pool):
    events = drain(pool.submit(A, chat("hello")))

    assert isinstance(events[0], Started)
    assert text_of(events) == "hello0 hello1 hello2 "
    assert events[-2:] == [Finished("length"), ChatDone(prompt_tokens=1, completion_tokens=3)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("segfault", "SIGSEGV"),
        ("raise", "RuntimeError"),
        ("raise what a client may have said", r"failed with RuntimeError(?!.*client)"),
        (
            "raise [METAL] Command buffer execution failed: Insufficient Memory",
            "the GPU: .METAL. Command buffer .*y",
        ),
        ("exit 3", "exit code 3"),
        ("eat 1000", "memory"),
        ("hang", "no sign of life"),
        ("lock", "no sign of life"),
    ],
)
def test_a_death_in_one_model_leaves_the_other_alone(pool, prompt, reason):
    drain(pool.submit(A, chat("warm up")))
    steady = pool.submit(B, chat("tick 0.05", max_tokens=20))
    beside = pool.submit(A, chat("tick 0.05", max_tokens=1000))
    begun = time.monotonic()

    with pytest.raises(WorkerCrashed, match=reason):
        drain(pool.submit(A, chat(prompt)))
    allowed = 2.0 + (2.0 if "sign of life" in reason else 0.0)  # two seconds, or past the stall time
    assert time.monotonic() - begun < allowed
    with pytest.raises(Unavailable, match=f"{reason}.*try again"):
        drain(beside)
    assert text_of(drain(steady)).endswith("tick19 ")
    assert text_of(drain(pool.submit(A, chat("again")))) == "again0 again1 again2 "


def test_sigkill_is_named(pool):
    stream = pool.submit(A, chat("tick 1", max_tokens=100))
    stream.get(5.0)
    psutil.Process(pool.load(A).pid).kill()
    with pytest.raises(WorkerCrashed, match="SIGKILL"):
        drain(stream)


@pytest.mark.parametrize(("prompt", "reason"), [("stumble", "RuntimeError"), ("panic", "Panic")])
def test_a_job_that_cannot_be_taken_in_fails_alone_and_is_not_repeated(pool, prompt, reason):
    beside = pool.submit(A, chat("tick 0.02", max_tokens=30))
    with pytest.raises(InputFailed, match=f"cannot take this input.*{reason}"):
        drain(pool.submit(A, chat(prompt)))
    assert text_of(drain(beside)).endswith("tick29 ")


def test_a_failed_event_ends_the_job_and_not_the_worker(pool):
    with pytest.raises(InferenceFailed, match="failed as asked"):
        drain(pool.submit(A, chat("fail")))
    pid = pool.load(A).pid
    drain(pool.submit(A, chat("hello")))
    assert pool.load(A).pid == pid


def test_a_refusal_keeps_its_field(pool):
    with pytest.raises(JobRefused) as caught:
        drain(pool.submit(A, chat("refuse")))
    assert caught.value.param == "messages"


def test_a_model_that_cannot_be_loaded_says_why_and_is_tried_again(pool):
    broken = scripted("broken", "broken")
    for _ in range(2):
        with pytest.raises(Unavailable, match="scripted to be broken"):
            drain(pool.submit(broken, chat("hello")))
    assert pool.states()["broken"].state == "failed"


def test_a_load_error_does_not_tell_the_path(pool):
    lost = scripted("lost", "/nowhere/secret/broken")
    with pytest.raises(Unavailable, match="at broken") as caught:
        drain(pool.submit(lost, chat("hello")))
    assert "secret" not in str(caught.value)


def test_jobs_beyond_the_bound_are_refused_at_once(pool):
    streams = [pool.submit(A, chat("sleep 30")) for _ in range(8)]
    with pytest.raises(Busy):
        pool.submit(A, chat("hello"))
    for stream in streams:
        stream.close()
    assert text_of(drain(pool.submit(A, chat("hello")))).startswith("hello0")


def test_a_closed_stream_cancels_its_job(pool):
    stream = pool.submit(A, chat("tick 0.01", max_tokens=100_000))
    stream.get(5.0)
    stream.close()
    assert eventually(lambda: pool.states()["a"].jobs == 0, 0.5)
    drain(pool.submit(A, chat("hello")))  # the worker is idle and well


@pytest.mark.slow
def test_a_job_that_stands_still_fails_alone(pool):
    """The worker beats on, so its silence does not tell."""
    beside = pool.submit(A, chat("tick 0.1", max_tokens=150))
    sleeper = pool.submit(A, chat("sleep 14"))
    with pytest.raises(InferenceFailed, match="the request made no progress for 10 s and was stopped"):
        drain(pool.submit(A, chat("stuck")))
    assert text_of(drain(beside)).endswith("tick149 ")
    drain(sleeper)


@pytest.mark.slow
def test_a_job_that_stands_still_and_cannot_be_stopped_costs_the_worker(pool):
    beside = pool.submit(A, chat("sleep 30"))
    with pytest.raises(InferenceFailed, match="made no progress for 10 s"):
        drain(pool.submit(A, chat("deaf")))
    with pytest.raises(WorkerCrashed, match="could not stop a job that made no progress for 10 s"):
        drain(beside)
    drain(pool.submit(A, chat("hello")))


@pytest.mark.slow
def test_a_load_that_stands_still_is_seen(pool):
    with pytest.raises(Unavailable, match="could not be loaded: no progress for 15 s"):
        drain(pool.submit(scripted("endless", "endless"), chat("hello")), 30.0)


@pytest.mark.slow
def test_a_process_that_is_stopped_while_it_loads_is_seen(pool):
    stream = pool.submit(scripted("huge", "huge"), chat("hello"))
    assert eventually(lambda: pool.load(scripted("huge", "huge")).used_bytes > 0)
    psutil.Process(pool.load(scripted("huge", "huge")).pid).suspend()
    with pytest.raises(Unavailable, match="could not be loaded: no progress for 15 s"):
        drain(stream, 30.0)


@pytest.mark.slow
def test_the_least_recently_used_idle_model_makes_room():
    pool = Pool(jobs_per_worker=2, stall_seconds=5.0)
    try:
        for name in "abcd":
            drain(pool.submit(scripted(name), chat("hello")))
        busy = pool.submit(scripted("a"), chat("tick 0.01", max_tokens=300))
        drain(pool.submit(scripted("e"), chat("hello")))
        assert set(pool.states()) == {"a", "c", "d", "e"}
        assert text_of(drain(busy)).endswith("tick299 ")
    finally:
        pool.close()


def test_unloading_gives_the_process_back(pool):
    drain(pool.submit(A, chat("hello")))
    pid = pool.load(A).pid
    assert pool.unload("a")
    assert not psutil.pid_exists(pid)
    assert not pool.unload("a")


def test_closing_ends_every_process_and_tells_every_job():
    pool = Pool(jobs_per_worker=2, stall_seconds=5.0)
    stream = pool.submit(A, chat("sleep 30"))
    drain(pool.submit(B, chat("hello")))
    pids = [pool.load(model).pid for model in (A, B)]
    pool.close()
    with pytest.raises((WorkerCrashed, Unavailable), match="shutting down"):
        drain(stream)
    assert not any(psutil.pid_exists(pid) for pid in pids)
    with pytest.raises(Unavailable):
        pool.submit(A, chat("hello"))


def test_a_worker_is_told_how_its_cpu_is_to_compute():
    specs: list[EngineSpec] = []

    def spawn(name: str, spec: EngineSpec) -> SpawnedProcess:
        specs.append(spec)
        return SpawnedProcess(name, spec)

    pool = Pool(
        jobs_per_worker=3,
        stall_seconds=5.0,
        limit_bytes=1 << 40,
        cpu="plain",
        max_audio_seconds=90.0,
        spawn=spawn,
    )
    drain(pool.submit(scripted("a"), chat("hello")))
    pool.close()
    assert (specs[0].cpu, specs[0].slots, specs[0].limit_bytes) == ("plain", 3, 1 << 40)
    assert specs[0].max_audio_seconds == 90.0
