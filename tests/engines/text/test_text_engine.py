"""The text engine with tiny models: what goes in together comes out as if alone."""

from __future__ import annotations

import dataclasses
import itertools
import re
import threading
from concurrent.futures import wait

import pytest
import tiny_chat
from tiny_chat import END, THINK, UNTHINK, run, said, text, tokens

from ominix.engines import memory
from ominix.engines.text import text_engine
from ominix.engines.text.executor import Executor
from ominix.engines.text.scheduler import MOST_SEQUENCES, Scheduler
from ominix.engines.text.text_engine import TextEngine
from ominix.errors import JobRefused
from ominix.wire.events import ChatDone, Delta, Failed, Finished, Started
from ominix.wire.jobs import ChatJob, Message, Sampling, TranscriptionJob

GREEDY = Sampling(temperature=0)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cpu")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("models")
    return {kind: tiny_chat.folder(base / kind, kind) for kind in tiny_chat.CONFIGS}


@pytest.fixture
def chat(folders):
    return tiny_chat.engine(folders["llama"])


def reciter(tmp_path, content, **options):
    return tiny_chat.engine(tiny_chat.reciter(tmp_path / "reciter", content, **options))


def greedy(*conversation, **options):
    return ChatJob(said(*conversation), GREEDY, **{"max_tokens": 12, "top_logprobs": 0} | options)


def done(events):
    return next(e for e in events if isinstance(e, ChatDone))


def reasons(events):
    return {e.index: e.reason for e in events if isinstance(e, Finished)}


MIXED = [
    greedy("a", max_tokens=6),
    greedy("a much longer first message " * 9, max_tokens=12),
    ChatJob(said("hot"), Sampling(temperature=1.5, seed=1), max_tokens=10),
    greedy("x", "y", "z", max_tokens=3),
    ChatJob(said("cold"), Sampling(temperature=0.3, top_p=0.8, top_k=40, min_p=0.01), max_tokens=5),
    greedy("middle " * 5, max_tokens=16),
    ChatJob(said("p"), Sampling(temperature=0, frequency_penalty=1.0), max_tokens=9, top_logprobs=0),
    greedy("one more", max_tokens=4),
]


@pytest.mark.parametrize("kind", tiny_chat.CONFIGS)
def test_an_answer_does_not_depend_on_the_rest_of_its_batch(folders, kind):
    alone = [run(tiny_chat.engine(folders[kind]), job)[0] for job in MIXED]
    together = run(tiny_chat.engine(folders[kind]), *MIXED)

    for job, single, batched in zip(MIXED, alone, together, strict=True):
        if job.sampling.temperature == 0:
            assert tokens(single) == tokens(batched)
            assert len(tokens(single)) > 1 or reasons(single) == {0: "stop"}
        assert isinstance(batched[0], Started)
        assert isinstance(batched[-1], ChatDone)


def test_each_running_job_tells_its_progress_at_every_step(chat):
    chat.admit(1, greedy("a long first message " * 9, max_tokens=12))
    assert chat.progress() in ({}, {1: 0})  # its prompt is being made, or it waits for the next step
    chat.admit(2, greedy("b", max_tokens=12))
    told: dict[int, list[int]] = {1: [], 2: []}
    while not chat.idle:
        chat.step()
        for job_id, amount in chat.progress().items():
            if amount:  # 0: its prompt is being made, for as many steps as that takes
                told[job_id].append(amount)
    for amounts in told.values():
        assert len(amounts) > 5
        assert amounts == sorted(set(amounts))


@pytest.mark.contract("chat.seed")
def test_a_seed_gives_the_same_answer_again_in_any_batch(chat):
    job = ChatJob(said("hi"), Sampling(temperature=1, seed=7), max_tokens=20, top_logprobs=0)

    first = run(chat, job)[0]
    again = run(chat, *MIXED[:3], job)[3]

    assert tokens(first) == tokens(again)


