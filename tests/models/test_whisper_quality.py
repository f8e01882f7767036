"""When a window is decoded again, and when it is silence."""

from __future__ import annotations

import pytest

from ominix.models.whisper.quality import Quality, compression_ratio


@pytest.mark.parametrize(
    ("avg_logprob", "ratio", "no_speech", "good", "silent"),
    [
        (-0.3, 1.5, 0.1, True, False),
        (-1.2, 1.5, 0.1, False, False),  # unsure
        (-0.3, 2.5, 0.1, False, False),  # repeats itself
        (-0.3, 2.5, 0.9, False, False),  # the older rule kept this loop over music
        (-1.2, 1.5, 0.7, True, True),
        (-0.9, 1.5, 0.7, True, False),  # sure of its words
    ],
)
def test_an_answer_is_judged_as_openai_does(avg_logprob, ratio, no_speech, good, silent):
    quality = Quality(avg_logprob, ratio, no_speech)
    assert (quality.is_good, quality.is_silence) == (good, silent)


def test_repetition_compresses_well():
    assert compression_ratio("") == 0.0
    assert compression_ratio("And so my fellow Americans, ask not") < 1.2
    assert compression_ratio("Music " * 60) > 10
