"""Fields that say how a recording is gone through."""

from __future__ import annotations

import pytest

from ominix.api import decoding_options
from ominix.errors import InvalidRequest
from ominix.wire.jobs import Cutting, SearchOptions, TranscriptionJob


def applied(**fields) -> TranscriptionJob:
    return decoding_options.applied(TranscriptionJob(0), fields)


def test_nothing_said_changes_nothing():
    assert applied() == applied(chunking_strategy="auto") == TranscriptionJob(0)


@pytest.mark.parametrize("strategy", ["sequential", {"type": "sequential"}])
def test_a_sequence_is_asked_for_by_name(strategy):
    assert applied(chunking_strategy=strategy).sequential
    job = applied(chunking_strategy=strategy, condition_on_previous_text=True)
    assert job.sequential and job.previous_text


def test_server_vad_has_openai_s_numbers():
    job = applied(chunking_strategy={"type": "server_vad", "silence_duration_ms": 300})
    assert job.cutting == Cutting(0.5, 0.3, 0.3, 0.0) and not job.sequential


def test_text_before_is_refused_where_clips_do_not_follow_each_other():
    with pytest.raises(InvalidRequest, match="needs chunking_strategy 'sequential'") as refusal:
        applied(condition_on_previous_text=True, chunking_strategy={"type": "server_vad"})
    assert refusal.value.param == "condition_on_previous_text"


def test_beams_and_draws_are_counted():
    assert applied(beam_size=5, best_of=3).search == SearchOptions(5, 3)


def test_a_multilingual_recording_has_no_language_of_its_own():
    assert applied(multilingual=True).multilingual
    with pytest.raises(InvalidRequest, match="leave out German") as refusal:
        decoding_options.applied(TranscriptionJob(0, language="German"), {"multilingual": True})
    assert refusal.value.param == "multilingual"
