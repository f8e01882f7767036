"""Samples to log-mel frames for Qwen3-ASR: equal to transformers' Qwen3ASRFeatureExtractor on one clip.

Whisper's formula with 128 bands; nothing is filled up to 30 seconds.
"""

from __future__ import annotations

import numpy as np

from ominix.models import log_mel as formula
from ominix.models.log_mel import HOP, SAMPLE_RATE_HZ, Mel, Samples

__all__ = ["HOP", "KIND", "SAMPLE_RATE_HZ", "Mel", "Samples", "log_mel"]

KIND = "log-mel, 128 bands, by clip"

_MIN_SAMPLES = 8_000  # shorter clips are filled up with zeros, as in training


def log_mel(samples: Samples, bands: int = 128) -> Mel:
    """(N,) samples -> (max(N, 8000) // 160, bands)."""
    return formula.log_mel(np.pad(samples, (0, max(0, _MIN_SAMPLES - len(samples)))), bands)
