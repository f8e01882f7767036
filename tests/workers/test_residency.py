"""How long models stay: memory together, idle time, pins, by hand. Real processes and their real memory."""

from __future__ import annotations

import psutil
import pytest
from msgspec import structs
from serving import MIB, chat, drain, eventually, scripted, text_of

from ominix.errors import Busy, Conflict, OminixError, Unavailable
from ominix.workers.pool import Pool, Residency

pytestmark = pytest.mark.slow

A, B, C = (scripted(name) for name in "abc")


@pytest.fixture
def pool_of():
    """Pools with these bounds; closed at the end."""
    made: list[Pool] = []

    def make(**bounds) -> Pool:
        made.append(Pool(jobs_per_worker=4, stall_seconds=10.0, residency=Residency(**bounds)))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


def sized(model, mib: int):
    return structs.replace(model, size_bytes=mib * MIB)


def test_what_a_model_really_takes_counts_and_the_oldest_idle_one_goes(pool_of):
    pool = pool_of(memory_bytes=240 * MIB)
    for model in (A, B):
        drain(pool.submit(model, chat("eat 60")))
    assert pool.loaded() == {"a", "b"}
    drain(pool.submit(C, chat("eat 120")))
    assert eventually(lambda: pool.loaded() == {"b", "c"})
    drain(pool.submit(B, chat("eat 60")))
    assert eventually(lambda: pool.loaded() == {"b"})


def test_files_too_large_for_the_memory_are_never_loaded(pool_of):
    pool = pool_of(memory_bytes=100 * MIB)
    drain(pool.submit(A, chat("hello")))
    with pytest.raises(Unavailable, match="needs about") as caught:
        pool.load(sized(B, 200))
    assert caught.value.code == "model_too_large"


def test_room_is_made_before_loading_and_never_by_ending_requests(pool_of):
    pool = pool_of(memory_bytes=200 * MIB)
    busy = pool.submit(A, chat("tick 0.05", max_tokens=1000))
    assert eventually(lambda: pool.loaded() == {"a"})
    with pytest.raises(Busy):
        pool.load(sized(B, 190))
    busy.close()
    assert eventually(lambda: pool.jobs_aboard == 0)
    drain(pool.submit(sized(B, 190), chat("hello")))
    assert pool.loaded() == {"b"}
    drain(pool.submit(A, chat("hello")))  # b takes less than its files, as it has told
    assert pool.loaded() == {"a", "b"}


def test_a_pinned_model_stays(pool_of):
    pool = pool_of(memory_bytes=200 * MIB, keep_alive_seconds=0.1, pinned=frozenset("a"))
    for model in (A, B):
        drain(pool.submit(model, chat("hello")))
    assert eventually(lambda: pool.loaded() == {"a"})
    with pytest.raises(Unavailable, match="pinned"):
        pool.load(sized(C, 195))
    with pytest.raises(Conflict, match="pinned"):
        pool.unload("a")
    assert pool.loaded() == {"a"}


@pytest.mark.slow
def test_an_idle_model_goes_and_a_busy_one_stays(pool_of):
    pool = pool_of(keep_alive_seconds=0.3)
    drain(pool.submit(A, chat("hello")))
    pid = pool.load(A).pid
    stream = pool.submit(B, chat("sleep 1.5"))
    assert eventually(lambda: not psutil.pid_exists(pid), 5.0)
    drain(stream)
    drain(pool.submit(A, chat("again")))
    assert eventually(lambda: not pool.states())


def test_a_worker_ends_where_the_budget_does_also_while_it_loads(pool_of):
    pool = pool_of(memory_bytes=120 * MIB)
    with pytest.raises(Unavailable, match=r"used 1\d\d MiB of memory, its bound is 120 MiB"):
        drain(pool.submit(scripted("huge", "huge"), chat("hello")))


def test_room_is_made_while_a_model_is_being_loaded(pool_of):
    pool = pool_of(memory_bytes=200 * MIB)
    drain(pool.submit(A, chat("eat 60")))
    with pytest.raises(Unavailable, match="its bound is 200 MiB"):
        drain(pool.submit(scripted("huge", "huge"), chat("hello")))
    assert "a" not in pool.loaded()


def test_where_all_are_busy_and_the_machine_is_full_the_one_that_grew_goes():
    residency = Residency(memory_bytes=200 * MIB)
    pool = Pool(jobs_per_worker=4, stall_seconds=10.0, residency=residency, limit_bytes=220 * MIB)
    try:
        steady = pool.submit(A, chat("eat 60"))
        drain(steady)
        steady = pool.submit(A, chat("tick 0.05", max_tokens=200))
        grown = pool.submit(B, chat("sleep 10"))
        pool.submit(B, chat("eat 145"))
        with pytest.raises(OminixError, match=r"the models took 2\d\d MiB of 220 MiB together"):
            drain(grown)
        assert text_of(drain(steady)).endswith("tick199 ")
    finally:
        pool.close()


def test_unloading_gives_all_the_memory_back(pool_of):
    pool = pool_of()
    drain(pool.submit(A, chat("eat 200")))
    worker = psutil.Process(pool.load(A).pid)
    assert worker.memory_info().rss > 200 * MIB
    with pytest.raises(Conflict, match="requests aboard"):
        stream = pool.submit(A, chat("sleep 30"))
        pool.unload("a")
    stream.close()
    assert eventually(lambda: pool.jobs_aboard == 0)
    assert pool.unload("a")
    assert not worker.is_running()  # reaped: nothing of it is left in the system


def test_a_model_that_is_being_deleted_is_not_loaded(pool_of):
    pool = pool_of()
    with pool.without("a"):
        with pytest.raises(Unavailable, match="being deleted"):
            pool.load(A)
        with pytest.raises(Conflict), pool.without("a"):
            pass
    drain(pool.submit(A, chat("hello")))
    with pytest.raises(Conflict, match="unload"), pool.without("a"):
        pass
