"""What schemathesis is told of this API: how to make valid values, and checks of our own."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import time
import urllib.request
from pathlib import Path

import schemathesis
import soundfile
from hypothesis import strategies as st
from schemathesis.core.failures import Failure

from ominix.api import tools
from ominix.errors import InvalidRequest
from ominix.http import schemas

ANSWER_SECONDS = 20.0
RETRY_SECONDS = range(1, 121)  # openai-python heeds no longer Retry-After
# Whole paths of the machine. The server's own come on top; HOME_VARIABLE names them.
PATHS = ("/home/", "/Users/", "/tmp/", "site-packages", "Traceback")
HOME_VARIABLE = "OMINIX_CONTRACT_HOME"
URL_VARIABLE = "OMINIX_CONTRACT_URL"
# Why a request that is right may be answered with 503 in these runs.
UNAVAILABLE = ("model_downloading", "model_unavailable", "downloads_full", "unavailable")
CHAT = "/v1/chat/completions"
TRANSCRIPTIONS = "/v1/audio/transcriptions"
DONE = "transcript.text.done"
REAL_LOADS = 3  # of the embedded model, seconds each; the others load a scripted one
NO_CHAT = ("tiny-asr", "tiny-aligner", "scripted-speech", "scripted-aligner")
SAMPLES = Path(__file__).parents[1] / "ominix" / "embedded" / "samples"


def _wav(seconds: float) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, [0.0] * int(16000 * seconds), 16000, format="WAV")
    return file.getvalue()


RECORDINGS = [_wav(0.05), _wav(0.3), (SAMPLES / "english.flac").read_bytes()]
LANGUAGES = ["", "auto", "English", "zh", "en-US", "CHINESE"]
schemathesis.openapi.format("audio", st.sampled_from(RECORDINGS))
schemathesis.openapi.format(
    "base64-audio", st.sampled_from([base64.b64encode(data).decode() for data in RECORDINGS])
)
schemathesis.openapi.format("language", st.sampled_from(LANGUAGES))
schemathesis.openapi.format("chat-model", st.sampled_from(["scripted", "scripted-2", "no-such-model"]))
schemathesis.openapi.format("speech-model", st.sampled_from(["scripted-speech"]))
schemathesis.openapi.format("repository", st.sampled_from(["a/tiny", "b/small", "a/none"]))

_real_loads: list = []
_completion_ids: set[str] = set()


@schemathesis.hook
def filter_case(context, case) -> bool:
    """A model that is scripted to be broken answers 503, as it should."""
    loads = case.operation.label.endswith("/load")
    return not (loads and (case.path_parameters or {}).get("model_id") == "scripted-broken")


@schemathesis.hook
def before_call(context, case, kwargs) -> None:
    """What a link hands on can be used: a model to load is here, and one to talk to is a chat model."""
    if case.path == CHAT and isinstance(case.body, dict) and case.body.get("model") in NO_CHAT:
        case.body["model"] = "scripted"
    if case.path == CHAT and isinstance(case.body, dict) and _is_right(case):
        _choose_tools_that_are_there(case.body)
    address = os.environ.get(URL_VARIABLE)
    if not address:
        _spare_werkzeug(case)
    if not case.operation.label.endswith("/load"):
        return
    model_id = (case.path_parameters or {}).get("model_id")
    if model_id == "tiny-asr":
        _real_loads.append(case)
    if model_id == "tiny-aligner" or (model_id == "tiny-asr" and len(_real_loads) > REAL_LOADS):
        case.path_parameters["model_id"] = "scripted-speech"
    if address:
        _await_downloads(address)


def _is_right(case) -> bool:
    return case.meta is not None and case.meta.generation.mode is schemathesis.GenerationMode.POSITIVE


def _choose_tools_that_are_there(body: dict) -> None:
    """A schema cannot say that a choice names one of the tools."""
    try:
        tools.asked({"parallel_tool_calls": True} | {k: v for k, v in body.items() if v is not None})
    except InvalidRequest:
        for name in ("tool_choice", "function_call", "functions"):
            body.pop(name, None)


def _spare_werkzeug(case) -> None:
    """werkzeug, the client in-process, forgets a line break after empty fields, and empty query fields."""
    if case.media_type == "multipart/form-data" and isinstance(case.body, dict):
        case.body = {name: value for name, value in case.body.items() if value not in ("", [], [""])}
    given = (case.query or {}).items()
    case.query = {name: "" if value in (None, [], {}) else value for name, value in given}


def _await_downloads(address: str) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with contextlib.closing(urllib.request.urlopen(f"{address}/v1/models/downloads")) as answer:
            states = {entry["state"] for entry in json.load(answer)["data"]}
        if not states & {"queued", "downloading", "verifying"}:
            return
        time.sleep(0.05)


def _fail(case, title: str, message: object) -> None:
    raise Failure(operation=case.operation.label, title=title, message=str(message)[:400])


@schemathesis.check
def one_error_shape(ctx, response, case) -> None:
    if response.status_code < 400:
        return
    body = json.loads(response.content)
    if response.status_code == 503 and case.path == "/health":
        return
    if set(body) != {"error"} or set(body["error"]) != {"message", "type", "param", "code"}:
        _fail(case, "not the error shape", body)


@schemathesis.check
def what_is_right_is_refused_as_no_audio_alone(ctx, response, case) -> None:
    """In place of schemathesis's own check: a schema cannot say which bytes are a recording."""
    is_right = _is_right(case)
    if case.path != TRANSCRIPTIONS or not is_right or response.status_code != 400:
        return
    if json.loads(response.content)["error"]["code"] != "invalid_audio_format":
        _fail(case, "a request that is right is refused", response.text)


