"""The order in which waiting requests are served."""

from __future__ import annotations

from types import SimpleNamespace

from ominix.server.channels import Dispatcher


def test_questions_go_before_work_and_each_in_the_order_of_their_coming():
    dispatcher = Dispatcher()  # without threads: all wait
    for name in ("work 1", "question 1", "work 2", "question 2", "question 3"):
        dispatcher.add_task(SimpleNamespace(name=name, asks=name.startswith("question")))
    order = [task.name for task in dispatcher.queue]
    assert order == ["question 1", "question 2", "question 3", "work 1", "work 2"]
