"""A real model, made here, from the hub to its first words: the whole way that users go."""

from __future__ import annotations

import pytest
from serving import eventually

pytestmark = pytest.mark.slow


@pytest.mark.slow
def test_a_downloaded_chat_model_answers_its_first_request(hub, serve, tmp_path):
    from engines.text import tiny_chat  # brings mlx

    folder = tiny_chat.reciter(tmp_path / "made", list(b"Paris"))
    hub.add("a/tiny", {path.name: path.read_bytes() for path in folder.iterdir()})
    server = serve("--strict")
    server.request("POST", "/v1/models/download", {"repo_id": "a/tiny"})

    def model() -> dict:
        return server.request("GET", "/v1/models/tiny")[2]

    assert eventually(lambda: model().get("status") == "ready", 30.0)
    assert (model()["task"], model()["loaded"]) == ("chat", False)
    status, _, answer = server.chat("What is the capital of France?", model="tiny", timeout=60)
    assert (status, answer["choices"][0]["message"]["content"]) == (200, "Paris")
    assert model()["loaded"]
    worker, *children = server.workers()
    assert server.request("DELETE", "/v1/models/tiny")[0] == 409
    assert server.request("POST", "/v1/models/tiny/unload")[0] == 200
    assert not worker.is_running()
    assert eventually(lambda: not any(child.is_running() for child in children))
    assert server.request("DELETE", "/v1/models/tiny")[0] == 200
    assert not (server.home / "models" / "tiny").exists()
