"""Whole answers with calls, family by family: text through the parser of channels into events."""

from __future__ import annotations

import importlib
import json
import logging
import random
import re

import pytest

from ominix.engines.text.answers import Choice
from ominix.engines.text.channels import AnswerParser
from ominix.engines.text.marks import Marks
from ominix.engines.text.plan import Token
from ominix.engines.text.tool_calls import CallIds, ToolCalls
from ominix.models import answer_formats, call_formats
from ominix.models.answer_formats import PLAIN, tagged
from ominix.models.call_formats import CallFormat, Mark
from ominix.wire.events import Delta, Finished, TokenLogprob, ToolArguments, ToolCall
from ominix.wire.jobs import Message

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
TOOLS = [{"type": "function", "function": {"name": name, "parameters": PARAMETERS}} for name in ("f", "g")]
THINK = tagged(("<think>", "</think>"))
F, G = {"city": "Pará {\n}", "days": 2}, {"city": "x" * 300}
JF, JG = (json.dumps({"name": n, "arguments": a}, ensure_ascii=False) for n, a in (("f", F), ("g", G)))
AF, AG = json.dumps(F), json.dumps(G)
BOTH = [("f", F), ("g", G)]
SPECIAL = re.compile(r"<[|｜][^<>]*[|｜]>|\[[A-Z_]+\]")


def parsed(name: str) -> CallFormat:
    module = importlib.import_module(f"mlx_lm.tool_parsers.{name}")
    marks = (Mark(module.tool_call_start, module.tool_call_end),)
    return CallFormat(marks, form="parsed", parse=module.parse_tool_call)


class Letters:
    """A detokenizer whose tokens are letters; special tokens have one of their own."""

    def __init__(self, text: str) -> None:
        names = sorted(set(SPECIAL.findall(text)))
        self.marks = Marks(dict(enumerate(names)))

    def text(self) -> Letters:
        return self

    def add(self, piece: str) -> str:
        return piece

    def token_bytes(self, piece: str) -> bytes:
        return piece.encode("utf-8", "replace")


class Told:
    """What an answer comes to."""

    def __init__(
        self, text: str, format: CallFormat, answers=PLAIN, *, cut=False, parallel=True, seed=None, special=""
    ):
        letters = Letters(special or text)
        calls = ToolCalls(format, TOOLS, CallIds([], short=False), index=0, parallel=parallel)
        parser = AnswerParser(answers, letters.marks, calls=calls.marks)
        choice = Choice(0, letters, parser, calls)
        self.events, rng = [], random.Random(seed)
        encoded, at = letters.marks.encoded(text), 0
        while at < len(encoded) and not self.ended:
            size = 1 if seed is None else rng.randint(1, 9)
            last = "length" if cut and at + size >= len(encoded) else None
            self.events += choice.add(Token(0, encoded[at : at + size], last, ((encoded[at], -1.0),)))
            at += size
        self.unread = encoded[at:]
        if not self.ended:
            self.events += choice.add(Token(0, "", "stop"))
        self.tokens = choice.tokens

    @property
    def ended(self) -> bool:
        return bool(self.events) and isinstance(self.events[-1], Finished)

    @property
    def finish(self) -> str:
        return self.events[-1].reason

    def text(self, *, reasoning: bool = False) -> str:
        return "".join(e.text for e in self.events if isinstance(e, Delta) and e.reasoning == reasoning)

    @property
    def raw_calls(self) -> list[list[str]]:
        found: list[list[str]] = []
        for event in self.events:
            if isinstance(event, ToolCall):
                found.append([event.id, event.name, ""])
            elif isinstance(event, ToolArguments):
                found[-1][2] += event.text
        return found

    @property
    def calls(self) -> list[tuple[str, dict]]:
        return [(name, json.loads(arguments)) for _, name, arguments in self.raw_calls]

    @property
    def all(self) -> tuple:
        return self.calls, self.text(), self.text(reasoning=True), self.finish


