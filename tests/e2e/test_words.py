"""timestamp_granularities[]=word through HTTP: with the scripted engine, and with small random models."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from serving import RunningServer

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parents[1] / "golden"
SAMPLES = Path(__file__).parents[2] / "ominix" / "embedded" / "samples"
CLIP = (SAMPLES / "english.flac").read_bytes()


def client_of(server: RunningServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", timeout=60, max_retries=0)


@pytest.fixture
def scripted(shared_server) -> openai.OpenAI:
    return client_of(shared_server)


def ask(client: openai.OpenAI, model: str = "scripted-speech", **fields):
    settings = {"response_format": "verbose_json", "timestamp_granularities": ["word"], **fields}
    return client.audio.transcriptions.create(file=("a.flac", CLIP), model=model, **settings)


@pytest.mark.contract("audio.answer.words", "clients.openai-python")
def test_words_are_read_by_openai_python(scripted):
    answer = ask(scripted, prompt="say one two three", timestamp_granularities=["word", "segment"])
    assert [(w.word, round(w.start, 2), round(w.end, 2)) for w in answer.words] == [
        ("one", 0.0, 0.33),
        ("two", 0.33, 0.67),
        ("three", 0.67, 1.0),
    ]
    assert len(answer.segments) == 1


@pytest.mark.contract("audio.answer.words")
def test_words_are_told_only_where_they_are_asked_for(scripted):
    assert ask(scripted, prompt="say one", timestamp_granularities=["segment"]).words is None
    assert ask(scripted, prompt="say one", response_format="json").text == "one"
    assert ask(scripted, prompt="say ").words is not None


def test_streamed_segments_have_their_words(scripted):
    segments = [
        event
        for event in ask(scripted, prompt="say one two", stream=True)
        if event.type == "transcript.text.segment"
    ]
    assert [word["word"] for word in segments[0].words] == ["one", "two"]


# Models of a folder


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(GOLDEN / "qwen3_asr", home / "models" / "random-asr")
    return home


@pytest.fixture(scope="module")
def server(home) -> Iterator[RunningServer]:
    running = RunningServer(home, "--strict")
    yield running
    running.stop()


@pytest.fixture
def client(server) -> openai.OpenAI:
    return client_of(server)


@pytest.fixture
def installed(home) -> Iterator[None]:
    shutil.copytree(GOLDEN / "qwen3_aligner", home / "models" / "random-aligner")
    yield
    shutil.rmtree(home / "models" / "random-aligner", ignore_errors=True)


def refusal(client: openai.OpenAI, status: int = 400, **fields) -> dict:
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, **fields)
    assert caught.value.status_code == status
    return json.loads(caught.value.response.content)["error"]


@pytest.mark.contract("audio.answer.words")
def test_without_an_aligner_the_refusal_says_what_to_pull(client):
    error = refusal(client, model="random-asr")
    assert (error["param"], error["code"]) == ("timestamp_granularities", "aligner_not_installed")
    assert "ominix pull qwen3-forced-aligner" in error["message"]
    assert "mlx-community/Qwen3-ForcedAligner-0.6B-8bit" in error["message"]


@pytest.mark.slow
@pytest.mark.contract("audio.answer.words")
@pytest.mark.xdist_group("speech")
def test_words_of_real_models(client, server, installed):
    answer = ask(client, model="random-asr", language="en", temperature=1.0)
    assert all(0 <= word.start <= word.end <= answer.duration for word in answer.words)
    assert all(a.end <= b.start for a, b in itertools.pairwise(answer.words))
    text = answer.text
    for word in answer.words:
        assert word.word in text
        text = text[text.index(word.word) + len(word.word) :]
    error = refusal(client, model="random-asr", language="Thai")
    assert (error["param"], error["code"]) == ("timestamp_granularities", "unsupported_language")
    assert "English" in error["message"]
    assert client.models.retrieve("random-aligner").task == "aligner"
    assert "speech model" in client.models.retrieve("random-aligner").note
    status, _, body = server.request("DELETE", "/v1/models/random-aligner")
    assert (status, body["error"]["code"]) == (409, "model_loaded")  # the speech model's worker holds it


def test_an_aligner_is_no_model_to_talk_to(client, server, installed):
    error = refusal(client, model="random-aligner")
    assert error["message"].endswith("is an aligner model; this endpoint needs a speech model.")
    status, _, body = server.request("POST", "/v1/models/random-aligner/load")
    assert (status, body["error"]["code"]) == (409, "model_not_servable")
    assert "gives words their times" in body["error"]["message"]
