"""Draws and penalties against plain numpy."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from ominix.engines.text import sampling
from ominix.wire.jobs import Sampling

LOGITS = np.random.default_rng(5).normal(size=(1, 50)).astype(np.float32) * 2
PROMPT, ANSWER = [3, 7, 7, 11], [2, 3, 3, 3, 9]


def processed(**parameters):
    x = mx.array(LOGITS)
    for process in sampling.processors(Sampling(**parameters), len(PROMPT)):
        x = process(mx.array(PROMPT + ANSWER), x)
    return np.array(x)[0]


def frequencies(draws=500, **parameters):
    """How often each token is drawn."""
    x = mx.array(LOGITS)
    x = x - mx.logsumexp(x, axis=-1, keepdims=True)
    sampler = sampling.sampler(Sampling(**parameters), 1, 0)
    drawn = mx.concatenate([sampler(x) for _ in range(draws)])
    return np.bincount(np.array(drawn), minlength=50) / draws


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


@pytest.mark.contract("chat.penalties")
def test_frequency_and_presence_count_the_answer_alone():
    expected = LOGITS[0].copy()
    for token in set(ANSWER):
        expected[token] -= 0.5 * ANSWER.count(token) + 0.7

    assert np.allclose(processed(frequency_penalty=0.5, presence_penalty=0.7), expected, atol=1e-5)


def test_repetition_counts_the_prompt_too():
    expected = LOGITS[0].copy()
    for token in {*PROMPT, *ANSWER}:
        expected[token] *= 1.3 if expected[token] < 0 else 1 / 1.3

    assert np.allclose(processed(repetition_penalty=1.3), expected, atol=1e-5)


@pytest.mark.contract("chat.penalties")
def test_logit_bias_is_added():
    expected = LOGITS[0].copy()
    expected[4] += 100
    expected[5] -= 100

    assert np.allclose(processed(logit_bias={4: 100.0, 5: -100.0}), expected, atol=1e-4)


def test_nothing_asked_for_is_nothing_done():
    assert sampling.processors(Sampling(temperature=0), 4) == []
    assert sampling.sampler(Sampling(temperature=0), 1, 0) is None
    assert sampling.sampler(Sampling(temperature=1e-300), 1, 0) is None


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_model_at_its_temperature(temperature):
    expected = softmax(LOGITS[0] / temperature)

    assert np.abs(frequencies(temperature=temperature) - expected).max() < 0.09


@pytest.mark.parametrize("key", [(0, 0), (1, 0), (0, 1), (0xDEADBEEF, 12345)])
def test_the_noise_draws_from_a_softmax(key):
    """Chi-square, of 20,000 draws."""
    noise = sampling._gumbel(mx.arange(20_000 * 50, dtype=mx.uint32).reshape(-1, 50), *key)
    drawn = np.array(mx.argmax(mx.array(LOGITS) + noise, axis=-1))
    found, expected = np.bincount(drawn, minlength=50), len(drawn) * softmax(LOGITS[0])

    often = expected >= 5
    chi_square = ((found - expected)[often] ** 2 / expected[often]).sum()
    assert abs(chi_square - often.sum()) < 4 * np.sqrt(2 * often.sum())


@pytest.mark.parametrize("limits", [{}, {"top_p": 0.9}, {"top_k": 40}, {"min_p": 0.02}])
def test_noise_in_the_logits_moves_no_draw(limits):
    """In a batch sums are made in another order. 13 of 1,500 draws came out another way."""
    dice = np.random.default_rng(2)
    logits = dice.normal(size=(1, 20_000)).astype(np.float32) * 3
    noisy = logits + dice.normal(size=logits.shape).astype(np.float32) * 1e-5
    drawn = []
    for x in (mx.array(logits), mx.array(noisy)):
        sampler = sampling.sampler(Sampling(temperature=1.2, **limits), 7, 0)
        drawn.append(mx.concatenate([sampler(x) for _ in range(100)]).tolist())

    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) > 20


def test_top_k_leaves_k():
    found = frequencies(temperature=1.0, top_k=4)

    best = np.argsort(-LOGITS[0])[:4]
    assert set(np.flatnonzero(found)) == set(best)
    assert np.abs(found[best] - softmax(LOGITS[0][best])).max() < 0.09


def test_top_p_leaves_the_fewest_that_reach_p():
    p = softmax(LOGITS[0])
    order = np.argsort(-p)
    count = int(np.searchsorted(np.cumsum(p[order]), 0.6)) + 1

    found = frequencies(temperature=1.0, top_p=0.6)

    assert set(np.flatnonzero(found)) == set(order[:count])


def test_top_p_of_nothing_still_leaves_the_best():
    assert frequencies(100, temperature=1.0, top_p=0.0)[LOGITS[0].argmax()] == 1


def test_min_p_leaves_what_comes_near_the_best():
    p = softmax(LOGITS[0])

    found = frequencies(temperature=1.0, min_p=0.2)

    assert set(np.flatnonzero(found)) == set(np.flatnonzero(p >= 0.2 * p.max()))


def test_seed_choice_and_position_make_the_draw():
    x = mx.array(LOGITS)
    parameters = Sampling(temperature=1.5)

    def draws(seed, index):
        sampler = sampling.sampler(parameters, seed, index)
        return [sampler(x).item() for _ in range(30)]

    assert draws(1, 0) == draws(1, 0)
    assert len({tuple(draws(seed, index)) for seed in (1, 2) for index in (0, 1)}) == 4
    assert len(set(draws(1, 0))) > 1


def test_the_recorder_tells_the_models_own_probabilities():
    recorder = sampling.LogitsRecorder()
    recorder(mx.array([1]), mx.array(LOGITS))

    own, *top = recorder.likeliest(17, 3)

    logprobs = np.log(softmax(LOGITS[0]))
    best = np.argsort(-logprobs)[:3]
    assert own == (17, pytest.approx(logprobs[17], abs=1e-5))
    assert [i for i, _ in top] == best.tolist()
    assert [v for _, v in top] == pytest.approx(logprobs[best].tolist(), abs=1e-5)