FAMILIES: dict[str, tuple[CallFormat, answer_formats.AnswerFormat, str]] = {
    "hermes": (
        call_formats.HERMES,
        THINK,
        f"<think>\nhm\n</think>\n\nSo:\n<tool_call>\n{JF}\n</tool_call>\n<tool_call>\n{JG}\n</tool_call>",
    ),
    "qwen3_coder": (
        parsed("qwen3_coder"),
        THINK,
        "<think>hm</think>So:\n\n<tool_call>\n<function=f>\n<parameter=city>\nPará {\n}\n</parameter>\n"
        "<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>\n"
        f"<tool_call>\n<function=g>\n<parameter=city>\n{G['city']}\n</parameter>\n</function>\n</tool_call>",
    ),
    "harmony": (
        call_formats.HARMONY,
        answer_formats.HARMONY,
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary<|message|>So:<|end|>"
        f"<|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{AF}<|call|>"
        f"<|start|>assistant to=functions.g<|channel|>commentary json<|message|>{AG}",
    ),
    "mistral": (
        call_formats.MISTRAL,
        THINK,
        f"<think>hm</think>So:[TOOL_CALLS]f[ARGS]{AF}[TOOL_CALLS]g[ARGS]{AG}",
    ),
    "mistral, a list": (call_formats.MISTRAL, THINK, f"<think>hm</think>So:[TOOL_CALLS] [{JF}, {JG}]"),
    "deepseek": (
        call_formats.DEEPSEEK,
        THINK,
        "<think>hm</think>So:<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n"
        f"```json\n{AF}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>g<｜tool▁sep｜>{AG}<｜tool▁call▁end｜>"
        "<｜tool▁calls▁end｜>",
    ),
    "kimi": (
        call_formats.KIMI,
        THINK,
        "<think>hm</think>So:<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0"
        f"<|tool_call_argument_begin|>{AF}<|tool_call_end|><|tool_call_begin|>functions.g:1"
        f"<|tool_call_argument_begin|>{AG}<|tool_call_end|><|tool_calls_section_end|>",
    ),
    "granite": (call_formats.GRANITE, THINK, f"<think>hm</think>So:<|tool_call|>[{JF}, {JG}]"),
    "nemotron": (call_formats.NEMOTRON, THINK, f"<think>hm</think>So:\n<TOOLCALL>[{JF},\n{JG}]</TOOLCALL>"),
    "phi": (call_formats.PHI, THINK, f"<think>hm</think>So:<|tool_call|>[{JF}, {JG}]<|/tool_call|>"),
    "llama": (call_formats.LLAMA, THINK, f"<think>hm</think>So:<|python_tag|>{JF}; {JG}"),
    "llama 4": (
        call_formats.LLAMA_4,
        THINK,
        f"<think>hm</think>So:<|python_start|>[f(city={F['city']!r}, days=2), g(city={G['city']!r})]"
        "<|python_end|>",
    ),
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_thought_text_and_calls_are_told_apart_however_they_are_cut(family):
    calls, answers, text = FAMILIES[family]
    for seed in (None, *range(6)):
        told = Told(text, calls, answers, seed=seed)
        assert told.all == (BOTH, "So:", "hm", "tool_calls")
    ids = [id for id, *_ in told.raw_calls]
    assert len(set(ids)) == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_every_token_of_a_call_keeps_its_log_probability(family):
    calls, answers, text = FAMILIES[family]
    told = Told(text, calls, answers)
    entries = [e for event in told.events if not isinstance(event, Finished) for e in event.logprobs]
    assert len(entries) == told.tokens
    assert all(isinstance(entry, TokenLogprob) for entry in entries)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_call_is_enough_where_no_more_may_be(family):
    calls, answers, text = FAMILIES[family]
    told = Told(text, calls, answers, parallel=False)
    assert told.all == (BOTH[:1], "So:", "hm", "tool_calls")
    if not calls.parse:  # those are read when all is there
        assert told.unread


@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_that_is_cut_says_so_and_loses_nothing(family):
    calls, answers, text = FAMILIES[family]
    start = text.index("Par")
    told = Told(text[: start + 3], calls, answers, cut=True)
    assert (told.calls, told.finish) == ([], "length")
    assert told.text().startswith("So:")
    assert told.text().endswith("Par")
    long = Told(text[:-40], calls, answers, cut=True)
    assert long.finish == "length"
    if not calls.parse:
        (_, name, _), (_, begun, arguments) = long.raw_calls
        assert (name, begun) == ("f", "g")
        assert AG.startswith(arguments)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_broken_call_is_text_with_a_warning(family, caplog):
    calls, answers, text = FAMILIES[family]
    mark = "{" if "{" in text else "("
    broken = text[: text.index(mark)].replace("functions.", "") + "? no call"
    with caplog.at_level(logging.WARNING, "ominix.chat"):
        told = Told(broken, calls, answers)
    assert told.calls == []
    assert told.text().startswith("So:")
    assert told.text().endswith("? no call")
    assert told.finish == "stop"
    if calls is not call_formats.HARMONY:  # there it is a header that never ends
        assert "cannot be read" in caplog.text


def test_a_bare_object_is_a_call_only_if_it_names_a_tool_and_comes_first():
    llama = call_formats.LLAMA
    assert Told(JF, llama).all == (BOTH[:1], "", "", "tool_calls")
    assert Told(f"\n{JF}", llama).calls == BOTH[:1]
    for text in ('{"name": "Ann", "age": 7}', '{"name": "h", "parameters": {}}', f"Like {JF}", "{x} and {y}"):
        assert Told(text, llama).all == ([], text, "", "stop")
    assert Told("[f(city='x')]", call_formats.LLAMA_4).calls == [("f", {"city": "x"})]
    for text in ("[h(city='x')]", "[1] is a source"):
        assert Told(text, call_formats.LLAMA_4).all == ([], text, "", "stop")
    assert Told(f'<think>{{"a": 1}} hm</think>{JF}', llama, THINK).all == (
        BOTH[:1],
        "",
        '{"a": 1} hm',
        "tool_calls",
    )


@pytest.mark.parametrize(
    "text",
    ["no call", " spaces \n", "a < b", "<tool_cal", "<tool_call></tool_call>", "<tool_call> </tool_call> x"],
)
def test_text_without_calls_comes_as_it_is(text):
    assert Told(text, call_formats.HERMES).all == ([], text, "", "stop")


def test_spaces_around_calls_are_no_text():
    text = f" \n\n <tool_call>{JF}</tool_call> \n\n\n <tool_call>{JG}</tool_call>\n \n"
    assert Told(text, call_formats.HERMES).all == (BOTH, "", "", "tool_calls")
    after = f"one\n\n<tool_call>{JF}</tool_call>\n\n two\n"
    assert Told(after, call_formats.HERMES).all == (BOTH[:1], "onetwo\n"[:6], "", "tool_calls")


def test_ids_are_unique_in_a_conversation_and_may_be_the_model_s_own():
    earlier = [Message("assistant", tool_calls=({"id": "functions.f:0", "function": {"name": "f"}},))]
    ids = CallIds(earlier, short=False)
    assert ids.fresh("functions.f:1") == "functions.f:1"
    for own in ("functions.f:0", "functions.f:1", None, "", "é", "x" * 65):
        assert re.fullmatch(r"call_[a-zA-Z0-9]{24}", ids.fresh(own))
    assert re.fullmatch(r"[a-zA-Z0-9]{9}", CallIds([], short=True).fresh(None))


def test_of_broken_answers_no_letter_is_lost():
    """Calls that come out are whole; in all other cases each letter is in the text."""
    rng = random.Random(5)
    for _ in range(60):
        calls, answers, text = FAMILIES[rng.choice([f for f in FAMILIES if f != "harmony"])]
        letters = list(text.replace("x" * 300, "xy"))
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(letters))
            letters[at : at + rng.randint(0, 3)] = rng.choice(['"', "{", "}", "\\", "z", "<", ">", ",", "]"])
        broken = "".join(letters)
        told = Told(broken, calls, answers, seed=1, special=text)
        assert told.calls or told.finish == "stop"
        if not told.calls and "<think>hm</think>" in broken and not re.search(r"\n\s*<|\s$", broken):
            written = re.sub(r"<think>|</think>", "", broken, count=2)
            said = told.text(reasoning=True) + told.text()
            assert SPECIAL.sub("", said) == SPECIAL.sub("", written)  # outside of calls they are silent
