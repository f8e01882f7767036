"""What was computed before is used again, and changes no token."""

from __future__ import annotations

import mlx.core as mx
import pytest
import tiny_chat
from mlx_lm.models.cache import ArraysCache, KVCache
from tiny_chat import run, said, text, tokens

from ominix.engines.text.prefix_cache import PrefixCache
from ominix.wire.events import ChatDone
from ominix.wire.jobs import Caller, ChatJob, Message, Sampling

LETTERS = Sampling(temperature=0, logit_bias={t: -100.0 for t in range(288) if not 32 <= t < 127})
GREEDY = Sampling(temperature=0, logit_bias={tiny_chat.END: -100})

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cpu")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("models")
    return {kind: tiny_chat.folder(base / kind, kind) for kind in tiny_chat.CONFIGS}


def job(*conversation, **options):
    return ChatJob(said(*conversation), GREEDY, **{"max_tokens": 10, "top_logprobs": 0} | options)


def cached(events):
    return next(e for e in events if isinstance(e, ChatDone)).cached_tokens


QUESTION = "a question that is a little longer than a window of 32 tokens"


@pytest.mark.parametrize("kind", tiny_chat.CONFIGS)
def test_the_next_turn_reads_only_what_is_new(folders, kind):
    chat = tiny_chat.engine(folders[kind])
    first = run(chat, job(QUESTION))[0]

    second = run(chat, job(QUESTION, text(first), "and then?"))[0]

    fresh = run(tiny_chat.engine(folders[kind]), job(QUESTION, text(first), "and then?"))[0]
    assert tokens(second) == tokens(fresh)
    assert cached(fresh) == 0
    assert cached(second) >= len(QUESTION)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llama", "lfm2"])
def test_penalties_and_third_turns_are_as_without_reuse(folders, kind):
    chat = tiny_chat.engine(folders[kind])
    penal = Sampling(
        temperature=0, logit_bias=LETTERS.logit_bias, frequency_penalty=1.5, repetition_penalty=1.2
    )
    conversation = [QUESTION]
    for _ in range(3):
        turn = ChatJob(said(*conversation), penal, max_tokens=9, top_logprobs=0)
        answer = run(chat, turn)[0]
        fresh = run(tiny_chat.engine(folders[kind]), turn)[0]
        assert tokens(answer) == tokens(fresh)
        conversation += [text(answer), "and then?"]

    assert cached(answer) > len(QUESTION) + 20


@pytest.mark.parametrize("kind", tiny_chat.CONFIGS)
def test_a_changed_last_message_uses_what_came_before_it(folders, kind):
    chat = tiny_chat.engine(folders[kind])
    run(chat, job(QUESTION, "an answer", "one way"))

    changed = run(chat, job(QUESTION, "an answer", "another"))[0]

    fresh = run(tiny_chat.engine(folders[kind]), job(QUESTION, "an answer", "another"))[0]
    assert tokens(changed) == tokens(fresh)
    if kind in ("llama", "qwen3"):  # the others' caches cannot be cut back to where the messages part
        assert cached(changed) > len(QUESTION)


@pytest.mark.parametrize("kind", tiny_chat.CONFIGS)
def test_the_same_question_again_reads_next_to_nothing(folders, kind):
    chat = tiny_chat.engine(folders[kind])
    first = run(chat, job(QUESTION))[0]

    again = run(chat, job(QUESTION))[0]

    assert tokens(again) == tokens(first)
    assert cached(again) > len(QUESTION)


@pytest.mark.parametrize("kind", ["sliding", "lfm2", "minicpm_sala"])
def test_conversations_with_one_system_message_share_it(folders, kind):
    chat = tiny_chat.engine(folders[kind])
    system = Message("system", "be as short as can be, but not shorter than that")
    jobs = [ChatJob((system, *said(q)), GREEDY, max_tokens=8, top_logprobs=0) for q in ("one?", "two?")]

    run(chat, jobs[0])
    second = run(chat, jobs[1])[0]

    assert tokens(second) == tokens(run(tiny_chat.engine(folders[kind]), jobs[1])[0])
    assert cached(second) > len(system.content)


def test_the_choices_of_a_repeated_question_agree(folders):
    chat = tiny_chat.engine(folders["lfm2"])
    first = run(chat, job(QUESTION))[0]

    again = run(chat, job(QUESTION, n=3))[0]

    assert all(tokens(again, i) == tokens(first) for i in range(3))


@pytest.mark.slow
@pytest.mark.parametrize("kind", tiny_chat.CONFIGS)
def test_a_cancelled_answer_is_gone_on_from(folders, kind):
    chat = tiny_chat.engine(folders[kind])
    chat.admit(1, ChatJob(said(QUESTION), LETTERS, max_tokens=500))
    events = []
    while len(text(events)) <= 3:  # on a busy machine its prompt takes some steps
        events += [event for _, event in chat.step()]
    chat.cancel(1)

    on = job(QUESTION, text(events), "go on")
    second = run(chat, on)[0]

    assert tokens(second) == tokens(run(tiny_chat.engine(folders[kind]), on)[0])
    assert cached(second) > len(QUESTION)


