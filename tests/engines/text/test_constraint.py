"""Answers held to a grammar, with tiny models that say random things by themselves."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import jsonschema
import mlx.core as mx
import pytest
import tiny_chat
from tiny_chat import END, THINK, run, said, text

from ominix.engines import memory
from ominix.engines.text import constraint
from ominix.engines.text.channels import AnswerParser
from ominix.engines.text.executor import Executor
from ominix.engines.text.scheduler import MOST_SEQUENCES, Scheduler
from ominix.engines.text.text_engine import TextEngine
from ominix.errors import JobRefused
from ominix.models.answer_formats import ANSWER
from ominix.wire.events import Failed, Finished, Refused
from ominix.wire.jobs import ChatJob, Grammar, Sampling

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cpu")]

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "size": {"type": "integer", "minimum": -5, "maximum": 500},
        "kind": {"enum": ["a", "bc", None]},
    },
    "required": ["name", "size", "kind"],
    "additionalProperties": False,
}
HELD = Grammar("json_schema", json.dumps(SCHEMA))
WORD = Grammar("regex", "(yes|no){3}")


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    return tiny_chat.engine(tiny_chat.folder(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return tiny_chat.engine(tiny_chat.folder(tmp_path_factory.mktemp("plain"), tags=False))


def asked(grammar: Grammar | None, seed: int = 1, **more) -> ChatJob:
    sampling = Sampling(temperature=1.0, seed=seed)
    return ChatJob(said("hello"), **{"sampling": sampling, "max_tokens": 200, "grammar": grammar, **more})


def finish(events):
    return [e.reason for e in events if isinstance(e, Finished)]


def test_every_choice_fits_the_schema_and_ends_by_itself(plain):
    (events,) = run(plain, asked(HELD, n=3))
    assert finish(events) == ["stop"] * 3
    for index in range(3):
        jsonschema.validate(json.loads(text(events, index)), SCHEMA)


def test_rows_beside_one_another_get_their_own_answers(plain):
    jobs = [asked(HELD, 1), asked(None, 2, max_tokens=40), asked(WORD, 3)]
    together = [text(events) for events in run(plain, *jobs)]
    assert together == [text(run(plain, job)[0]) for job in jobs]


def test_penalties_bias_and_seeds_work_beside_a_grammar_which_wins(plain):
    biased = Sampling(
        temperature=1.0, seed=7, frequency_penalty=1, presence_penalty=1, repetition_penalty=1.2,
        logit_bias={ord("x"): 100.0, END: 100.0}, top_k=5,
    )  # fmt: skip
    first, again = (text(run(plain, asked(WORD, sampling=biased))[0]) for _ in range(2))
    assert first == again
    assert re.fullmatch(WORD.text, first)


def test_an_answer_that_is_cut_says_length(plain):
    (events,) = run(plain, asked(HELD, max_tokens=5))
    assert finish(events) == ["length"]


def test_a_stop_string_ends_a_held_answer(plain):
    (events,) = run(plain, asked(Grammar("regex", "aXb"), stop=("X",)))
    assert (text(events), finish(events)) == ("a", ["stop"])


def test_log_probabilities_are_those_of_the_free_model(plain):
    (free,) = run(plain, asked(None, top_logprobs=20, max_tokens=1, sampling=Sampling(temperature=0)))
    (held,) = run(plain, asked(Grammar("regex", "[ -~]"), top_logprobs=20, max_tokens=1))
    tops = [next(e.logprobs[0].top for e in events if getattr(e, "logprobs", ())) for events in (free, held)]
    assert [t.token_bytes for t in tops[0]] == [t.token_bytes for t in tops[1]]
    assert [t.logprob for t in tops[0]] == pytest.approx([t.logprob for t in tops[1]], abs=1e-4)


def test_the_grammar_begins_behind_the_thought(tmp_path):
    thinker = tiny_chat.engine(tiny_chat.reciter(tmp_path, [THINK, *b"hm", tiny_chat.UNTHINK]))
    (events,) = run(thinker, asked(WORD, sampling=Sampling(temperature=0)))
    assert text(events, reasoning=True) == "hm"
    assert re.fullmatch(WORD.text, text(events))
    assert finish(events) == ["stop"]


def test_a_thought_that_the_prompt_has_opened_is_free(chat):
    options = {"enable_thinking": True, "opened": True}
    (events,) = run(chat, asked(WORD, template_options=options, max_thinking_tokens=6, max_tokens=60))
    assert re.fullmatch(WORD.text, text(events))
    assert finish(events) == ["stop"]


def test_a_mark_inside_of_a_held_answer_is_text(chat):
    model = chat._model
    parser = AnswerParser(model.format, model.detokenizer.marks, held=True)
    passages = [*parser.add("a<think>b</think>c"), *parser.close()]
    assert "".join(p.text for p in passages if p.channel == ANSWER) == "a<think>b</think>c"


def test_a_grammar_that_cannot_be_obeyed_is_refused_and_others_go_on(plain):
    bad, good = run(plain, asked(Grammar("json_schema", '{"contains": {}}')), asked(WORD))
    (refused,) = (event for event in bad if isinstance(event, Refused))
    assert "contains" in refused.message
    assert finish(good) == ["stop"]


def test_a_lark_grammar_is_obeyed(plain):
    (events,) = run(plain, asked(Grammar("lark", 'start: "[" num ("," num)~2 "]"\nnum: /[0-9]/')))
    assert re.fullmatch(r"\[\d,\d,\d\]", text(events))


class GivingUp(Executor):
    """Says of the second token that its matcher has given up."""

    def run(self, plan):
        outcome = super().run(plan)
        self.steps = getattr(self, "steps", 0) + len(outcome.tokens)
        faulty = tuple(replace(t, fault="too ambiguous") for t in outcome.tokens)
        return replace(outcome, tokens=faulty) if self.steps == 2 else outcome


def test_an_answer_whose_grammar_gives_up_fails(plain):
    model = plain._model
    executor = GivingUp(model, 1 << 20, MOST_SEQUENCES)
    engine = TextEngine(model, Scheduler(0.001, memory.measure(model.model, None).holds), executor)
    (events,) = run(engine, asked(WORD))
    assert isinstance(events[-1], Failed)
    assert "too ambiguous" in events[-1].message
    (events,) = run(engine, asked(WORD))
    assert finish(events) == ["stop"]


def test_a_token_that_does_not_fit_is_a_fault(plain):
    model = plain._model
    mask = constraint.mask(
        model.grammars.matcher(WORD), model.format, model.detokenizer, model.grammars.encode, None
    )
    logits = mx.zeros((1, model.vocabulary))
    allowed = mask(mx.array([10]), logits)[0]
    assert [i for i in range(model.vocabulary) if allowed[i].item() == 0] == [ord("n"), ord("y")]
    mask(mx.array([10, ord("z")]), logits)
    assert mask.fault


def test_a_tokenizer_without_a_stop_token_is_refused(chat):
    table = type(chat._model.grammars)("m", chat._model.tokenizer, 288, ())
    with pytest.raises(JobRefused, match="no token ends its answers"):
        table.matcher(WORD)
