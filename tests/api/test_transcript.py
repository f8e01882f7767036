from __future__ import annotations

import pytest

from ominix.api import transcript
from ominix.wire.events import Delta, Progress, Segment, Started, TranscriptionDone

EVENTS = [
    Started(),
    Progress(1.0, None),
    Delta("Hello,"),
    Delta(" world"),
    Segment(0, 0.0, 1.5, "Hello,", tokens=(1, 2), avg_logprob=-0.1),
    Segment(1, 3599.9996, 3602.25, " world --> end\nof", tokens=(3,)),
    TranscriptionDone("Hello, world", "English", 3603.0, 5, 7, 3),
]


@pytest.fixture
def found():
    return transcript.collected(EVENTS)


def test_text_is_the_done_text(found):
    assert transcript.as_text(found) == "Hello, world\n"
    assert transcript.as_json(found, logprobs=False) == {
        "text": "Hello, world",
        "usage": {"type": "duration", "seconds": 3603.0},
    }


def test_srt_counts_from_one_and_rounds_up_to_the_next_hour(found):
    assert transcript.as_srt(found) == (
        "1\n00:00:00,000 --> 00:00:01,500\nHello,\n\n2\n01:00:00,000 --> 01:00:02,250\nworld -> end of\n"
    )


def test_vtt_has_its_header_and_points(found):
    assert transcript.as_vtt(found).startswith(
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHello,\n\n01:00:00.000"
    )


def test_nothing_said_makes_empty_subtitles():
    empty = transcript.collected([TranscriptionDone("", None, 2.0)])
    assert transcript.as_srt(empty) == ""
    assert transcript.as_vtt(empty) == "WEBVTT\n"
    assert transcript.as_verbose_json(empty)["language"] == ""


def test_segments_have_every_field(found):
    second = transcript.as_verbose_json(found)["segments"][1]
    assert (second["id"], second["seek"], second["tokens"]) == (1, 360000, [3])
    assert second["compression_ratio"] == transcript.compression_ratio(" world --> end\nof")


def test_loops_compress_well():
    assert transcript.compression_ratio("again " * 100) > 10 > transcript.compression_ratio("say it once")


def test_the_sum_of_deltas_is_the_done_text():
    sent = [body for event in EVENTS if (body := transcript.stream_event(event))]
    deltas = "".join(b["delta"] for b in sent if b["type"] == "transcript.text.delta")
    assert deltas == sent[-1]["text"]
    assert sent[-1]["usage"]["total_tokens"] == 15
