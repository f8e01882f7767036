"""How an answer of Whisper reads. In: draws. Out: text, language, whether anybody speaks.

    <|de|> Eins zwei. <|endoftext|>       the language was not given: its token comes first
    Eins zwei. <|endoftext|>              the language was given

The answer to a window in which nobody speaks is the end alone.
"""

from __future__ import annotations

import codecs
import math

from ominix.models.recogniser import Draw, Verdict
from ominix.models.whisper.tokenizer import LANGUAGES, SpecialTokens, Vocabulary
from ominix.text import languages


class WhisperAnswer:
    """An answer as it grows, token by token. Text is whole characters without space at its ends."""

    def __init__(self, vocabulary: Vocabulary, tokens: SpecialTokens, language: str | None) -> None:
        self.language = language
        self.language_prob: float | None = None
        self.no_speech_prob = 0.0
        self.finished = False
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self.verdict: Verdict | None = None
        self._vocabulary = vocabulary
        self._special = tokens
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._spaces = ""  # held back: they may be the last
        self._begun = False

    def feed(self, draw: Draw) -> str:
        self.no_speech_prob = math.exp(draw.no_speech_logprob)
        self.verdict = draw.verdict
        if self._special.first_language <= draw.token < self._special.translate:
            if self.language is None:  # a later one is a slip: what is said in front counts
                code = LANGUAGES[draw.token - self._special.first_language]
                self.language = languages.find(code) or code
                self.language_prob = math.exp(draw.logprob)
            return ""
        if draw.token == self._special.end:
            self.logprobs.append(draw.logprob)
            self.finished = True
        if draw.token >= self._special.end:
            return ""  # timestamps are no text
        self.logprobs.append(draw.logprob)
        self.tokens.append(draw.token)
        return self._text(self._characters.decode(self._vocabulary.bytes_of(draw.token)))

    def end(self) -> str:
        return self._text(self._characters.decode(b"", final=True))

    def _text(self, piece: str) -> str:
        piece = self._spaces + piece
        if not self._begun:
            piece = piece.lstrip()
        kept = piece.rstrip()
        self._spaces = piece[len(kept) :]
        self._begun = self._begun or bool(kept)
        return kept
