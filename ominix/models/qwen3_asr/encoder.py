"""The audio tower: log-mel frames of several clips to decoder embeddings.

Three convolutions see one chunk of 100 frames at a time (13 positions of 80 ms), attention one window of 8 s.
Positions of all clips lie packed in one row, so that only attention ever sees where a clip ends; nothing is
padded but each clip's last chunk, with zeros, as in the reference.
"""

from __future__ import annotations

import math

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ominix.cpu import door
from ominix.models.qwen3_asr.config import EncoderConfig, positions
from ominix.models.qwen3_asr.features import Mel

# Chunks convolved at a time. On a CPU, what they unfold to should fit its cache: 40 chunks of a 0.6B model
# took 3.9 s at once, 2.6 by tens, 1.7 by twos.
_CPU_CHUNKS, _GPU_CHUNKS = 2, 64

_ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU}


class AudioTower(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        c = config.downsample_hidden_size
        self.conv2d1 = nn.Conv2d(1, c, 3, stride=2, padding=1)
        self.conv2d2 = nn.Conv2d(c, c, 3, stride=2, padding=1)
        self.conv2d3 = nn.Conv2d(c, c, 3, stride=2, padding=1)
        self.conv_out = nn.Linear(c * positions(config.num_mel_bins), config.d_model, bias=False)
        self.layers = [Layer(config) for _ in range(config.encoder_layers)]
        self.ln_post = nn.LayerNorm(config.d_model)
        self.proj1 = nn.Linear(config.d_model, config.d_model)
        self.proj2 = nn.Linear(config.d_model, config.output_dim)
        self._config = config
        self.act = _ACTIVATIONS[config.activation_function]()
        self._position = sinusoids(positions(config.chunk), config.d_model)

    def __call__(self, mels: list[Mel]) -> list[mx.array]:
        """[(T_i, M)] -> [(L_i, output_dim)], L_i = 13 per full chunk and the rest's share."""
        x = self._convolve(mels)  # (1, L, D), all clips in a row
        lengths = [self.length(len(mel)) for mel in mels]
        order, windows = self._windows(lengths)
        x = x[:, mx.array(order)]
        for layer in self.layers:
            x = layer(x, windows)
        x = self.proj2(self.act(self.proj1(self.ln_post(x))))
        x = x[0, mx.array(np.argsort(order))]
        return list(mx.split(x, np.cumsum(lengths)[:-1].tolist()))

    def length(self, frames: int) -> int:
        """Positions that stand for so many frames."""
        full, rest = divmod(frames, self._config.chunk)
        return full * positions(self._config.chunk) + positions(rest)

    def _convolve(self, mels: list[Mel]) -> mx.array:
        """[(T_i, M)] -> (1, L, D)."""
        size, bands = self._config.chunk, self._config.num_mel_bins
        padded = [np.pad(mel, ((0, -len(mel) % size), (0, 0))) for mel in mels]
        x = mx.array(np.concatenate(padded)).astype(self.conv2d1.weight.dtype)
        x = x.reshape(-1, size, bands).transpose(0, 2, 1)[..., None]  # (chunks, M, 100, 1)
        step = _CPU_CHUNKS if door.on_cpu() else _GPU_CHUNKS
        x = mx.concatenate([self._convolve_chunks(x[i : i + step]) for i in range(0, len(x), step)])
        x = x + self._position.astype(x.dtype)
        packed: mx.array = x.reshape(1, -1, x.shape[-1])[:, mx.array(self._valid(mels))]
        return packed

    def _convolve_chunks(self, x: mx.array) -> mx.array:
        """(chunks, M, 100, 1) -> (chunks, 13, D)."""
        for conv in (self.conv2d1, self.conv2d2, self.conv2d3):
            x = self.act(conv(x))
        n, m, t, c = x.shape
        out: mx.array = self.conv_out(x.transpose(0, 2, 3, 1).reshape(n, t, c * m))
        mx.eval(out)  # now: what lies between takes 35 MB a chunk
        return out

    def _valid(self, mels: list[Mel]) -> list[int]:
        """Which of the padded chunks' positions stand for audio."""
        start, per_chunk = 0, positions(self._config.chunk)
        chosen: list[int] = []
        for mel in mels:
            chosen += range(start, start + self.length(len(mel)))
            start += math.ceil(len(mel) / self._config.chunk) * per_chunk
        return chosen

    def _windows(self, lengths: list[int]) -> tuple[list[int], list[int]]:
        """The order that puts the full windows of all clips first, and the lengths of what then follows.

        The first entry of the lengths is that of all full windows together.
        """
        size, start = self._config.window, 0
        full: list[int] = []
        rests: list[range] = []
        for length in lengths:
            whole = length - length % size
            full += range(start, start + whole)
            rests.append(range(start + whole, start + length))
            start += length
        rests = [rest for rest in rests if rest]
        return full + [i for rest in rests for i in rest], [len(full), *map(len, rests)]


class Layer(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.self_attn_layer_norm = nn.LayerNorm(config.d_model)
        self.fc1 = nn.Linear(config.d_model, config.encoder_ffn_dim)
        self.fc2 = nn.Linear(config.encoder_ffn_dim, config.d_model)
        self.final_layer_norm = nn.LayerNorm(config.d_model)
        self.act = _ACTIVATIONS[config.activation_function]()

    def __call__(self, x: mx.array, windows: list[int]) -> mx.array:
        x = x + self.self_attn(self.self_attn_layer_norm(x), windows)
        x = x + self.fc2(self.act(self.fc1(self.final_layer_norm(x))))
        if x.dtype == mx.float16:  # as the reference: large activations overflow in the deep layers
            x = mx.clip(x, -64504, 64504)
        return x


class Attention(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        d = config.d_model
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(d, d) for _ in range(4))
        self._heads = config.encoder_attention_heads
        self._window = config.window

    def __call__(self, x: mx.array, windows: list[int]) -> mx.array:
        """(1, L, D) -> (1, L, D); `windows` as AudioTower orders them."""
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        borders = np.cumsum(windows)[:-1].tolist()
        sizes = [self._window, *windows[1:]]
        parts = zip(*(mx.split(a, borders, axis=1) for a in (q, k, v)), sizes, strict=True)
        out = [self._attend(q, k, v, size) for q, k, v, size in parts if q.size]
        joined: mx.array = self.out_proj(mx.concatenate(out, axis=1))
        return joined

    def _attend(self, q: mx.array, k: mx.array, v: mx.array, size: int) -> mx.array:
        """Windows of `size` positions each: (1, W * size, D) -> the same."""
        _, _, D = q.shape
        H = self._heads
        q, k, v = (a.reshape(-1, size, H, D // H).transpose(0, 2, 1, 3) for a in (q, k, v))
        out = mx.fast.scaled_dot_product_attention(q, k, v, scale=(D // H) ** -0.5)
        return out.transpose(0, 2, 1, 3).reshape(1, -1, D)


def sinusoids(length: int, channels: int) -> mx.array:
    """(length, channels): sines, then cosines, wavelengths 2 pi to 10,000 x 2 pi (Vaswani et al., 2017)."""
    half = channels // 2
    rates = np.exp(-math.log(10_000) / (half - 1) * np.arange(half, dtype=np.float32))
    angles = np.arange(length, dtype=np.float32)[:, None] * rates
    return mx.array(np.concatenate([np.sin(angles), np.cos(angles)], axis=1))
