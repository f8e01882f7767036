"""The parser of channels, on texts that arrive in any pieces, in every format that there is."""

from __future__ import annotations

import random
import re

import pytest

from ominix.engines.text.channels import BEGIN, END, RECALL, AnswerParser, beginning
from ominix.engines.text.marks import Marks
from ominix.engines.text.transitions import CallMarks
from ominix.models.answer_formats import (
    ANSWER,
    BY_HEADER,
    HARMONY,
    HEADER,
    PLAIN,
    REASONING,
    TOOL_CALL,
    AnswerFormat,
    tagged,
)

THINK = tagged(("<think>", "</think>"))
GEMMA = tagged(("<|channel>thought", "<channel|>"))
XTML = tagged(
    ("<|open|>think<|sep|>", "<|close|>think<|sep|>"),
    ("<|open|>response<|sep|>", "<|close|>response<|sep|>", "<|close|>message<|sep|>"),
)
SPARK = AnswerFormat(
    {
        HEADER: (
            ("to=self<|message|>", REASONING),
            ("to=user<|message|>", ANSWER),
            ("<|message|>", BY_HEADER),
        ),
        REASONING: (("<|eom|>", HEADER),),
        ANSWER: (("<|eom|>", HEADER), ("<|eot|>", ANSWER)),
    },
    begins=HEADER,
    header=r"\s*(<\||to=)",
    headers=(("", ANSWER),),
)
CALL = CallMarks("<tool_call>", "</tool_call>")
FUNCTIONS = CallMarks("<|none|>")  # this format's calls are told by their headers
FINAL = "<|start|>assistant<|channel|>final<|message|>"


def special_tokens(text: str) -> Marks:
    """Every name with bars in it is a special token."""
    names = sorted(set(re.findall(r"<\|\w+\|>|<\|\w+>|<\w+\|>", text)))
    return Marks(dict(enumerate(names)))


def pieces(text: str, rng: random.Random) -> list[str]:
    places = sorted(rng.choices(range(len(text) + 1), k=5))
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


def passages(format, text, *, marks=None, cuts=None, whole=True, **options):
    marks = marks or Marks({})
    parser = AnswerParser(format, marks, **options)
    encoded = marks.encoded(text)
    found = [p for piece in (cuts or [encoded]) for p in parser.add(piece)]
    return [*found, *parser.close(whole=whole)], parser


def read(format, text, **options):
    """(reasoning, answer, calls as they were written), and whether a stop string ended it."""
    found, parser = passages(format, text, **options)
    calls, said = [], {REASONING: "", ANSWER: ""}
    for passage in found:
        if passage.edge == RECALL:
            said = {REASONING: said[REASONING] + said[ANSWER], ANSWER: ""}
        elif passage.channel == TOOL_CALL:
            calls += [""] if passage.edge == BEGIN else []
            calls[-1] += passage.text
            calls[-1] += "." if passage.edge == END else ""
        else:
            said[passage.channel] += passage.text
    return said[REASONING], said[ANSWER], calls, parser.stopped


