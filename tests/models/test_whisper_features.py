"""Whisper's log-mel frames: transformers' in the content, openai's behind it."""

from __future__ import annotations

import numpy as np
import pytest
from whisper_folders import GOLDEN

from ominix.models.whisper.features import features, window


@pytest.mark.parametrize("bands", [80, 128])
def test_features_are_the_reference_s(bands):
    golden = np.load(GOLDEN / "answers.npz")
    found = features(golden["samples"].astype(np.float32) / 32768, bands)
    assert found.shape == (250, bands)
    assert np.abs(found[::4] - golden[f"features/{bands}"]).max() < 1e-4


def test_a_window_is_filled_up_with_zeros_or_cut():
    mel = features(np.random.default_rng(1).normal(0, 0.1, 16_000).astype(np.float32), 80)
    filled = window(mel, 3000)
    assert filled.shape == (3000, 80)
    assert (filled[:100] == mel).all() and (filled[100:] == 0).all()
    assert (window(mel, 60) == mel[:60]).all()


def test_silence_and_very_short_clips_are_finite():
    for samples in (np.zeros(0), np.zeros(1), np.ones(170)):
        mel = features(samples.astype(np.float32), 80)
        assert mel.shape == (len(samples) // 160, 80)
        assert np.isfinite(mel).all()