def test_without_a_seed_no_two_answers_are_the_same(chat):
    job = ChatJob(said("hi"), Sampling(temperature=1), max_tokens=20, top_logprobs=0)

    first, second = run(chat, job, job)

    assert tokens(first) != tokens(second)


@pytest.mark.contract("chat.choices")
def test_choices_of_a_job_differ_and_are_counted_together(chat):
    job = ChatJob(said("hi"), Sampling(temperature=1, seed=3), max_tokens=15, n=3, top_logprobs=0)

    events = run(chat, job)[0]

    assert reasons(events).keys() == {0, 1, 2}
    assert len({tuple(tokens(events, i)) for i in range(3)}) == 3
    written = sum(len(tokens(events, i)) for i in range(3))
    assert done(events).completion_tokens >= written
    assert done(events).cached_tokens == 0  # the prompt was new; that two choices shared it is no saving
    assert sum(isinstance(e, ChatDone) for e in events) == 1


def test_time_passes_only_where_the_engine_is_told(folders):
    """A clock that only the engine's own waits move."""
    model, waits = tiny_chat.model(folders["llama"]), []
    executor = Executor(model, 0, MOST_SEQUENCES)
    scheduler = Scheduler(0.05, memory.measure(model.model, None).holds)
    chat = TextEngine(model, scheduler, executor, clock=lambda: sum(waits), sleep=waits.append)
    chat.admit(1, greedy("one"))
    while not waits:
        before = chat.step()
    after = chat.step()

    assert before == []
    assert after == [(1, Started())]
    assert waits == [pytest.approx(0.01)]


@pytest.mark.parametrize("kind", tiny_chat.CONFIGS)
def test_a_choice_equals_the_only_one(folders, kind):
    """The prompt is prefilled once for all choices: each must begin with the same state."""
    single = run(tiny_chat.engine(folders[kind]), greedy("a prompt longer than a window", max_tokens=9))[0]
    triple = run(tiny_chat.engine(folders[kind]), greedy("a prompt longer than a window", max_tokens=9, n=3))[
        0
    ]

    assert all(tokens(triple, i) == tokens(single) for i in range(3))


def test_those_who_come_together_are_prefilled_together(chat):
    def admit(job_id: int, job: ChatJob) -> None:
        chat.admit(job_id, job)
        wait([future for _, future in chat._preparation._futures.values()])  # however busy the machine is

    first_words: dict[int, int] = {}
    admit(0, greedy("alpha " * 20))
    for number in range(20):
        for job_id, event in chat.step():
            if isinstance(event, Delta):
                first_words.setdefault(job_id, number)
        if number < 2:
            admit(number + 1, greedy("bravo " * 20))

    assert set(first_words) == {0, 1, 2}
    assert len(set(first_words.values())) == 1


def test_more_jobs_than_places_are_served_in_order(folders):
    chat = tiny_chat.engine(folders["llama"])
    jobs = [greedy(f"number {i}", max_tokens=4) for i in range(40)]

    for i, job in enumerate(jobs):
        chat.admit(i, job)
    finished = []
    while not chat.idle:
        finished += [job_id for job_id, event in chat.step() if isinstance(event, ChatDone)]

    assert sorted(finished) == list(range(40))
    assert max(finished[:16]) < 24


def test_max_tokens_ends_an_answer_with_its_reason(tmp_path):
    events = run(reciter(tmp_path, [*b"abcdef"]), greedy("go", max_tokens=3))[0]

    assert (text(events), reasons(events)) == ("abc", {0: "length"})
    assert done(events).completion_tokens == 3


def test_an_answer_ends_where_the_model_ends_it(tmp_path):
    events = run(reciter(tmp_path, [*b"abcdef"]), greedy("go"))[0]

    assert (text(events), reasons(events)) == ("abcdef", {0: "stop"})
    assert done(events).completion_tokens == 6


