"""A Whisper folder behind the API. Its weights are random: what it says is nonsense, its form is not."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import mlx.core as mx
import numpy as np
import openai
import pytest
import soundfile
import whisper_folders as folders
from serving import RunningServer

from ominix.models.whisper.config import Config
from ominix.models.whisper.model import Model

CLIP = (Path(__file__).parents[2] / "ominix" / "embedded" / "samples" / "english.flac").read_bytes()

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[RunningServer]:
    home = tmp_path_factory.mktemp("home")
    mx.random.seed(5)
    sizes = {"n_audio_state": 16, "n_audio_head": 2, "n_audio_layer": 2}
    model = Model(Config(n_text_ctx=64, n_text_state=16, n_text_head=2, n_text_layer=2, **sizes))
    model.decoder.token_embedding.weight = mx.random.normal((51865, 16))
    (home / "models").mkdir()
    folder = folders.write_config(home / "models" / "my-whisper", folders.mlx_config(model))
    mx.save_safetensors(str(folder / "model.safetensors"), folders.ours(model))
    server = RunningServer(home, "--strict")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def client(server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", timeout=60, max_retries=0)


def test_it_is_listed_with_what_it_is_able_to_do(server):
    _, _, body = server.request("GET", "/v1/models/my-whisper")
    assert body["task"] == "speech"
    assert body["abilities"] == ["align", "transcribe", "translate"]


def test_it_transcribes_with_words_and_needs_no_aligner(client):
    ask = client.audio.transcriptions.create
    found = ask(
        model="my-whisper", file=("a.flac", CLIP), language="de", temperature=1.0,
        response_format="verbose_json", timestamp_granularities=["word"],
    )  # fmt: skip
    assert (found.language, found.task) == ("German", "transcribe")
    assert found.text and found.words
    times = [time for word in found.words for time in (word.start, word.end)]
    assert times == sorted(times) and times[-1] <= found.duration


def test_it_translates(client):
    ask = client.audio.translations.create
    verbose = ask(model="my-whisper", file=("a.flac", CLIP), temperature=1.0, response_format="verbose_json")
    assert (verbose.task, verbose.language) == ("translate", "English")
    assert verbose.text and verbose.segments
    plain = ask(model="my-whisper", file=("a.flac", CLIP), temperature=1.0)
    assert plain.text == verbose.text
    srt = ask(model="my-whisper", file=("a.flac", CLIP), temperature=1.0, response_format="srt")
    assert srt.startswith("1\n00:00:")
    spoken = client.audio.transcriptions.create(
        model="my-whisper", file=("a.flac", CLIP), temperature=1.0, response_format="verbose_json"
    )
    assert spoken.segments[0].avg_logprob != verbose.segments[0].avg_logprob  # another task in the prompt


def test_it_goes_through_a_recording_window_by_window(client, server):
    ask = client.audio.transcriptions.create
    fields = {"model": "my-whisper", "file": ("a.flac", CLIP), "language": "de", "temperature": 1.0}
    more = {"chunking_strategy": "sequential", "extra_body": {"condition_on_previous_text": True}}
    found = ask(**fields, **more, response_format="verbose_json")
    assert found.text == " ".join(segment.text for segment in found.segments)
    first = found.segments[0]
    assert first.seek == 0 and first.temperature == 1.0 and first.tokens[0] >= 50364
    streamed = list(ask(**fields, **more, stream=True))
    assert streamed[-1].text == found.text
    with pytest.raises(openai.BadRequestError, match="condition_on_previous_text"):
        ask(**fields, extra_body=more["extra_body"])


@pytest.fixture(scope="module")
def telephone() -> bytes:
    """The left channel speaks first, then the right one."""
    said, rate_hz = soundfile.read(io.BytesIO(CLIP), dtype="float32")
    silence = np.zeros_like(said)
    file = io.BytesIO()
    channels = [np.concatenate(parts) for parts in ((said, silence), (silence, said))]
    soundfile.write(file, np.stack(channels, 1), rate_hz, format="FLAC")
    return file.getvalue()


@pytest.mark.parametrize("kind", ["transcriptions", "translations"])
def test_each_channel_is_a_speaker_for_whisper_too(server, telephone, kind):
    answer = httpx.post(
        f"{server.url}/v1/audio/{kind}",
        data={
            "model": "my-whisper",
            "channel": "separate",
            "response_format": "verbose_json",
            "temperature": "1.0",
        },
        files={"file": ("a.flac", telephone)},
        timeout=120,
    )
    body = answer.json()
    assert answer.status_code == 200, body
    speakers = [segment["speaker"] for segment in body["segments"]]
    assert list(dict.fromkeys(speakers)) == ["left", "right"]
    assert speakers == sorted(speakers)


def test_a_model_that_does_not_translate_names_one_that_does(client):
    with pytest.raises(openai.BadRequestError, match="Models that can: here: my-whisper") as refusal:
        client.audio.translations.create(model="tiny-asr", file=("a.flac", CLIP))
    assert refusal.value.code == "translation_not_supported"


def test_a_language_that_it_lacks_is_refused(client):
    with pytest.raises(openai.BadRequestError, match="does not know Cantonese"):
        client.audio.transcriptions.create(model="my-whisper", file=("a.flac", CLIP), language="yue")
