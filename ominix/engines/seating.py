"""The running batch: who waits, whose prompt is being read, who is answering.

Sequences join and leave between steps. Knows tokens and caches, nothing of text or events.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from mlx_lm.generate import BatchGenerator, GenerationBatch
from mlx_lm.models.cache import RotatingKVCache, can_trim_prompt_cache, make_prompt_cache
from mlx_lm.sample_utils import greedy_sampler

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
        self._seat_waiting()
        reading = [seat for seat in self._seated.values() if seat.unread > 1]
        beside = len(reading) < len(self._seated)
        budget = self._pace.step_tokens(beside)
        self._generator.prefill_step_size = max(1, budget // max(1, len(reading)))
        begun = time.perf_counter()
        prompts, answers = self._generator.next()
        seconds = time.perf_counter() - begun
        before = sum(seat.unread for seat in self._seated.values())
        for response in prompts:
            self._read(self._seated[response.uid], *response.progress)
        read = before - sum(seat.unread for seat in self._seated.values())
        self._pace.learn(read, len(answers), seconds)
        return [self._token(response) for response in answers]

    def _token(self, response: GenerationBatch.Response) -> Token:
        seat = self._seated[response.uid]
        last = response.finish_reason is not None
        if last:
            del self._seated[response.uid]
            self.prefixes.put(response.all_tokens or [], response.prompt_cache or [])
        return Token(seat, response.token, last)

    def _seat_waiting(self) -> None:
        while (seat := self._next()) is not None:
            self._queue.remove(seat)
            self._insert(seat)

    def _next(self) -> Seat | None:
        """In order; but beside a prompt that is being read, only one that takes half as long at most."""
        if not self._queue or len(self._seated) >= self._seats:
            return None
        reading = [seat.unread for seat in self._seated.values() if seat.unread > 1]
        bound = min(reading, default=None)
        fits = (s for s in self._queue if bound is None or 2 * s.unread <= bound)
        seat = next(fits, None)
        return seat if seat is not None and self._has_room(seat) else None

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

    def _read(self, seat: Seat, done: int, total: int) -> None:
        seat.unread = total - done
        place = seat.cached + done
        if not seat.unread or not (place in seat.marks or (seat.unread == 1 and seat.forks)):
            return
        caches, tokens = self._generator.extract_cache([seat.uid])[seat.uid]
        if seat.unread == 1:
            self._fork(seat, caches)
        if place in seat.marks:
            self.prefixes.put(list(tokens), caches)

    def _fork(self, seat: Seat, caches: Caches | None) -> None:
        """The other choices go next, each from the prompt's last token on."""
        for fork in reversed(seat.forks):
            fork.caches, fork.cached, fork.unread = copy.deepcopy(caches), len(seat.tokens) - 1, 1
            self._queue.appendleft(fork)
        seat.forks = []
