"""What schemathesis is told of this API: how to make valid audio and languages, and checks of our own."""

from __future__ import annotations

import io
import json

import schemathesis
import soundfile
from hypothesis import strategies as st
from schemathesis.core.failures import Failure

ANSWER_SECONDS = 20.0


def _wav(seconds: float) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, [0.0] * int(16000 * seconds), 16000, format="WAV")
    return file.getvalue()


RECORDINGS = [_wav(0.05), _wav(0.3)]
schemathesis.openapi.format("audio", st.sampled_from(RECORDINGS))
schemathesis.openapi.format("language", st.sampled_from(["", "auto", "English", "zh", "en-US", "CHINESE"]))

schemathesis.openapi.format("chat-model", st.sampled_from(["scripted", "scripted-2", "no-such-model"]))
schemathesis.openapi.format("speech-model", st.sampled_from(["scripted-speech"]))
schemathesis.openapi.format("repository", st.sampled_from(["a/none", "b/none", "no repository"]))


@schemathesis.hook
def filter_case(context, case) -> bool:
    """A model that is scripted to be broken answers 503, as it should."""
    loads = case.operation.label.endswith("/load")
    return not (loads and (case.path_parameters or {}).get("model_id") == "scripted-broken")


@schemathesis.check
def one_error_shape(ctx, response, case) -> None:
    if response.status_code < 400:
        return
    body = json.loads(response.content)
    if response.status_code == 503 and case.path == "/health":
        return
    if set(body) != {"error"} or set(body["error"]) != {"message", "type", "param", "code"}:
        raise Failure(operation=case.operation.label, title="not the error shape", message=str(body)[:300])


@schemathesis.check
def never_a_500(ctx, response, case) -> None:
    if response.status_code == 500:
        raise Failure(operation=case.operation.label, title="500", message=response.text[:300])


@schemathesis.check
def has_a_request_id(ctx, response, case) -> None:
    if not response.headers.get("x-request-id"):
        raise Failure(operation=case.operation.label, title="no request id", message=str(response.headers))


@schemathesis.check
def no_server_path(ctx, response, case) -> None:
    """Errors never tell where things lie; the list's `path` field is the documented exception."""
    told = [word for word in ("/home/", "/Users/", "site-packages", "Traceback") if word in response.text]
    if response.status_code >= 400 and told:
        raise Failure(operation=case.operation.label, title=f"tells {told}", message=response.text[:300])


@schemathesis.check
def answers_in_time(ctx, response, case) -> None:
    if response.elapsed > ANSWER_SECONDS:
        raise Failure(operation=case.operation.label, title="too slow", message=f"{response.elapsed:.1f} s")
