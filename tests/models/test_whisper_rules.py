"""Which token may come next: OpenAI's rules, one by one, on made-up logits."""

from __future__ import annotations

import numpy as np
import pytest

from ominix.models.whisper.rules import Rules, log_softmax
from ominix.models.whisper.tokenizer import SpecialTokens, Vocabulary

TOKENS = SpecialTokens(51865)
T0 = TOKENS.first_timestamp
WORD = 400


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary(multilingual=True)


@pytest.fixture(scope="module")
def plain(vocabulary):
    return Rules(vocabulary, TOKENS, timestamps=False)


@pytest.fixture(scope="module")
def timed(vocabulary):
    return Rules(vocabulary, TOKENS, timestamps=True)


def flat() -> np.ndarray:
    """All tokens alike, but text so much more than any timestamps that it is never outweighed."""
    logits = np.zeros(TOKENS.n_vocab, np.float32)
    logits[: TOKENS.end + 1] = 20.0
    return logits


def allowed(rules: Rules, sampled: list[int], logits=None) -> set[int]:
    return set(
        np.flatnonzero(np.isfinite(rules.apply(flat() if logits is None else logits, sampled))).tolist()
    )


def test_an_answer_does_not_begin_with_a_space_or_its_end(plain):
    assert not {220, TOKENS.end} & allowed(plain, [])
    assert {220, TOKENS.end} <= allowed(plain, [WORD])


def test_symbols_and_tokens_of_prompts_never_occur(plain, vocabulary):
    forbidden = {*vocabulary.symbols, TOKENS.start, TOKENS.translate, TOKENS.transcribe}
    forbidden |= {TOKENS.start_of_lm, TOKENS.start_of_prev, TOKENS.no_speech}
    assert not forbidden & allowed(plain, [WORD])
    assert {WORD, TOKENS.no_timestamps} <= allowed(plain, [WORD])


def test_the_logits_that_were_given_stay_as_they_are(plain):
    logits = flat()
    plain.apply(logits, [])
    assert np.isfinite(logits).all()


def test_the_first_token_is_a_timestamp_of_at_most_a_second(timed):
    assert allowed(timed, []) == set(range(T0, T0 + 51))


def test_text_follows_the_first_timestamp(timed):
    found = allowed(timed, [T0])
    assert WORD in found and not any(token >= T0 for token in found)


def test_after_text_and_a_timestamp_comes_its_twin_or_a_later_one_or_the_end(timed):
    found = allowed(timed, [T0, WORD, T0 + 100])
    assert found & set(range(TOKENS.end)) == set()
    assert TOKENS.end in found
    assert {t for t in found if t >= T0} == set(range(T0 + 100, TOKENS.n_vocab))


def test_after_a_pair_comes_text(timed):
    found = allowed(timed, [T0, WORD, T0 + 100, T0 + 100])
    assert WORD in found and TOKENS.no_timestamps not in found
    assert not any(token >= T0 for token in found)


def test_a_segment_is_not_empty_and_time_does_not_go_back(timed):
    found = {t for t in allowed(timed, [T0, WORD, T0 + 100, T0 + 100, WORD]) if t >= T0}
    assert found == set(range(T0 + 101, TOKENS.n_vocab))


def test_timestamps_that_together_outweigh_the_best_text_forbid_it(timed):
    logits = np.full(TOKENS.n_vocab, -20.0, np.float32)
    logits[WORD] = 0.0
    logits[T0:] = -6.0  # 1,400 of them: together e^1.2
    assert WORD not in allowed(timed, [T0, WORD], logits)
    logits[T0:] = -8.0  # together e^-0.7
    assert WORD in allowed(timed, [T0, WORD], logits)


def test_log_softmax_sums_to_one_beside_forbidden_tokens():
    found = log_softmax(np.array([1.0, -np.inf, 2.0], np.float32))
    assert found[1] == -np.inf
    assert np.exp(found).sum() == pytest.approx(1.0)
