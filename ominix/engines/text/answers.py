"""Answers: tokens in, events out, for each choice of a job.

An answer's text is cut into passages, reasoning apart from the answer proper. Text that could still become
a tag or a stop string is held back, and only that long. Stop strings count in the answer proper, not in
reasoning. Knows nothing of batches and of mlx.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from ominix.engines.text.detokenizer import Detokenizer
from ominix.engines.text.plan import Token
from ominix.wire.events import Delta, Event, Finished, TokenLogprob

Tags = tuple[str, str]  # what opens reasoning and what closes it

LEAST_LOGPROB = -9999.0  # JSON has no -inf; OpenAI writes this


class Choice:
    """One choice of a job, as it grows."""

    def __init__(self, index: int, detokenizer: Detokenizer, parser: AnswerParser) -> None:
        self.index = index
        self.tokens = 0
        self.reasoning_tokens = 0
        self._detokenizer = detokenizer
        self._text = detokenizer.text()
        self._parser = parser
        self._written = 0  # characters
        self._logprobs: deque[tuple[int, TokenLogprob]] = deque()  # with where each begins, in characters

    def add(self, token: Token) -> list[Event]:
        """The events that the next token makes: Finished, if it is the last or completes a stop string."""
        if token.finish == "stop":  # it is no part of the answer
            return self._finish("stop")
        was_reasoning = self._parser.reasoning
        text = self._text.add(token.token)
        self._note_logprobs(token.logprobs)
        self._written += len(text)
        events = self._deltas(self._parser.add(text))
        self.tokens += 1
        self.reasoning_tokens += was_reasoning or self._parser.reasoning
        if self._parser.stopped:
            return [*events, Finished("stop", self.index)]
        return events + (self._finish(token.finish) if token.finish else [])

    def _finish(self, reason: str) -> list[Event]:
        return [*self._deltas(self._parser.close()), Finished(reason, self.index)]

    def _deltas(self, passages: list[Passage]) -> list[Event]:
        return [Delta(p.text, self.index, p.reasoning, self._logprobs_before(p.end)) for p in passages]

    def _note_logprobs(self, logprobs: Sequence[tuple[int, float]]) -> None:
        if logprobs:
            own, *others = logprobs
            top = tuple(self._logprob(*other) for other in others)
            self._logprobs.append((self._written, self._logprob(*own, top)))

    def _logprob(self, token: int, value: float, top: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
        raw = self._detokenizer.token_bytes(token)
        text = raw.decode("utf-8", "replace")
        return TokenLogprob(text, max(value, LEAST_LOGPROB), tuple(raw), top)

    def _logprobs_before(self, end: int) -> tuple[TokenLogprob, ...]:
        """Those of tokens that begin before this place of the text, each once."""
        ready = []
        while self._logprobs and self._logprobs[0][0] < end:
            ready.append(self._logprobs.popleft()[1])
        return tuple(ready)


@dataclass(frozen=True)
class Passage:
    """Text that may leave; `end` is how many characters of all text up to here are dealt with."""

    text: str
    reasoning: bool
    end: int


class AnswerParser:
    """Text in, in pieces of any size; passages out. `tags`: None for a model that does not reason."""

    def __init__(self, stops: Sequence[str], tags: Tags | None, reasoning: bool) -> None:
        self._stops = tuple(stops)
        self._tags = tags
        self._held = ""
        self._end = 0  # characters dealt with
        self._fresh = False  # just behind a tag: line breaks there are the tag's
        self.reasoning = reasoning and tags is not None
        self.stopped = False

    def add(self, text: str) -> list[Passage]:
        """What may leave now that `text` has come."""
        self._held += text
        passages = []
        while not self.stopped:
            found = self._first()
            if found is None:
                passages.append(self._cut(len(self._held) - self._undecided(), 0))
                break
            at, pattern = found
            passages.append(self._cut(at, len(pattern)))
            self._pass(pattern)
        return [passage for passage in passages if passage.text]

    def close(self) -> list[Passage]:
        """What was held back, as nothing comes any more."""
        passage = self._cut(len(self._held), 0)
        return [passage] if passage.text and not self.stopped else []

    def _patterns(self) -> tuple[str, ...]:
        if self.reasoning and self._tags:
            return ("\n" + self._tags[1], self._tags[1])
        return (*self._stops, self._tags[0]) if self._tags else self._stops

    def _first(self) -> tuple[int, str] | None:
        """The pattern that ends first, as it would have been found first letter by letter."""
        found = [(self._held.find(p) + len(p), -len(p), p) for p in self._patterns() if p in self._held]
        if not found:
            return None
        end, _, pattern = min(found)
        return end - len(pattern), pattern

    def _pass(self, pattern: str) -> None:
        if pattern in self._stops and not self.reasoning:
            self.stopped = True
        else:
            self.reasoning = not self.reasoning
            self._fresh = True

    def _undecided(self) -> int:
        """How many of the last letters could be the beginning of a pattern."""
        longest = max(map(len, self._patterns()), default=0) - 1
        tails = (n for n in range(min(longest, len(self._held)), 0, -1))
        return next((n for n in tails if self._begins(self._held[-n:])), 0)

    def _begins(self, tail: str) -> bool:
        return any(pattern.startswith(tail) for pattern in self._patterns())

    def _cut(self, size: int, tag: int) -> Passage:
        """Let `size` letters go and forget the `tag` letters behind them."""
        text, self._held = self._held[:size], self._held[size + tag :]
        self._end += size + tag
        if self._fresh:
            text = text.lstrip("\n")
            self._fresh = not text
        return Passage(text, self.reasoning, self._end - tag)
