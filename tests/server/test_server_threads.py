from __future__ import annotations

import threading
from types import SimpleNamespace

from ominix.server.threads import QUESTION_THREADS, Dispatcher


def task(asks: bool, service) -> SimpleNamespace:
    return SimpleNamespace(asks=asks, service=service, cancel=lambda: None)


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
