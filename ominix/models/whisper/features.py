"""Samples to what Whisper's encoder reads. In: mono samples at 16 kHz. Out: log-mel frames, 100 a second.

As openai-whisper does it: behind the end of the samples lies silence, and a window that is not full is
filled with 0.0 in the *frames*, not in the samples (transformers fills the samples, so that its tail holds
the floor).
"""

from __future__ import annotations

import numpy as np

from ominix.models import log_mel
from ominix.models.log_mel import Mel, Samples

FRAMES_PER_SECOND = log_mel.SAMPLE_RATE_HZ // log_mel.HOP


def kind(bands: int) -> str:
    """What tells these features from other models'."""
    return f"log-mel, {bands} bands, Whisper's"


def features(samples: Samples, bands: int) -> Mel:
    """(N,) samples of a clip or a whole file -> (N // 160, bands). The floor follows their maximum."""
    silence = np.zeros(log_mel.FFT, np.float32)  # no frame that counts sees what the far edge reflects
    return log_mel.log_mel(np.concatenate([samples, silence]), bands)[: len(samples) // log_mel.HOP]


def window(mel: Mel, frames: int) -> Mel:
    """(T, bands) -> (frames, bands): cut, or filled up with 0.0."""
    kept = mel[:frames]
    return np.pad(kept, ((0, frames - len(kept)), (0, 0)))
