"""Thoughts that are closed when their budget is spent."""

from __future__ import annotations

import mlx.core as mx
import parrot
import pytest
import tiny_chat
from mlx_lm.utils import load_tokenizer

from ominix.engines.text.detokenizer import Detokenizer
from ominix.engines.text.plan import Thinking
from ominix.engines.text.thinking_budget import ThinkingBudget
from ominix.models import answer_formats
from ominix.models.answer_formats import ANSWER, REASONING
from ominix.wire.jobs import ChatJob, Sampling

HARMONY = "<|start|><|channel|>analysis<|message|>Hm, a long plan.<|end|>"


def closed(tmp_path, says, *, budget, begins=None, prompt=7, special=True, template="</think>"):
    """What a model that says this has said when its thought is closed as it must be."""
    tokenizer = load_tokenizer(parrot.folder(tmp_path, says, special=special, template=template))
    form = answer_formats.chosen(tokenizer)
    closing = tuple(tokenizer.encode(form.closing, add_special_tokens=False))
    allowed = Thinking(budget, begins, closing)
    process = ThinkingBudget(allowed, form, Detokenizer(tokenizer), prompt)
    own, said = iter(tokenizer.encode(says, add_special_tokens=False)), []
    for token in own:
        while True:
            logits = process(mx.array([1] * prompt + said), mx.zeros((1, len(tokenizer))))
            possible = [i for i, value in enumerate(logits[0].tolist()) if value == 0]
            if len(possible) > 1:
                break
            said += possible
        said.append(token)
    return tokenizer.decode(said)


@pytest.mark.parametrize(
    ("says", "options", "expected"),
    [
        ("<think>abcd", {"budget": 3}, "<think>ab\n</think>\n\ncd"),
        ("<think>abcd", {"budget": 0}, "<think>\n</think>\n\nabcd"),
        ("<think>ab</think>cd", {"budget": 9}, "<think>ab</think>cd"),
        ("<think>ab</think>cdefg", {"budget": 6}, "<think>ab</think>cdefg"),
        ("abcd", {"budget": 2, "begins": REASONING}, "ab\n</think>\n\ncd"),
        ("abcd", {"budget": 0, "begins": REASONING}, "\n</think>\n\nabcd"),
        ("abcd", {"budget": 2, "begins": ANSWER}, "abcd"),
        ("ab<think>cd", {"budget": 1}, "ab<think>cd"),  # it has begun to answer
        ("\n<think>cd", {"budget": 1}, "\n<think>\n</think>\n\ncd"),
        ("[THINK]abcd[/THINK]", {"budget": 3, "template": ""}, "[THINK]ab[/THINK]cd[/THINK]"),
        (
            HARMONY,
            {"budget": 13},
            "<|start|><|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>final<|message|>"
            ", a long plan.<|end|>",
        ),
    ],
)
def test_a_thought_is_closed_when_its_budget_is_spent(tmp_path, says, options, expected):
    assert closed(tmp_path, says, special=False, **options) == expected


@pytest.mark.slow
def test_the_answer_follows_a_closed_thought_through_the_engine(tmp_path):
    engine = tiny_chat.engine(parrot.parrot(tmp_path / "m", "[THINK]0123456789[/THINK]Yes"))
    jobs = [
        ChatJob(tiny_chat.said(parrot.ASKED), Sampling(temperature=0), max_thinking_tokens=budget)
        for budget in (4, 30, None)
    ]

    told = [(tiny_chat.text(e, reasoning=True), tiny_chat.text(e)) for e in tiny_chat.run(engine, *jobs)]

    assert told == [("012", "456789Yes"), ("0123456789", "Yes"), ("0123456789", "Yes")]