@pytest.mark.contract("chat.stop")
def test_a_stop_string_is_found_across_tokens_and_never_shown(tmp_path):
    chat = reciter(tmp_path, [*b"abcdefgh"])

    events = run(chat, greedy("go", stop=("zz", "def")))[0]

    assert (text(events), reasons(events)) == ("abc", {0: "stop"})
    assert bytes(itertools.chain(*tokens(events))) == b"abcdef"  # those of the stop string were drawn, too


def test_text_waits_only_while_it_could_become_a_stop(tmp_path):
    deltas = [e.text for e in run(reciter(tmp_path, [*b"abcdefgh"]), greedy("go", stop=("cdX",)))[0]
              if isinstance(e, Delta)]  # fmt: skip

    assert deltas == ["a", "b", "cde", "f", "g", "h"]


def test_text_held_back_comes_at_the_end(tmp_path):
    events = run(reciter(tmp_path, [*b"abcdefgh"]), greedy("go", stop=("cdX",), max_tokens=4))[0]

    assert (text(events), reasons(events)) == ("abcd", {0: "length"})


@pytest.mark.contract("chat.stream.utf8")
def test_characters_are_never_cut(tmp_path):
    chat = reciter(tmp_path, [*"é€😀".encode()])

    whole = run(chat, greedy("go"))[0]
    cut = run(chat, greedy("go", max_tokens=7))[0]

    assert [e.text for e in whole if isinstance(e, Delta)] == ["é", "€", "😀"]
    assert text(cut) == "é€"


@pytest.mark.contract("chat.stream.reasoning")
def test_reasoning_is_kept_apart(tmp_path):
    chat = reciter(tmp_path, [THINK, *b"plan", UNTHINK, *b"do it"])

    events = run(chat, greedy("go"))[0]

    assert (text(events, reasoning=True), text(events)) == ("plan", "do it")
    assert done(events).reasoning_tokens == 6


def test_reasoning_that_the_template_opens_is_kept_apart(tmp_path):
    chat = reciter(tmp_path, [*b"plan", UNTHINK, *b"do it"])

    events = run(chat, greedy("go", template_options={"opened": True, "enable_thinking": True}))[0]

    assert (text(events, reasoning=True), text(events)) == ("plan", "do it")


def test_a_stop_string_does_not_end_reasoning(tmp_path):
    chat = reciter(tmp_path, [THINK, *b"plan", UNTHINK, *b"do it"])

    events = run(chat, greedy("go", stop=("la", " ")))[0]

    assert (text(events, reasoning=True), text(events)) == ("plan", "do")


def test_a_tag_in_letters_counts_as_well(tmp_path):
    chat = reciter(tmp_path, [*b"<think>", *b"a/c"])  # "<think>a/c": letters, no tokens

    events = run(chat, greedy("go"))[0]

    assert text(events, reasoning=True) == "a/c"


def test_a_cancelled_job_is_silent_and_gives_its_place_back(folders):
    chat = tiny_chat.engine(folders["llama"])
    chat.admit(1, greedy("long " * 300, max_tokens=2000))
    chat.admit(2, greedy("short", max_tokens=2000, n=2))
    for _ in range(5):
        chat.step()
    chat.cancel(1)
    chat.cancel(99)
    later = [job_id for _ in range(20) for job_id, _ in chat.step()]
    chat.cancel(2)
    left = chat.step()

    assert 1 not in later
    assert left == []
    assert chat.idle
    assert reasons(run(chat, greedy("next"))[0])


def test_a_job_cancelled_before_its_first_step_leaves_nothing(chat):
    chat.admit(5, greedy("hello"))
    chat.cancel(5)

    assert chat.idle
    assert chat.step() == []


@pytest.mark.slow
def test_a_long_prompt_does_not_stop_the_tokens_of_others(folders):
    chat = tiny_chat.engine(folders["llama"])
    letters = Sampling(temperature=0, logit_bias={t: -100.0 for t in range(288) if not 32 <= t < 127})
    chat.admit(1, ChatJob(said("hi"), letters, max_tokens=400))
    while not any(isinstance(e, Delta) for _, e in chat.step()):
        pass
    chat.admit(2, greedy("x" * 2000, max_tokens=1))

    steps, spoken, finished = 0, 0, False
    while not finished:
        events = chat.step()
        steps += 1
        spoken += any(job_id == 1 for job_id, _ in events)
        finished = any(job_id == 2 and isinstance(event, Finished) for job_id, event in events)

    assert steps >= 2
    assert spoken >= steps - 2


