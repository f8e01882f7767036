"""The executor does what plans say, and the same plans give the same tokens."""

from __future__ import annotations

import ast
from pathlib import Path

import msgspec
import pytest
import tiny_chat
from tiny_chat import said

import ominix
from ominix.engines import memory
from ominix.engines.text.executor import Executor
from ominix.engines.text.plan import Outcome, Plan, Sequence
from ominix.engines.text.scheduler import MOST_SEQUENCES, Scheduler
from ominix.engines.text.text_engine import TextEngine
from ominix.wire.jobs import ChatJob, Sampling

KEPT_BYTES = 8 << 20
GREEDY = Sampling(temperature=0)
ENDLESS = Sampling(temperature=0, logit_bias={tiny_chat.END: -100, 2: -100})  # 2 ends MiniCPM-SALA's


class RecordingExecutor(Executor):
    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.steps: list[tuple[Plan, Outcome]] = []

    def run(self, plan: Plan) -> Outcome:
        outcome = super().run(plan)
        self.steps.append((plan, outcome))
        return outcome


pytestmark = [pytest.mark.usefixtures("cpu"), pytest.mark.slow]


@pytest.fixture(scope="module")
def models(cpu, tmp_path_factory):
    base = tmp_path_factory.mktemp("models")
    return {kind: tiny_chat.model(tiny_chat.folder(base / kind, kind)) for kind in tiny_chat.CONFIGS}


@pytest.mark.parametrize("kind", tiny_chat.CONFIGS)
def test_the_same_plans_give_the_same_tokens_again(models, kind):
    model = models[kind]
    first = RecordingExecutor(model, KEPT_BYTES, MOST_SEQUENCES)
    engine = TextEngine(model, Scheduler(0.001, memory.measure(model.model, None).holds), first)
    engine.admit(1, ChatJob(said("to be cancelled " * 9), ENDLESS, max_tokens=90))
    engine.admit(
        2, ChatJob(said("hot"), Sampling(temperature=1.5, seed=1), max_tokens=12, n=3, top_logprobs=2)
    )
    while len(first.steps) < 6:
        engine.step()
    engine.cancel(1)
    engine.admit(3, ChatJob(said("to be cancelled " * 9, "yes", "and then?"), Sampling(seed=2), max_tokens=9))
    engine.admit(
        4, ChatJob(said("a stop string"), Sampling(temperature=2, seed=3), max_tokens=99, stop=("e", "a"))
    )
    while not engine.idle:
        engine.step()

    second = Executor(model, KEPT_BYTES, MOST_SEQUENCES)
    for plan, outcome in first.steps:
        arrived = msgspec.msgpack.decode(msgspec.msgpack.encode(plan), type=Plan)
        assert second.run(arrived) == outcome
    assert sum(len(outcome.tokens) for _, outcome in first.steps) > 20
    assert any(plan.leaves for plan, _ in first.steps)


def plain(number: int, **options) -> Sequence:
    facts = {"tokens": tuple(b"abcdefghij"), "max_tokens": 3, "sampling": GREEDY, "seed": 0, "choice": 0}
    return Sequence(**facts | {"id": number} | options)


def executor(models) -> Executor:
    return Executor(models["llama"], KEPT_BYTES, MOST_SEQUENCES)


def test_a_prompt_goes_on_by_the_plans_budget(models):
    run = executor(models).run
    joined = run(Plan(joins=(plain(1), plain(2)), prefill_tokens=8))
    places = [run(Plan(prefill_tokens=8)).prefilled[1] for _ in range(3)]

    assert joined == Outcome({1: 0, 2: 0}, {1: 4, 2: 4})
    assert places == [8, 9, 10]


def test_what_leaves_is_kept_for_the_next_prompt_and_frees_its_place(models):
    one = executor(models)
    one.run(Plan(joins=(plain(1),), prefill_tokens=6))
    left = one.run(Plan(leaves=(1, 99), prefill_tokens=6))
    again = one.run(Plan(joins=(plain(2),), prefill_tokens=6))

    assert left == Outcome({}, {})
    assert again.cached == {2: 6}
    assert one.saved_tokens(plain(9, tokens=tuple(b"abcdeX"))) == 5


def test_a_fork_begins_at_its_prompts_end(models):
    one = executor(models)
    one.run(Plan(joins=(plain(1, forks=(2, 3)),), prefill_tokens=64))
    outcome = one.run(Plan(joins=(plain(2),), leaves=(3,), prefill_tokens=64))
    tokens = [one.run(Plan(prefill_tokens=64)).tokens for _ in range(3)]

    assert outcome == Outcome({2: 9}, {1: 10, 2: 10})
    assert [[token.sequence_id for token in step] for step in tokens] == [[1, 2]] * 3
    assert all(mine.token == other.token for mine, other in tokens)
    assert [token.finish for token in tokens[-1]] == ["length", "length"]
    other = plain(3, tokens=tuple(b"zyx"))
    assert one.run(Plan(joins=(other,), prefill_tokens=64)).cached == {3: 0}  # nothing is held for it


def test_log_probabilities_come_with_their_token(models):
    one = executor(models)
    joins = (plain(1, top_logprobs=2), plain(2, top_logprobs=0), plain(3))
    steps = [one.run(Plan(joins=joins, prefill_tokens=64)), *(one.run(Plan()) for _ in range(2))]
    several, own, none = steps[-1].tokens

    assert len(several.logprobs) == 3
    assert several.logprobs[0] == (several.token, max(value for _, value in several.logprobs))
    assert own.logprobs == ((own.token, pytest.approx(several.logprobs[0][1], abs=1e-4)),)
    assert none.logprobs == ()


def test_batch_generator_has_one_importer():
    root = Path(ominix.__file__).parent
    importers = {
        file.relative_to(root).as_posix()
        for file in root.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom | ast.Import)
        for alias in node.names
        if alias.name in ("BatchGenerator", "mlx_lm.generate")
        or (isinstance(node, ast.ImportFrom) and node.module == "mlx_lm.generate")
    }

    assert importers == {"engines/text/executor.py"}
