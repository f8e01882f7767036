"""Which tokens an answer takes of those that the decoder offers. In: logits, row by row. Out: the answer.

A search keeps some rows of the decoder's batch: copies of one window's answer that go on differently.

    advance(logits of its rows) -> for each of its next rows, which of the rows it goes on from
    ... until there are no next rows: `best` is the answer

Both kinds are openai-whisper's, and so is what they call best: the most probable, by the mean of its
tokens. Knows neither the network nor what tokens mean, but for the end's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from ominix.models.whisper.rules import Floats, Rules, log_softmax


@dataclass(frozen=True)
class Bounds:
    """What ends an answer."""

    end: int  # the token
    limit: int  # tokens, the end included


class Hypothesis(NamedTuple):
    """An answer so far. Natural logarithms; temperature does not enter them."""

    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()

    def grown(self, token: int, logprob: float) -> Hypothesis:
        return Hypothesis((*self.tokens, token), (*self.logprobs, logprob))

    def mean(self, end: int) -> float:
        """By its tokens without the end, though the end's probability counts."""
        count = len(self.tokens) - (self.tokens[-1] == end)
        return sum(self.logprobs) / max(1, count)


class Search(Protocol):
    rows: list[Hypothesis]  # in the batch

    def advance(self, logits: Floats) -> list[int]:
        """Logits of its rows, (rows, n_vocab); of one row alone at first. [] when the search is over."""
        ...

    @property
    def best(self) -> Hypothesis: ...


class Sampling:
    """The likeliest token, or at a temperature by chance, a few times side by side."""

    def __init__(self, rules: Rules, bounds: Bounds, temperature: float, seed: int, count: int = 1) -> None:
        """`count`: answers to choose from; at temperature 0 all would be alike."""
        self.rows = [Hypothesis()] * (count if temperature > 0 else 1)
        self._dice = [np.random.default_rng([seed, i] if i else seed) for i in range(len(self.rows))]
        self._rules = rules
        self._bounds = bounds
        self._temperature = temperature
        self._ended: list[Hypothesis] = []

    def advance(self, logits: Floats) -> list[int]:
        is_first = len(logits) < len(self.rows)
        offers = list(logits) * (len(self.rows) if is_first else 1)
        grown = [self._grown(*row) for row in zip(self.rows, offers, self._dice, strict=True)]
        on = [i for i, row in enumerate(grown) if not _is_over(row, self._bounds)]
        self._ended += [row for row in grown if _is_over(row, self._bounds)]
        self.rows, self._dice = [grown[i] for i in on], [self._dice[i] for i in on]
        return [0] * len(on) if is_first else on

    def _grown(self, row: Hypothesis, logits: Floats, dice: np.random.Generator) -> Hypothesis:
        logprobs = log_softmax(self._rules.apply(logits, row.tokens))
        if self._temperature > 0:
            chances = np.exp(log_softmax(logprobs / np.float32(self._temperature)).astype(np.float64))
            token = int(dice.choice(len(chances), p=chances / chances.sum()))
        else:
            token = int(logprobs.argmax())
        return row.grown(token, float(logprobs[token]))

    @property
    def best(self) -> Hypothesis:
        return max(self._ended, key=lambda row: row.mean(self._bounds.end))


class Beam:
    """The likeliest few answers so far, until so many have ended (patience 1)."""

    def __init__(self, rules: Rules, bounds: Bounds, size: int) -> None:
        self.rows = [Hypothesis()]
        self._rules = rules
        self._bounds = bounds
        self._size = size
        self._ended: list[Hypothesis] = []

    def advance(self, logits: Floats) -> list[int]:
        rows: list[Hypothesis] = []
        parents: list[int] = []
        for parent, row in self._candidates(logits):
            if row.tokens[-1] != self._bounds.end:
                rows.append(row)
                parents.append(parent)
            elif len(self._ended) < self._size:
                self._ended.append(row)
            if len(rows) == self._size:
                break
        self.rows = rows
        is_over = len(self._ended) == self._size or not rows or len(rows[0].tokens) == self._bounds.limit
        return [] if is_over else parents

    def _candidates(self, logits: Floats) -> list[tuple[int, Hypothesis]]:
        """How each row may go on, with the row's number; the likeliest first."""
        found = []
        for parent, (row, offer) in enumerate(zip(self.rows, logits, strict=True)):
            logprobs = log_softmax(self._rules.apply(offer, row.tokens))
            likeliest = np.argpartition(logprobs, -self._size - 1)[-self._size - 1 :]
            tokens = likeliest[np.argsort(-logprobs[likeliest], kind="stable")].tolist()
            found += [(parent, row.grown(t, float(logprobs[t]))) for t in tokens if np.isfinite(logprobs[t])]
        return sorted(found, key=lambda entry: -sum(entry[1].logprobs))

    @property
    def best(self) -> Hypothesis:
        """Too few have ended: then the likeliest of the others count, too."""
        others = sorted(self.rows, key=lambda row: -sum(row.logprobs))[: self._size - len(self._ended)]
        return max([*self._ended, *others], key=lambda row: row.mean(self._bounds.end))


def _is_over(row: Hypothesis, bounds: Bounds) -> bool:
    return row.tokens[-1] == bounds.end or len(row.tokens) == bounds.limit
