"""Clients that are installed beside the tests, unmodified: openai for node, LiteLLM, LangChain.

Each runs once, as a process of its own, and prints what it saw. tools/test_clients installs them.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from serving import eventually

HERE = Path(__file__).parent
INSTALLED = HERE.parent / ".venv" / "clients"
THREE = "hello0 hello1 hello2 "

pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "recording.wav"
    path.write_bytes(b"RIFF" + bytes(200_000))
    return path


def seen(*command: object) -> dict:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.contract("clients.openai-node", "transport.chunked", "leaving.stops")
def test_openai_node(shared_server, recording):
    script = HERE / "clients" / "node_client.mjs"
    it = seen("node", script, shared_server.url, INSTALLED, recording)
    assert it["chat"]["choices"][0]["message"]["content"] == THREE
    assert it["requestId"]
    *spoken, usage = it["chunks"]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in spoken) == THREE
    assert usage["usage"]["total_tokens"] == 4
    assert it["final"] == "one two"
    assert eventually(lambda: shared_server.jobs() == 0)
    assert it["streamError"]["kind"] == "APIError"
    bad = {"kind": "BadRequestError", "status": 400, "code": "invalid_value", "param": "temperature"}
    assert it["bad"] == bad
    assert (it["unknown"]["kind"], it["unknown"]["code"]) == ("NotFoundError", "model_not_found")
    assert "scripted" in it["models"]
    assert it["model"]["object"] == "model"
    assert (it["conflict"]["kind"], it["conflict"]["code"]) == ("ConflictError", "model_built_in")
    assert it["json"]["text"] == "hello there"
    assert it["text"] == "hello there\n"
    assert it["verbose"]["segments"][0]["end"] == 1.0
    assert it["srt"].startswith("1\n00:00:00,000 --> ")
    *deltas, done = [event for event in it["events"] if event["type"] != "transcript.text.segment"]
    assert "".join(event["delta"] for event in deltas) == done["text"] == "hello there"
    assert it["language"]["code"] == "invalid_language"


@pytest.mark.contract("clients.litellm", "chat.stream.reasoning")
def test_litellm(shared_server, recording):
    script = HERE / "clients" / "litellm_client.py"
    it = seen(INSTALLED / "bin" / "python", script, shared_server.url, recording)
    assert (it["content"], it["finish_reason"], it["usage"]) == (THREE, "length", 4)
    assert (it["streamed"], it["streamed_usage"]) == (THREE, [4])
    assert it["awaited"] == "hello0 hello1 "
    assert it["reasoning"] == "think0 think1 "
    assert it["heard"] == "hello there"
    assert it["bad"] == "BadRequestError"
    assert it["unknown"] == "NotFoundError"
    assert it["crash"] == "InternalServerError"


@pytest.mark.contract("clients.langchain", "chat.roles")
def test_langchain(shared_server):
    script = HERE / "clients" / "langchain_client.py"
    it = seen(INSTALLED / "bin" / "python", script, shared_server.url)
    assert (it["content"], it["finish_reason"], it["usage"]) == (THREE, "length", 4)
    assert it["turns"] == THREE
    assert (it["streamed"], it["streamed_usage"]) == (THREE, 4)
    assert it["awaited"] == THREE
    assert it["batch"] == [f"{word}0 {word}1 {word}2 " for word in ("one", "two", "three")]
    assert it["bad"] == [400, "invalid_value"]
    assert it["unknown"] == [404, "model_not_found"]
