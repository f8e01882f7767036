"""The running batch: who waits, whose prompt is being read, who is answering.

Sequences join and leave between steps. Knows tokens and caches, nothing of text or events.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import mlx.core as mx
from mlx_lm.generate import BatchGenerator, GenerationBatch
from mlx_lm.models.cache import RotatingKVCache, can_trim_prompt_cache, make_prompt_cache
from mlx_lm.sample_utils import greedy_sampler

from ominix.cpu import threads
from ominix.engines.memory import MemoryLimits
from ominix.engines.text import prefill
from ominix.engines.text.chat_model import ChatModel
from ominix.engines.text.prefix_cache import Caches, PrefixCache
from ominix.engines.text.sampling import Processor, Sampler

MAX_SEQUENCES = 16  # answers written at once, memory permitting


@dataclass(eq=False)
class Sequence:
    """A sequence from its waiting on. `forks` begin where its prompt ends, without reading it again."""

    tokens: list[int]
    max_tokens: int
    sampler: Sampler | None
    processors: list[Processor]
    marks: list[int]  # places of the prompt at which its caches are kept
    forks: list[Sequence] = field(default_factory=list)
    caches: Caches | None = None
    cached: int = 0  # tokens the caches hold
    unread: int = 0  # tokens of the prompt that are still to be read
    uid: int | None = None


@dataclass(frozen=True)
class Token:
    """The next token of a sequence's answer; `last` when the batch has let it go, at max_tokens or a stop."""

    sequence: Sequence
    token: int
    last: bool


