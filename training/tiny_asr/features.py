"""Log-mel frames exactly as transformers makes them for one clip, and their random distortions."""

import numpy as np
import torch
from torch import Tensor
from transformers import Qwen3ASRFeatureExtractor

BINS = 128
_WARPS = 25


class Features:
    """Samples to frames: floor(n / 160) of them, a clip under half a second padded to that."""

    def __init__(self) -> None:
        self._extractor = Qwen3ASRFeatureExtractor()
        filters = self._extractor.mel_filters  # (201, 128)
        self._filters = torch.from_numpy(filters).float().T.contiguous()
        self._hertz = np.argmax(filters, axis=0) * 40.0  # the middle of each bin, (128,)
        self._window = torch.hann_window(400)
        self._warps = [_warp(factor) for factor in np.linspace(0.87, 1.15, _WARPS)]

    def __call__(self, samples: np.ndarray, rng: np.random.Generator | None = None) -> Tensor:
        """(n,) float32 to (128, n // 160) float32; with `rng`, as if by another voice and line."""
        missing = self._extractor.min_length - len(samples)
        wave = torch.from_numpy(np.pad(samples, (0, missing)) if missing > 0 else samples)
        spectrum = torch.stft(wave, 400, 160, window=self._window, return_complex=True)
        spectrum = spectrum[:, :-1]
        power = spectrum.real.square() + spectrum.imag.square()
        mel = (self._filters @ power).clamp_min(1e-10).log10()
        if rng is not None:
            mel = self._distorted(mel, rng)
        return (torch.maximum(mel, mel.max() - 8.0) + 4.0) / 4.0

    def _distorted(self, mel: Tensor, rng: np.random.Generator) -> Tensor:
        """Another vocal tract (bins moved along the axis), an equaliser, bands lost."""
        if rng.random() < 0.5:
            mel = self._warps[rng.integers(_WARPS)] @ mel
        gain = np.zeros(BINS)
        if rng.random() < 0.5:
            knots = np.log([100, 300, 650, 1500, 3500, 8000])
            gain += np.interp(np.log(self._hertz + 60), knots, rng.normal(0, 0.3, 6))
        if rng.random() < 0.2:
            cutoff = rng.choice([3400, 3800, 4000, 5500, 7000]) * rng.uniform(0.95, 1.02)
            gain -= np.clip((self._hertz - cutoff) / rng.uniform(20, 80), 0, 10)
        if rng.random() < 0.1:
            gain -= np.clip((rng.uniform(80, 300) - self._hertz) / 40, 0, 10)
        if rng.random() < 0.2:
            low = rng.integers(0, BINS - 16)
            gain[low : low + rng.integers(4, 17)] -= 3
        return (mel + torch.from_numpy(gain).float()[:, None]).clamp_min(-10.0)


def _warp(factor: float) -> Tensor:
    """(128, 128): row i takes bin i * factor of the input, linearly between neighbours."""
    place = (torch.arange(BINS) * factor).clamp(max=BINS - 1.001)
    low = place.floor().long()
    rows = torch.arange(BINS)
    warp = torch.zeros(BINS, BINS)
    warp[rows, low] = 1 - (place - low)
    warp[rows, low + 1] = place - low
    return warp
