"""A row of the batch held to a grammar: the last logits processor, which leaves only tokens that may follow.

    prompt --> thought ------> gap ---------> answer --------> stop token
       |       (any token)     (line breaks)  (by the mask)    (the grammar is at its end)
       +-----> start: an answer, or a mark that opens a thought or a call ---> thought, or free

- Where the answer begins, the model's answer format says (channels.py), as it does for the text that clients
  get. Thoughts are free, and so are calls of tools.
- In a step the processor gets the token of the step before, which still computes, and the logits to come, as
  graphs. It starts the model on them, waits for the token, and makes the mask while the model computes. Rows
  without a grammar lose nothing: the next step is under way when theirs is read, as ever.
- The mask comes behind penalties and logit_bias: no bias makes a text that does not fit. Log-probabilities
  are recorded before all of them, so they are the model's own.
- If a matcher gives up (an answer on which its grammar gets too ambiguous), the row goes on unheld and says
  so: `fault`. The engine fails its job: an answer is never said to fit if it may not.

Knows nothing of jobs; one object for each row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import mlx.core as mx
import numpy as np
from llguidance import LLMatcher

from ominix.engines.text.channels import AnswerParser
from ominix.engines.text.detokenizer import Detokenizer
from ominix.models.answer_formats import ANSWER, AnswerFormat

LINE_BREAKS = ("\n", "\n\n")
MOST_LINE_BREAKS = 2  # tokens
Tokens = tuple[int, ...]


class GrammarMask:
    def __init__(
        self,
        matcher: LLMatcher,
        thought: AnswerParser | None,
        openings: Mapping[Tokens, AnswerParser | None],
        line_breaks: frozenset[int],
        spell: Callable[[int], str],
    ) -> None:
        """`thought`: what reads the answer up to where the grammar begins; None: it begins at once, or behind
        one of `openings`: marks in tokens, and what reads on behind them (None: nothing is held there).
        `spell`: the next token's text."""
        self.fault = ""
        self._matcher = matcher
        self._thought = thought
        self._openings = dict(openings)
        self._line_breaks = line_breaks
        self._spell = spell
        self._opened: Tokens = ()  # of a mark
        self._gap = 0  # so many line breaks may stand before the answer
        self._is_first = True  # behind the prompt
        self._is_free = False  # to the end

    def __call__(self, tokens: mx.array, logits: mx.array) -> mx.array:
        """All tokens so far (n,), logits (1, V) -> (1, V)"""
        last = tokens[-1:]
        mx.async_eval(last)  # before the model: what waits for it does not wait for the model, then
        mx.async_eval(logits)
        token, is_first, self._is_first = int(np.array(last)[0]), self._is_first, False
        if not is_first and not self._is_free:
            self._add(token)
        return logits if self._thought or self._is_free else self._masked(logits)

    def _add(self, token: int) -> None:
        """The row's next token is known."""
        if self._thought:
            self._think(self._thought, token)
        elif self._openings and (*self._opened, token) in {
            o[: len(self._opened) + 1] for o in self._openings
        }:
            self._open(token)
        elif self._gap and token in self._line_breaks:
            self._gap -= 1
        else:
            self._openings, self._gap = {}, 0
            self._consume([token])

    def _open(self, token: int) -> None:
        self._opened = (*self._opened, token)
        self._openings = {o: s for o, s in self._openings.items() if o[: len(self._opened)] == self._opened}
        if self._opened in self._openings:
            self._thought = self._openings[self._opened]
            self._is_free = self._thought is None
            self._openings, self._opened = {}, ()

    def _think(self, thought: AnswerParser, token: int) -> None:
        passages = thought.add(self._spell(token))
        if thought.state != ANSWER:
            return
        passages += thought.close()
        answer = "".join(passage.text for passage in passages if passage.channel == ANSWER)
        self._thought, self._gap = None, MOST_LINE_BREAKS
        if answer.strip():
            self._give_up("the answer begins inside of the token that ends the thought")

    def _consume(self, tokens: list[int]) -> None:
        if self._matcher.is_stopped():  # the grammar is at its end: this is the stop token
            self._is_free = True
        elif not self._matcher.consume_tokens(tokens):
            self._give_up(self._matcher.get_error())

    def _give_up(self, reason: str) -> None:
        self.fault = " ".join(reason.partition("<state>")[0].split()) or "no reason given"
        self._is_free = True

    def _masked(self, logits: mx.array) -> mx.array:
        size = logits.shape[-1]
        allowed = np.zeros(size, np.uint8)
        if not self._opened:
            bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
            found = np.unpackbits(bits, bitorder="little")[:size]
            allowed[: len(found)] = found
        if self._matcher.is_error():
            self._give_up(self._matcher.get_error())
            return logits
        for opening in self._openings:
            allowed[opening[len(self._opened)]] = 1
        if self._gap:
            allowed[list(self._line_breaks)] = 1
        if not allowed.any():
            self._give_up("no token fits")
            return logits
        return mx.where(mx.array(allowed)[None], logits, mx.array(-mx.inf, logits.dtype))


def mask(
    matcher: LLMatcher,
    format: AnswerFormat,
    detokenizer: Detokenizer,
    encode: Callable[[str], list[int]],
    begins: str | None,
    calls: tuple[str, ...] = (),
) -> GrammarMask:
    """For a row. `encode`: text to tokens. `begins`: the state of the answer where the prompt has written a
    mark. `calls`: marks that open calls of tools."""

    def reader(state: str | None) -> AnswerParser:
        return AnswerParser(format, detokenizer.marks, begins=state)

    openings: dict[Tokens, AnswerParser | None] = {tuple(encode(mark)): None for mark in calls}
    if begins is None:
        edges = [(mark, state) for mark, state in format.edges.get(ANSWER, ()) if state != ANSWER]
        openings |= {tuple(encode(mark)): reader(state) for mark, state in edges}
    breaks = [encode(text) for text in LINE_BREAKS]
    line_breaks = frozenset(tokens[0] for tokens in breaks if len(tokens) == 1)
    thought = reader(begins)
    held_at_once = thought.state == ANSWER
    text = detokenizer.text()
    return GrammarMask(
        matcher,
        None if held_at_once else thought,
        {o: s for o, s in openings.items() if o},
        line_breaks,
        text.add,
    )
