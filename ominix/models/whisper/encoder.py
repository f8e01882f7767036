"""Whisper's encoder: 3,000 log-mel frames of 10 ms to 1,500 positions of 20 ms."""

from __future__ import annotations

import math
from collections.abc import Iterator

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ominix.models.whisper.config import Config
from ominix.models.whisper.layers import Block


class AudioEncoder(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        n = config.n_audio_state
        self.conv1 = nn.Conv1d(config.n_mels, n, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(n, n, kernel_size=3, stride=2, padding=1)
        self.blocks = [EncoderBlock(n, config.n_audio_head) for _ in range(config.n_audio_layer)]
        self.ln_post = nn.LayerNorm(n)
        self.act = nn.GELU()
        self._positions = sinusoids(config.n_audio_ctx, n)

    def __call__(self, mel: mx.array) -> mx.array:
        """(B, 2 * n_audio_ctx, n_mels) -> (B, n_audio_ctx, n_audio_state)."""
        *_, encoded = self.pieces(mel)
        return encoded

    def pieces(self, mel: mx.array) -> Iterator[mx.array]:
        """As the call, in as many pieces of work as there are layers; the last one's result counts.

        A large model needs a minute of a CPU's time for a window.
        """
        x = mel.astype(self.conv1.weight.dtype)
        x = self.act(self.conv2(self.act(self.conv1(x))))
        x = x + self._positions.astype(x.dtype)
        for block in self.blocks[:-1]:
            x = block(x)
            yield x
        yield self.ln_post(self.blocks[-1](x))


class EncoderBlock(Block):
    def __call__(self, x: mx.array) -> mx.array:
        y = self.attn_ln(x)
        return self.feed_forward(x + self.attn(y, self.attn.keys_values(y)))


def sinusoids(length: int, channels: int) -> mx.array:
    """(length, channels): sines, then cosines, wavelengths 2 pi to 10,000 x 2 pi (Vaswani et al., 2017)."""
    half = channels // 2
    rates = np.exp(-math.log(10_000) / (half - 1) * np.arange(half, dtype=np.float32))
    angles = np.arange(length, dtype=np.float32)[:, None] * rates
    return mx.array(np.concatenate([np.sin(angles), np.cos(angles)], axis=1))
