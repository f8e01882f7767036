from __future__ import annotations

import contextlib

import pytest
from hub import model_files

from ominix.cli import offer
from ominix.cli.client import Client
from ominix.errors import ServerError

SPEECH = "openai/whisper-base"


class Asked(list):
    """Who answers each question the same way, and remembers them."""

    def __init__(self, answer: bool) -> None:
        self.answer = answer

    def __call__(self, question: str) -> bool:
        self.append(question)
        return self.answer


@pytest.fixture
def client(shared_server):
    with contextlib.closing(Client(shared_server.url)) as made:
        yield made


def test_a_model_that_is_there_is_taken_without_a_word(client, tmp_path):
    asked = Asked(True)
    assert offer.ensured(client, tmp_path, "scripted-speech", "transcribe", asked).id == "scripted-speech"
    assert asked == []


@pytest.mark.parametrize(
    ("model", "ability", "said", "offered"),
    [
        (None, "transcribe", "No speech model is here yet: 'ominix pull qwen3-asr' or", "whisper-base"),
        ("qwen3-asr", "transcribe", "'ominix pull qwen3-asr' downloads", "qwen3-asr"),
        ("whisper-base", "transcribe", "'ominix pull whisper-base' downloads one", "whisper-base"),
        ("whisper-1", "transcribe", "'whisper-1' means a speech model, and none is here yet", "whisper-base"),
        (None, "chat", "No chat model is here yet: 'ominix pull qwen3-0.6b' downloads one", "qwen3-0.6b"),
        ("nope", "chat", "The model 'nope' does not exist here", "qwen3-0.6b"),
    ],
)
def test_who_says_no_reads_what_to_do(client, tmp_path, model, ability, said, offered):
    """`ominix transcribe` printed the demo model's sixty words as if they were the recording's text."""
    asked = Asked(False)
    with pytest.raises(ServerError) as caught:
        offer.ensured(client, tmp_path, model, ability, asked)
    assert said in caught.value.message
    assert f"Download {offered} (" in asked[0]


@pytest.mark.slow
def test_who_says_yes_gets_the_model(hub, serve):
    server = serve("--scripted")
    hub.add(SPEECH, model_files(1000, model_type="whisper"))
    with contextlib.closing(Client(server.url)) as client:
        found = offer.ensured(client, server.home, None, "transcribe", Asked(True))
    assert found.id == "whisper-base"
    assert (server.home / "models" / found.id / "model.safetensors").exists()


@pytest.mark.slow
def test_a_download_that_fails_is_no_model(hub, serve):
    server = serve("--scripted")
    with contextlib.closing(Client(server.url)) as client, pytest.raises(ServerError, match="cannot be done"):
        offer.ensured(client, server.home, None, "transcribe", Asked(True))


def test_other_refusals_are_told_as_they_are(serve, tmp_path):
    server = serve("--scripted", "--api-key", "k")
    with contextlib.closing(Client(server.url)) as client, pytest.raises(ServerError, match="wants a key"):
        offer.ensured(client, tmp_path, None, "transcribe", Asked(True))


def test_the_size_of_a_download_is_told(client, tmp_path):
    asked = Asked(False)
    with pytest.raises(ServerError):
        offer.ensured(client, tmp_path, None, "transcribe", asked)
    assert "whisper-base (openai/whisper-base, 0.29 GB)" in asked[0]


def test_yes_needs_no_terminal():
    assert offer.everybody("Download it now?")


def test_without_a_terminal_nobody_agrees():
    assert not offer.person("Download it now?")
