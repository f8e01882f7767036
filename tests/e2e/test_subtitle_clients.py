"""Programs that speak whisper-asr-webservice's API, with its own model name: none."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

pytestmark = pytest.mark.slow

CASES = Path(__file__).parents[1] / "data" / "cases"
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
SAMPLE = Path(__file__).parents[2] / "ominix" / "embedded" / "samples" / "english.flac"


def samples() -> bytes:
    """As Bazarr has ffmpeg make them: s16le, mono, 16 kHz."""
    found, rate = soundfile.read(SAMPLE, dtype="float32")
    return (soxr.resample(found, rate, 16_000) * 32767).astype(np.int16).tobytes()


def audio_file(data: bytes) -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="audio_file"; filename="audio_file"\r\n\r\n'
    return head + data + b"\r\n--b--\r\n"


def bazarr(server, path: str, query: str, data: bytes | None = None):
    """Its two calls, word for word (subliminal_patch/providers/whisperai.py)."""
    return server.request("POST", f"{path}?{query}", audio_file(samples() if data is None else data), FORM)


@pytest.fixture(scope="module")
def said(speech_server) -> str:
    """What /v1/audio/transcriptions hears."""
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    body = head + SAMPLE.read_bytes() + b"\r\n--b--\r\n"
    return speech_server.request("POST", "/v1/audio/transcriptions", body, FORM)[2]["text"]


def test_bazarr_gets_subtitles_of_bare_samples(speech_server, said):
    query = "task=transcribe&language=en&output=srt&encode=false&video_file=%2Ftv%2Fa.mkv"
    status, headers, body = bazarr(speech_server, "/asr", query)
    assert (status, headers.get_content_type()) == (200, "text/plain")
    assert re.match(r"1\n00:00:0\d,\d{3} --> 00:00:0\d,\d{3}\n", body.decode())
    assert said.split()[0] in body.decode()


def test_bazarr_learns_the_language(speech_server):
    status, _, body = bazarr(speech_server, "/detect-language", "encode=false&video_file=a.mkv")
    assert (status, body["detected_language"], body["language_code"]) == (200, "english", "en")
    assert 0 < body["confidence"] <= 1


@pytest.mark.parametrize("output", ["txt", "vtt", "tsv", "json"])
def test_a_whole_file_in_each_output(speech_server, said, output):
    status, headers, body = bazarr(speech_server, "/asr", f"output={output}", SAMPLE.read_bytes())
    assert status == 200
    if output == "json":
        assert (body["text"], body["language"], body["segments"][0]["start"] >= 0) == (said, "en", True)
        return
    assert headers.get_content_type() == "text/plain"
    opening = {"txt": said, "vtt": "WEBVTT", "tsv": "start\tend\ttext"}[output]
    assert body.decode().startswith(opening)


@pytest.mark.parametrize("media_type", ["application/octet-stream", "audio/wav", None])
def test_the_whole_body_may_be_the_recording(speech_server, said, media_type):
    kind = {"Content-Type": media_type} if media_type else {}
    status, _, body = speech_server.request("POST", "/asr?encode=false", samples(), kind)
    assert status == 200
    assert body.decode().startswith(said)


def test_samples_that_have_a_head_already_are_heard_as_they_are(speech_server, said):
    file = io.BytesIO()
    soundfile.write(file, np.frombuffer(samples(), np.int16), 16_000, format="WAV")
    assert bazarr(speech_server, "/asr", "encode=false", file.getvalue())[2].decode() == said + "\n"


@pytest.mark.parametrize(
    ("query", "code", "param"),
    [
        ("output=doc", "invalid_value", "output"),
        ("task=sing", "invalid_value", "task"),
        ("language=klingon", "invalid_language", "language"),
        ("model=nothing", "model_not_found", "model"),
        ("task=translate", "translation_not_supported", "model"),
        ("output=srt&output=txt", "invalid_value", "output"),
    ],
)
def test_refusals_are_those_of_the_other_doors(speech_server, query, code, param):
    status, _, body = bazarr(speech_server, "/asr", query)
    assert status in (400, 404)
    assert (body["error"]["code"], body["error"]["param"]) == (code, param)


def test_no_file_and_no_sound(speech_server):
    status, _, body = speech_server.request("POST", "/asr", b"--b--\r\n", FORM)
    assert (status, body["error"]["param"]) == (400, "audio_file")
    status, _, body = bazarr(speech_server, "/detect-language", "encode=false", bytes(64_000))
    assert (status, json.dumps(body["language_code"])) == (200, '""')
