"""The queue before the prompts' thread, without a model."""

from __future__ import annotations

import threading

import pytest

from ominix.engines.text.preparation import Outcome, Preparation, Prepared
from ominix.engines.text.prompts import Prompt
from ominix.wire.jobs import Caller, ChatJob


class Work:
    """Makes prompts one by one, when it is let."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.begun = threading.Event()
        self.go = threading.Event()

    def prepare(self, job: ChatJob) -> Prepared:
        self.begun.set()
        assert self.go.wait(10)
        self.made.append(job.caller.client)
        if job.n == 2:
            raise ValueError("no prompt")
        return Prepared(Prompt((1,), 1, begins=None), ())


@pytest.fixture
def work() -> Work:
    return Work()


def job(client: str, n: int = 1) -> ChatJob:
    return ChatJob((), n=n, caller=Caller(client=client))


def all_done(preparation: Preparation) -> list[Outcome]:
    outcomes = []
    while not preparation.idle:
        outcomes += preparation.done(0.5)
    return outcomes


def test_beside_a_flood_another_client_waits_for_one_prompt(work):
    preparation = Preparation(work.prepare)
    for job_id in range(100):
        preparation.submit(job_id, job("flood"))
    assert work.begun.wait(10)
    preparation.submit(100, job("b"))
    work.go.set()

    assert len(all_done(preparation)) == 101
    assert work.made.index("b") <= 2


def test_a_prompt_that_is_being_made_is_at_work_though_nobody_waits_for_it(work):
    """A regular expression of a tokenizer may run for years: who watches for progress has to see it."""
    preparation = Preparation(work.prepare)
    preparation.submit(1, job("a"))
    assert work.begun.wait(10)
    preparation.cancel(1)
    preparation.submit(2, job("b"))
    assert preparation.at_work == 1

    work.go.set()
    assert [outcome.job_id for outcome in all_done(preparation)] == [2]
    assert preparation.at_work is None


def test_what_is_cancelled_is_not_made_and_an_error_costs_its_own_job(work):
    preparation = Preparation(work.prepare)
    preparation.submit(1, job("a"))
    assert work.begun.wait(10)
    preparation.submit(2, job("b"))
    preparation.submit(3, job("c", n=2))
    preparation.submit(4, job("c"))
    for job_id in (1, 2, 99):  # one that is being made, one that waits, one that is not there
        preparation.cancel(job_id)
    work.go.set()

    outcomes = {outcome.job_id: outcome for outcome in all_done(preparation)}
    assert outcomes.keys() == {3, 4}
    assert isinstance(outcomes[3].error, ValueError)
    assert outcomes[4].prepared
    assert work.made == ["a", "c", "c"]
