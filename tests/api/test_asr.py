"""What /asr and /detect-language make of a job's events."""

from __future__ import annotations

import io
import itertools
import wave

import pytest
from msgspec import structs

from ominix.api import asr
from ominix.http import schemas
from ominix.wire.events import Progress, Segment, Started, TranscriptionDone


def segment(start: float, end: float, language: str | None, logprob: float = -0.1) -> Segment:
    return Segment(0, start, end, "x", avg_logprob=logprob, language=language)


def test_the_language_is_that_of_most_of_the_first_speech():
    events = [Started(), segment(0, 2, "English"), Progress(2.0, None), segment(2, 9, "German")]
    found = asr.detection([*events, TranscriptionDone("x x", "German", 9.0)])
    assert (found["detected_language"], found["language_code"]) == ("german", "de")
    assert found["confidence"] == pytest.approx(0.905)
    assert schemas.mismatch("language_detection", found) is None


def test_half_a_minute_of_speech_is_enough():
    endless = (segment(10 * i, 10 * i + 10, "Cantonese") for i in itertools.count())
    assert asr.detection(endless)["language_code"] == "yue"
    assert next(endless).start == 30


def test_where_nobody_speaks_there_is_no_language():
    found = asr.detection([Started(), TranscriptionDone("", None, 3.0)])
    assert found == {"detected_language": "", "language_code": "", "confidence": 0.0}


def test_the_head_of_bare_samples_is_that_of_a_wav():
    with wave.open(io.BytesIO(asr.WAV_HEAD + b"\0" * 64)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16_000)


def test_a_model_that_knows_how_likely_a_language_is_says_so():
    found = asr.detection([structs.replace(segment(0, 40, "German"), language_prob=0.75)])
    assert found["confidence"] == 0.75
