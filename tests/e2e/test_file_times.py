"""Files as people have them, through HTTP: text, segments, subtitles and duration count from a player's 0."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
import srt
from serving import RunningServer

CASES = Path(__file__).parents[1] / "data" / "cases"
PHRASE = ["thanks", "off", "stop", "green", "next"]
NEAR_SECONDS = 0.25
SPOKEN = [(0.51, 2.64), (4.16, 6.29)]  # when the phrase is said, in the recording that all cases are made of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("speech")]


def answer(server: RunningServer, name: str, **fields: str) -> httpx.Response:
    with (CASES / name).open("rb") as file:
        body = {"data": {"model": "tiny-asr", **fields}, "files": {"file": ("audio", file)}}
        response = httpx.post(f"{server.url}/v1/audio/transcriptions", timeout=300, **body)
    assert response.status_code == 200, response.text
    return response


def verbose(server: RunningServer, name: str, **fields: str) -> dict:
    return answer(server, name, response_format="verbose_json", **fields).json()


def words_right(text: str) -> int:
    """Words of the phrase that are there, in order, over all the times that it is said."""
    found, wanted = 0, [*PHRASE, *PHRASE]
    for word in text.lower().replace(".", "").replace(",", "").split():
        if word in wanted[found:]:
            found += wanted[found:].index(word) + 1
    return found


def near(spans: list[tuple[float, float]]) -> list:
    return [pytest.approx(span, abs=NEAR_SECONDS) for span in spans]


@pytest.mark.parametrize(
    ("name", "shifts", "duration"),
    [
        ("late-sound.mkv", (4.9, 4.9), 12.0),
        ("paused.webm", (0.0, 5.0), 11.82),
        ("header-at-end.opus", (0.0, 0.0), 6.8),
    ],
)
def test_segments_and_duration(speech_server, name, shifts, duration):
    body = verbose(speech_server, name)
    spans = [(start + by, end + by) for (start, end), by in zip(SPOKEN, shifts, strict=True)]
    assert [(s["start"], s["end"]) for s in body["segments"]] == near(spans)
    assert body["duration"] == body["usage"]["seconds"] == pytest.approx(duration, abs=0.05)
    assert words_right(body["text"]) >= 8


def test_subtitles_words_and_events(speech_server):
    (first, second) = srt.parse(answer(speech_server, "late-sound.mkv", response_format="srt").text)
    times = [(cue.start.total_seconds(), cue.end.total_seconds()) for cue in (first, second)]
    assert times == near([(5.41, 7.54), (9.06, 11.19)])

    body = verbose(speech_server, "paused.webm", **{"timestamp_granularities[]": "word"})
    later = [word["start"] for word in body["words"] if word["start"] > 3]
    assert min(later) == pytest.approx(9.16, abs=NEAR_SECONDS)

    lines = answer(speech_server, "paused.webm", stream="true").text.splitlines()
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    segments = [event for event in events if event["type"] == "transcript.text.segment"]
    assert [(s["start"], s["end"]) for s in segments] == near([(0.51, 2.64), (9.16, 11.29)])
    assert events[-1]["duration"] == pytest.approx(11.82, abs=0.05)


@pytest.mark.parametrize("name", ["unknown-codec-first.mkv", "silent-first.mkv"])
def test_the_track_that_speaks_is_heard(speech_server, name):
    body = verbose(speech_server, name)
    assert [(s["start"], s["end"]) for s in body["segments"]] == near(SPOKEN)
    assert words_right(body["text"]) >= 8
    assert body["duration"] == pytest.approx(7.06, abs=0.05)
    assert (body["track"]["index"], body["track"]["count"]) == (2, 2)  # a picture is 0


def test_a_single_track_is_not_told(speech_server):
    assert "track" not in verbose(speech_server, "late-sound.mkv")
