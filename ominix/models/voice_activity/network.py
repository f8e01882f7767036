"""Silero's voice activity detector 6.2 for 16 kHz. In: samples. Out: speech probability per 32 ms.

    samples -> spectra of 4 windows a chunk -> four convolutions -> LSTM -> one probability

By the Silero Team, MIT licence (LICENSE): https://github.com/snakers4/silero-vad. The weights are those
of its silero_vad_16k_op15.onnx, in float16. Its STFT layer is a Hann window and a discrete Fourier
transform, so numpy's takes its place; its last convolution sees one frame, so only the kernel's middle is
kept. Numpy alone: it runs beside mlx, in another thread. All but the LSTM is computed for many chunks
at once.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

CHUNK = 512  # samples: 32 ms
_CONTEXT = 64  # samples before a chunk that it sees
_PADDING = 64  # samples after it, mirrored
_WINDOW = 256
_HOP = 128
_FRESH = 250  # chunks, 8 seconds, after which the state begins anew: long music wears it out, and
_WARM = 31  # chunks that it is shown again then, a second


class Network:
    """Keeps its state from chunk to chunk: one object per recording."""

    def __init__(self) -> None:
        self._weights = _weights()
        self._context = np.zeros(_CONTEXT, np.float32)
        self._hidden = self._cell = np.zeros(128, np.float32)
        self._recent = np.zeros((0, 128), np.float32)  # encoded chunks since the state began

    def probabilities(self, samples: Floats) -> Floats:
        """(chunks * CHUNK,) -> (chunks,), 0 to 1."""
        found, i = [np.zeros(0, np.float32)], 0
        while i < len(samples):
            if len(self._recent) >= _FRESH:
                self._begin_anew()
            size = (_FRESH - len(self._recent)) * CHUNK
            found.append(self._block(samples[i : i + size]))
            i += size
        return np.concatenate(found)

    def _begin_anew(self) -> None:
        self._hidden = self._cell = np.zeros(128, np.float32)
        self._lstm(self._recent[-_WARM:])
        self._recent = self._recent[:0]

    def _block(self, samples: Floats) -> Floats:
        seen = np.concatenate([self._context, samples])
        self._context = seen[-_CONTEXT:]
        chunks = np.lib.stride_tricks.sliding_window_view(seen, _CONTEXT + CHUNK)[::CHUNK]  # (B, 576)
        encoded = self._encoded(chunks)
        self._recent = np.concatenate([self._recent, encoded])
        hidden = self._lstm(encoded)  # (B, 128)
        logits = np.maximum(hidden, 0) @ self._weights["final.weight"] + self._weights["final.bias"]
        return np.asarray(_sigmoid(logits), np.float32)

    def _encoded(self, chunks: Floats) -> Floats:
        """(B, 576) -> (B, 128)"""
        padded = np.pad(chunks, ((0, 0), (0, _PADDING)), mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW, axis=1)[:, ::_HOP]  # (B, 4, 256)
        x = np.abs(np.fft.rfft(windows * _hann())).astype(np.float32)  # (B, 4, 129)
        x = self._convolved(x, "conv1", stride=1)  # (B, 4, 128)
        x = self._convolved(x, "conv2", stride=2)  # (B, 2, 64)
        x = self._convolved(x, "conv3", stride=2)  # (B, 1, 64)
        return self._linear(x[:, 0], "conv4")

    def _convolved(self, x: Floats, name: str, *, stride: int) -> Floats:
        """Kernel 3, zero padding, ReLU. (B, L, C) -> (B, L / stride, D)"""
        B, L, C = x.shape
        padded = np.zeros((B, L + 2, C), np.float32)
        padded[:, 1:-1] = x
        # (B, L / stride, 3 C)
        taps = np.concatenate([padded[:, i : i + L : stride] for i in range(3)], axis=-1)
        return self._linear(taps, name)

    def _linear(self, x: Floats, name: str) -> Floats:
        """With ReLU."""
        y: Floats = x @ self._weights[f"{name}.weight"]
        y += self._weights[f"{name}.bias"]
        return np.maximum(y, 0, out=y)

    def _lstm(self, x: Floats) -> Floats:
        """(B, 128) -> (B, 128): the hidden state after each chunk."""
        w = self._weights
        inputs = x @ w["lstm.weight_ih"] + w["lstm.bias"]  # (B, 512): input, forget, cell and output gates
        recurrent, out = w["lstm.weight_hh"], np.empty_like(x)
        for i, row in enumerate(inputs):
            gates = row + self._hidden @ recurrent
            enter, keep, leave = _sigmoid(gates[:128]), _sigmoid(gates[128:256]), _sigmoid(gates[384:])
            self._cell = keep * self._cell + enter * np.tanh(gates[256:384])
            out[i] = self._hidden = leave * np.tanh(self._cell)
        return out


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x), np.float32)


@lru_cache(maxsize=1)
def _hann() -> Floats:
    return np.asarray(np.hanning(_WINDOW + 1)[:-1], np.float32)


@lru_cache(maxsize=1)
def _weights() -> dict[str, Floats]:
    """Matrices (inputs, outputs); a convolution's inputs are its three taps, one after the other."""
    with (files(__package__) / "weights.npz").open("rb") as file, np.load(file, allow_pickle=False) as stored:
        return {name: stored[name].astype(np.float32) for name in stored.files}
