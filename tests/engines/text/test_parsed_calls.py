"""Calls in the forms that mlx-lm's parsers read: the right ones, the broken ones, the hostile ones."""

from __future__ import annotations

import importlib
import json
import random
import time

import pytest

from ominix.engines.text.call_pieces import Arguments, Begin, End, Piece, Unread
from ominix.engines.text.parsed_calls import ParsedCalls

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "units": {"enum": ["C", "F"]},
        "exact": {"type": "boolean"},
        "at": {"type": "object"},
    },
}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]
WANTED = {"city": "12", "days": 3, "exact": True, "at": {"lat": 1.5}}

# One right call of f for each parser, without the marks around it.
TEXTS = {
    "qwen3_coder": "\n<function=f>\n<parameter=city>\n12\n</parameter>\n"
    "<parameter=days>\n3\n</parameter>\n"
    '<parameter=exact>\ntrue\n</parameter>\n<parameter=at>\n{"lat": 1.5}\n</parameter>\n</function>\n',
    "glm47": "f<arg_key>city</arg_key>\n<arg_value>12</arg_value>"
    "<arg_key>days</arg_key><arg_value>3</arg_value>"
    "<arg_key>exact</arg_key><arg_value>true</arg_value>"
    '<arg_key>at</arg_key><arg_value>{"lat": 1.5}</arg_value>',
    "minimax_m2": '\n<invoke name="f">\n<parameter name="city">12</parameter>\n'
    '<parameter name="days">3</parameter>'
    '<parameter name="exact">true</parameter><parameter name="at">{"lat": 1.5}</parameter></invoke>\n',
    "gemma4": 'call:f{city:<|"|>12<|"|>,days:3,exact:true,at:{lat:1.5}}',
    "pythonic": '[f(city="12", days=3, exact=True, at={"lat": 1.5})]',
    "longcat": "f\n<longcat_arg_key>city</longcat_arg_key>\n<longcat_arg_value>12</longcat_arg_value>"
    "<longcat_arg_key>days</longcat_arg_key><longcat_arg_value>3</longcat_arg_value>"
    "<longcat_arg_key>exact</longcat_arg_key><longcat_arg_value>true</longcat_arg_value>"
    '<longcat_arg_key>at</longcat_arg_key><longcat_arg_value>{"lat": 1.5}</longcat_arg_value>',
    "minicpm5": '"f"><param name="city">12</param><param name="days">3</param>'
    '<param name="exact">true</param><param name="at">{"lat": 1.5}</param>',
    "function_gemma": "call:f{city:<escape>12<escape>,days:3,exact:true}",
    "kimi_k3": '<|open|>call tool="f" index="1"<|sep|><|open|>json type="object"<|sep|>'
    f"{json.dumps(WANTED)}<|close|>json<|sep|><|close|>call<|sep|>",
    "muse_spark": '<atem:invoke name="f"><atem:parameter name="city">12</atem:parameter>'
    '<atem:parameter name="days">3</atem:parameter><atem:parameter name="exact">true</atem:parameter>'
    '<atem:parameter name="at">{"lat": 1.5}</atem:parameter></atem:invoke>',
}  # fmt: skip


def told(parser: str, text: str, *, cut: bool = False, seed: int | None = None) -> list[Piece]:
    parse = importlib.import_module(f"mlx_lm.tool_parsers.{parser}").parse_tool_call
    calls, rng, at = ParsedCalls(parse, TOOLS), random.Random(seed), 0
    while at < len(text):
        size = len(text) if seed is None else rng.randint(1, 9)
        assert calls.add(text[at : at + size]) == []
        at += size
    return calls.end(cut=cut)


@pytest.mark.parametrize("parser", TEXTS)
def test_arguments_have_the_types_of_the_tool_s_schema(parser):
    begin, arguments, end = told(parser, TEXTS[parser], seed=1)
    assert (begin, end) == (Begin("f"), End())
    assert isinstance(arguments, Arguments)
    wanted = WANTED if parser != "function_gemma" else {k: WANTED[k] for k in ("city", "days", "exact")}
    assert json.loads(arguments.text) == wanted  # mlx-lm's reads no "}" in function_gemma's values


@pytest.mark.parametrize("parser", TEXTS)
def test_what_is_cut_is_text(parser):
    for size in (5, len(TEXTS[parser]) // 2):
        assert told(parser, TEXTS[parser][:size], cut=True) == [Unread(TEXTS[parser][:size])]


@pytest.mark.parametrize("parser", TEXTS)
def test_broken_calls_are_read_whole_or_come_back_as_text(parser):
    rng = random.Random(4)
    for _ in range(60):
        letters = list(TEXTS[parser])
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(letters))
            letters[at : at + rng.randint(0, 5)] = rng.choice('{}[]()<>="/:,|x\\')
        text = "".join(letters)
        pieces = told(parser, text)
        if pieces[0] != Unread(text):
            assert [type(piece) for piece in pieces] == [Begin, Arguments, End] * (len(pieces) // 3)
            assert all(isinstance(json.loads(p.text), dict) for p in pieces if isinstance(p, Arguments))


@pytest.mark.parametrize(
    ("parser", "text"),
    [
        ("glm47", "let me think about it"),
        ("glm47", "hello"),
        ("pythonic", "[f(at=" + "1e999" + ")]"),
        ("pythonic", "[f(at=1j)]"),
        ("pythonic", "[f(city='\\ud800')]"),
        ("pythonic", "[f(" + "-" * 100_000 + "1)]"),
        ("qwen3_coder", "<function=f><parameter=at>" + "[" * 100_000 + "</parameter></function>"),
        ("longcat", "x"),
    ],
)
def test_what_a_parser_makes_of_anything_is_no_call(parser, text):
    assert told(parser, text) == [Unread(text)]


def test_a_parser_has_so_much_time_and_no_more():
    text = "<invoke name=" * 20_000  # mlx-lm's regular expression takes the square of it
    begun = time.process_time()
    assert told("minimax_m2", text) == [Unread(text)]
    assert time.process_time() - begun < 3.0
