from __future__ import annotations

import json
import random

import pytest

from ominix.engines.text.call_pieces import HELD, Arguments, Begin, End, Piece, Unread
from ominix.engines.text.tool_calls import reader
from ominix.engines.text.written_calls import JsonCalls
from ominix.models import call_formats
from ominix.models.call_formats import DEEPSEEK, HARMONY, HERMES, KIMI, MISTRAL

TOOLS = [{"type": "function", "function": {"name": name}} for name in ("f", "g.h")]
LONG = {"text": 'é\n"\\ {}[]</tool_call>' * 20, "n": [1, {"deep": None}], "x": -0.5}
Call = tuple[str, str | None, dict]  # name, id, arguments


def told(text: str, format=HERMES, *, cut: bool = False, only_known: bool = False, seed: int | None = None):
    """All pieces of a text that comes at once, or in random pieces."""
    calls, rng, pieces, at = reader(format, TOOLS, only_known=only_known), random.Random(seed), [], 0
    while at < len(text):
        size = len(text) if seed is None else rng.randint(1, 9)
        pieces += calls.add(text[at : at + size])
        at += size
    return pieces + calls.end(cut=cut)


def joined(pieces: list[Piece]) -> list[tuple]:
    """The same for each cut of one text."""
    found: list[list] = []
    for piece in pieces:
        match piece:
            case Begin(name, id):
                found.append(["call", name, id, "", False])
            case Arguments(text):
                assert text
                found[-1][3] += text
            case End():
                found[-1][4] = True
            case Unread(text):
                if not found or found[-1][0] != "text":
                    found.append(["text", ""])
                found[-1][1] += text
    return [tuple(each) for each in found]


def calls_of(pieces: list[Piece]) -> list[Call]:
    assert all(kind == "call" and rest[-1] for kind, *rest in joined(pieces)), pieces
    return [(name, id, json.loads(text)) for _, name, id, text, _ in joined(pieces)]


def json_call(name: str, arguments: object, **fields) -> str:
    return json.dumps({"name": name, "arguments": arguments, **fields}, ensure_ascii=False)


