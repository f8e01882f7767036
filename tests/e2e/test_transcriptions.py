"""The endpoint's forms and refusals, with the scripted engine; what a model hears is tested elsewhere."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
from pathlib import Path

import pytest
from serving import Clients, eventually

pytestmark = pytest.mark.slow

PATH = "/v1/audio/transcriptions"


def form(*fields: tuple[str, str], file: bytes | None = b"RIFFxxxx", close: bool = True):
    """Body and headers of a multipart form."""
    parts = [f'--b\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode() for n, v in fields]
    if file is not None:
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        parts.append(head + file + b"\r\n")
    body = b"".join(parts) + (b"--b--\r\n" if close else b"")
    return body, {"Content-Type": "multipart/form-data; boundary=b"}


def transcribe(server, *fields, **options):
    body, headers = form(("model", "scripted-speech"), *fields, **options)
    return server.request("POST", PATH, body, headers)


@pytest.mark.contract("audio.answer.json", "audio.answer.text", "audio.answer.verbose")
def test_json_text_and_verbose_json(shared_server):
    status, _, body = transcribe(shared_server, ("prompt", "say hello out there"))
    assert (status, body["text"]) == (200, "hello out there")
    status, headers, text = transcribe(shared_server, ("prompt", "say hello"), ("response_format", "text"))
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert text == b"hello\n"
    fields = (("prompt", "say hello"), ("response_format", "verbose_json"), ("language", "zh-CN"))
    body = transcribe(shared_server, *fields)[2]
    assert (body["language"], body["duration"], body["segments"][0]["text"]) == ("Chinese", 1.0, "hello")


@pytest.mark.contract("audio.language")
@pytest.mark.parametrize("language", ["", "auto", "AUTO", "English", "en", "en-US", "EN"])
def test_languages_in_any_spelling(shared_server, language):
    assert transcribe(shared_server, ("language", language))[0] == 200


@pytest.mark.contract("audio.arrays")
@pytest.mark.parametrize(
    "spelling",
    [
        [("include[]", "logprobs")],
        [("include", "logprobs")],
        [("include[0]", "logprobs")],
        [("include", '["logprobs"]')],
        [("include[]", "logprobs"), ("include[]", "logprobs")],
    ],
)
def test_arrays_in_any_spelling(shared_server, spelling):
    body = transcribe(shared_server, ("prompt", "say a b"), *spelling)[2]
    assert [entry["token"] for entry in body["logprobs"]] == ["a ", "b"]


@pytest.mark.parametrize(
    "spelling",
    [
        [("keywords[]", "out"), ("keywords[]", "there")],
        [("keywords", "out"), ("keywords", "there")],
        [("keywords", '["out", "there"]')],
        [("keywords[0]", "out"), ("keywords[1]", "there")],
    ],
)
def test_keywords_are_context_after_the_prompt(shared_server, spelling):
    body = transcribe(shared_server, ("prompt", "say hello"), *spelling)[2]
    assert body["text"].split() == ["hello", "out", "there"]


@pytest.mark.parametrize("name", ["languages", "languages[]"])
def test_one_candidate_is_the_language_of_several_the_model_chooses(shared_server, name):
    def language(*texts: str) -> str:
        fields = [(name, text) for text in texts]
        return transcribe(shared_server, ("response_format", "verbose_json"), *fields)[2]["language"]

    assert language("zh") == "Chinese"
    assert language("zh", "de") == "English"  # what the scripted model hears
    status, _, body = transcribe(shared_server, (name, "zh"), (name, "klingon"))
    assert (status, body["error"]["code"], body["error"]["param"]) == (400, "invalid_language", "languages")


@pytest.mark.contract("audio.fields")
@pytest.mark.parametrize(
    "fields",
    [
        [("chunking_strategy", "auto")],
        [("chunking_strategy", '"auto"')],
        [("chunking_strategy", "")],
        [("chunking_strategy", '{"type": "server_vad", "threshold": 0.4}')],
        [("chunking_strategy[type]", "server_vad"), ("chunking_strategy[silence_duration_ms]", "300")],
    ],
)
def test_chunking_strategy_in_any_spelling(shared_server, fields):
    assert transcribe(shared_server, *fields)[0] == 200


@pytest.mark.contract("audio.fields", "audio.unknown-fields", "audio.text-numbers")
def test_keywords_are_context_and_unknown_or_odd_fields_do_no_harm(shared_server):
    fields = [
        ("keywords[]", "say"),
        ("keywords[]", "more"),
        ("chunking_strategy[type]", "server_vad"),
        ("chunking_strategy[threshold]", "0.4"),
        ("unknown", "x"),
        ("temperature", "0.5"),
        ("known_speaker_names[]", "me"),
    ]
    assert transcribe(shared_server, *fields)[0] == 200
    assert transcribe(shared_server, ("chunking_strategy", '{"type": "server_vad"}'))[0] == 200
    assert transcribe(shared_server, ("chunking_strategy", "auto"))[0] == 200


@pytest.mark.contract("audio.not-audio", "audio.language")
@pytest.mark.parametrize(
    ("fields", "options", "param", "code"),
    [
        ([("language", "klingon")], {}, "language", "invalid_language"),
        ([("temperature", "hot")], {}, "temperature", "invalid_type"),
        ([("temperature", "1.5")], {}, "temperature", "invalid_value"),
        ([("response_format", "xml")], {}, "response_format", "invalid_value"),
        ([("stream", "maybe")], {}, "stream", "invalid_type"),
        ([("timestamp_granularities[]", "day")], {}, "timestamp_granularities[0]", "invalid_value"),
        ([("chunking_strategy", "never")], {}, "chunking_strategy", "invalid_value"),
        (
            [("chunking_strategy[threshold]", "0.5")],
            {},
            "chunking_strategy.type",
            "missing_required_parameter",
        ),
        (
            [("chunking_strategy[type]", "server_vad"), ("chunking_strategy[threshold]", "2")],
            {},
            "chunking_strategy.threshold",
            "invalid_value",
        ),
        (
            [("chunking_strategy", "auto"), ("chunking_strategy[type]", "server_vad")],
            {},
            "chunking_strategy",
            "invalid_value",
        ),
        ([("include[x]", "y"), ("include", "logprobs")], {}, "include", "invalid_value"),
        ([("include", "[" * 60_000)], {}, "include", "invalid_value"),
        ([("include", "[" * 900)], {}, "include[0]", "invalid_value"),
        ([], {"file": None}, "file", "missing_required_parameter"),
        ([], {"file": b""}, "file", "invalid_audio_format"),
        ([], {"close": False}, None, "invalid_multipart"),
        ([("a" * 60_000, "x")], {}, None, "invalid_multipart"),
        ([(f"f{i}", "x") for i in range(600)], {}, None, "invalid_multipart"),
        ([("prompt", "x" * 100_000)], {}, None, "invalid_multipart"),
    ],
)
def test_bad_forms_are_a_400_that_names_the_field(shared_server, fields, options, param, code):
    status, _, body = transcribe(shared_server, *fields, **options)
    assert status == 400, body
    assert (body["error"]["param"], body["error"]["code"]) == (param, code)
    assert eventually(lambda: not shared_server.uploads())


@pytest.mark.contract("transport.too-large")
def test_a_file_past_the_limit_is_413(serve):
    server = serve("--scripted", "--max-upload-mib", "0.1")
    status, _, body = transcribe(server, file=b"x" * 150_000)
    assert (status, body["error"]["param"]) == (413, "file")
    assert body["error"]["message"] == "The file is larger than the limit of 0.1 MiB (--max-upload-mib)."
    status, _, body = transcribe(server, file=b"x" * 300_000)
    assert status == 413
    assert body["error"]["message"] == "The upload has 0.3 MiB; the limit is 0.1 MiB (--max-upload-mib)."
    assert transcribe(server, file=b"x" * 100_000)[0] == 200
    assert eventually(lambda: not server.uploads())


@pytest.mark.contract("audio.answer.stream")
def test_a_stream_sums_up_to_its_done_text(shared_server):
    _, headers, body = transcribe(shared_server, ("prompt", "say one two"), ("stream", "true"))
    assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
    events = [json.loads(line[6:]) for line in body.decode().strip().split("\n\n")]
    deltas = "".join(e["delta"] for e in events if e["type"] == "transcript.text.delta")
    assert deltas == events[-1]["text"] == "one two"
    assert [e["type"] for e in events] == [
        "transcript.text.delta",
        "transcript.text.delta",
        "transcript.text.segment",
        "transcript.text.done",
    ]
    assert eventually(lambda: not shared_server.uploads(), 2)


@pytest.mark.contract("leaving.uploads", "leaving.stops")
def test_the_upload_is_gone_when_the_client_leaves(serve):
    server = serve("--scripted")
    transcribe(server, ("prompt", "say warm"))
    body, headers = form(("model", "scripted-speech"), ("prompt", "sleep 30"))

    def leave(_: int) -> None:
        with pytest.raises(TimeoutError):
            server.request("POST", PATH, body, headers, timeout=0.5)

    client = Clients(1, leave)
    assert eventually(lambda: server.jobs("scripted-speech") == 1)
    assert server.uploads()
    client.join(5)
    assert eventually(lambda: server.jobs("scripted-speech") == 0, 2)
    assert eventually(lambda: not server.uploads(), 2)


def test_file_path_works_below_a_named_root_only(serve, tmp_path: Path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "a.wav").write_bytes(b"x")
    (outside / "b.wav").write_bytes(b"x")
    (root / "link.wav").symlink_to(outside / "b.wav")
    (root / "inner.wav").symlink_to(root / "a.wav")
    (root / "folder").symlink_to(outside)
    server = serve("--scripted", "--audio-root", str(root))

    def status(path: object) -> int:
        body = {"file_path": str(path), "model": "scripted-speech"}
        return server.request("POST", PATH, body)[0]

    assert status(root / "a.wav") == 200
    assert status(root / "inner.wav") == 200
    for path in (
        root / "link.wav",
        root / "folder" / "b.wav",
        root / ".." / "outside" / "b.wav",
        root,
        root / "none.wav",
        "a.wav",
        "\x00",
        "x" * 10_000,
    ):
        assert status(path) == 400, path


def test_file_path_is_off_without_a_root(shared_server):
    body = {"file_path": "/etc/hostname", "model": "scripted-speech"}
    status, _, answer = shared_server.request("POST", PATH, body)
    assert status == 403
    assert "--audio-root" in answer["error"]["message"]


def test_a_chat_model_does_not_transcribe(shared_server):
    body, headers = form(("model", "scripted"))
    status, _, answer = shared_server.request("POST", PATH, body, headers)
    assert (status, answer["error"]["code"]) == (400, "model_not_supported")


def streamed(server, *fields) -> list[dict]:
    body = transcribe(server, ("stream", "true"), *fields)[2].decode()
    return [json.loads(line[6:]) for line in body.strip().split("\n\n") if line.startswith("data: ")]


def test_a_stream_s_log_probabilities_come_twice(shared_server):
    events = streamed(shared_server, ("prompt", "say one two"), ("include[]", "logprobs"))
    with_deltas = [entry for event in events[:-2] for entry in event["logprobs"]]
    assert [entry["token"] for entry in with_deltas] == ["one ", "two"]
    assert events[-1]["logprobs"] == with_deltas
    assert "logprobs" not in streamed(shared_server, ("prompt", "say one two"))[-1]


@pytest.mark.contract("audio.answer.stream")
@pytest.mark.slow
def test_a_silent_stream_is_pinged(serve):
    server = serve("--scripted")
    body, headers = form(("model", "scripted-speech"), ("prompt", "sleep 16"), ("stream", "true"))
    _, _, answer = server.request("POST", PATH, body, headers, timeout=40)
    assert answer.startswith(b": ping\n\n")
    assert b"transcript.text.done" in answer


@pytest.mark.contract("leaving.stops")
def test_a_stream_s_job_ends_when_its_client_leaves(serve):
    server = serve("--scripted")
    body, headers = form(("model", "scripted-speech"), ("prompt", "tick 0.1"), ("stream", "true"))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    with contextlib.closing(connection):
        connection.request("POST", PATH, body, headers)
        answer = connection.getresponse()
        assert answer.readline().startswith(b"data: ")
        assert server.jobs("scripted-speech") == 1
        answer.close()
    assert eventually(lambda: server.jobs("scripted-speech") == 0, 2)
    assert eventually(lambda: not server.uploads(), 2)


TRANSLATIONS = "/v1/audio/translations"


@pytest.mark.contract("audio.translations")
def test_translations_are_refused_in_so_many_words(shared_server):
    body, headers = form(("model", "scripted-speech"), ("prompt", "say hi"), ("response_format", "srt"))
    status, _, answer = shared_server.request("POST", TRANSLATIONS, body, headers)
    error = answer["error"]
    assert (status, error["param"], error["code"]) == (400, "model", "translation_not_supported")
    assert "/v1/audio/transcriptions" in error["message"]
    assert eventually(lambda: not shared_server.uploads())


def test_translations_know_their_form(shared_server):
    def post(*fields, **options):
        body, headers = form(*fields, **options)
        status, _, answer = shared_server.request("POST", TRANSLATIONS, body, headers)
        return status, answer["error"]["param"]

    assert post(("model", "no-such-model")) == (404, "model")
    assert post(file=None) == (400, "file")
    assert post(("response_format", "xml")) == (400, "response_format")
    assert shared_server.request("GET", TRANSLATIONS)[0] == 405
    assert shared_server.request("POST", TRANSLATIONS, {"model": "x"})[0] == 415


def test_a_recording_in_json_may_be_as_large_as_openai_takes(shared_server):
    data = base64.b64encode(bytes(20 << 20)).decode()
    body = {"model": "scripted-speech", "prompt": "say hi", "input_audio": {"data": data, "format": "wav"}}
    status, _, found = shared_server.request("POST", "/v1/audio/transcriptions", body)
    assert (status, found.get("text")) == (200, "hi"), found