def test_messages_that_do_not_fit_the_context_are_refused_with_both_numbers(tmp_path):
    chat = tiny_chat.engine(tiny_chat.folder(tmp_path / "m", context=64))

    (refused,) = run(chat, greedy("x" * 80))[0]
    assert re.search(r"context of 64 tokens, but \d+ are needed", refused.message)
    assert (refused.code, refused.param) == ("context_length_exceeded", "messages")
    assert chat.idle


@pytest.mark.parametrize("limit", [None, 60, 64, 65_535])
def test_an_answer_takes_what_the_context_leaves_whatever_limit_was_asked_for(tmp_path, limit):
    """Agents send a ceiling of their own, such as 65535, to every model."""
    chat = tiny_chat.engine(tiny_chat.folder(tmp_path / "m", context=64))

    endless = Sampling(temperature=0, logit_bias={END: -100})
    events = run(chat, ChatJob(said("x"), endless, max_tokens=limit))[0]

    assert done(events).prompt_tokens + done(events).completion_tokens == 64


REFUSED = {
    "no token 999": ChatJob(said("x"), Sampling(logit_bias={999: 1})),
    "not for clients": ChatJob(said("x"), template_options={"chat_template": "{{ 1 }}"}),
    "max_tokens is 0": ChatJob(said("x"), max_tokens=0),
    "is a chat model": TranscriptionJob(-1),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_job_that_cannot_be_served_says_why(chat, reason):
    with pytest.raises(JobRefused, match=reason):
        chat.admit(1, REFUSED[reason])

    assert chat.idle


def test_what_the_template_refuses_fails_alone(chat):
    fine, refused = run(chat, greedy("x", max_tokens=3), ChatJob((Message("odd"),)))
    assert reasons(fine)
    assert [event.param for event in refused] == ["messages"]
    assert "refuses these messages: no such role: odd" in refused[0].message


def test_answers_go_on_while_a_prompt_is_made_and_what_breaks_it_fails_alone(folders):
    """A template or a long text held up everybody's answer, and a tokenizer's panic ended the worker."""
    model, may_go = tiny_chat.model(folders["llama"]), threading.Event()

    class Panic(BaseException): ...

    def slow_tokens(tokenizer, messages, **options):
        if messages[0]["content"] == "slow":
            may_go.wait(10)
            raise Panic
        return model.prompt_tokens(tokenizer, messages, **options)

    limits = memory.measure(model.model, None)
    chat = text_engine.assembled(dataclasses.replace(model, prompt_tokens=slow_tokens), limits)
    chat.admit(1, greedy("quick", max_tokens=9))
    while not any(isinstance(event, Started) for _, event in chat.step()):
        pass
    chat.admit(2, greedy("slow"))
    chat.admit(3, greedy("never"))
    chat.cancel(3)
    events = [event for _ in range(40) for event in chat.step()]
    assert {job_id for job_id, _ in events} == {1}
    assert isinstance(events[-1][1], ChatDone)
    assert not chat.idle
    may_go.set()
    events = [event for _ in range(40) for event in chat.step()]
    assert events == [(2, Failed("the messages make no prompt: it failed with Panic", is_final=True))]
    assert chat.idle


def test_a_model_without_a_chat_template_does_not_chat(folders, tmp_path):
    path = tiny_chat.folder(tmp_path / "m")
    facts = path / "tokenizer_config.json"
    facts.write_text(facts.read_text().replace("chat_template", "other"))

    with pytest.raises(JobRefused, match="no chat template"):
        tiny_chat.engine(path).admit(1, greedy("x"))
