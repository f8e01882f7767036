"""The ways in which a model is asked, each compared with mlx-lm's generate_step.

Tokens must be equal, and log-probabilities within BOUND: good checkpoints differ by some 1e-5, wrong ones by
0.1 and more. Where the two likeliest tokens are closer than that, either may be said, and what follows is not
compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ominix.wire.jobs import Sampling
from tools.architectures.asking import LARGE_PIECES, SMALL_PIECES, Answer, Asked, Reference, Turns, job
from tools.architectures.checkpoints import END

BOUND = 2e-3
SIZES = (  # tokens of the crowd's prompts
    20, 319, 23, 47, 24, 25, 130, 31, 64, 100, 48, 290, 77, 21, 200, 55, 160, 36, 26, 240,
)  # fmt: skip
FRAME = 19  # tokens that the template writes around a first message
TOKENS = 3  # of a short answer
SHORT, MIDDLE, LONGISH = 20, 64, 160  # of the crowd's, asked again in other ways: tokens
LONG = 2000
SEEDED = Sampling(temperature=1.2, seed=11)

Steps = list[tuple[int, np.ndarray]]


class Checker:
    """Asks in one way a method; each says what is wrong, "" for nothing."""

    def __init__(self, reference: Reference, asked: Asked) -> None:
        self._reference = reference
        self._asked = asked

    def alone(self) -> str:
        """One after the other, before anything is cached."""
        turns = [_first(size) for size in (SHORT, MIDDLE, LONGISH)]
        return self._wrong(turns, [self._asked.run([job(t, 8)])[0][0] for t in turns], 8)

    def crowd(self) -> str:
        turns = [_first(size) for size in SIZES]
        return self._together(turns, SMALL_PIECES)

    def reversed(self) -> str:
        turns = [_first(size, letter="r") for size in reversed(SIZES[::3])]
        return self._together(turns, LARGE_PIECES)

    def reuse(self) -> str:
        """A second turn, a changed last message, a third turn."""
        first = _first(MIDDLE)
        said = self._reference.text(first, 6)
        second = (*first, said, "And then, what?")
        changed = (*first, said, "Or rather who was it?")
        third = (*second, self._reference.text(second, 6), "Why?")
        wrong, cached = [], 0
        for turns in (first, second, changed, third):
            answer = self._asked.run([job(turns, 6)])[0][0]
            cached += answer.cached_tokens
            wrong.append(self._wrong([turns], [answer], 6))
        found = "; ".join(filter(None, wrong))
        return found or ("" if cached else "nothing was reused")

    def cut(self) -> str:
        """Beginnings in common of several lengths; and mlx-lm itself, wherever it cuts the prompt."""
        base = _text(220, "c")
        turns = [(base[:size] + _text(30, chr(97 + size % 26)),) for size in (220, 25, 70, 150)]
        found = self._wrong(turns, [self._asked.run([job(t, 4)], SMALL_PIECES)[0][0] for t in turns], 4)
        whole = self._reference.steps(turns[0], 4)
        pieces = [_apart(whole, self._reference.steps(turns[0], 4, piece)) for piece in (7, 100)]
        own = f"mlx-lm's own answer moves by {max(pieces):.2g} with the cut" if max(pieces) > BOUND else ""
        return "; ".join(filter(None, (found, own)))

    def long(self) -> str:
        turns = _first(LONG, "l")
        return self._wrong([turns], [self._asked.run([job(turns, 4)])[0][0]], 4)

    def late(self) -> str:
        """Others come while a long prompt is read, and while it is answered."""
        turns = [(_text(300, "t"),), _first(40, "v"), _first(21, "w")]
        first, *others = [job(t, 8) for t in turns]
        answers = [a[0] for a in self._asked.run_late([first], others, 3, SMALL_PIECES)]
        found = self._wrong(turns, answers, 8)
        turns = [_first(33, "x"), _first(MIDDLE), _first(22, "z")]
        first, *others = [job(t, 8) for t in turns]
        answers = [a[0] for a in self._asked.run_late([first], others, 4)]
        return "; ".join(filter(None, (found, self._wrong(turns, answers, 8))))

    def choices(self) -> str:
        """n=3, greedy: three times the same."""
        turns = _first(LONGISH)
        answers = self._asked.run([job(turns, TOKENS, n=3)])[0]
        return self._wrong([turns] * 3, [answers[index] for index in sorted(answers)], TOKENS)

    def stop(self) -> str:
        turns = _first(LONGISH)
        text = self._reference.text(turns, 8)
        at = text.find(text[4:6])
        answer = self._asked.run([job(turns, 8, stop=(text[4:6],))])[0][0]
        return "" if (answer.text, answer.reason) == (text[:at], "stop") else "not cut at the stop string"

    def cancel(self) -> str:
        """Left while the prompt is read and while it is answered; then asked to the end."""
        turns = (_text(300, "k"),)
        for steps in (1, 2, 12):
            self._asked.cancel(job(turns, 40), steps)
        return self._wrong([turns], [self._asked.run([job(turns, 8)])[0][0]], 8)

    def one_token(self) -> str:
        turns = _first(SHORT)
        answer = self._asked.run([job(turns, 1)])[0][0]
        if answer.completion_tokens != 1 or answer.reason != "length":
            return f"{answer.completion_tokens} tokens, ended by {answer.reason}"
        return self._wrong([turns], [answer], 1)

    def seed(self) -> str:
        """The same drawn answer alone and in company."""
        turns = [_first(size, "e") for size in (35, 21, 80)]
        seeded = [job(t, 8, sampling=SEEDED) for t in turns]
        alone = [self._asked.run([one])[0][0] for one in seeded]
        company = [a[0] for a in self._asked.run(seeded)]
        apart = sum(a.tokens != b.tokens for a, b in zip(alone, company, strict=True))
        return f"{apart} of {len(turns)} answers change in company" if apart else ""

    def _together(self, turns: list[Turns], seconds: float) -> str:
        answers = self._asked.run([job(t, TOKENS) for t in turns], seconds)
        return self._wrong(turns, [a[0] for a in answers], TOKENS)

    def _wrong(self, turns: Sequence[Turns], answers: Sequence[Answer], size: int) -> str:
        apart = [difference(self._reference.steps(t, size), a) for t, a in zip(turns, answers, strict=True)]
        wrong = [value for value in apart if not value <= BOUND]
        return f"{len(wrong)} of {len(apart)} wrong, by {max(wrong):.2g}" if wrong else ""


WAYS: dict[str, Callable[[Checker], str]] = {
    "alone": Checker.alone,
    "crowd": Checker.crowd,
    "reversed": Checker.reversed,
    "reuse": Checker.reuse,
    "cut": Checker.cut,
    "long": Checker.long,
    "late": Checker.late,
    "n": Checker.choices,
    "stop": Checker.stop,
    "cancel": Checker.cancel,
    "max_tokens=1": Checker.one_token,
    "seed": Checker.seed,
}


def difference(steps: Steps, answer: Answer) -> float:
    """The largest of a log-probability, infinite for an answer of another length."""
    worst = 0.0
    said = list(zip(answer.tokens, answer.logprobs, strict=True))
    for (token, logprobs), (own, value) in zip(steps, said, strict=False):
        if own < 0 and token >= END:  # an answer does not say which special token it left out
            own = token
        if not 0 <= own < len(logprobs):
            return math.inf
        worst = max(worst, abs(float(logprobs[own]) - value), float(logprobs[token] - logprobs[own]))
        if own != token:
            return worst
    return worst if len(said) == len(steps) else math.inf


def _apart(steps: Steps, others: Steps) -> float:
    worst = 0.0
    for (token, logprobs), (other, values) in zip(steps, others, strict=False):
        worst = max(worst, float(np.abs(logprobs - values).max()))
        if token != other:
            break
    return worst


def _first(size: int, letter: str = "a") -> Turns:
    """A first message that makes a prompt of so many tokens."""
    return (_text(size - FRAME, letter),)


def _text(size: int, letter: str) -> str:
    """Texts of different sizes or letters differ nearly from the beginning."""
    seed = ord(letter) + size
    return letter + "".join(chr(97 + (seed * i + i * i // 3 + i // 7) % 26) for i in range(1, size))
