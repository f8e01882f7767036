"""The scheduler alone, on a simulated clock: hundreds of lives without a model."""

from __future__ import annotations

import ast
import random
import subprocess
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from ominix.engines.text import budget, scheduler
from ominix.engines.text.plan import Outcome, Plan, Sequence, Token
from ominix.engines.text.scheduler import BATCH_DELAY_SECONDS, MOST_SEQUENCES, Scheduler
from ominix.wire.jobs import Sampling

TOKEN_SECONDS = 0.02
MEMORY_TOKENS = 20_000  # of all running sequences, padded to the longest


def fits(sequences: int, tokens: int) -> bool:
    return sequences * tokens <= MEMORY_TOKENS


def sequence(number: int, prompt: int = 10, answer: int = 5, forks: tuple[int, ...] = ()) -> Sequence:
    return Sequence(number, (1,) * prompt, answer, Sampling(), seed=0, choice=0, forks=forks)


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

    def __init__(self, rng: random.Random | None = None, saved: Callable[[Sequence], int] = lambda s: 0):
        self.rng = rng or random.Random(0)
        self.now = 0.0
        self.executor = SimulatedExecutor(saved)
        self.scheduler = Scheduler(TOKEN_SECONDS, fits)
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
        assert len(rows) <= MOST_SEQUENCES
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
                first = sequence(group[0], prompt, rng.choice((1, 4, 20)), tuple(group[1:]))
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


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_everybody_is_served_within_budget_and_memory(first):
    for seed in range(first, first + 100):
        life = random_life(seed)
        life.end()
        assert len(set(life.finished)) == len(life.finished)
        assert not set(life.finished) & life.gone - set(life.joined)


def test_equal_prompts_are_served_first_come_first_served():
    life = Life()
    for number in range(60):
        life.add(sequence(number))
    life.end()

    assert life.joined == sorted(life.joined)
    assert life.finished == sorted(life.finished)


def test_a_short_prompt_does_not_wait_for_a_long_one_in_prefill():
    life = Life()
    life.add(sequence(1, 9000))
    while not life.joined:
        life.step()
    life.step()
    life.add(sequence(2, 20))
    life.end()

    assert life.finished == [2, 1]


def test_long_prompts_are_prefilled_one_after_the_other():
    life = Life()
    life.add(sequence(1, 9000))
    life.add(sequence(2, 8000))
    while not life.finished:
        life.step()

    assert life.executor.rows[2].place < 4000


def test_short_prompts_without_end_do_not_keep_a_long_one_waiting():
    life = Life()
    for number in range(300):
        life.add(sequence(number, 300, 3))
        life.step()
        life.step()
        if number == 20:
            life.add(sequence(1000, 4000, 1))
        if 1000 in life.finished:
            break

    assert 1000 in life.finished
    assert number < 100


def test_who_needs_all_memory_waits_for_those_that_run_and_is_not_passed():
    life = Life()
    life.add(sequence(1, 10, 50))
    life.step()
    life.step()
    life.add(sequence(2, 10, MEMORY_TOKENS - 10))
    life.add(sequence(3, 10))
    while 2 not in life.joined:
        life.step()

    assert life.finished == [1]
    assert life.joined == [1, 2]


def test_forks_join_where_the_prefill_of_their_prompt_ends():
    life = Life()
    life.add(sequence(1, 3000, 5, forks=(2, 3)))
    life.add(sequence(4, 2900))
    plans = []
    while len(life.joined) < 4:
        plans.append(life.step())

    assert [[each.id for each in plan.joins] for plan in plans if plan.joins] == [[1], [2, 3, 4]]
    assert [each.choice for each in plans[-1].joins] == [1, 2, 0]


def test_a_fork_that_is_cancelled_frees_what_is_held_for_it():
    life = Life()
    life.add(sequence(1, 40, 5, forks=tuple(range(2, 30))))
    while len(life.joined) < 10:
        life.step()
    waiting = life.executor.held.copy()
    life.leave([1, *range(2, 30)])
    plan = life.step()

    assert waiting
    assert waiting < set(plan.leaves)
    assert life.scheduler.idle


def test_those_who_come_while_nothing_runs_join_together():
    life = Life()
    life.add(sequence(1))
    first = life.step()
    life.now -= first.wait_seconds / 2  # half of it is left
    life.add(sequence(2))
    waits = [life.step().wait_seconds, life.step().wait_seconds]

    assert first.wait_seconds == pytest.approx(min(BATCH_DELAY_SECONDS, TOKEN_SECONDS / 5))
    assert waits == [pytest.approx(first.wait_seconds), 0]
    assert life.joined == [1, 2]


def test_nobody_waits_for_others_when_the_batch_is_full_or_something_runs():
    life = Life()
    for number in range(MOST_SEQUENCES):
        life.add(sequence(number))
    life.step()
    life.add(sequence(99))
    life.step()

    assert life.waits == []
    assert len(life.joined) == MOST_SEQUENCES


def test_who_has_waited_through_a_step_does_not_wait_again():
    slow = Scheduler(5.0, fits)
    slow.add(sequence(1, 1, 1), 0, now=0.0)
    plan = slow.plan(1.0)
    slow.add(sequence(2, 1, MEMORY_TOKENS), 0, now=1.0)  # no memory beside the first
    slow.learn(plan, Outcome({1: 0}, {1: 1}), seconds=0.001)
    slow.learn(slow.plan(1.001), Outcome({}, {}, (Token(1, 7, "length"),)), seconds=0.001)

    assert [each.id for each in slow.plan(1.002).joins] == [2]


@pytest.mark.parametrize(("token_seconds", "most"), [(0.001, 0.0005), (5.0, 0.01)])
def test_the_batch_delay_is_short_beside_a_token(token_seconds, most):
    slow = Scheduler(token_seconds, fits)
    slow.add(sequence(1), 0, now=0.0)

    assert 0 < slow.plan(0.0).wait_seconds <= most
    assert slow.plan(most).joins


def test_who_never_joined_leaves_no_trace():
    plain = Scheduler(TOKEN_SECONDS, fits)
    plain.add(sequence(1, forks=(2,)), 0, now=0.0, forks=[sequence(2)])
    plain.leave([1, 2, 77])

    assert plain.idle
    assert plain.plan(0.0) == Plan(prefill_tokens=plain.plan(0.0).prefill_tokens)


def test_steps_that_copy_caches_do_not_count_as_a_tokens_time():
    life = Life()
    life.add(sequence(1, 10, 50))
    while not life.joined:
        life.step()
    before = life.scheduler.plan(life.now).prefill_tokens
    life.scheduler.learn(Plan(leaves=(9,)), Outcome({}, {}, (Token(1, 7),)), seconds=3.0)
    unchanged = life.scheduler.plan(life.now).prefill_tokens
    life.scheduler.learn(Plan(), Outcome({}, {}, (Token(1, 7),)), seconds=3.0)

    assert before == unchanged
    assert life.scheduler.plan(life.now).prefill_tokens != before


def test_the_scheduler_brings_neither_mlx_nor_a_clock():
    tree = ast.parse(Path(scheduler.__file__).read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    script = "import sys, ominix.engines.text.scheduler; sys.exit('mlx' in sys.modules)"

    assert not {name.split(".")[0] for name in names} & {"time", "datetime", "random", "mlx", "mlx_lm"}
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
