"""What the judge of voices lets pass, on synthesised speech and on sounds that are none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ominix.engines.speech.judge import Judge
from ominix.models.voice_activity.network import CHUNK, Network

RATE_HZ = 16_000
SPEECH = Path(__file__).parents[2] / "data" / "speech"


def mask_of(samples: np.ndarray, threshold: float = 0.5, block: int = 7000) -> np.ndarray:
    judge = Judge(threshold)
    for i in range(0, len(samples), block):
        judge.append(samples[i : i + block])
    judge.end()
    return judge.mask(len(samples) // 160)


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    files = [clip["file"] for clip in json.loads((SPEECH / "clips.json").read_text())]
    return [soundfile.read(SPEECH / file, dtype="float32")[0] for file in files[::4]]


def syllables(seconds: float) -> np.ndarray:
    """Noise that comes and goes eight times a second: lively, and no voice."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    noise = np.random.default_rng(0).standard_normal(len(t))
    return (0.1 * noise * np.maximum(0.02, np.sin(2 * np.pi * 4 * t) ** 2)).astype(np.float32)


def test_all_of_short_clips_of_speech_is_a_voice(clips):
    for clip in clips:
        assert mask_of(clip).all()


def test_sounds_that_are_no_voice_are_none():
    t = np.arange(10 * RATE_HZ) / RATE_HZ
    beeps = (0.1 * np.sin(2 * np.pi * 1000 * t) * (t % 2 < 1)).astype(np.float32)
    for sound in (syllables(10), beeps, np.zeros(10 * RATE_HZ, np.float32)):
        assert not mask_of(sound).any()


def test_a_voice_between_other_sounds_is_found_with_a_margin(clips):
    before, after = syllables(6), syllables(6)
    mask = mask_of(np.concatenate([before, *clips[:3], after]))
    length = sum(len(clip) for clip in clips[:3]) // 160
    assert mask[600 : 600 + length].all()
    assert mask[550:600].all()
    assert not mask[:300].any()
    assert not mask[600 + length + 300 :].any()


def test_at_threshold_0_every_sound_passes():
    assert mask_of(syllables(5), threshold=0).all()


def test_blocks_and_dropped_frames_change_nothing(clips):
    # Long enough that what was dropped is forgotten before the end.
    samples = np.concatenate([syllables(3), clips[0], syllables(30), clips[1], syllables(3)])
    whole = mask_of(samples)
    judge, found, step = Judge(0.5), [], 4 * RATE_HZ
    for i in range(0, len(samples), step):
        judge.append(samples[i : i + step])
        if i + step < len(samples):
            found.append(judge.mask(2 * 100)[: 2 * 100])
            judge.drop(200)
    judge.end()
    found.append(judge.mask(len(whole) - sum(map(len, found))))
    assert np.array_equal(np.concatenate(found)[300:], whole[300:])


def test_what_was_not_heard_yet_counts_as_a_voice():
    judge = Judge(0.5)
    judge.append(np.zeros(RATE_HZ, np.float32))
    mask = judge.mask(120)
    assert not mask[:90].any()
    assert mask[110:].all()


def test_long_silence_is_not_computed_and_changes_nothing_around_it(clips):
    silence = np.zeros(20 * RATE_HZ, np.float32)
    counted = CountingNetwork()
    judge = Judge(0.5)
    judge._network = counted
    samples = np.concatenate([clips[0], silence, clips[1]])
    for i in range(0, len(samples), 9000):
        judge.append(samples[i : i + 9000])
    judge.end()
    length = len(clips[0]) // 160
    mask = judge.mask(len(samples) // 160)
    assert mask[:length].all()
    assert mask[length + 2000 :].all()
    assert counted.chunks < (len(clips[0]) + len(clips[1])) // CHUNK + 40


class CountingNetwork(Network):
    chunks = 0

    def probabilities(self, samples: np.ndarray) -> np.ndarray:
        self.chunks += len(samples) // CHUNK
        return super().probabilities(samples)
