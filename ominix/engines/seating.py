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

from ominix.engines import threads
from ominix.engines.chat_model import ChatModel
from ominix.engines.pace import Pace
from ominix.engines.prefixes import Caches, Prefixes
from ominix.engines.room import Room
from ominix.engines.sampling import Processor, Sampler

MOST_SEATS = 16  # answers written at once, memory permitting


@dataclass(eq=False)
class Seat:
    """A sequence from its waiting on. `forks` begin where its prompt ends, without reading it again."""

    tokens: list[int]
    max_tokens: int
    sampler: Sampler | None
    processors: list[Processor]
    marks: list[int]  # places of the prompt at which its caches are kept
    forks: list[Seat] = field(default_factory=list)
    caches: Caches | None = None
    cached: int = 0  # tokens the caches hold
    unread: int = 0  # tokens of the prompt that are still to be read
    uid: int | None = None


@dataclass(frozen=True)
class Token:
    """The next token of a seat's answer; `last` when the batch has let it go, at max_tokens or a stop."""

    seat: Seat
    token: int
    last: bool


class Seating:
    def __init__(self, model: ChatModel, room: Room, seats: int = MOST_SEATS) -> None:
        self.prefixes = Prefixes(room.kept_bytes)
        self._model = model.model
        self._room = room
        self._seats = seats
        self._pace = Pace()
        self._threads = threads.find()
        self._queue: deque[Seat] = deque()
        self._seated: dict[int, Seat] = {}
        self._generator = BatchGenerator(
            model.model,
            stop_tokens=[[token] for token in model.stop_ids],
            completion_batch_size=seats,
            prefill_batch_size=seats,
        )
        empty = make_prompt_cache(model.model)
        self._trims = can_trim_prompt_cache(empty)
        self._window = min((c.max_size for c in empty if isinstance(c, RotatingKVCache)), default=None)

    def wants_marks(self, tokens: int) -> bool:
        """Caches that can be trimmed serve from any place on: only others are kept at chosen ones."""
        return not self._trims or (self._window is not None and tokens >= self._window)

    def wait(self, seat: Seat) -> None:
        seat.unread = len(seat.tokens) - self.prefixes.saves(seat.tokens)
        self._queue.append(seat)

    def leave(self, seats: Iterable[Seat]) -> None:
        """Free them, wherever they are; what they have computed is kept for later prompts."""
        for seat in seats:
            if seat in self._queue:
                self._queue.remove(seat)
            if seat.uid is None or self._seated.pop(seat.uid, None) is None:
                continue
            caches, tokens = self._generator.remove([seat.uid], return_prompt_caches=True)[seat.uid]
            if tokens and seat.unread < len(seat.tokens) - seat.cached:
                self.prefixes.put(tokens, caches)

    def step(self) -> list[Token]:
        """A token for each that answers, a piece of prompt for those that read."""
        if self._threads and self._threads.due:
            mx.synchronize(self._generator.stream)
            self._threads.tune()
        budget = self._pace.step_tokens(beside=len(self._reading()) < len(self._seated))
        self._seat_waiting(budget)
        reading = self._reading()
        self._generator.prefill_step_size = max(1, budget // max(1, len(reading)))
        begun = time.perf_counter()
        prompts, answers = self._generator.next()
        seconds = time.perf_counter() - begun
        read = 0
        for response in prompts:
            read += self._read(self._seated[response.uid], *response.progress)
        self._pace.learn(read, len(answers), seconds)
        return [self._token(response) for response in answers]

    def _reading(self) -> list[Seat]:
        return [seat for seat in self._seated.values() if seat.unread > 1]

    def _token(self, response: GenerationBatch.Response) -> Token:
        seat = self._seated[response.uid]
        last = response.finish_reason is not None
        if last:
            del self._seated[response.uid]
            self.prefixes.put(response.all_tokens or [], response.prompt_cache or [])
        return Token(seat, response.token, last)

    def _seat_waiting(self, budget: int) -> None:
        while self._queue and len(self._seated) < self._seats:
            seat = next(filter(self._may_begin(budget), self._queue), None)
            if seat is None or not self._has_room(seat):
                return
            self._queue.remove(seat)
            self._insert(seat)

    def _may_begin(self, budget: int) -> Callable[[Seat], bool]:
        """In order; but beside prompts that are being read, only what one step reads together with
        them, padded to the longest, or what takes half as long as any of them."""
        unread = [seat.unread for seat in self._reading()]

        def test(seat: Seat) -> bool:
            together = max([*unread, seat.unread]) * (len(unread) + 1)
            return not unread or together <= budget or 2 * seat.unread <= min(unread)

        return test

    def _has_room(self, seat: Seat) -> bool:
        everyone = [*self._seated.values(), seat]
        longest = max(len(s.tokens) + s.max_tokens for s in everyone)
        return not self._seated or self._room.holds(len(everyone), longest)

    def _insert(self, seat: Seat) -> None:
        if seat.caches is None:
            seat.caches, seat.cached = self.prefixes.take(seat.tokens)
        seat.unread = len(seat.tokens) - seat.cached
        if seat.unread == 1:
            self._fork(seat, seat.caches)
        cuts = [seat.cached, *(m for m in seat.marks if m > seat.cached), len(seat.tokens)]
        (seat.uid,) = self._generator.insert_segments(
            [[seat.tokens[a:b] for a, b in itertools.pairwise(cuts)]],
            max_tokens=[seat.max_tokens],
            caches=[seat.caches or make_prompt_cache(self._model)],
            all_tokens=[seat.tokens[: seat.cached]],
            samplers=[seat.sampler or greedy_sampler],
            logits_processors=[seat.processors],
        )
        seat.caches = None  # the batch has them now
        self._seated[seat.uid] = seat

    def _read(self, seat: Seat, done: int, total: int) -> int:
        """How many tokens more than before."""
        more, seat.unread = seat.unread - (total - done), total - done
        place = seat.cached + done
        if not seat.unread or not (place in seat.marks or (seat.unread == 1 and seat.forks)):
            return more
        caches, tokens = self._generator.extract_cache([seat.uid])[seat.uid]
        if seat.unread == 1:
            self._fork(seat, caches)
        if place in seat.marks:
            self.prefixes.put(list(tokens), caches)
        return more

    def _fork(self, seat: Seat, caches: Caches | None) -> None:
        """The other choices go next, each from the prompt's last token on."""
        for fork in reversed(seat.forks):
            fork.caches, fork.cached, fork.unread = copy.deepcopy(caches), len(seat.tokens) - 1, 1
            self._queue.appendleft(fork)
        seat.forks = []