CASES = [
    (THINK, "plain", {}, ("", "plain", [], False)),
    (THINK, "<think>why\n</think>\n\nso", {}, ("why", "so", [], False)),
    (THINK, "a<think>b</think>c<think>d</think>e", {}, ("bd", "ace", [], False)),
    (THINK, "one two three", {"stops": ["two"]}, ("", "one ", [], True)),
    (THINK, "abcabd", {"stops": ["abd"]}, ("", "abc", [], True)),
    (THINK, "xaab", {"stops": ["aab"]}, ("", "x", [], True)),
    (THINK, "abc", {"stops": ["abcd", "b"]}, ("", "a", [], True)),
    (THINK, "ends in a st", {"stops": ["stop"]}, ("", "ends in a st", [], False)),
    (THINK, "<think>stop</think>ok stop", {"stops": ["stop"]}, ("stop", "ok ", [], True)),
    (THINK, "a < b <thi", {}, ("", "a < b <thi", [], False)),
    (THINK, "<think>cut of", {}, ("cut of", "", [], False)),
    (THINK, "hm</think>yes", {"begins": REASONING}, ("hm", "yes", [], False)),
    (THINK, "not opened\n</think>\n\nyes", {}, ("not opened", "yes", [], False)),
    (THINK, "<think>a</think>it is </think>", {}, ("a", "it is </think>", [], False)),
    (THINK, "it is </think>", {"begins": ANSWER}, ("", "it is </think>", [], False)),
    (PLAIN, "<think>x", {}, ("", "<think>x", [], False)),
    (GEMMA, "<|channel>thought\nHm.\n<channel|>The answer.", {}, ("Hm.", "The answer.", [], False)),
    (GEMMA, "<|channel>thought\n<channel|>The answer.", {}, ("", "The answer.", [], False)),
    (
        XTML,
        "<|open|>think<|sep|>Hm.<|close|>think<|sep|><|open|>response<|sep|>Yes<|close|>response<|sep|>"
        "<|close|>message<|sep|>",
        {},
        ("Hm.", "Yes", [], False),
    ),
    (SPARK, " to=self<|message|>Hm.<|eom|><|start|>assistant to=user<|message|>Yes<|eot|>", {},
     ("Hm.", "Yes", [], False)),
    (SPARK, " to=cook<|message|>Soup!<|eom|>", {}, ("", "Soup!", [], False)),
    (HARMONY, "<|channel|>analysis<|message|>Hm.<|end|>" + FINAL + "Yes<|return|>", {},
     ("Hm.", "Yes", [], False)),
    (HARMONY, "<|channel|>final<|message|>Yes", {}, ("", "Yes", [], False)),
    (HARMONY, "<|channel|>analysis<|message|>cut of", {}, ("cut of", "", [], False)),
    (HARMONY, "<|channel|>analysis<|message|>Hm.<|channel|>final<|message|>Yes", {},
     ("Hm.", "Yes", [], False)),
    (HARMONY, "<|channel|>commentary<|message|>I look.<|end|>" + FINAL + "Yes", {},
     ("", "I look.Yes", [], False)),
    (HARMONY, "<|channel|>fin", {}, ("", "", [], False)),
    (HARMONY, "No header at all", {}, ("", "No header at all", [], False)),
    (HARMONY, "x" * 300, {}, ("", "x" * 300, [], False)),
    (HARMONY, "to=" + "x" * 300 + "STOP", {"stops": ["STOP"]}, ("", "to=" + "x" * 300, [], True)),
    (HARMONY, "No STOP", {"stops": ["STOP"]}, ("", "No ", [], True)),
    (HARMONY, "Yes", {"begins": ANSWER}, ("", "Yes", [], False)),
    (HARMONY, "<|channel|>commentary to=functions.f<|message|>{}<|call|>", {}, ("", "{}", [], False)),
    (
        HARMONY,
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary to=functions.f "
        "<|constrain|>json<|message|>{}<|call|>",
        {"calls": [FUNCTIONS]},
        ("Hm.", "", [
 "<|end|><|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}."], False),
    ),
    (
        HARMONY,
        "<|start|>assistant to=functions.f<|channel|>commentary<|message|>{}",
        {"calls": [FUNCTIONS]},
        ("", "", ["<|start|>assistant to=functions.f<|channel|>commentary<|message|>{}."], False),
    ),
    (
        HARMONY,
        "<|channel|>analysis to=python<|message|>1+1<|call|>",
        {"calls": [FUNCTIONS]},
        ("1+1", "", [], False),
    ),
    (
        THINK,
        "<think>a</think>I look.\n\n<tool_call>{1}</tool_call>\n<tool_call>{2}</tool_call>\nDone",
        {"calls": [CALL], "stops": ["1", "2"]},
        ("a", "I look.Done", ["\n\n<tool_call>{1}</tool_call>.", "\n<tool_call>{2}</tool_call>."], False),
    ),
    (
        THINK,
        "<think>a<tool_call>{1}</tool_call>b</think>c",
        {"calls": [CALL]},
        ("ab", "c", ["<tool_call>{1}</tool_call>."], False),
    ),
    (PLAIN, "<tool_call>{1}</tool_call>", {}, ("", "<tool_call>{1}</tool_call>", [], False)),
    (PLAIN, "a<|tool>b{x:<|q|>y<|q|>}<tool|>", {"calls": [CallMarks("<|tool>", "<tool|>")]},
     ("", "a", ["<|tool>b{x:<|q|>y<|q|>}<tool|>."], False)),
    (PLAIN, "a[CALL]f{}[CALL]g{}", {"calls": [CallMarks("[CALL]")]},
     ("", "a", ["[CALL]f{}.", "[CALL]g{}."], False)),
    (PLAIN, ' {"name"', {"calls": [CallMarks("{", first=True)]}, ("", " ", ['{"name".'], False)),
    (PLAIN, 'a {"name"', {"calls": [CallMarks("{", first=True)]}, ("", 'a {"name"', [], False)),
]  # fmt: skip


