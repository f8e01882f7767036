"""Where a text is cut into sentences, in many scripts."""

# ruff: noqa: RUF001  (letters and marks of many scripts)

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ominix.models.qwen3_asr import words
from ominix.text.sentences import TimedWord, sentences


def timed(text: str, pauses: dict[int, float], language: str | None = None) -> list[TimedWord]:
    """Words of 0.3 s; `pauses`: before the word of this number."""
    found, clock = [], 0.0
    for i, place in enumerate(words.split(text, language)):
        clock += pauses.get(i, 0.0)
        shown = text[place.first : place.last]
        found.append(TimedWord(shown, place.first, place.last, round(clock, 3), round(clock + 0.3, 3)))
        clock += 0.3
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is 3.5 metres. Really? Yes!", ["It is 3.5 metres.", "Really?", "Yes!"]),
        (
            "He said (quietly): \u201cGo.\u201d \u201cNo!\u201d",
            ["He said (quietly): \u201cGo.\u201d", "\u201cNo!\u201d"],
        ),
        ("about approx. five", ["about approx. five"]),
        ("\u00bfQu\u00e9 tal? \u00a1Bien!", ["\u00bfQu\u00e9 tal?", "\u00a1Bien!"]),
        ("你好。世界！「再见」", ["你好。", "世界！", "「再见」"]),
        ("今日は晴れ。明日は雨。", ["今日は晴れ。", "明日は雨。"]),
        ("안녕하세요. 반갑습니다!", ["안녕하세요.", "반갑습니다!"]),
        ("Привет, мир. Как дела?", ["Привет, мир.", "Как дела?"]),
        ("مرحبا؟ أهلا", ["مرحبا؟", "أهلا"]),
        ("नमस्ते दुनिया। ठीक", ["नमस्ते दुनिया।", "ठीक"]),
        ("Καλημέρα. Τι κάνεις;", ["Καλημέρα.", "Τι κάνεις;"]),
        ("สวัสดี ครับ", ["สวัสดี ครับ"]),
        ("... one", ["... one"]),
    ],
)
def test_sentences_in_ten_scripts(text, expected):
    found = sentences(text, timed(text, {}))
    assert [text[p.first : p.last].strip() for p in found] == expected


def test_pauses_are_borders_without_any_mark_and_shorter_ones_behind_a_comma():
    text = "one two three, four five"
    assert [len(p.words) for p in sentences(text, timed(text, {2: 0.6, 3: 0.3, 4: 0.5}))] == [2, 1, 2]
    assert [len(p.words) for p in sentences(text, timed(text, {2: 0.5, 3: 0.2}))] == [5]


def test_a_sentence_lasts_from_its_first_word_to_its_last():
    text = "One two. Three"
    first, second = sentences(text, timed(text, {0: 1.0, 2: 2.0}))
    assert (first.start, first.end) == (1.0, 1.6)
    assert (second.start, second.end) == (3.6, 3.9)


def test_no_words_no_sentences():
    assert sentences("...", []) == []


@given(
    st.text("ab1 .,?!。「」\u00bf\n", max_size=40), st.lists(st.sampled_from([0.0, 0.3, 0.7]), max_size=20)
)
def test_the_sentences_are_the_text_and_hold_every_word(text, pauses):
    given_words = timed(text, dict(enumerate(pauses)))
    found = sentences(text, given_words)
    assert [word for sentence in found for word in sentence.words] == given_words
    if found:
        assert (found[0].first, found[-1].last) == (0, len(text))
        assert all(a.last == b.first for a, b in itertools.pairwise(found))
        assert all(s.first <= w.first < w.last <= s.last for s in found for w in s.words)
