"""The order of the server's locks."""

from __future__ import annotations

import threading

import pytest

from ominix.workers import ordered_lock
from ominix.workers.ordered_lock import POOL, WORKER, OrderedLock


def test_the_pool_s_lock_comes_before_a_worker_s():
    pool, worker = OrderedLock(POOL), OrderedLock(WORKER)
    with pool, worker:
        assert ordered_lock.held() == (POOL, WORKER)
    assert ordered_lock.held() == ()
    with worker:
        pass


@pytest.mark.parametrize("second", [POOL, WORKER])
def test_another_order_is_refused_though_nobody_else_is_there(second):
    with OrderedLock(WORKER):
        with pytest.raises(AssertionError, match="is taken under lock"), OrderedLock(second):
            pass
        assert ordered_lock.held() == (WORKER,)
    assert ordered_lock.held() == ()


def test_it_is_a_mutex_and_each_thread_has_its_own_order():
    lock = OrderedLock(POOL)
    entered = threading.Event()

    def enter() -> None:
        with OrderedLock(POOL), OrderedLock(WORKER):  # others' ranks do not count
            pass
        with lock:
            entered.set()

    with lock:
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.1)
    assert entered.wait(5.0)
    thread.join()
    assert not ordered_lock.held()
