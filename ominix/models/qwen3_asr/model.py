"""The whole recogniser: mlx-lm's Qwen3 decoder with an audio tower beside it.

Module names are those of the `thinker.` checkpoints without that prefix.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx_lm.models import qwen3

from ominix.models.qwen3_asr.config import Config
from ominix.models.qwen3_asr.encoder import AudioTower


class Model(qwen3.Model):
    def __init__(self, config: Config) -> None:
        super().__init__(config.text_config)
        self.audio_tower = AudioTower(config.audio_config)

    def embed(self, before: list[int], audio: mx.array, after: list[int]) -> mx.array:
        """A prompt with (L, D) audio in its middle -> (len(before) + L + len(after), D)."""
        text = self.model.embed_tokens(mx.array(before + after))
        return mx.concatenate([text[: len(before)], audio.astype(text.dtype), text[len(before) :]])

    def states(self, x: mx.array, cache: list[Any]) -> mx.array:
        """Embeddings (B, L, D) -> the last layer's states (B, L, D)."""
        # mlx-lm takes no ids beside embeddings, but its signature asks for some
        out: mx.array = self.model(mx.array([]), cache, input_embeddings=x)
        return out

    def logits(self, states: mx.array) -> mx.array:
        """(..., D) -> (..., V)."""
        tied = self.args.tie_word_embeddings
        head = self.model.embed_tokens.as_linear if tied else self.lm_head
        out: mx.array = head(states)
        return out
