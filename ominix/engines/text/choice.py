"""One choice of an answer: its tokens go in, its events come out."""

from __future__ import annotations

from collections import deque

from ominix.engines.text.chat_model import ChatModel
from ominix.engines.text.parser import AnswerParser, Passage
from ominix.engines.text.sampling import Watcher
from ominix.wire.events import Delta, Event, Finished, TokenLogprob
from ominix.wire.jobs import ChatJob


class Choice:
    """`watcher` knows the model's logits; None where nobody asked for log-probabilities."""

    def __init__(self, index: int, job: ChatJob, model: ChatModel, thinking: bool) -> None:
        self.index = index
        self.tokens = 0
        self.thoughts = 0  # tokens that were thought, not said
        self._model = model
        self._text = model.detokenizer.text()
        self._parser = AnswerParser(job.stop, model.tags, thinking)
        self._written = 0  # characters
        self._top = job.top_logprobs
        self.watcher = None if job.top_logprobs is None else Watcher()
        self._logprobs: deque[tuple[int, TokenLogprob]] = deque()  # with where each begins

    def take(self, token: int, reason: str | None) -> list[Event]:
        """The next token, and why it is the last one if it is: Finished comes at the end."""
        if token in self._model.stop_ids:
            return self._finish("stop")
        thinking = self._parser.thinking
        text = self._text.add(token)
        self._note_logprob(token)
        self._written += len(text)
        events = self._deltas(self._parser.add(text))
        self.tokens += 1
        self.thoughts += thinking or self._parser.thinking
        if self._parser.stopped:
            return [*events, Finished("stop", self.index)]
        return events + (self._finish(reason) if reason else [])

    def _finish(self, reason: str) -> list[Event]:
        return [*self._deltas(self._parser.close()), Finished(reason, self.index)]

    def _deltas(self, passages: list[Passage]) -> list[Event]:
        return [Delta(p.text, self.index, p.thought, self._logprobs_before(p.end)) for p in passages]

    def _note_logprob(self, token: int) -> None:
        if self.watcher is None:
            return
        (_, own), *top = self.watcher.likeliest(token, self._top or 0)
        alternatives = tuple(self._logprob(*pair) for pair in top)
        self._logprobs.append((self._written, self._logprob(token, own, alternatives)))

    def _logprob(self, token: int, value: float, top: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
        raw = self._model.detokenizer.token_bytes(token)
        return TokenLogprob(raw.decode("utf-8", "replace"), max(value, -9999.0), tuple(raw), top)

    def _logprobs_before(self, end: int) -> tuple[TokenLogprob, ...]:
        """Those of tokens that begin before this place of the text, each once."""
        ready = []
        while self._logprobs and self._logprobs[0][0] < end:
            ready.append(self._logprobs.popleft()[1])
        return tuple(ready)
