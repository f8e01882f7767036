"""Files as people have them, through HTTP: their channels, their formats, and what cannot be decoded."""

from __future__ import annotations

import io
import json
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from serving import RunningServer

CASES = Path(__file__).parents[1] / "data" / "cases"
SAID = ["thanks", "off", "stop", "green", "next"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("speech")]


def sent(server: RunningServer, case: str, **fields) -> httpx.Response:
    return httpx.post(
        f"{server.url}/v1/audio/transcriptions",
        data={"model": "tiny-asr", **fields},
        files={"file": ("audio", (CASES / case).read_bytes())},
        timeout=300,
    )


def found(said: list[str], text: str) -> int:
    """The words of the text that are said, in order: the longest common subsequence."""
    row = [0] * (len(said) + 1)
    for word in text.split():
        before = row[:]
        for i, wanted in enumerate(said):
            row[i + 1] = max(row[i], before[i + 1], before[i] + (wanted == word))
    return row[-1]


@pytest.mark.parametrize("case", ["dts.mkv", "g726.wav", "bare.ac3", "short.wv"])
def test_formats_of_films_telephones_and_archives(speech_server, case):
    answer = sent(speech_server, case)
    assert answer.status_code == 200
    assert found(SAID, answer.json()["text"]) >= 4


@pytest.mark.parametrize("case", ["opposite-phase.flac", "film-5.1.mkv", "torn-start.ts"])
def test_channels_and_torn_starts(speech_server, case):
    answer = sent(speech_server, case, response_format="verbose_json").json()
    assert found(SAID + SAID, answer["text"]) >= 8
    assert 6.5 < answer["duration"] < 6.9


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("protected.m4p", ("protected", "encrypted")),
        ("second-piece.webm", ("beginning", "missing", "belong together")),
    ],
)
def test_what_cannot_be_decoded_says_why(speech_server, case, words):
    answer = sent(speech_server, case)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "invalid_audio_format", "file")
    assert all(word in error["message"] for word in words)


@pytest.fixture(scope="module")
def telephone() -> bytes:
    """Left says the phrase, right answers with it while left is silent, then left says it again."""
    said, rate_hz = soundfile.read(CASES / "opposite-phase.flac", dtype="float32")
    once = said[: len(said) // 2, 0]
    silence = np.zeros_like(once)
    channels = [np.concatenate(parts) for parts in ((once, silence, once), (silence, once, silence))]
    file = io.BytesIO()
    soundfile.write(file, np.stack(channels, 1), rate_hz, format="WAV")
    return file.getvalue()


def asked(server: RunningServer, data: bytes, **fields) -> httpx.Response:
    return httpx.post(
        f"{server.url}/v1/audio/transcriptions",
        data={"model": "tiny-asr", **fields},
        files={"file": ("audio", data)},
        timeout=300,
    )


TURNS = [("left", 0), ("right", 1), ("left", 0)]


def test_each_channel_is_a_speaker(speech_server, telephone):
    body = asked(speech_server, telephone, channel="separate", response_format="verbose_json").json()
    assert [(s["speaker"], s["channel"]) for s in body["segments"]] == TURNS
    for n, segment in enumerate(body["segments"]):
        assert abs(segment["start"] - (0.51 + 3.4 * n)) < 0.25
        assert found(SAID, segment["text"]) >= 4
    assert [line.split(":")[0] for line in body["text"].splitlines()] == ["left", "right", "left"]


def test_speakers_stand_in_every_format(speech_server, telephone):
    text, srt, vtt = (
        asked(speech_server, telephone, channel="separate", response_format=form).text
        for form in ("text", "srt", "vtt")
    )
    assert [line.split(":")[0] for line in text.split("\n")] == ["left", "right", "left", ""]
    assert srt.count("left: ") == 2
    assert srt.count("right: ") == 1
    assert vtt.count("<v left>") == 2
    assert vtt.count("<v right>") == 1


def test_a_stream_of_speakers(speech_server, telephone):
    answer = asked(speech_server, telephone, channel="separate", stream="true")
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    segments = [e for e in events if e["type"] == "transcript.text.segment"]
    assert [(s["speaker"], s["channel"]) for s in segments] == TURNS
    deltas = "".join(e["delta"] for e in events if e["type"] == "transcript.text.delta")
    assert deltas == events[-1]["text"]


@pytest.mark.parametrize(("channel", "times"), [("left", 2), ("right", 1), ("0", 2), ("1", 1)])
def test_one_channel_is_heard(speech_server, telephone, channel, times):
    text = asked(speech_server, telephone, channel=channel).json()["text"]
    assert text.split().count("next") == times
    assert ":" not in text


def test_a_channel_that_is_not_there(speech_server, telephone):
    answer = asked(speech_server, telephone, channel="2")
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "channel")
    assert "2 channels" in error["message"]
    refused = asked(speech_server, telephone, channel="blue").json()["error"]
    assert (refused["param"], refused["code"]) == ("channel", "invalid_value")
    assert "must be left, right, separate, or a channel's number" in refused["message"]
    assert "^" not in refused["message"]
