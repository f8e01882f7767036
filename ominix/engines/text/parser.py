"""An answer's text cut into passages: thought or spoken, and where it stops.

Text that could still become a tag or a stop string is held back, and only that long. Stop strings
count in what is spoken, not in thoughts. Knows nothing about tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Passage:
    """Text that may leave; `end` is how much of all text up to here has been dealt with."""

    text: str
    thought: bool
    end: int


class AnswerParser:
    """`tags`: what opens and what closes a thought; None for a model that has no thoughts."""

    def __init__(self, stops: Sequence[str], tags: tuple[str, str] | None, thinking: bool) -> None:
        self._stops = tuple(stops)
        self._tags = tags
        self._held = ""
        self._end = 0  # characters dealt with
        self._fresh = False  # just behind a tag: line breaks there are the tag's
        self.thinking = thinking and tags is not None
        self.stopped = False

    def add(self, text: str) -> list[Passage]:
        """What may leave now that `text` has come."""
        self._held += text
        passages = []
        while not self.stopped:
            found = self._first()
            if found is None:
                passages.append(self._cut(len(self._held) - self._waiting(), 0))
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
        if self.thinking and self._tags:
            return ("\n" + self._tags[1], self._tags[1])
        return (*self._stops, self._tags[0]) if self._tags else self._stops

    def _first(self) -> tuple[int, str] | None:
        """The pattern that ends first, as it would have been seen first letter by letter."""
        found = [(self._held.find(p) + len(p), -len(p), p) for p in self._patterns() if p in self._held]
        if not found:
            return None
        end, _, pattern = min(found)
        return end - len(pattern), pattern

    def _pass(self, pattern: str) -> None:
        if pattern in self._stops and not self.thinking:
            self.stopped = True
        else:
            self.thinking = not self.thinking
            self._fresh = True

    def _waiting(self) -> int:
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
        return Passage(text, self.thinking, self._end - tag)
