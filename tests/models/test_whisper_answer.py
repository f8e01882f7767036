"""How answers of Whisper read: no special token is ever text."""

from __future__ import annotations

import pytest

from ominix.models.recogniser import Draw
from ominix.models.whisper.answer import WhisperAnswer
from ominix.models.whisper.tokenizer import SpecialTokens, Vocabulary

TOKENS = SpecialTokens(51865)
GERMAN = TOKENS.language("de")


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary(True)


def read(vocabulary, *parts: str | int, language: str | None = None) -> tuple[WhisperAnswer, str]:
    answer = WhisperAnswer(vocabulary, TOKENS, language)
    tokens = [t for part in parts for t in ([part] if isinstance(part, int) else vocabulary.encode(part))]
    pieces = [answer.feed(Draw(1, token, -0.5, -9.0)) for token in tokens]
    return answer, "".join([*pieces, answer.end()])


@pytest.mark.parametrize("special", range(TOKENS.start, TOKENS.n_vocab, 97))
def test_special_tokens_and_timestamps_are_no_text_wherever_they_stand(vocabulary, special):
    answer, text = read(vocabulary, special, " one", special, " two", special, TOKENS.end)
    assert text == "one two"
    assert len(answer.logprobs) == len(answer.tokens) + 1


def test_only_the_language_in_front_counts(vocabulary):
    french = TOKENS.language("fr")
    assert read(vocabulary, GERMAN, " eins", french, " deux")[0].language == "German"
    assert read(vocabulary, GERMAN, " eins", language="English")[0].language == "English"


def test_silence_is_an_end_alone(vocabulary):
    answer, text = read(vocabulary, GERMAN, TOKENS.end)
    assert (answer.finished, text) == (True, "")
