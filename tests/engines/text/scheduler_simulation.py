"""Lives of a busy scheduler on a simulated clock, without a model: one seed, one life."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from ominix.engines.text import budget
from ominix.engines.text.plan import Outcome, Plan, Sequence, Token
from ominix.engines.text.scheduler import BATCH_DELAY_SECONDS, MOST_SEQUENCES, Scheduler
from ominix.fairness import guests
from ominix.wire.jobs import Caller, Sampling

TOKEN_SECONDS = 0.02
MEMORY_TOKENS = 20_000  # of all running sequences, padded to the longest


def fits(sequences: int, tokens: int) -> bool:
    return sequences * tokens <= MEMORY_TOKENS


def sequence(
    number: int, prompt: int = 10, answer: int = 5, forks: tuple[int, ...] = (), client: str = ""
) -> Sequence:
    return Sequence(
        number, (1,) * prompt, answer, Sampling(), seed=0, choice=0, forks=forks, caller=Caller("", client)
    )


@dataclass
class Row:
    sequence: Sequence
    place: int
    tokens: int = 0

    @property
    def left(self) -> int:
        return len(self.sequence.tokens) - self.place


@dataclass
class SimulatedExecutor:
    """Does what a plan says without a model: counts tokens, and says how many seconds a step would take."""

    saved: Callable[[Sequence], int] = lambda sequence: 0
    rows: dict[int, Row] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)  # forks whose caches are held for them
    padded: int = 0  # prompt tokens of the last step, padded to the longest piece

    def run(self, plan: Plan) -> tuple[Outcome, float]:
        for sequence_id in plan.leaves:
            assert sequence_id in self.rows or sequence_id in self.held, "it leaves and was never here"
            self.rows.pop(sequence_id, None)
            self.held.discard(sequence_id)
        cached = {each.id: self._join(each) for each in plan.joins}
        tokens = tuple(self._token(row) for row in list(self.rows.values()) if row.left == 0)
        prefilled, starts = self._prefill(plan.prefill_tokens)
        passes = bool(tokens) + bool(starts) + bool(self.padded)
        return Outcome(cached, prefilled, tokens), passes * TOKEN_SECONDS + self.padded / 2000

    def _join(self, joining: Sequence) -> int:
        assert joining.id not in self.rows
        saved = len(joining.tokens) - 1 if joining.id in self.held else self.saved(joining)
        self.held.discard(joining.id)
        self.rows[joining.id] = Row(joining, saved)
        if saved == len(joining.tokens) - 1:
            self.held |= set(joining.forks)
        return saved

    def _prefill(self, prefill_tokens: int) -> tuple[dict[int, int], int]:
        starts = [row for row in self.rows.values() if row.left == 1]
        prompts = [row for row in self.rows.values() if row.left > 1]
        sizes = [min(row.left - 1, prefill_tokens // len(prompts)) for row in prompts]
        for row, size in zip(prompts, sizes, strict=True):
            row.place += size
            if row.left == 1:
                self.held |= set(row.sequence.forks)
        for row in starts:
            row.place += 1
        self.padded = max(sizes, default=0) * len(sizes)
        return {row.sequence.id: row.place for row in (*starts, *prompts)}, len(starts)

    def _token(self, row: Row) -> Token:
        row.tokens += 1
        if row.tokens < row.sequence.max_tokens:
            return Token(row.sequence.id, 7)
        del self.rows[row.sequence.id]
        return Token(row.sequence.id, 7, "length")


class Life:
    """A server's life on a simulated clock: sequences come, are cancelled, and leave for a stop string."""

    def __init__(
        self,
        rng: random.Random | None = None,
        saved: Callable[[Sequence], int] = lambda s: 0,
        most_sequences: int = MOST_SEQUENCES,
    ):
        self.rng = rng or random.Random(0)
        self.now = 0.0
        self.executor = SimulatedExecutor(saved)
        self.scheduler = Scheduler(TOKEN_SECONDS, fits, most_sequences)
        self.most_sequences = most_sequences
        self.joined: list[int] = []
        self.finished: list[int] = []
        self.gone: set[int] = set()
        self.jobs: list[tuple[int, ...]] = []
        self.alive: dict[int, Sequence] = {}
        self.answering: set[int] = set()  # those whose first token has come
        self.waits: list[float] = []

    def add(self, first: Sequence, *, guess: int = 0) -> None:
        forks = [replace(first, id=fork, choice=i + 1, forks=()) for i, fork in enumerate(first.forks)]
        self.scheduler.add(first, guess, self.now, forks)
        self.jobs.append((first.id, *first.forks))
        self.alive |= {each.id: each for each in (first, *forks)}

    def leave(self, sequence_ids: Collection[int]) -> None:
        self.scheduler.leave(sequence_ids)
        self.gone |= set(sequence_ids)
        for sequence_id in sequence_ids:
            self.alive.pop(sequence_id, None)

    def step(self) -> Plan:
        plan = self.scheduler.plan(self.now)
        assert plan == self.scheduler.plan(self.now), "a plan changed the state it was made of"
        if plan.wait_seconds:
            assert plan == Plan(plan.wait_seconds)
            assert 0 < plan.wait_seconds <= BATCH_DELAY_SECONDS + 1e-9
            assert self.executor.rows.keys() <= self.gone, "waits although something runs"
            self.waits.append(plan.wait_seconds)
            self.now += plan.wait_seconds
            return plan
        outcome, seconds = self.executor.run(plan)
        self.now += seconds
        self.scheduler.learn(plan, outcome, seconds)
        self.joined += [each.id for each in plan.joins]
        for token in outcome.tokens:
            assert token.sequence_id in self.alive, "a token for one that was forgotten"
            self.answering.add(token.sequence_id)
            if token.finish:
                self.finished.append(token.sequence_id)
                del self.alive[token.sequence_id]
        self._check(plan)
        return plan

    def end(self) -> None:
        for _ in range(100_000):
            if self.scheduler.idle:
                break
            self.step()
        assert not self.alive, "somebody waits for ever"
        assert not self.executor.rows
        assert not self.executor.held

    def _check(self, plan: Plan) -> None:
        rows = self.executor.rows.values()
        clients = Counter(row.sequence.caller.client for row in rows)
        assert len(rows) <= self.most_sequences + guests(self.most_sequences)
        assert max(clients.values(), default=0) <= self.most_sequences
        longest = max((len(row.sequence.tokens) + row.sequence.max_tokens for row in rows), default=0)
        assert len(rows) <= 1 or fits(len(rows), longest), "more than memory holds"
        assert budget.FEWEST <= plan.prefill_tokens <= budget.MOST
        assert self.executor.padded <= plan.prefill_tokens, "a step above its budget"


