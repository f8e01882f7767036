"""Whole answers of many families, token by token: what is thought and what is answered."""

from __future__ import annotations

import parrot
import pytest
from mlx_lm.utils import load_tokenizer

from ominix.api import conversation
from ominix.engines.text.answers import Choice
from ominix.engines.text.channels import AnswerParser, beginning
from ominix.engines.text.detokenizer import Detokenizer
from ominix.engines.text.plan import Token
from ominix.models import answer_formats
from ominix.wire.events import Started

HARMONY = "<|start|>user<|message|>%s<|end|><|start|>assistant"
FINAL = "<|start|>assistant<|channel|>final<|message|>"
XTML = "<|open|>message<|sep|>%s<|end_of_msg|>"
OPEN, CLOSE = "<|open|>think<|sep|>", "<|close|>think<|sep|>"

# What it says, how it is asked, what is thought, what is answered
FAMILIES = {
    "harmony": (
        "<|channel|>analysis<|message|>Hm.<|end|>" + FINAL + "Yes", {"ask": HARMONY}, "Hm.", "Yes"
    ),
    "harmony, final alone": ("<|channel|>final<|message|>Yes", {"ask": HARMONY}, "", "Yes"),
    "harmony, cut in its analysis": ("<|channel|>analysis<|message|>Hm.", {"ask": HARMONY}, "Hm.", ""),
    "harmony, a preamble": (
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>I look.",
        {"ask": HARMONY}, "Hm.", "I look.",
    ),
    "gemma 4": ("<|channel>thought\nHm.<channel|>Yes", {}, "Hm.", "Yes"),
    "kimi k3": (
        f"{OPEN}Hm.{CLOSE}<|open|>response<|sep|>Yes<|close|>response<|sep|><|close|>message<|sep|>",
        {"ask": XTML}, "Hm.", "Yes",
    ),
    "magistral": ("[THINK]Hm.[/THINK]Yes", {}, "Hm.", "Yes"),
    "seed": ("<seed:think>Hm.</seed:think>Yes", {}, "Hm.", "Yes"),
    "apertus": ("<|inner_prefix|>Hm.<|inner_suffix|>Yes", {}, "Hm.", "Yes"),
    "command a": (
        "<|START_THINKING|>Hm.<|END_THINKING|><|START_RESPONSE|>Yes<|END_RESPONSE|>", {}, "Hm.", "Yes"
    ),
    "longcat": ("<longcat_think>Hm.</longcat_think>Yes", {}, "Hm.", "Yes"),
    "kimi vl": ("◁think▷Hm.◁/think▷Yes", {}, "Hm.", "Yes"),
    "think": ("<think>\nHm.\n</think>\n\nYes", {}, "Hm.", "Yes"),
    "think, opened by the template": ("Hm.\n</think>\n\nYes", {"ask": "U:%s A:<think>\n"}, "Hm.", "Yes"),
    "think, never opened": ("Hm.\n</think>\n\nYes", {"template": "</think>"}, "Hm.", "Yes"),
    "think, closed by the template": ("Yes", {"ask": "U:%s A:<think>\n\n</think>\n\n"}, "", "Yes"),
    "think, cut": ("<think>Hm.", {"template": "</think>"}, "Hm.", ""),
    "think in letters": (
        "<think>Hm.</think>Yes", {"letters": ["<think>", "</think>"], "template": "</think>"}, "Hm.", "Yes"
    ),
    "muse glimmer": (
        " to=self<|message|>Hm.<|eom|><|start|>assistant to=user<|message|>Yes<|eot|>",
        {"ask": "<|start|>user<|message|>%s<|eot|><|start|>assistant"}, "Hm.", "Yes",
    ),
    "solar open": (
        "<|think|>Hm.<|end|><|begin|>assistant<|content|>Yes<|flush|>",
        {"ask": "<|begin|>user<|content|>%s<|end|><|begin|>assistant"}, "Hm.", "Yes",
    ),
    "solar open, an empty thought in the prompt": (
        "<|content|>Yes<|flush|>",
        {"ask": "<|begin|>user<|content|>%s<|end|><|begin|>assistant<|think|><|end|><|begin|>assistant"},
        "", "Yes",
    ),
    "minimax m3": ("<mm:think>Hm.</mm:think>Yes", {}, "Hm.", "Yes"),
    "medgemma": ("<unused94>thought\nHm.<unused95>Yes", {}, "Hm.", "Yes"),
    "plamo 3": (
        "<|plamo:begin_think:plamo|>Hm.<|plamo:end_think:plamo|>Yes",
        {"template": "<|plamo:end_think:plamo|>"}, "Hm.", "Yes",
    ),
    "granite 3.2": (
        "Here is my thought process:\nHm.\n\nHere is my response:\nYes",
        {"template": "Here is my response:"}, "Hm.", "Yes",
    ),
    "apriel": (
        "Hm.\n[BEGIN FINAL RESPONSE]\nYes\n[END FINAL RESPONSE]",
        {"ask": "U:%s A:Here are my reasoning steps:\n", "letters": ("[BEGIN FINAL RESPONSE]",),
         "template": "[BEGIN FINAL RESPONSE] [END FINAL RESPONSE]"}, "Hm.", "Yes\n",
    ),
    "a family without a row": ("<|thinking|>Hm.<|/thinking|>Yes", {}, "Hm.", "Yes"),
    "another": ("<|reasoning_begin|>Hm.<|reasoning_end|>Yes", {}, "Hm.", "Yes"),
    "one that opens nothing": ("<thinking>Hm.", {"letters": ["<thinking>"]}, "", "<thinking>Hm."),
    "think, answer in marks of its own": (
        "<think>Hm.</think><answer>Yes</answer>", {"template": "<answer> </answer>"}, "Hm.", "Yes"
    ),
}  # fmt: skip


@pytest.mark.parametrize("special", [True, False], ids=["special", "plain"])
@pytest.mark.parametrize("family", FAMILIES)
def test_thoughts_are_no_answer(tmp_path, family, special):
    says, options, thought, answer = FAMILIES[family]
    tokenizer = load_tokenizer(parrot.folder(tmp_path / "model", says, special=special, **options))
    detokenizer, form = Detokenizer(tokenizer), answer_formats.chosen(tokenizer)
    prompt = tokenizer.encode(options.get("ask", "%s") % parrot.ASKED, add_special_tokens=False)
    begins = beginning(form, detokenizer.marks, detokenizer.text_of(prompt))
    choice = Choice(0, detokenizer, AnswerParser(form, detokenizer.marks, begins=begins))

    tokens = [*tokenizer.encode(says, add_special_tokens=False), tokenizer.eos_token_id]
    events = [Started()]
    for token in tokens:
        finish = "stop" if token == tokens[-1] else None
        events += choice.add(Token(0, token, finish, ((token, -1.0),)))

    (told,), _ = conversation.collected(events, 1)
    assert ("".join(told.reasoning), "".join(told.content)) == (thought, answer)
    assert len(told.logprobs) == choice.tokens == len(tokens) - 1
    assert bool(thought) == bool(choice.reasoning_tokens)