@pytest.mark.parametrize(("format", "text", "options", "expected"), CASES)
@pytest.mark.parametrize("special", [True, False], ids=["special tokens", "letters"])
def test_pieces_do_not_matter(format, text, options, expected, special):
    marks = special_tokens(text) if special else Marks({})
    encoded, rng = marks.encoded(text), random.Random(1)

    assert read(format, text, marks=marks, **options) == expected
    assert read(format, text, marks=marks, cuts=list(encoded), **options) == expected
    for _ in range(20):
        assert read(format, text, marks=marks, cuts=pieces(encoded, rng), **options) == expected


def test_a_name_in_letters_is_a_text_about_a_special_token():
    marks = Marks({1: "<think>", 2: "</think>"})
    parser = AnswerParser(THINK, marks)

    found = parser.add("<think>" + marks.letter(1) + "</think>" + marks.letter(2) + "a")

    assert [(p.channel, p.text) for p in found] == [
        (ANSWER, "<think>"),
        (REASONING, "</think>"),
        (ANSWER, "a"),
    ]


def test_special_tokens_that_are_no_marks_say_nothing_but_in_a_call():
    marks = Marks({1: "<|pad|>"})
    found, _ = passages(PLAIN, "a<|pad|>b[C]<|pad|>", marks=marks, calls=[CallMarks("[C]")])

    assert [p.text for p in found] == ["ab", "[C]", "<|pad|>", ""]


def test_a_call_that_is_cut_has_no_end():
    whole, _ = passages(PLAIN, "<tool_call>{", calls=[CALL])
    cut, _ = passages(PLAIN, "<tool_call>{", calls=[CALL], whole=False)

    assert [p.edge for p in whole] == [BEGIN, "", END]
    assert [p.edge for p in cut] == [BEGIN, ""]


def test_a_call_knows_where_its_text_belongs_if_it_is_none():
    found, _ = passages(THINK, "<think><tool_call>x</tool_call></think><tool_call>y", calls=[CALL])

    assert [p.origin for p in found] == [REASONING] * 3 + [ANSWER] * 3


def test_nothing_is_held_back_that_cannot_become_a_stop():
    parser = AnswerParser(PLAIN, Marks({}), stops=["END"])

    assert [p.text for piece in ("aE", "b", "EN", "E", "N") for p in parser.add(piece)] == ["a", "Eb", "EN"]


def test_the_end_of_a_passage_counts_all_letters_before_it():
    parser = AnswerParser(THINK, Marks({}), stops=["|"])

    found = parser.add("<think>ab</think>cd|ef")

    assert [(p.text, p.end) for p in found] == [("ab", 9), ("cd", 19)]


@pytest.mark.parametrize(
    ("format", "end", "expected"),
    [
        (THINK, "user\nhi<|im_end|>\n<|im_start|>assistant\n", None),
        (THINK, "<|im_start|>assistant\n<think>\n", REASONING),
        (THINK, "<|im_start|>assistant\n<think>\n\n</think>\n\n", ANSWER),
        (THINK, "what is <think>?\nassistant\n", None),
        (GEMMA, "<|channel>thought\n", REASONING),
        (XTML, "<|open|>think<|sep|>", REASONING),
        (XTML, "<|open|>response<|sep|>", ANSWER),
        (HARMONY, "<|end|><|start|>assistant", None),
        (HARMONY, "analysis<|end|><|start|>assistant<|channel|>final<|message|>", ANSWER),
        (HARMONY, "<|end|><|start|>assistant<|channel|>analysis<|message|>", REASONING),
        (PLAIN, "<think>", None),
    ],
)
def test_a_prompt_may_open_or_close_reasoning(format, end, expected):
    for marks in (special_tokens(end), Marks({})):
        assert beginning(format, marks, marks.encoded(end)) == expected
