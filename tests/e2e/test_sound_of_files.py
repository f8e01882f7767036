"""Files as people have them, through HTTP: their channels, their formats, and what cannot be decoded."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
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
