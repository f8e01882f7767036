"""Greedy, by chance and with beams, on a model that is a table of what follows what."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from ominix.models.whisper.search import Beam, Bounds, Hypothesis, Sampling

END = 3
BOUNDS = Bounds(END, 6)


class NoRules:
    def apply(self, logits, sampled):
        return logits


def offers(follows, row: Hypothesis) -> np.ndarray:
    """Logits of 4 tokens after these."""
    return np.log(np.array(follows(row.tokens), np.float32))


def run(search, follows, steps=20):
    """As the decoder does it: one row at first, then those that the search goes on from."""
    rows = search.rows[:1]
    for _ in range(steps):
        parents = search.advance(np.stack([offers(follows, row) for row in rows]))
        if not parents:
            return search.best
        before, rows = rows, list(search.rows)
        assert [row.tokens[:-1] for row in rows] == [before[parent].tokens for parent in parents]
    raise AssertionError("no end")


def random_table(seed: int):
    """Probabilities that depend on the two tokens before and on the place; the end becomes likely."""
    table = np.random.default_rng(seed).dirichlet(np.ones(4), (6, 4, 4))
    return lambda tokens: table[
        len(tokens), tokens[-1] if tokens else 0, tokens[-2] if len(tokens) > 1 else 0
    ]


def plain_beam(follows, size: int) -> Hypothesis:
    """The same as in openai-whisper's program, over all sequences at once."""
    live, ended = {(): ()}, {}
    for _ in range(BOUNDS.limit):
        grown = {}
        for tokens, logprobs in live.items():
            offer = np.log(follows(tokens))
            for token in np.argsort(-offer)[: size + 1].tolist():
                grown[(*tokens, token)] = (*logprobs, float(offer[token]))
        live = {}
        for tokens in sorted(grown, key=lambda t: -sum(grown[t])):
            if tokens[-1] != END:
                live[tokens] = grown[tokens]
            elif len(ended) < size:
                ended[tokens] = grown[tokens]
            if len(live) == size:
                break
        if len(ended) == size:
            break
    for tokens in sorted(live, key=lambda t: -sum(live[t]))[: size - len(ended)]:
        ended[tokens] = live[tokens]
    best = max(ended, key=lambda t: sum(ended[t]) / max(1, len(t) - (t[-1] == END)))
    return Hypothesis(best, ended[best])


@pytest.mark.parametrize("size", [1, 2, 3])
def test_beams_find_what_the_plain_program_finds(size):
    for seed in range(40):
        follows = random_table(seed)
        found, wanted = run(Beam(NoRules(), BOUNDS, size), follows), plain_beam(follows, size)
        assert found.tokens == wanted.tokens
        assert found.logprobs == pytest.approx(wanted.logprobs, abs=1e-4)


def test_a_beam_sees_past_a_promising_first_token():
    chances = {(): (0.6, 0.4, 1e-9, 1e-9), (0,): (0.3, 0.3, 0.3, 0.1), (1,): (1e-9, 1e-9, 1e-9, 1.0)}

    def follows(tokens):
        return chances.get(tokens, (0.3, 0.3, 0.3, 0.1))

    assert run(Sampling(NoRules(), BOUNDS, 0.0, 1), follows).tokens[0] == 0
    assert run(Beam(NoRules(), BOUNDS, 2), follows).tokens == (1, END)


def test_forbidden_tokens_are_in_no_beam():
    def follows(tokens):
        return (0.0, 1.0, 0.0, 0.0) if len(tokens) < 3 else (0.0, 0.0, 0.0, 1.0)

    with np.errstate(divide="ignore"):
        assert run(Beam(NoRules(), BOUNDS, 3), follows).tokens == (1, 1, 1, END)


def test_an_answer_without_an_end_is_cut_off():
    for search in (Beam(NoRules(), BOUNDS, 2), Sampling(NoRules(), BOUNDS, 0.0, 1)):
        found = run(search, lambda tokens: (0.5, 0.3, 0.2, 1e-9))
        assert found.tokens == (0,) * 6


def test_the_best_of_several_draws_is_taken_and_the_first_is_that_of_one():
    follows = random_table(3)

    def drawn(count: int) -> list[Hypothesis]:
        search = Sampling(NoRules(), BOUNDS, 1.0, 7, count)
        best = run(search, follows)
        assert best in search._ended and len(search._ended) == count
        assert best.mean(END) == max(row.mean(END) for row in search._ended)
        return search._ended

    (one,), five = drawn(1), drawn(5)
    assert one in five and len(set(five)) > 1
    assert math.isfinite(sum(itertools.chain(*(row.logprobs for row in five))))
