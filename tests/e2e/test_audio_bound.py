"""Recordings of which only the beginning is heard, too long or damaged: what people are told, over HTTP."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
import soundfile
from serving import RunningServer

SAMPLE = Path(__file__).parents[2] / "ominix" / "embedded" / "samples" / "english.flac"
BOUND_SECONDS = 36.0  # 0.01 hours

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("speech")]


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[RunningServer]:
    running = RunningServer(tmp_path_factory.mktemp("home"), "--strict", "--max-audio-hours", "0.01")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def long() -> bytes:
    """Speech, then silence beyond the bound."""
    said, rate_hz = soundfile.read(SAMPLE, dtype="float32")
    silence = np.zeros(int(45 * rate_hz) - len(said), np.float32)
    file = io.BytesIO()
    soundfile.write(file, np.concatenate([said, silence]), rate_hz, format="FLAC")
    return file.getvalue()


def asked(server: RunningServer, data: bytes, **fields: str) -> httpx.Response:
    return httpx.post(
        f"{server.url}/v1/audio/transcriptions",
        data={"model": "tiny-asr", **fields},
        files={"file": ("audio", data)},
        timeout=300,
    )


def test_what_is_heard_ends_at_the_setting(server, long):
    answer = asked(server, long, response_format="verbose_json")
    body = answer.json()
    assert body["duration"] == pytest.approx(BOUND_SECONDS, abs=0.05)
    assert body["text"]
    assert "more than the 36 seconds" in body["notice"]
    assert "--max-audio-hours" in answer.headers["X-Ominix-Notice"]


BARREN_FRAMES = (b"\xff\xf1\x4c\x40\x02\x1f\xfc" + b"\xff" * 9) * 20_000  # AAC headers, no sound


def damaged(samples: np.ndarray, rate_hz: int) -> bytes:
    """The sound in AAC, then what may be a lost part of a disk."""
    file = io.BytesIO()
    with av.open(file, "w", format="adts") as out:
        stream = out.add_stream("aac", rate=rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "fltp", "mono")
        frame.sample_rate = rate_hz
        out.mux([*stream.encode(frame), *stream.encode(None)])
    return file.getvalue() + BARREN_FRAMES


def test_what_comes_before_the_damage_is_answered(server):
    said, rate_hz = soundfile.read(SAMPLE, dtype="float32")
    answer = asked(server, damaged(said, rate_hz), response_format="verbose_json")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["text"] == asked(server, SAMPLE.read_bytes()).json()["text"]
    assert "damaged" in body["notice"]
    assert body["notice"] == answer.headers["X-Ominix-Notice"]


def test_damage_before_anybody_has_spoken_is_refused(server):
    said, rate_hz = soundfile.read(SAMPLE, dtype="float32")
    answer = asked(server, damaged(0 * said, rate_hz))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_audio_format")


def test_a_stream_says_at_once_that_the_file_is_longer(server, long):
    said = "The file announces 45 seconds of audio: the first 36 seconds are heard."
    answer = asked(server, long, stream="true")
    assert answer.headers["X-Ominix-Notice"] == said
    assert answer.text.startswith(f": notice: {said}\n\n")
    assert "more than the 36 seconds" in answer.text.splitlines()[-2]


def test_a_file_within_the_setting_has_no_notice(server):
    answer = asked(server, SAMPLE.read_bytes(), stream="true")
    assert "notice" not in answer.text
    assert "X-Ominix-Notice" not in answer.headers
