"""Words of a text whose tokens have times."""

from __future__ import annotations

import numpy as np
import pytest

from ominix.models.whisper.tokenizer import Vocabulary
from ominix.models.whisper.words import timed


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary(multilingual=True)


def words(vocabulary, text: str, language: str, step: float = 0.5) -> list[tuple[str, float, float]]:
    """Every token lasts a step."""
    pieces = [vocabulary.bytes_of(token) for token in vocabulary.encode(f" {text}")]
    found = timed(text, pieces, np.arange(len(pieces) + 1) * step, language)
    assert all(text[word.first : word.last] == word.text for word in found)
    return [(word.text, word.start, word.end) for word in found]


def test_words_end_at_spaces_and_have_no_punctuation(vocabulary):
    found = words(vocabulary, 'He said, "stop" (now)!', "English")
    assert [word for word, _, _ in found] == ["He", "said", "stop", "now"]
    assert found[:2] == [("He", 0.0, 0.5), ("said", 0.5, 1.0)]
    assert found[2][1] > 1.0  # the comma and the quotation mark took their time


def test_a_word_of_several_tokens_lasts_from_the_first_to_the_last(vocabulary):
    text = "unbelievableness yes"
    count = len(vocabulary.encode(" unbelievableness"))
    assert count > 1
    assert words(vocabulary, text, "English")[0] == ("unbelievableness", 0.0, count * 0.5)


def test_languages_without_spaces_are_cut_at_whole_characters(vocabulary):
    found = words(vocabulary, "你好\uff0c世界。", "Chinese")
    assert "".join(word for word, _, _ in found) == "你好世界"
    assert len(found) > 1
    times = [time for _, start, end in found for time in (start, end)]
    assert times == sorted(times)


def test_characters_of_several_tokens_are_not_torn(vocabulary):
    assert [word for word, _, _ in words(vocabulary, "龘龘 x", "Chinese")][-1] == "x"
    assert [word for word, _, _ in words(vocabulary, "naïve Größe", "German")] == ["naïve", "Größe"]


def test_a_sentence_s_first_word_does_not_get_the_pause_before_it():
    text = "One two. Three"
    pieces = [b" One", b" two", b".", b" Three"]
    found = timed(text, pieces, np.array([0.0, 0.4, 0.8, 0.9, 4.0]), "English")
    assert (found[2].start, found[2].end) == (pytest.approx(3.2), 4.0)
    assert (found[1].start, found[1].end) == (0.4, 0.8)


def test_the_first_word_does_not_get_the_silence_before_it():
    found = timed("One two", [b" One", b" two"], np.array([0.0, 3.0, 3.4]), "English")
    assert found[0].start == pytest.approx(1.6)  # twice 0.7 s before its end


def test_a_text_without_words_has_none(vocabulary):
    assert words(vocabulary, "...", "English") == []
