"""How answers of Qwen3-ASR read."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from ominix.models.qwen3_asr import tokenizer
from ominix.models.qwen3_asr.answer import Qwen3Answer
from ominix.models.qwen3_asr.prompt import Grammar
from ominix.models.qwen3_asr.recogniser import token_limit
from ominix.models.recogniser import Draw

GOLDEN = Path(__file__).parent.parent / "golden" / "qwen3_asr"
CASES = json.loads((Path(__file__).parents[1] / "data" / "cases" / "answers.json").read_text("utf-8"))
END = "<|im_end|>"


@pytest.fixture(scope="module")
def vocabulary():
    return tokenizer.load(GOLDEN)


def read(vocabulary, text: str, language: str | None = None, no_speech: float = 1e-4):
    """The answer to which these tokens add up, and the text as it came."""
    answer = Qwen3Answer(Grammar(vocabulary), language)
    pieces = []
    for token in vocabulary.encode(text):
        pieces.append(answer.feed(Draw(1, token, -0.5, math.log(no_speech))))
        if answer.finished:
            break
    return answer, [*pieces, answer.end()]


def test_language_and_text_are_told_apart(vocabulary):
    answer, pieces = read(vocabulary, "language English<asr_text>one two ")
    assert "".join(pieces) == "one two"
    assert answer.language == "English"
    assert pieces[0] == ""


def test_language_none_is_silence_whatever_follows(vocabulary):
    answer, pieces = read(vocabulary, "language None<asr_text>one two")
    assert "".join(pieces) == ""
    assert (answer.finished, answer.language) == (True, None)


def test_with_a_given_language_all_is_text(vocabulary):
    answer, pieces = read(vocabulary, " one two", "English")
    assert "".join(pieces) == "one two"
    assert answer.language == "English"


def test_an_answer_without_the_tag_is_all_text(vocabulary):
    answer, pieces = read(vocabulary, "one two")
    assert "".join(pieces) == "one two"
    assert answer.language is None


def test_a_language_that_no_table_knows_is_passed_on(vocabulary):
    assert read(vocabulary, "language Sichuanese<asr_text>one")[0].language == "Sichuanese"
    assert read(vocabulary, "english<asr_text>one")[0].language == "English"


def test_characters_are_never_cut(vocabulary):
    _, pieces = read(vocabulary, "é🙂 ü", "German")
    assert "".join(pieces) == "é🙂 ü"
    assert "\ufffd" not in "".join(pieces)
    assert len(pieces) > 6  # the tokens are bytes


def test_only_the_text_s_tokens_are_kept(vocabulary):
    answer, _ = read(vocabulary, "language English<asr_text>one")
    assert answer.tokens == vocabulary.encode("one")


def test_an_answer_ends_where_the_model_ends_it(vocabulary):
    answer, pieces = read(vocabulary, f"language English<asr_text>one{END} two")
    assert answer.finished
    assert "".join(pieces) == "one"
    assert len(answer.logprobs) == len(answer.tokens) + 1  # that of the end


def test_language_none_ends_the_answer_at_once(vocabulary):
    answer, pieces = read(vocabulary, "language None<asr_text>one two three", no_speech=0.99)
    assert answer.finished
    assert answer.no_speech_prob == pytest.approx(0.99)
    assert len(pieces) < 10


@pytest.mark.parametrize(("no_speech", "text"), [(0.6, ""), (0.4, "one two")])
def test_a_given_language_is_no_reason_to_invent_speech(vocabulary, no_speech, text):
    """With the language forced, the model cannot say "language None": its probability decides."""
    answer, pieces = read(vocabulary, "one two" + END, "English", no_speech)
    assert (answer.finished, "".join(pieces), answer.language) == (True, text, "English")


def test_the_tokens_of_an_answer_without_the_tag_are_its_text_s(vocabulary):
    answer, _ = read(vocabulary, "one two" + END)
    assert answer.tokens == vocabulary.encode("one two")
    assert len(answer.logprobs) == len(answer.tokens) + 1


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["said"])
@pytest.mark.parametrize("end", [END, ""])
def test_the_grammar_is_never_the_user_s(vocabulary, case, end):
    _, pieces = read(vocabulary, case["said"] + end)
    assert "".join(pieces) == case["text"]


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("language English<asr_text>hello <asr_text> thanks", "hello thanks"),
        ("language English<asr_text>hello<asr_text>thanks", "hello thanks"),
        ("language Chinese<asr_text>你好<asr_text>谢谢", "你好谢谢"),
        ("language English<asr_text><asr_text>hello", "hello"),
        ("language English<asr_text>language English<asr_text>hello", "hello"),
        ("language English<asr_text>hello. language Chinese<asr_text>你好", "hello. 你好"),
        ("language Chinese<asr_text>你好language English<asr_text>hello", "你好 hello"),
        ("language English<asr_text>hello\nlanguage None<asr_text>", "hello"),
        ("language English<asr_text>hello<asr_text>", "hello"),
        ("language English<asr_text>hello<asr_te", "hello"),
        ("language English<asr_text>hello <", "hello"),
        ("language English<asr_text>hello language English<asr", "hello"),
        ("language English<asr_text>hello<|audio_pad|> thanks", "hello thanks"),
        ("language English<asr", ""),
        ("language English", ""),
        ("language Sichuanese", ""),
        ("language None thanks", ""),
        ("language English thanks", "thanks"),
        ("language right right", "right right"),
        ("language 你好", "你好"),
        (" language\n", ""),
        ("<asr_text>hello", "hello"),
    ],
)
def test_broken_answers_lose_their_grammar_and_nothing_else(vocabulary, said, text):
    answer, pieces = read(vocabulary, said)
    assert "".join(pieces) == text
    assert b"".join(map(vocabulary.bytes_of, answer.tokens)).decode().split() == text.split() or "<" in said


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("language English<asr_text>hello", "hello"),
        ("language None<asr_text>hello", ""),
        ("language English", ""),
        ("language None", ""),
        ("language", ""),
        ("hello<asr_text> thanks", "hello thanks"),
        ("hello<asr_t", "hello"),
        ("language is what we speak", "language is what we speak"),
        ("language learning", "language learning"),
    ],
)
def test_with_a_given_language_a_second_head_is_no_text_either(vocabulary, said, text):
    assert "".join(read(vocabulary, said, "English")[1]) == text


@pytest.mark.parametrize(
    "text",
    ["I speak the language English", "language English is hard", "a < b", "Language None", "la la", "a <b>"],
)
def test_speech_that_looks_like_grammar_is_kept(vocabulary, text):
    _, pieces = read(vocabulary, f"language English<asr_text>{text}{END}")
    assert "".join(pieces) == text
    assert len(pieces[0]) < len(text)


def test_text_is_held_back_only_as_long_as_it_may_be_grammar(vocabulary):
    pieces = read(vocabulary, "language English<asr_text>hello there language of")[1]
    assert "".join(pieces[:-1]) == "hello there language of"


@pytest.mark.contract("audio.answer.loops")
def test_the_limit_grows_with_the_clip():
    assert token_limit(0.1) >= 32
    assert token_limit(30) >= 15 * 30