def random_life(seed: int) -> Life:
    rng = random.Random(seed)
    # what is saved when a sequence joins need not be what it was when it came
    saved = {number: rng.choice((0, 0, 3, 400)) for number in range(400)}
    life = Life(rng, lambda s: min(saved[s.id], len(s.tokens) - 1))
    numbers = iter(range(400))
    for _ in range(rng.randint(1, 30)):
        for _ in range(rng.choice((0, 1, 1, 2, 20))):
            group = [number for number, _ in zip(numbers, range(rng.choice((1, 1, 1, 3))), strict=False)]
            if group:
                prompt = rng.choice((1, 2, 10, 70, 600, 3000))
                client = rng.choice("aaab")
                first = sequence(group[0], prompt, rng.choice((1, 4, 20)), tuple(group[1:]), client)
                life.add(first, guess=min(rng.choice((0, saved[first.id])), prompt - 1))
        for _ in range(rng.choice((0, 1, 3, 30))):
            if not life.scheduler.idle:
                life.step()
        if rng.random() < 0.3 and life.alive:  # a client goes
            life.leave(rng.choice([job for job in life.jobs if not life.alive.keys().isdisjoint(job)]))
        decoding = [each for each in life.alive if each in life.executor.rows and each in life.answering]
        if rng.random() < 0.3 and decoding:  # a stop string
            life.leave([rng.choice(decoding)])
        life.now += rng.choice((0, 0.001, 5))
    return life


def live(seed: int) -> Life:
    """One life to its end: everybody was served once, within budget and memory, and nothing is left."""
    life = random_life(seed)
    life.end()
    assert len(set(life.finished)) == len(life.finished), "served twice"
    assert not set(life.finished) & life.gone - set(life.joined), "served after they had gone"
    return life
