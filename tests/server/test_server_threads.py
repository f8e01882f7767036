from __future__ import annotations

import threading
from types import SimpleNamespace

from ominix.server.threads import QUESTION_THREADS, Dispatcher


def task(asks: bool, service, client: str = "a") -> SimpleNamespace:
    return SimpleNamespace(asks=asks, service=service, cancel=lambda: None, client=client)


def test_neither_questions_nor_work_starve_the_other():
    """150 connections that asked for /openapi.json kept a chat from being served for 15 s."""
    dispatcher = Dispatcher(work_threads=2)
    done = threading.Semaphore(0)
    for asks in (True, False):
        release = threading.Event()
        for _ in range(2 * QUESTION_THREADS):
            dispatcher.add_task(task(asks, release.wait))
        dispatcher.add_task(task(not asks, done.release))
        assert done.acquire(timeout=10)
        release.set()
    dispatcher.shutdown(5)


def test_a_flood_of_one_client_costs_another_a_turn():
    dispatcher = Dispatcher(work_threads=1)
    release, done, served = threading.Event(), threading.Event(), []
    dispatcher.add_task(task(False, release.wait))
    for _ in range(100):
        dispatcher.add_task(task(False, lambda: served.append("flood")))
    dispatcher.add_task(task(False, done.set, client="b"))
    for _ in range(3):
        dispatcher.add_task(task(False, lambda: served.append("b"), client="b"))
    release.set()

    assert done.wait(10)
    dispatcher.shutdown(5)
    assert served[:5].count("b") >= 2
