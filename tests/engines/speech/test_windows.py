"""Windows of a recording whose samples come twice: the same numbers as from the whole of it at once."""

from __future__ import annotations

import numpy as np
import pytest

from ominix.engines.speech.windows import Windows
from ominix.models.whisper.features import Survey, features

RATE = 16_000
SAMPLES = np.random.default_rng(4).normal(0, 0.05, 7 * RATE + 77).astype(np.float32)
SAMPLES[5 * RATE :] *= 20  # the loud end lifts the floor of the quiet beginning


def played(blocks, seconds=2.0) -> Windows:
    """`blocks`: samples, or lengths of gaps in seconds; they have come once and come again."""
    windows = Windows(Survey(80, seconds))
    for _ in range(2):
        for block in blocks:
            windows.skip(block) if isinstance(block, float) else windows.append(block)
        windows.end()
    return windows


@pytest.mark.parametrize("size", [100, 1777, 5 * RATE, len(SAMPLES)])
def test_features_are_those_of_the_whole_recording(size):
    whole = features(SAMPLES, 80)
    windows = played([SAMPLES[i : i + size] for i in range(0, len(SAMPLES), size)])
    for start in (0.0, 0.02, 1.98, 3.5, 5.4):
        clip, found = windows.window(start)
        first = round(start * 100)
        assert np.abs(found - whole[first : first + 200]).max() < 1e-6
        assert (clip.start, clip.samples_start, clip.end) == (
            start,
            start,
            min(start + 2, len(SAMPLES) / RATE),
        )
    assert len(found) == 160
    assert not windows.is_over(6.99)
    assert windows.is_over(7.0)  # 77 samples are no frame


def test_a_gap_is_silence_and_is_held_only_as_far_as_it_is_heard():
    gap = 20 * RATE
    windows = played([SAMPLES[:RATE], 20.0, SAMPLES[RATE:]])
    filled = np.concatenate([SAMPLES[:RATE], np.zeros(gap, np.float32), SAMPLES[RATE:]])
    whole = features(filled, 80)
    assert windows.total_seconds == len(filled) / RATE
    for start in (0.5, 9.0, 18.5, 20.5):
        clip, found = windows.window(start)
        begin = round(start * RATE)
        assert (clip.samples == filled[begin : begin + 2 * RATE]).all()
        assert np.abs(found - whole[round(start * 100) :][:200]).max() < 1e-6
        assert len(windows._held) < (2 + 7) * RATE  # a window, and a block of seven seconds


def test_a_window_waits_for_its_samples():
    windows = Windows(Survey(80, 2.0))
    windows.append(SAMPLES)
    assert windows.total_seconds is None and not windows.is_over(99.0)
    windows.end()
    assert windows.window(0.0) is None
    windows.append(SAMPLES[: 2 * RATE])
    assert windows.window(0.0) is None  # its last frame sees a little more
    windows.append(SAMPLES[2 * RATE : 3 * RATE])
    assert windows.window(0.0) is not None
    windows.end()  # the file has less than the first time: silence
    clip, _ = windows.window(2.0)
    assert (clip.samples[RATE:] == 0).all() and len(clip.samples) == 2 * RATE


@pytest.mark.parametrize("count", [0, 1, 159, 160, 170, 201, 450])
def test_very_short_recordings(count):
    samples = SAMPLES[:count]
    windows = played([samples] if count else [])
    assert windows.is_over(0.0) is (count < 160)
    if count >= 160:
        clip, found = windows.window(0.0)
        assert np.abs(found - features(samples, 80)).max() < 1e-6 and clip.end == count / RATE
