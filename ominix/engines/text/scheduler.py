"""The scheduler of the text engine: who waits, joins and leaves, and how much prompt a step may prefill.

In: sequences, the time in seconds, and what each step did. Out: plans. It never computes, sleeps or looks
at a clock, so hundreds of lives of a busy server can be tried in a second; `plan` changes nothing, `learn`
moves the states:

             plan.joins           end of the prompt           its last token
    waiting ------------> prefill -----------------> decode ------------------> finished
       ^                     |                         |
       |                     +-------- leave ----------+---> leaving --------> gone
     forks, at the end of their prompt                              plan.leaves

- waiting: the next place is for the client that has the fewest, then for the one whose turn is longest ago
  (fairness), then for who came first. A client that has none need not wait until a full batch has room:
  it gets one of a few places more. Beside prompts in prefill only a prompt joins that this step prefills
  together with them, or that is half as long as the shortest: a short question need not wait for a long
  document, and since it is done before that document is, the first in the queue waits no longer than for
  the prompts that it found.
- prefill: up to the prompt's last token but one, a piece a step. All pieces of a step go through the model
  together, padded to the longest; the budget bounds their sum, so that a step stays short for those that
  decode, and for a cancel.
- decode: a token a step. The first comes out of the prompt's last token.
- forks are the further choices of one job. They join where the prefill of their prompt ends, before all
  others: the executor holds copies of the caches for them, and nobody should hold memory and wait.
- leaving: cancelled, or ended by a stop string, which only the engine sees. The executor frees it with the
  next plan.

Whoever arrives while nothing runs waits a moment (the batch delay) for others that come with it: prefilled
together they also decode together, and a batch that is full from its first step to its last is what the
executor is fast with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, KeysView
from dataclasses import dataclass

from ominix.engines.text.budget import PrefillBudget
from ominix.engines.text.plan import Outcome, Plan, Sequence
from ominix.fairness import Served, guests

MOST_SEQUENCES = 16  # in prefill and decode together, memory permitting; guests come beside them
BATCH_DELAY_SECONDS = 0.01  # at most
BATCH_DELAY_TOKENS = 0.2  # nor longer than so much of a token's time: short beside the time to the first one

Fits = Callable[[int, int], bool]  # (sequences, tokens of the longest) -> whether memory holds them


@dataclass(eq=False)
class _Row:
    sequence: Sequence
    left: int  # prompt tokens that its caches lack: above 1 it is in prefill
    held: bool = False  # the executor holds caches of it
    forks: Collection[Sequence] = ()  # until its prefill ends

    @property
    def client(self) -> str:
        return self.sequence.caller.client


class Scheduler:
    def __init__(self, token_seconds: float, fits: Fits, most_sequences: int = MOST_SEQUENCES) -> None:
        """`token_seconds`: what one token of one answer takes, measured once. With one sequence there is no
        place for guests: the model cannot compute two."""
        self._budget = PrefillBudget(token_seconds)
        self._fits = fits
        self._most_sequences = most_sequences
        self._guests = guests(most_sequences) if most_sequences > 1 else 0
        self._waiting: dict[int, _Row] = {}  # in the order in which they came, forks of those that run first
        self._served = Served()
        self._running: dict[int, _Row] = {}
        self._leaving: list[int] = []
        self._arrived_at: float | None = None  # the last arrival since the last step

    @property
    def idle(self) -> bool:
        return not (self._waiting or self._running or self._leaving)

    @property
    def running(self) -> KeysView[int]:
        """Ids of the sequences in prefill and decode."""
        return self._running.keys()

    @property
    def runs(self) -> bool:
        """Somebody waits for the next step, not for others to come."""
        return bool(self._running or self._leaving)

    def add(
        self, sequence: Sequence, saved_tokens: int, now: float, forks: Collection[Sequence] = ()
    ) -> None:
        """`saved_tokens`: how many of the prompt's tokens need no prefill, as far as is known."""
        self._waiting[sequence.id] = _Row(sequence, len(sequence.tokens) - saved_tokens, forks=forks)
        self._arrived_at = now

    def leave(self, sequence_ids: Iterable[int]) -> None:
        """Forget them; unknown ids are ignored. Before its first token a sequence leaves with its forks."""
        for sequence_id in sequence_ids:
            row = self._running.pop(sequence_id, None) or self._waiting.pop(sequence_id, None)
            if row and row.held:
                self._leaving.append(sequence_id)

    def plan(self, now: float) -> Plan:
        wait_seconds = self._batch_delay_left(now)
        if wait_seconds > 0:
            return Plan(wait_seconds)
        budget = self._budget.tokens(sum(row.left <= 1 for row in self._running.values()))
        return Plan(leaves=tuple(self._leaving), joins=self._joins(budget), prefill_tokens=budget)

    def learn(self, plan: Plan, outcome: Outcome, seconds: float) -> None:
        """What came of the plan, and how long that took."""
        self._arrived_at = None
        self._leaving = [sequence_id for sequence_id in self._leaving if sequence_id not in plan.leaves]
        for sequence in plan.joins:
            row = self._running[sequence.id] = self._waiting.pop(sequence.id)
            row.held = True
            self._served.add(row.client)
            self._prefilled(row, outcome.cached[sequence.id])
        sizes = [self._prefilled(self._running[i], place) for i, place in outcome.prefilled.items()]
        self._learn_seconds(plan, outcome, sizes, seconds)
        for token in outcome.tokens:
            if token.finish:
                del self._running[token.sequence_id]
        self._served.keep({row.client for row in (*self._waiting.values(), *self._running.values())})

    def _batch_delay_left(self, now: float) -> float:
        if self._arrived_at is None or self._running or not 0 < len(self._waiting) < self._most_sequences:
            return 0.0
        delay = min(BATCH_DELAY_SECONDS, BATCH_DELAY_TOKENS * self._budget.token_seconds)
        return self._arrived_at + delay - now

    def _joins(self, budget: int) -> tuple[Sequence, ...]:
        waiting, running, joins = list(self._waiting.values()), list(self._running.values()), []
        places, served = Counter(row.client for row in running), self._served.copy()
        while waiting and len(running) < self._most_sequences + self._guests:
            prefills = [row.left for row in running if row.left > 1]
            is_full = len(running) >= self._most_sequences
            able = [
                row
                for row in waiting
                if _may_join(row.left, prefills, budget) and not (is_full and places[row.client])
            ]
            row = min(able, key=lambda r: (not r.held, places[r.client], served.last(r.client)), default=None)
            if row is None or not self._has_memory([*running, row]):
                break
            waiting.remove(row)
            running.append(row)
            joins.append(row.sequence)
            places[row.client] += 1
            served.add(row.client)
        return tuple(joins)

    def _has_memory(self, rows: Collection[_Row]) -> bool:
        """One alone always has it: the engine admits none that is too long for that."""
        longest = max(len(row.sequence.tokens) + row.sequence.max_tokens for row in rows)
        return len(rows) == 1 or self._fits(len(rows), longest)

    def _prefilled(self, row: _Row, place: int) -> int:
        """The row's caches hold the prompt up to there: how many tokens more than before."""
        before, row.left = row.left, len(row.sequence.tokens) - place
        if row.left <= 1:
            forks, row.forks = row.forks, ()
            self._waiting = {fork.id: _Row(fork, 1, held=True) for fork in forks} | self._waiting
        return before - row.left

    def _learn_seconds(self, plan: Plan, outcome: Outcome, sizes: list[int], seconds: float) -> None:
        """A piece of one token is a prompt's last: that answer's first token, in a decode pass of its own."""
        pieces = [size for size in sizes if size > 1]
        passes = [answers for answers in (len(outcome.tokens), len(sizes) - len(pieces)) if answers]
        copies = plan.leaves or any(token.finish for token in outcome.tokens)  # caches that are kept
        if pieces or not copies:  # copying may take longer than a token
            self._budget.learn(max(pieces, default=0) * len(pieces), passes, seconds)


def _may_join(left: int, prefills: list[int], budget: int) -> bool:
    """Beside those prefills, each of so many tokens; see "waiting" above."""
    padded = max([*prefills, left]) * (len(prefills) + 1)
    return not prefills or padded <= budget or 2 * left <= min(prefills)
