"""Whisper as the engine's aligner: it times the words of a text by where it listens while it reads it.

Any Whisper model can, and any speech model's text will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np

from ominix.errors import JobRefused
from ominix.models.aligner import Utterance
from ominix.models.recogniser import Features, Prepare, Samples
from ominix.models.whisper import features, timing, weights, words
from ominix.models.whisper.config import Config, Heads
from ominix.models.whisper.encodings import Encodings
from ominix.models.whisper.model import Model
from ominix.models.whisper.prompts import Prompts
from ominix.models.whisper.tokenizer import SpecialTokens, Vocabulary
from ominix.text.sentences import TimedWord


def load(folder: Path, prepare: Prepare) -> WhisperAligner:
    """Raises ValueError for a folder that holds no Whisper model, or a broken one."""
    model = weights.load(folder)
    tokens = SpecialTokens(model.config.n_vocab)
    prepare(model)
    return WhisperAligner(model, Vocabulary(tokens.multilingual), tokens, Encodings(model))


class WhisperAligner:
    def __init__(
        self, model: Model, vocabulary: Vocabulary, tokens: SpecialTokens, encodings: Encodings
    ) -> None:
        self.features_kind = features.kind(model.config.n_mels)
        self._model = model
        self._encodings = encodings
        self._vocabulary = vocabulary
        self._tokens = tokens
        self._prompts = Prompts(vocabulary, tokens, model.config.n_text_ctx)
        self._heads = heads(model.config)

    def features(self, samples: Samples) -> Features:
        return features.features(samples, self._model.config.n_mels)

    def refusal(self, language: str | None) -> JobRefused | None:
        if language is None or language in self._prompts.codes:
            return None
        known = ", ".join(sorted(self._prompts.codes))
        return JobRefused(
            f"This model cannot time words of {language}. It knows: {known}.",
            param="timestamp_granularities",
            code="language_not_supported",
        )

    def align(self, utterances: Sequence[Utterance]) -> list[list[TimedWord]]:
        """One after the other: the encoder reads 30 seconds of each, which is most of the work."""
        return [self._align(utterance) for utterance in utterances]

    def _align(self, utterance: Utterance) -> list[TimedWord]:
        code = self._prompts.codes.get(utterance.language or "", "en")
        start = self._prompts.start(code, translate=False, timestamps=False)
        longest = self._model.config.n_text_ctx - len(start) - 1
        text = self._vocabulary.encode(f" {utterance.text}")[:longest]
        positions = min(len(utterance.features) // 2, self._model.config.n_audio_ctx)
        if not text or not positions:
            return []
        scores = self._scores(utterance.features, [*start, *text, self._tokens.end])
        rows = scores[
            :, len(start) - 1 : -1, :positions
        ]  # the step that reads the last of `start` says the first
        starts = timing.token_starts(rows)
        pieces = [self._vocabulary.bytes_of(token) for token in text]
        length = utterance.end - utterance.start
        found = words.timed(utterance.text, pieces, np.minimum(starts, length), utterance.language)
        return [_moved(word, utterance.start) for word in found]

    def _scores(self, mel: Features, tokens: list[int]) -> timing.Floats:
        """(heads, len(tokens), n_audio_ctx)."""
        decoder = self._model.decoder
        scores = decoder.attention_scores([tokens], decoder.listen(self._encodings.of(mel)), self._heads)
        return np.array(scores[0].astype(mx.float32))


def heads(config: Config) -> Heads:
    """Those that the files name, if the network has them; else all of the decoder's upper half."""
    named = config.alignment_heads
    if named and all(0 <= n < config.n_text_layer and 0 <= h < config.n_text_head for n, h in named):
        return named
    upper = range(config.n_text_layer // 2, config.n_text_layer)
    return tuple((layer, head) for layer in upper for head in range(config.n_text_head))


def _moved(word: TimedWord, seconds: float) -> TimedWord:
    return replace(word, start=round(word.start + seconds, 3), end=round(word.end + seconds, 3))
