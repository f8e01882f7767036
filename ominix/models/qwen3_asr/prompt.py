"""What the model is asked. In: context and language of a job. Out: the tokens around the audio.

    <|im_start|>system\\n{context}<|im_end|>\\n<|im_start|>user\\n<|audio_start|>(audio)<|audio_end|><|im_end|>\\n
    <|im_start|>assistant\\n[language {name}<asr_text>]

`answer` reads what the model says to it.
"""

from __future__ import annotations

from ominix.models.qwen3_asr.tokenizer import Vocabulary

TAG = "<asr_text>"
NOTHING = "None"
_ENDS = ("<|im_end|>", "<|endoftext|>")


class Grammar:
    """Prompts, and the tokens with a meaning in answers, of one vocabulary."""

    def __init__(self, vocabulary: Vocabulary, eos_token_ids: tuple[int, ...] = ()) -> None:
        self._vocabulary = vocabulary
        self.tag = vocabulary.id_of(TAG)
        self.ends = vocabulary.ids_of_some(_ENDS).union(eos_token_ids)
        self.opening = vocabulary.encode("language")  # of every answer, if the language is not given
        self.nothing = vocabulary.encode(f"language {NOTHING}")[len(self.opening)]
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
        return self._vocabulary.encode(f"language {language}{TAG}") if language else []

    def probe(self, language: str | None) -> int:
        """The prompt's position, from its end, after which the model would say "None" if nothing is said."""
        return min(-1, len(self.opening) - len(self.forced(language)) - 1)

    def is_added(self, token: int) -> bool:
        """Whether the token is markup, which is no part of a text."""
        return self._vocabulary.is_added(token)

    def bytes_of(self, token: int) -> bytes:
        return self._vocabulary.bytes_of(token)