@pytest.mark.slow
@pytest.mark.parametrize("kind", tiny_chat.CONFIGS)
def test_an_answer_ended_by_a_stop_string_is_gone_on_from(folders, kind):
    chat = tiny_chat.engine(folders[kind])
    whole = text(run(chat, ChatJob(said(QUESTION), LETTERS, max_tokens=9))[0])
    cut = text(run(chat, ChatJob(said(QUESTION), LETTERS, max_tokens=9, stop=(whole[5:7],)))[0])

    on = job(QUESTION, cut, "go on")
    second = run(chat, on)[0]

    assert whole.startswith(cut)
    assert len(cut) <= 5
    assert tokens(second) == tokens(run(tiny_chat.engine(folders[kind]), on)[0])


def caches(n: int, *, trims: bool = True) -> list:
    cache = KVCache() if trims else ArraysCache(1)
    x = mx.zeros((1, 1, n, 256))  # 1 KiB a token
    if trims:
        cache.update_and_fetch(x, x)
        cache.keys, cache.values = cache.keys[..., :n, :], cache.values[..., :n, :]
    else:
        cache[0] = x
    return [cache]


def test_the_oldest_go_when_the_bound_is_reached():
    prefixes = PrefixCache(limit_bytes=10 * 2048)
    for first in (100, 200, 300):
        prefixes.put([first, 1, 2, 3], caches(4))

    assert prefixes.size_bytes <= 10 * 2048
    assert prefixes.saved_tokens([100, 1, 2, 3, 9]) == 0
    assert prefixes.saved_tokens([300, 1, 2, 3, 9]) == 4


def test_what_was_used_lately_stays():
    prefixes = PrefixCache(limit_bytes=10 * 2048)
    prefixes.put([100, 1, 2, 3], caches(4))
    prefixes.put([200, 1, 2, 3], caches(4))
    prefixes.get([100, 1, 2, 3, 4])
    prefixes.put([300, 1, 2, 3], caches(4))

    assert prefixes.saved_tokens([100, 1, 2, 3, 4]) == 4
    assert prefixes.saved_tokens([200, 1, 2, 3, 4]) == 0


def test_a_cache_beyond_the_bound_is_not_kept():
    prefixes = PrefixCache(limit_bytes=2048)
    prefixes.put([1, 2, 3, 4], caches(4))

    assert prefixes.size_bytes == 0


def test_a_longer_prefix_replaces_those_it_covers():
    prefixes = PrefixCache(limit_bytes=1 << 20)
    prefixes.put([1, 2], caches(2))
    prefixes.put([1, 2, 3, 4], caches(4))
    prefixes.put([1, 2, 3], caches(3))

    assert prefixes.size_bytes == 4 * 2048
    assert prefixes.saved_tokens([1, 2, 3, 9]) == 3


def test_taking_leaves_the_kept_cache_as_it_was():
    prefixes = PrefixCache(limit_bytes=1 << 20)
    prefixes.put([1, 2, 3, 4], caches(4))

    taken, size = prefixes.get([1, 2, 9])
    taken[0].update_and_fetch(mx.ones((1, 1, 2, 256)), mx.ones((1, 1, 2, 256)))

    assert size == 2
    assert prefixes.saved_tokens([1, 2, 3, 4, 5]) == 4
    kept, _ = prefixes.get([1, 2, 3, 4, 5])
    assert kept[0].keys_and_values()[0].sum().item() == 0


def test_what_cannot_be_trimmed_serves_only_what_begins_with_all_of_it():
    prefixes = PrefixCache(limit_bytes=1 << 20)
    prefixes.put([1, 2, 3], caches(3, trims=False))

    assert prefixes.saved_tokens([1, 2, 3, 4]) == 3
    assert prefixes.saved_tokens([1, 2, 9]) == 0
    assert prefixes.saved_tokens([1, 2, 3]) == 0


def test_nobody_is_served_or_told_of_what_another_tenant_asked():
    prefixes = PrefixCache(limit_bytes=1 << 20)
    prefixes.put([1, 2, 3, 4], caches(4), "alice")

    assert prefixes.saved_tokens([1, 2, 3, 4, 5], "alice") == 4
    for other in ("bob", ""):
        assert prefixes.saved_tokens([1, 2, 3, 4, 5], other) == 0
        assert prefixes.get([1, 2, 3, 4, 5], other) == (None, 0)

    prefixes.put([1, 2, 3, 4, 5, 6], caches(6), "bob")  # covers no entry of another tenant
    assert prefixes.saved_tokens([1, 2, 3, 4, 9], "alice") == 4


@pytest.mark.parametrize("kind", tiny_chat.CONFIGS)
def test_the_same_question_of_another_tenant_begins_at_nothing(folders, kind):
    chat = tiny_chat.engine(folders[kind])
    ask = {caller: job(QUESTION, caller=Caller(caller, caller)) for caller in ("alice", "bob")}
    (first,) = run(chat, ask["alice"])
    (others,) = run(chat, ask["bob"])
    (again,) = run(chat, ask["alice"])

    assert cached(first) == cached(others) == 0
    assert cached(again) > 0
    assert tokens(first) == tokens(others)
