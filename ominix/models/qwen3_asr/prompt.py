"""What the model is asked and how its answer reads.

    <|im_start|>system\\n{context}<|im_end|>\\n<|im_start|>user\\n<|audio_start|>(audio)<|audio_end|><|im_end|>\\n
    <|im_start|>assistant\\n[language {name}<asr_text>]

The model goes on with "language English<asr_text>One two three." or, when nothing was said, with
"language None<asr_text>"; with the language given, with the words alone.
"""

from __future__ import annotations

import codecs

from ominix.models.qwen3_asr.tokenizer import Vocabulary
from ominix.text import languages

_TAG = "<asr_text>"
_NOTHING = "None"
_ENDS = ("<|im_end|>", "<|endoftext|>")


class Grammar:
    """Prompts and answers in the tokens of one vocabulary."""

    def __init__(self, vocabulary: Vocabulary, eos_token_ids: tuple[int, ...] = ()) -> None:
        self._vocabulary = vocabulary
        self.tag = vocabulary.id_of(_TAG)
        self.ends = vocabulary.ids_of_some(_ENDS).union(eos_token_ids)
        self.opening = vocabulary.encode("language")  # of every answer, if the language is not given
        self.nothing = vocabulary.encode(f"language {_NOTHING}")[len(self.opening)]
        self._audio_start = vocabulary.id_of("<|audio_start|>")
        self._audio_end = vocabulary.id_of("<|audio_end|>")

    def prompt(self, context: str, language: str | None) -> tuple[list[int], list[int]]:
        """The tokens before and after the audio. `language`: an English name; None: the model's guess."""
        encode = self._vocabulary.encode
        context = self._vocabulary.without_markup(context)
        before = encode(f"<|im_start|>system\n{context}<|im_end|>\n<|im_start|>user\n")
        after = encode("<|im_end|>\n<|im_start|>assistant\n")
        return [*before, self._audio_start], [self._audio_end, *after, *self.forced(language)]

    def forced(self, language: str | None) -> list[int]:
        """How an answer in a given language begins."""
        return self._vocabulary.encode(f"language {language}{_TAG}") if language else []

    def probe(self, language: str | None) -> int:
        """The prompt's position, from its end, after which the model would say "None" if nothing is said."""
        return min(-1, len(self.opening) - len(self.forced(language)) - 1)

    def answer(self, language: str | None) -> Answer:
        return Answer(self._vocabulary, self.tag, language)

    def bytes_of(self, token: int) -> bytes:
        return self._vocabulary.bytes_of(token)


class Answer:
    """An answer as it grows, token by token. Text is whole characters without space at its ends."""

    def __init__(self, vocabulary: Vocabulary, tag: int, language: str | None) -> None:
        self.forced = language is not None
        self.language = language  # an English name; None until it is known, and when nothing was said
        self.tokens: list[int] = []  # those of the words
        self.silent = False  # the model has said that there is nothing to write down
        self._vocabulary = vocabulary
        self._tag = tag
        self._in_text = self.forced
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._header = ""
        self._spaces = ""  # held back: they may be the last
        self._begun = False

    def feed(self, token: int) -> str:
        """The text that this token adds."""
        if token == self._tag and not self._in_text:
            self._read_header()
            return ""
        piece = self._characters.decode(self._vocabulary.bytes_of(token))
        self.tokens.append(token)
        if self._in_text:
            return "" if self.silent else self._text(piece)
        self._header += piece
        return ""

    def end(self) -> str:
        """What was held back. An answer without <asr_text> is all text, as in the reference."""
        rest = self._characters.decode(b"", final=True)
        if not self._in_text:
            self._in_text, rest = True, self._header + rest
        return "" if self.silent else self._text(rest)

    def _read_header(self) -> None:
        """ "language English" has been said; other first lines are taken for a name, as in the reference."""
        lines = [line.strip() for line in self._header.splitlines() if line.strip()]
        said = lines[0] if lines else ""
        if said.lower().startswith("language "):
            said = said[len("language ") :].strip()
        self.silent = said.lower() == _NOTHING.lower()
        self.language = None if self.silent or not said else languages.find(said) or said
        self._in_text = True
        self.tokens.clear()
        self._characters.reset()

    def _text(self, piece: str) -> str:
        piece = self._spaces + piece
        if not self._begun:
            piece = piece.lstrip()
        kept = piece.rstrip()
        self._spaces = piece[len(kept) :]
        self._begun = self._begun or bool(kept)
        return kept