class Batch:
    def __init__(self, model: ChatModel, memory: MemoryLimits, sequences: int = MAX_SEQUENCES) -> None:
        self.prefixes = PrefixCache(memory.kept_bytes)
        self._model = model.model
        self._memory = memory
        self._seats = sequences
        self._pace = prefill.PrefillPace(prefill.token_seconds(model.model))
        self._threads = threads.find()
        self._queue: deque[Sequence] = deque()
        self._arrived = False  # somebody, since the last step
        self._seated: dict[int, Sequence] = {}
        self._generator = BatchGenerator(
            model.model,
            stop_tokens=[[token] for token in model.stop_ids],
            completion_batch_size=sequences,
            prefill_batch_size=sequences,
        )
        empty = make_prompt_cache(model.model)
        self._trims = can_trim_prompt_cache(empty)
        self._window = min((c.max_size for c in empty if isinstance(c, RotatingKVCache)), default=None)

    def wants_marks(self, tokens: int) -> bool:
        """Caches that can be trimmed serve from any place on: only others are kept at chosen ones."""
        return not self._trims or (self._window is not None and tokens >= self._window)

    def wait(self, sequence: Sequence) -> None:
        sequence.unread = len(sequence.tokens) - self.prefixes.saves(sequence.tokens)
        self._queue.append(sequence)
        self._arrived = True

    def leave(self, sequences: Iterable[Sequence]) -> None:
        """Free them, wherever they are; what they have computed is kept for later prompts."""
        for sequence in sequences:
            if sequence in self._queue:
                self._queue.remove(sequence)
            if sequence.uid is None or self._seated.pop(sequence.uid, None) is None:
                continue
            caches, tokens = self._generator.remove([sequence.uid], return_prompt_caches=True)[sequence.uid]
            if tokens and sequence.unread < len(sequence.tokens) - sequence.cached:
                self.prefixes.put(tokens, caches)

    def await_company(self) -> bool:
        """After an arrival: waits a moment for others, unless somebody reads or answers already."""
        arrived, self._arrived = self._arrived, False
        if not arrived or self._seated:
            return False
        time.sleep(self._pace.company_seconds)
        return True

    def step(self) -> list[Token]:
        """A token for each that answers, a piece of prompt for those that read."""
        if self._threads and self._threads.due:
            mx.synchronize(self._generator.stream)
            self._threads.tune()
        budget = self._pace.step_tokens(len(self._seated) - len(self._reading()))
        self._seat_waiting(budget)
        reading = self._reading()
        self._generator.prefill_step_size = max(1, budget // max(1, len(reading)))
        begun = time.perf_counter()
        prompts, answers = self._generator.next()
        seconds = time.perf_counter() - begun
        read = [self._read(self._seated[response.uid], *response.progress) for response in prompts]
        pieces = [tokens for tokens in read if tokens > 1]  # the others begin to answer, in their own pass
        passes = [size for size in (len(answers), len(read) - len(pieces)) if size]
        self._pace.learn(max(pieces, default=0) * len(pieces), passes, seconds)  # padded to the longest
        return [self._token(response) for response in answers]

    def _reading(self) -> list[Sequence]:
        return [sequence for sequence in self._seated.values() if sequence.unread > 1]

    def _token(self, response: GenerationBatch.Response) -> Token:
        sequence = self._seated[response.uid]
        last = response.finish_reason is not None
        if last:
            del self._seated[response.uid]
            self.prefixes.put(response.all_tokens or [], response.prompt_cache or [])
        return Token(sequence, response.token, last)

    def _seat_waiting(self, budget: int) -> None:
        while self._queue and len(self._seated) < self._seats:
            sequence = next(filter(self._may_begin(budget), self._queue), None)
            if sequence is None or not self._has_memory(sequence):
                return
            self._queue.remove(sequence)
            self._insert(sequence)

    def _may_begin(self, budget: int) -> Callable[[Sequence], bool]:
        """In order; but beside prompts that are being read, only what one step reads together with
        them, padded to the longest, or what takes half as long as any of them."""
        unread = [sequence.unread for sequence in self._reading()]

        def test(sequence: Sequence) -> bool:
            together = max([*unread, sequence.unread]) * (len(unread) + 1)
            return not unread or together <= budget or 2 * sequence.unread <= min(unread)

        return test

    def _has_memory(self, sequence: Sequence) -> bool:
        everyone = [*self._seated.values(), sequence]
        longest = max(len(s.tokens) + s.max_tokens for s in everyone)
        return not self._seated or self._memory.holds(len(everyone), longest)

    def _insert(self, sequence: Sequence) -> None:
        if sequence.caches is None:
            sequence.caches, sequence.cached = self.prefixes.take(sequence.tokens)
        sequence.unread = len(sequence.tokens) - sequence.cached
        if sequence.unread == 1:
            self._fork(sequence, sequence.caches)
        cuts = [sequence.cached, *(m for m in sequence.marks if m > sequence.cached), len(sequence.tokens)]
        (sequence.uid,) = self._generator.insert_segments(
            [[sequence.tokens[a:b] for a, b in itertools.pairwise(cuts)]],
            max_tokens=[sequence.max_tokens],
            caches=[sequence.caches or make_prompt_cache(self._model)],
            all_tokens=[sequence.tokens[: sequence.cached]],
            samplers=[sequence.sampler or greedy_sampler],
            logits_processors=[sequence.processors],
        )
        sequence.caches = None  # the batch has them now
        self._seated[sequence.uid] = sequence

    def _read(self, sequence: Sequence, done: int, total: int) -> int:
        """How many tokens more than before."""
        more, sequence.unread = sequence.unread - (total - done), total - done
        place = sequence.cached + done
        if not sequence.unread or not (place in sequence.marks or (sequence.unread == 1 and sequence.forks)):
            return more
        caches, tokens = self._generator.extract_cache([sequence.uid])[sequence.uid]
        if sequence.unread == 1:
            self._fork(sequence, caches)
        if place in sequence.marks:
            self.prefixes.put(list(tokens), caches)
        return more

    def _fork(self, sequence: Sequence, caches: Caches | None) -> None:
        """The other choices go next, each from the prompt's last token on."""
        for fork in reversed(sequence.forks):
            fork.caches, fork.cached, fork.unread = copy.deepcopy(caches), len(sequence.tokens) - 1, 1
            self._queue.appendleft(fork)
        sequence.forks = []
