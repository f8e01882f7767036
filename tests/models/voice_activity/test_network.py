"""Against what Silero's own network answers (tools/reference/voice_activity.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from ominix.models.voice_activity.network import CHUNK, Network

ROOT = Path(__file__).parents[3]
ANSWERS = np.load(ROOT / "tests" / "golden" / "voice_activity" / "answers.npz")


@pytest.mark.parametrize("name", ANSWERS.files)
def test_the_probabilities_are_the_reference_s(name):
    samples, _ = soundfile.read(ROOT / "ominix" / "embedded" / "samples" / name, dtype="float32")
    expected, network = ANSWERS[name], Network()
    middle = 7 * CHUNK
    samples = samples[: len(expected) * CHUNK]
    found = np.concatenate([network.probabilities(samples[:middle]), network.probabilities(samples[middle:])])
    assert found == pytest.approx(expected, abs=0.02)  # float16 weights
    assert expected.max() > 0.9 and expected.min() < 0.1
