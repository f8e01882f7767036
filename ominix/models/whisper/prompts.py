"""What the decoder reads before it answers.

    [start_of_prev, previous text ...] start [language, task] [no_timestamps]

English-only models have neither language nor task. Of a previous text that is too long the end counts.

Chinese is written in one of two scripts, and the model takes now the one and now the other, from clip to clip
of one recording. A previous text settles it: without one of the client's it is a sentence in simplified
characters ("The following are sentences in Mandarin."). Who wants traditional ones gives a prompt in them.
"""

from __future__ import annotations

from ominix.models.whisper.tokenizer import LANGUAGES, SpecialTokens, Vocabulary
from ominix.text import languages

_SCRIPT_HINTS = {"zh": "以下是普通话的句子。"}


class Prompts:
    """Prompts in the tokens of one vocabulary, for a decoder of so many positions."""

    def __init__(self, vocabulary: Vocabulary, tokens: SpecialTokens, n_text_ctx: int) -> None:
        self._vocabulary = vocabulary
        self._tokens = tokens
        self.longest = n_text_ctx // 2 - 1  # tokens of previous text
        codes = LANGUAGES[: tokens.languages] if tokens.multilingual else ("en",)
        self.codes = {name: code for code in codes if (name := languages.find(code))}

    def previous(self, text: str) -> list[int]:
        """The tokens of its end, as many as a prompt holds; [] for no text."""
        text = text.strip()
        if not text:
            return []
        # a character is a token at least; so much of the end holds all tokens that count
        return self._vocabulary.encode(f" {text[-16 * self.longest :].lstrip()}")[-self.longest :]

    def script_hint(self, code: str) -> list[int]:
        """The previous text of a clip that has none, where its language needs one; [] where it does not."""
        hint = self.previous(_SCRIPT_HINTS.get(code, ""))
        return [self._tokens.start_of_prev, *hint] if hint else []

    def start(self, language: str | None, *, translate: bool, timestamps: bool) -> list[int]:
        """`language`: a code; English-only models ignore it."""
        tokens = self._tokens
        sequence = [tokens.start]
        if tokens.multilingual:
            assert language is not None
            sequence += [tokens.language(language), tokens.translate if translate else tokens.transcribe]
        return sequence if timestamps else [*sequence, tokens.no_timestamps]
