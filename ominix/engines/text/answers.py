"""Answers: tokens in, events out, for each choice of a job.

The text of the tokens goes through the parser of channels; what leaves it becomes deltas. Every token of an
answer has its log-probabilities in some delta, if the job asks for them: those that make no text of their own
(marks, parts of a character) leave with the next text, or at the end. Knows nothing of batches and of mlx.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from msgspec import structs

from ominix.engines.text.channels import RECALL, AnswerParser, Passage
from ominix.engines.text.detokenizer import Detokenizer
from ominix.engines.text.plan import Token
from ominix.engines.text.tool_calls import ToolCalls
from ominix.models.answer_formats import REASONING
from ominix.wire.events import Delta, Event, Finished, TokenLogprob

LEAST_LOGPROB = -9999.0  # JSON has no -inf; OpenAI writes this


class Choice:
    """One choice of a job, as it grows."""

    def __init__(
        self,
        index: int,
        detokenizer: Detokenizer,
        parser: AnswerParser,
        tool_calls: ToolCalls | None = None,
    ) -> None:
        """`tool_calls`: None for a job without tools."""
        self.index = index
        self._tool_calls = tool_calls
        self.tokens = 0
        self.reasoning_tokens = 0
        self._detokenizer = detokenizer
        self._text = detokenizer.text()
        self._parser = parser
        self._written = 0  # letters, as the parser counts them
        self._logprobs: deque[tuple[int, TokenLogprob]] = deque()  # with where each begins, in letters

    def add(self, token: Token) -> list[Event]:
        """The events that the next token makes: Finished, if it is the last or completes a stop string."""
        if token.finish == "stop":  # it is no part of the answer
            return self._finish("stop")
        was_reasoning = self._parser.reasoning
        text = self._text.add(token.token)
        self._note_logprobs(token.logprobs)
        self._written += len(text)
        self.tokens += 1
        events = self._events(self._parser.add(text))
        self.reasoning_tokens += was_reasoning or self._parser.reasoning
        if self._parser.stopped or (self._tool_calls and self._tool_calls.stopped):
            return [*events, *self._end("stop")]
        return events + (self._finish(token.finish) if token.finish else [])

    def _finish(self, reason: str) -> list[Event]:
        return [*self._events(self._parser.close(whole=reason == "stop")), *self._end(reason)]

    def _end(self, reason: str) -> list[Event]:
        last: Sequence[Event] = self._tool_calls.close() if self._tool_calls else ()
        if self._tool_calls and self._tool_calls.called and reason == "stop":
            reason = "tool_calls"
        left = tuple(entry for _, entry in self._logprobs)
        self._logprobs.clear()
        deltas = [Delta("", self.index, self._parser.reasoning, left)] if left else []
        return [*last, *deltas, Finished(reason, self.index)]

    def _events(self, passages: list[Passage]) -> list[Event]:
        events: list[Event] = []
        for passage in passages:
            if passage.edge == RECALL:
                self.reasoning_tokens = self.tokens
            if self._tool_calls is None:
                events.append(self._delta(passage))
                continue
            made = self._tool_calls.add(passage)
            if made:  # what is held back keeps its log-probabilities
                first = structs.replace(made[0], logprobs=self._logprobs_before(passage.end))
                events += [first, *made[1:]]
        return events

    def _delta(self, passage: Passage) -> Delta:
        is_reasoning = (passage.origin or passage.channel) == REASONING
        logprobs = self._logprobs_before(passage.end)
        return Delta(passage.text, self.index, is_reasoning, logprobs, recalls=passage.edge == RECALL)

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
