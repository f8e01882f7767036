"""Events of a choice, token by token."""

from __future__ import annotations

import pytest
from engines.text import tiny_chat
from engines.text.tiny_chat import START, THINK, UNTHINK
from mlx_lm.utils import load_tokenizer

from ominix.engines.text.answers import Choice
from ominix.engines.text.channels import AnswerParser
from ominix.engines.text.detokenizer import Detokenizer
from ominix.engines.text.plan import Token
from ominix.models.answer_formats import tagged
from ominix.wire.events import Delta, Finished


@pytest.fixture(scope="module")
def detokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("answers")
    tiny_chat.write(folder, {"model_type": "llama"}, [])
    return Detokenizer(load_tokenizer(folder))


def events_of(detokenizer, tokens, *, finish="stop", stops=(), begins=None):
    parser = AnswerParser(tagged(("<think>", "</think>")), detokenizer.marks, begins=begins, stops=stops)
    choice = Choice(0, detokenizer, parser)
    events = []
    for number, token in enumerate(tokens):
        last = finish if finish == "length" and number == len(tokens) - 1 else None
        events += choice.add(Token(0, token, last, ((token, -1.0),)))
    if not any(isinstance(event, Finished) for event in events):
        events += choice.add(Token(0, tiny_chat.END, "stop", ((tiny_chat.END, -1.0),)))
    return choice, events


@pytest.mark.parametrize(
    ("tokens", "options"),
    [
        ([THINK, *b"hm", UNTHINK, *b"yes"], {}),
        ([*"é€".encode()][:-1], {"finish": "length"}),  # cut inside a character
        ([*b"a", START, START], {}),  # ends in silent tokens
        ([START], {"finish": "length"}),
        ([*b"one two"], {"stops": ["two"]}),
        ([*b"one tw"], {"stops": ["two"]}),
        ([*b"hm", UNTHINK], {}),
        ([THINK], {"finish": "length"}),
    ],
)
def test_every_token_of_an_answer_has_its_logprobs(detokenizer, tokens, options):
    choice, events = events_of(detokenizer, tokens, **options)

    entries = [entry for event in events if isinstance(event, Delta) for entry in event.logprobs]
    assert [entry.token_bytes for entry in entries] == [tuple(detokenizer.token_bytes(t)) for t in tokens]
    assert choice.tokens == len(entries)
    assert isinstance(events[-1], Finished)


def test_marks_count_as_reasoning(detokenizer):
    choice, _ = events_of(detokenizer, [THINK, *b"hm", UNTHINK, *b"yes"])

    assert (choice.reasoning_tokens, choice.tokens) == (4, 7)


def test_reasoning_that_nothing_opened_is_recalled(detokenizer):
    choice, events = events_of(detokenizer, [*b"hm", UNTHINK, *b"yes"])

    told = [(event.text, event.reasoning, event.recalls) for event in events if isinstance(event, Delta)]
    assert told == [
        ("h", False, False),
        ("m", False, False),
        ("", True, True),
        ("y", False, False),
        ("e", False, False),
        ("s", False, False),
    ]
    assert choice.reasoning_tokens == 3
