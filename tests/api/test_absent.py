"""Paths that are not here: refused as what they are, or put right."""

from __future__ import annotations

import falcon
import pytest
from falcon import testing

from ominix.api.absent import ELSEWHERE, Absent
from ominix.http.answers import install_error_handlers

ROUTES = ("/", "/v1", "/docs", "/health", "/v1/models", "/v1/models/{model_id:path}", "/v1/chat/completions")
ROUTES += ("/v1/audio/transcriptions", "/v1/audio/translations", "/asr")


@pytest.fixture(scope="module")
def client():
    app = falcon.App()
    install_error_handlers(app)
    app.add_sink(Absent(ROUTES), "/")
    return testing.TestClient(app)


def refusal(answer) -> tuple[int, str, str]:
    return answer.status_code, answer.json["error"]["code"], answer.json["error"]["message"]


@pytest.mark.parametrize("path", ELSEWHERE)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_endpoint_that_ominix_lacks_has_a_code_of_its_own(client, path, method):
    """As a 404 it was "model not found" in three libraries; as a 5xx it stops LiteLLM's deployments."""
    for asked in (path, f"{path}/abc/def"):
        status, code, message = refusal(client.simulate_request(method, asked))
        assert (status, code) == (400, "unsupported_endpoint")
        assert len(message) > 40


@pytest.mark.parametrize(
    ("path", "instead"),
    [
        ("/v1/responses", "POST /v1/chat/completions"),
        ("/v1/completions", "POST /v1/chat/completions"),
        ("/v1/messages", "POST /v1/chat/completions"),
        ("/v1/realtime", "POST /v1/audio/transcriptions"),
        ("/responses", "POST /v1/chat/completions"),
        ("/v1/v1/responses", "POST /v1/chat/completions"),
    ],
)
def test_the_refusal_names_what_to_use_instead(client, path, instead):
    status, code, message = refusal(client.simulate_post(path))
    assert (status, code) == (400, "unsupported_endpoint")
    assert instead in message


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/chat/completions", "/v1/chat/completions"),
        ("/v1/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/v1/v1/models", "/v1/models"),
        ("/api/v1/chat/completions", "/v1/chat/completions"),
        ("/openai/v1/audio/transcriptions", "/v1/audio/transcriptions"),
        ("/v1/chat/completions/chat/completions", "/v1/chat/completions"),
        ("/audio/translations", "/v1/audio/translations"),
        ("/models", "/v1/models"),
        ("/v1/asr", "/asr"),
        ("/v1/health", "/health"),
        ("/v1/chat/completion", "/v1/chat/completions"),
        ("/v1/audio/transcription", "/v1/audio/transcriptions"),
    ],
)
def test_a_slip_is_put_right(client, path, meant):
    status, code, message = refusal(client.simulate_post(path))
    assert (status, code) == (404, "unknown_url")
    assert f"Did you mean {meant}?" in message


@pytest.mark.parametrize("path", ["/nothing", "/v1/nothing", "/v2/x", "/v1/" + "x" * 5000, "/v1/responsesx"])
def test_other_paths_are_not_found(client, path):
    status, code, message = refusal(client.simulate_get(path))
    assert (status, code) == (404, "unknown_url")
    assert "Did you mean" not in message
    assert len(message) < 300
