"""Where segments begin and end, on real speech at known places."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cut import clips_of

from ominix.wire.jobs import Cutting

SPEECH = Path(__file__).parents[2] / "data" / "speech"
RATE = 16_000
RMS = 0.05


def placed(noise_db: float | None) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Clips at random places, and where their sound begins and ends: at 30 dB below their loudest 10 ms."""
    dice = np.random.default_rng(0)
    pieces, borders, length = [], [], 0
    for clip in json.loads((SPEECH / "clips.json").read_text())[::2]:
        samples, _ = soundfile.read(SPEECH / clip["file"], dtype="float32")
        first, last = _sound(samples)
        samples *= RMS / samples[first:last].std()
        pause = int(dice.integers(2 * RATE, 5 * RATE))
        borders.append(((length + pause + first) / RATE, (length + pause + last) / RATE))
        pieces += [np.zeros(pause, np.float32), samples]
        length += pause + len(samples)
    whole = np.concatenate([*pieces, np.zeros(RATE, np.float32)])
    if noise_db is not None:
        whole += dice.standard_normal(len(whole)).astype(np.float32) * RMS * 10 ** (-noise_db / 20)
    return whole, borders


def _sound(samples: np.ndarray) -> tuple[int, int]:
    framed = samples[: len(samples) // 160 * 160].reshape(-1, 160)
    level = framed.std(axis=1)
    loud = np.flatnonzero(level > level.max() * 10 ** (-30 / 20))
    return int(loud[0]) * 160, int(loud[-1] + 1) * 160


@pytest.mark.parametrize(
    ("noise_db", "median_ms", "worst_ms"), [(None, 20, 180), (20, 30, 180), (10, 30, 300)]
)
def test_borders_of_real_speech(noise_db, median_ms, worst_ms):
    samples, placed_at = placed(noise_db)
    cutting = Cutting(shortest_seconds=0, silence_seconds=1.8)
    found = [clip.sound for clip in clips_of([samples], cutting, 30) if clip.sound]
    assert len(found) == len(placed_at)
    off = 1000 * np.abs(np.array(found) - np.array(placed_at))
    starts, ends = off.T
    print(f"noise {noise_db} dB: starts {np.median(starts):.0f} ms, at most {starts.max():.0f};", end=" ")
    print(f"ends {np.median(ends):.0f} ms, at most {ends.max():.0f}")
    assert np.median(off) < median_ms
    assert off.max() < worst_ms