@schemathesis.check
def never_a_500(ctx, response, case) -> None:
    if response.status_code == 500:
        _fail(case, "500", response.text)


@schemathesis.check
def has_a_request_id(ctx, response, case) -> None:
    if not response.headers.get("x-request-id"):
        _fail(case, "no request id", response.headers)


@schemathesis.check
def no_server_path(ctx, response, case) -> None:
    """A model's `path` is the documented exception."""
    text = response.text
    for found in _paths_of_models(response):
        text = text.replace(json.dumps(found), '""')
    home = os.environ.get(HOME_VARIABLE)
    told = [word for word in (*PATHS, home) if word and word in text]
    sent = f"{case.path_parameters} {case.body}"
    if any(word not in sent for word in told):
        _fail(case, f"tells {told}", text)


def _paths_of_models(response) -> list[str]:
    try:
        body = json.loads(response.content)
    except ValueError:
        return []
    entries = body.get("data", [body]) if isinstance(body, dict) else []
    return [entry["path"] for entry in entries if isinstance(entry, dict) and "path" in entry]


@schemathesis.check
def answers_in_time(ctx, response, case) -> None:
    if response.elapsed > ANSWER_SECONDS:
        _fail(case, "too slow", f"{response.elapsed:.1f} s")


@schemathesis.check
def says_when_to_come_again(ctx, response, case) -> None:
    if response.status_code not in (429, 503):
        return
    seconds = (response.headers.get("retry-after") or [""])[0]
    if not (seconds.isdigit() and int(seconds) in RETRY_SECONDS):
        _fail(case, "no sensible Retry-After", response.headers)
    if case.path != "/health":
        code = json.loads(response.content)["error"]["code"]
        if response.status_code == 503 and code not in UNAVAILABLE:
            _fail(case, "unavailable without a reason", code)


@schemathesis.check
def completion_ids_are_unique(ctx, response, case) -> None:
    if (case.method, case.path, response.status_code) != ("POST", CHAT, 200):
        return
    seen = {chunk["id"] for chunk in _objects(response)}
    if len(seen) != 1 or seen & _completion_ids:
        _fail(case, "an answer has not one id of its own", seen)
    _completion_ids.update(seen)


@schemathesis.check
def streams_end_as_they_should(ctx, response, case) -> None:
    if "text/event-stream" not in (response.headers.get("content-type") or [""])[0]:
        return
    is_done = response.text.endswith("data: [DONE]\n\n")
    failed = "error" in _objects(response)[-1]
    if case.path == CHAT and is_done == failed:
        _fail(case, "[DONE] is for streams that succeed", response.text[-300:])
    is_whole = failed or _objects(response)[-1].get("type") == DONE
    if case.path != CHAT and (is_done or not is_whole):
        _fail(case, "a transcript's stream ends with its whole text", response.text[-300:])
    schema = "chat_completion_chunk" if case.path == CHAT else "transcription_event"
    for body in _objects(response):
        wrong = schemas.mismatch("error" if "error" in body else schema, body)
        if wrong:
            _fail(case, "an event breaks its schema", wrong)


def _objects(response) -> list[dict]:
    """The JSON objects of an answer, plain or streamed."""
    if "text/event-stream" not in (response.headers.get("content-type") or [""])[0]:
        return [json.loads(response.content)]
    messages = [m for m in response.text.split("\n\n") if m.startswith("data: {")]
    return [json.loads(message.removeprefix("data: ")) for message in messages]
