"""The scheduler alone, on a simulated clock: hundreds of lives without a model."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from scheduler_simulation import MEMORY_TOKENS, TOKEN_SECONDS, Life, fits, live, sequence

from ominix.engines.text import scheduler
from ominix.engines.text.plan import Outcome, Plan, Token
from ominix.engines.text.scheduler import BATCH_DELAY_SECONDS, MOST_SEQUENCES, Scheduler


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 400, 100))
def test_everybody_is_served_within_budget_and_memory(first):
    for seed in range(first, first + 100):
        live(seed)


def test_equal_prompts_are_served_first_come_first_served():
    life = Life()
    for number in range(60):
        life.add(sequence(number))
    life.end()

    assert life.joined == sorted(life.joined)
    assert life.finished == sorted(life.finished)


def test_a_model_for_one_sequence_has_no_place_for_a_guest():
    one = Scheduler(TOKEN_SECONDS, fits, most_sequences=1)
    for number, client in enumerate("ab"):
        one.add(sequence(number, client=client), 0, now=0.0)

    assert len(one.plan(now=1.0).joins) == 1


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


def flooded(most_sequences: int) -> Life:
    """A hundred long answers of one client, as many as may run among them."""
    life = Life(most_sequences=most_sequences)
    for number in range(100):
        life.add(sequence(number, answer=50, client="flood"))
    for _ in range(10):
        life.step()
    return life


def test_a_client_with_nothing_running_gets_a_place_beside_a_full_batch():
    life = flooded(MOST_SEQUENCES)
    assert len(life.executor.rows) == MOST_SEQUENCES

    for number, client in enumerate("abcde", start=100):
        life.add(sequence(number, client=client))
    life.step()

    assert life.joined[MOST_SEQUENCES:] == [100, 101, 102, 103]  # and one waits for a place to become free
    life.end()
    assert life.joined[MOST_SEQUENCES + 4] == 104


@pytest.mark.parametrize("most", [1, 2, 16])
def test_beside_a_flood_each_client_waits_for_a_turn_at_most(most):
    life = flooded(most)
    begun = len(life.joined)
    for turn in range(3):
        for number, client in enumerate("abc", start=100 + 10 * turn):
            life.add(sequence(number, answer=50, client=client))
    life.end()

    order = [number for number in life.joined[begun:] if number >= 100]
    assert [number % 10 for number in order[:6]] == [0, 1, 2, 0, 1, 2]
    assert max(life.joined.index(number) for number in order) - begun < 3 * 4  # three turns of all four


def test_clients_share_the_places_whoever_came_first():
    life = Life(most_sequences=4)
    for number in range(40):
        life.add(sequence(number, answer=20, client="ab"[number >= 20]))
    for _ in range(12):
        life.step()
    assert sorted(number >= 20 for number in life.executor.rows) == [False, False, True, True]
    life.end()
