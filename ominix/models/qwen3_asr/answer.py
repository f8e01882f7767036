"""How an answer of Qwen3-ASR reads. In: draws. Out: text, language, whether anybody speaks.

    language English<asr_text>One two three.<|im_end|>      the language was not given
    language None<asr_text>                                 and nobody speaks
    One two three.<|im_end|>                                the language was given

With the language given the model cannot say "None". Then the probability that it would have, asked for in the
middle of the prompt, decides.
"""

from __future__ import annotations

import codecs
import math

from ominix.models.qwen3_asr.prompt import NOTHING, Grammar
from ominix.models.recogniser import Draw
from ominix.text import languages

_NO_SPEECH = 0.5  # more likely than not, the model itself would say "language None"


class Qwen3Answer:
    """An answer as it grows, token by token. Text is whole characters without space at its ends."""

    def __init__(self, grammar: Grammar, language: str | None) -> None:
        self.language = language
        self.no_speech_prob = 0.0
        self.finished = False
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self._grammar = grammar
        self._is_forced = language is not None
        self._drawn = 0
        self._in_text = self._is_forced
        self._silent = False  # the model has said that there is nothing to write down
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._header = ""
        self._header_tokens: list[int] = []
        self._spaces = ""  # held back: they may be the last
        self._begun = False

    def feed(self, draw: Draw) -> str:
        """The text that this draw adds."""
        if self._could_say_nothing():
            self.no_speech_prob = math.exp(draw.no_speech_logprob)
        self._drawn += 1
        self.logprobs.append(draw.logprob)
        is_silent = self._is_forced and self._drawn == 1 and self.no_speech_prob > _NO_SPEECH
        if is_silent or draw.token in self._grammar.ends:
            self.finished = True
            return ""
        text = self._read(draw.token)
        self.finished = self._silent
        return text

    def _could_say_nothing(self) -> bool:
        """Whether this draw stands where "None" may follow upon "language"."""
        if self._is_forced:
            return self._drawn == 0
        opening = self._grammar.opening
        return self._drawn == len(opening) and self._header_tokens == opening

    def _read(self, token: int) -> str:
        if token == self._grammar.tag and not self._in_text:
            self._read_header()
            return ""
        piece = self._characters.decode(self._grammar.bytes_of(token))
        if self._in_text:
            self.tokens.append(token)
            return self._text(piece)
        self._header_tokens.append(token)
        self._header += piece
        return ""

    def end(self) -> str:
        """What was held back. An answer without <asr_text> is all text, as in the reference."""
        rest = self._characters.decode(b"", final=True)
        if not self._in_text:
            self._in_text, self.tokens, rest = True, self._header_tokens, self._header + rest
        return "" if self._silent else self._text(rest)

    def _read_header(self) -> None:
        """ "language English" has been said; other first lines are taken for a name, as in the reference."""
        lines = [line.strip() for line in self._header.splitlines() if line.strip()]
        said = lines[0] if lines else ""
        if said.lower().startswith("language "):
            said = said[len("language ") :].strip()
        self._silent = said.lower() == NOTHING.lower()
        self.language = None if self._silent or not said else languages.find(said) or said
        self._in_text = True
        self.logprobs.clear()
        self._characters.reset()

    def _text(self, piece: str) -> str:
        piece = self._spaces + piece
        if not self._begun:
            piece = piece.lstrip()
        kept = piece.rstrip()
        self._spaces = piece[len(kept) :]
        self._begun = self._begun or bool(kept)
        return kept
