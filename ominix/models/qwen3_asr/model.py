"""The whole recogniser, and the forced aligner: mlx-lm's Qwen3 decoder with an audio tower beside it.

Module names are those of the `thinker.` checkpoints without that prefix.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.models import qwen3

from ominix.models.qwen3_asr.config import AlignerConfig, Config
from ominix.models.qwen3_asr.encoder import AudioTower


class Model(qwen3.Model):
    def __init__(self, config: Config) -> None:
        super().__init__(config.text_config)
        self.audio_tower = AudioTower(config.audio_config)

    def embed(self, before: list[int], audio: mx.array, after: list[int]) -> mx.array:
        """A prompt with (L, D) audio in its middle -> (len(before) + L + len(after), D)."""
        text = self.model.embed_tokens(mx.array(before + after))
        return mx.concatenate([text[: len(before)], audio.astype(text.dtype), text[len(before) :]])

    def states(self, x: mx.array, cache: list[Any] | None) -> mx.array:
        """Embeddings (B, L, D) -> the last layer's states (B, L, D). `cache` None: nothing is kept."""
        # mlx-lm takes no ids beside embeddings, but its signature asks for some
        out: mx.array = self.model(mx.array([]), cache, input_embeddings=x)
        return out

    def logits(self, states: mx.array) -> mx.array:
        """(..., D) -> (..., V)."""
        tied = self.args.tie_word_embeddings
        head = self.model.embed_tokens.as_linear if tied else self.lm_head
        out: mx.array = head(states)
        return out


class ForcedAligner(Model):
    """A head over points in time instead of one over tokens."""

    def __init__(self, config: AlignerConfig) -> None:
        super().__init__(config.model)
        self.score = nn.Linear(config.model.text_config.hidden_size, config.classes, bias=config.has_bias)

    def classes(self, prompts: list[mx.array], places: list[list[int]]) -> list[list[int]]:
        """The likeliest class at each of a prompt's places, for several (L_i, D) at once.

        Filled up on the right: the decoder looks back only, so that no prompt sees another's padding.
        """
        longest = max(map(len, prompts))
        padded = mx.stack([mx.pad(p, [(0, longest - len(p)), (0, 0)]) for p in prompts])
        states = self.states(padded, None)  # (B, L, D)
        chosen = [states[i, mx.array(at)] for i, at in enumerate(places)]
        best = np.array(mx.argmax(self.score(mx.concatenate(chosen)), axis=-1))
        borders = np.cumsum([len(at) for at in places])[:-1]
        return [numbers.tolist() for numbers in np.split(best, borders)]