HEADED = json.dumps(LONG)
RIGHT: dict[str, tuple[call_formats.CallFormat, str, list[Call]]] = {
    "one": (HERMES, f"\n{json_call('f', LONG)}\n", [("f", None, LONG)]),
    "arguments first": (HERMES, '{"arguments": {"a": 1}, "name": "f"}', [("f", None, {"a": 1})]),
    "parameters": (HERMES, '{"type": "function", "name": "f", "parameters": {}}', [("f", None, {})]),
    "none": (HERMES, '{"name": "f"}', [("f", None, {})]),
    "null": (HERMES, '{"name": "f", "arguments": null}', [("f", None, {})]),
    "as text": (HERMES, json_call("f", json.dumps(LONG)), [("f", None, LONG)]),
    "wrapped": (HERMES, '{"function": ' + json_call("f", LONG) + "}", [("f", None, LONG)]),
    "list": (
        HERMES,
        f'[{{"id": "a", {json_call("f", LONG)[1:]},\n {json_call("g.h", {})}]',
        [("f", "a", LONG), ("g.h", None, {})],
    ),
    "several": (
        HERMES,
        json_call("f", {}) + "; " + json_call("f", LONG),
        [("f", None, {}), ("f", None, LONG)],
    ),
    "no last bracket": (HERMES, json_call("f", LONG)[:-2], [("f", None, LONG)]),
    "a bracket too many": (HERMES, json_call("f", LONG) + "}", [("f", None, LONG)]),
    "harmony": (
        HARMONY,
        f"<|channel|>commentary to=functions.f <|constrain|>json<|message|>{HEADED}",
        [("f", None, LONG)],
    ),
    "harmony, recipient first": (HARMONY, f" to=functions.f<|channel|>commentary json<|message|>{HEADED}", [
        ("f", None, LONG)
    ]),
    "kimi": (
        KIMI,
        f"<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{HEADED}<|tool_call_end|>"
        "<|tool_call_begin|>functions.g.h:1<|tool_call_argument_begin|>{}<|tool_call_end|>",
        [("f", "functions.f:0", LONG), ("g.h", "functions.g.h:1", {})],
    ),
    "mistral": (MISTRAL, f"f[CALL_ID]abc123DEF[ARGS]{HEADED}", [("f", "abc123DEF", LONG)]),
    "mistral, short": (MISTRAL, f"f{HEADED}", [("f", None, LONG)]),
    "mistral, list": (MISTRAL, f" [{json_call('f', LONG)}]", [("f", None, LONG)]),
    "deepseek v3": (
        DEEPSEEK,
        f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{HEADED}\n```<｜tool▁call▁end｜>\n"
        "<｜tool▁call▁begin｜>function<｜tool▁sep｜>g.h\n```json\n{}\n```<｜tool▁call▁end｜>",
        [("f", None, LONG), ("g.h", None, {})],
    ),
    "deepseek v3.1": (
        DEEPSEEK,
        f"<｜tool▁call▁begin｜>f<｜tool▁sep｜>{HEADED}<｜tool▁call▁end｜>",
        [("f", None, LONG)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RIGHT)
def test_any_cut_gives_the_same_calls(case):
    format, text, expected = RIGHT[case]
    assert calls_of(told(text, format)) == expected
    for seed in range(8):
        assert joined(told(text, format, seed=seed)) == joined(told(text, format))


WRONG = [
    "no call at all",
    '{"name": "f", "arguments": {"a": "b", "c": tru}}',
    '{"name": "f", "arguments": {"a": "b',
    '{"name": "f", "arguments": [1]}',
    '{"name": "f", "arguments": "[1]"}',
    '{"name": "f", "arguments": {"a": 1}, "arguments": {"b": 1}}',
    '{"name": "", "arguments": {}}',
    '{"name": "f", "name": "g", "arguments": {}}',
    '{"arguments": {}, "name": "f", "id": "a", "id": "b"}',
    '{"name": "\\ud800", "arguments": {}}',
    '{"name": "f", "arguments": "{\\"a\\": \\"\\ud800\\"}"}',
    '{"arguments": {"a": 1}}',
    "[]",
    " ",
]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_call_comes_back_as_text(text):
    assert joined(told(text)) == [("text", text)]
    assert joined(told(text, seed=3)) == [("text", text)]


def test_names_of_no_tool_are_calls_only_where_marks_say_so():
    assert calls_of(told('{"name": "k"}')) == [("k", None, {})]
    assert joined(told('{"name": "k"}', only_known=True)) == [("text", '{"name": "k"}')]
    assert calls_of(told('{"name": "f"}', only_known=True)) == [("f", None, {})]


def test_a_broken_call_behind_a_whole_one():
    assert joined(told('{"name": "f"} {"name": 5')) == [
        ("call", "f", None, "{}", True),
        ("text", ' {"name": 5'),
    ]


def test_whole_arguments_stay_whole_when_the_rest_of_a_call_is_broken():
    text = json_call("f", LONG)[:-1]
    assert joined(told(f"{text}, oops")) == [*joined(told(text)), ("text", "oops")]
    assert calls_of(told(f'{text}, "id": "x')) == [("f", None, LONG)]


def test_long_arguments_leave_as_they_are_written():
    text = json_call("f", {"a": "x" * 4 * HELD})
    calls = JsonCalls()
    first = calls.add(text[: 2 * HELD])
    assert first[0] == Begin("f")
    assert isinstance(first[1], Arguments)
    assert calls.add("x") == [Arguments("x")]


def test_short_arguments_leave_in_the_pieces_in_which_they_came():
    calls = JsonCalls()
    texts = ['{"name": "f", "arguments": {"a"', ': "b', '"}', "}"]
    assert [calls.add(text) for text in texts[:3]] == [[], [], []]
    assert calls.add("}") == [Begin("f"), Arguments('{"a"'), Arguments(': "b'), Arguments('"}'), End()]


def test_a_call_that_is_cut_short_is_text_until_it_has_begun():
    short, long = '{"name": "f", "arguments": {"a": 1', json_call("f", {"a": "x" * 2 * HELD})[:-4]
    assert joined(told(short, cut=True)) == [("text", short)]
    [(kind, name, _, arguments, whole)] = joined(told(long, cut=True))
    assert (kind, name, whole) == ("call", "f", False)
    assert json.loads(arguments + '"}')


def test_of_broken_calls_no_letter_is_lost():
    rng = random.Random(2)
    for _ in range(120):
        format, text, _ = RIGHT[rng.choice(list(RIGHT))]
        letters = list(text)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(letters))
            letters[at : at + rng.randint(0, 2)] = rng.choice(['"', "{", "}", "\\", "x", "<", ",", ":", "\n"])
        text = "".join(letters)
        pieces = told(text, format, seed=rng.randrange(99))
        assert joined(pieces) == joined(told(text, format))
        check_nothing_is_lost(text, pieces)


def check_nothing_is_lost(text: str, pieces: list[Piece]) -> None:
    """A call that ends is whole; what is no call ends the text; a broken one goes on to the end."""
    *before, last = joined(pieces)
    assert all(kind == "call" and rest[-1] for kind, *rest in before)
    for _, _, _, arguments, _ in before:
        assert isinstance(json.loads(arguments), dict)
    if last[0] == "text":
        assert text.endswith(last[1])
        assert before or last[1] == text
    elif last[-1]:
        assert isinstance(json.loads(last[3]), dict)
    else:
        assert text.replace("\n", "\\n").endswith(last[3].replace("\n", "\\n")[HELD:])
