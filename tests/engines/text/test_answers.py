"""AnswerParser cut from text that arrives in any pieces."""

from __future__ import annotations

import random

import pytest

from ominix.engines.text.answers import AnswerParser

TAGS = ("<think>", "</think>")


def cut(pieces, stops=(), tags=TAGS, reasoning=False):
    passages = AnswerParser(stops, tags, reasoning)
    found = [p for piece in pieces for p in passages.add(piece)]
    found += passages.close()
    said = "".join(p.text for p in found if not p.reasoning)
    return "".join(p.text for p in found if p.reasoning), said, passages.stopped


CASES = [
    ("plain", (), ("", "plain", False)),
    ("<think>why\n</think>\n\nso", (), ("why", "so", False)),
    ("a<think>b</think>c<think>d</think>e", (), ("bd", "ace", False)),
    ("one two three", ("two",), ("", "one ", True)),
    ("abcabd", ("abd",), ("", "abc", True)),
    ("xaab", ("aab",), ("", "x", True)),
    ("abc", ("abcd", "b"), ("", "a", True)),
    ("ends in a st", ("stop",), ("", "ends in a st", False)),
    ("<think>stop</think>ok stop", ("stop",), ("stop", "ok ", True)),
    ("a < b <thi", (), ("", "a < b <thi", False)),
]


@pytest.mark.parametrize(("text", "stops", "expected"), CASES)
def test_pieces_do_not_matter(text, stops, expected):
    rng = random.Random(1)
    for _ in range(30):
        places = sorted(rng.choices(range(len(text) + 1), k=5))
        pieces = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
        assert cut(pieces, stops) == expected


def test_a_model_that_does_not_reason_may_write_the_tag():
    assert cut(["<think>x"], tags=None) == ("", "<think>x", False)


def test_reasoning_may_be_open_from_the_start():
    assert cut(["hm</think>yes"], reasoning=True) == ("hm", "yes", False)


def test_nothing_is_held_back_that_cannot_become_a_stop():
    passages = AnswerParser(["END"], None, False)

    assert [p.text for piece in ("aE", "b", "EN", "E", "N") for p in passages.add(piece)] == ["a", "Eb", "EN"]


def test_the_end_of_a_passage_counts_all_letters_before_it():
    passages = AnswerParser(["|"], TAGS, False)

    found = passages.add("<think>ab</think>cd|ef")

    assert [(p.text, p.end) for p in found] == [("ab", 9), ("cd", 19)]
