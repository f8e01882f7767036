"""A recording longer than what is heard of it, through HTTP: the setting, and what people are told."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

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
