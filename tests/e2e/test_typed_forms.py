"""Whole multipart bodies as clients have sent them: none of their fields is passed over."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CASES = Path(__file__).parents[1] / "data" / "cases"
TYPE = {"Content-Type": "multipart/form-data; boundary=case"}
PHRASE = "thanks off stop green next"


def transcribed(server, body: bytes):
    return server.request("POST", "/v1/audio/transcriptions", body, TYPE)


def words_heard(text: str) -> int:
    return sum(word in text.lower() for word in PHRASE.split())


def test_a_format_typed_as_json_counts(speech_server):
    status, headers, body = transcribed(speech_server, (CASES / "typed-format.form").read_bytes())
    assert (status, headers.get_content_type()) == (200, "text/plain")
    assert words_heard(body.decode()) >= 4


def test_a_model_typed_as_a_form_counts(speech_server):
    status, _, body = transcribed(speech_server, (CASES / "typed-model.form").read_bytes())
    assert (status, body["error"]["code"]) == (404, "model_not_found")


def test_eight_bit_is_no_encoding(speech_server):
    status, _, body = transcribed(speech_server, (CASES / "eight-bit.form").read_bytes())
    assert status == 200
    assert words_heard(body["text"]) >= 4


def test_granularities_joined_by_a_comma(speech_server):
    status, _, body = transcribed(speech_server, (CASES / "granularities.form").read_bytes())
    assert (status, bool(body["segments"]), bool(body["words"])) == (200, True, True)


def test_noise_is_not_answered_with_grammar(speech_server):
    """A model that is not sure whether anybody speaks leaves its tag out."""
    body = (CASES / "eight-bit.form").read_bytes()
    start, end = body.index(b"RIFF"), body.index(b"\r\n--case", body.index(b"RIFF"))
    noise = body[:start] + (CASES / "fluttering-noise.wav").read_bytes() + body[end:]
    for stream in ("", "true"):
        field = b'--case\r\nContent-Disposition: form-data; name="stream"\r\n\r\n%s\r\n' % stream.encode()
        status, _, said = transcribed(speech_server, field + noise)
        assert status == 200
        assert (
            b"language " not in said.split(b"done")[0] if stream else not said["text"].startswith("language")
        )


@pytest.mark.parametrize("prefix", ["", "data:audio/wav;base64,"])
def test_a_recording_in_json(speech_server, prefix):
    """Open WebUI's request format "JSON"."""
    form = (CASES / "eight-bit.form").read_bytes()
    wav = form[form.index(b"RIFF") : form.index(b"\r\n--case", form.index(b"RIFF"))]
    audio = {"data": prefix + base64.b64encode(wav).decode(), "format": "wav"}
    request = {"model": "whisper-1", "response_format": "verbose_json", "input_audio": audio}
    status, _, body = speech_server.request("POST", "/v1/audio/transcriptions", request)
    assert (status, body["language"]) == (200, "english")
    assert words_heard(body["text"]) >= 4
    request["input_audio"]["data"] += "!"
    status, _, body = speech_server.request("POST", "/v1/audio/transcriptions", request)
    assert (status, body["error"]["param"]) == (400, "input_audio.data")


@pytest.mark.parametrize("media_type", ["application/json", "application/octet-stream", "x/y; charset=utf-8"])
def test_fields_of_any_type_count(speech_server, media_type):
    typed = f'name="model"\r\nContent-Type: {media_type}\r\n'.encode()
    body = (CASES / "eight-bit.form").read_bytes().replace(b'name="model"\r\n', typed)
    body = body.replace(b"\r\ntiny-asr\r\n", b"\r\nno-such-model\r\n")
    body = body.replace(b"Content-Type: text/plain; charset=ISO-8859-1\r\n", b"")
    assert transcribed(speech_server, body)[0] == 404
