"""The embedded speech model through HTTP: what it hears, in every container and rate."""

from __future__ import annotations

import io
import json
from pathlib import Path

import av
import numpy as np
import openai
import psutil
import pytest
import soundfile
import soxr
from serving import Clients, RunningServer

SPEECH = Path(__file__).parents[1] / "data" / "speech"
CLIPS = json.loads((SPEECH / "clips.json").read_text("utf-8"))
HEARD = [clip for clip in CLIPS if clip["heard_in_training"]]
UNHEARD = [clip for clip in CLIPS if not clip["heard_in_training"]]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("speech")]


@pytest.fixture(scope="module")
def client(speech_server: RunningServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{speech_server.url}/v1", api_key="any", timeout=300, max_retries=0)


def heard(client: openai.OpenAI, data: bytes, **fields) -> str:
    return client.audio.transcriptions.create(file=("audio", data), model="whisper-1", **fields).text


def words(text: str) -> list[str]:
    """Chinese is counted by character, the rest by word."""
    return list(text) if any("\u4e00" <= c <= "\u9fff" for c in text) else text.split()


def errors(said: list[str], heard: list[str]) -> int:
    """Levenshtein's distance."""
    row = list(range(len(heard) + 1))
    for i, a in enumerate(said, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(heard, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[-1]


def word_error_rate(client: openai.OpenAI, clips: list[dict], convert=lambda data: data) -> float:
    wrong = total = 0
    sent = [convert((SPEECH / clip["file"]).read_bytes()) for clip in clips]
    texts = Clients(8, lambda k: {i: heard(client, sent[i]) for i in range(k, len(clips), 8)}).join(500)
    by_clip = {index: text for part in texts for index, text in part.items()}
    for index, clip in enumerate(clips):
        said = words(clip["text"])
        wrong += errors(said, words(by_clip[index]))
        total += len(said)
    return wrong / total


def samples_of(data: bytes) -> tuple[np.ndarray, int]:
    return soundfile.read(io.BytesIO(data), dtype="float32")


def encoded(data: bytes, container: str, codec: str, rate_hz: int, layout: str = "mono") -> bytes:
    samples, rate = samples_of(data)
    samples = soxr.resample(samples, rate, rate_hz)
    channels = 2 if layout == "stereo" else 1
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate_hz, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.tile(samples, (channels, 1)), format="fltp", layout=layout)
        frame.sample_rate = rate_hz
        fifo = av.AudioResampler(format=stream.format, layout=layout, rate=rate_hz)
        for piece in [*fifo.resample(frame), None]:
            output.mux(stream.encode(piece))
    return file.getvalue()


def test_held_out_sequences(client):
    rate = word_error_rate(client, HEARD)
    print(f"word error rate, {len(HEARD)} held-out sequences by voices of the training: {rate:.1%}")
    assert rate < 0.12


def test_a_held_out_voice(client):
    rate = word_error_rate(client, UNHEARD)
    print(f"word error rate, {len(UNHEARD)} clips by a voice never heard: {rate:.1%}")
    assert rate < 0.30


@pytest.mark.contract("audio.sniffing")
@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("wav", "pcm_s16le"),
        ("mp3", "libmp3lame"),
        ("flac", "flac"),
        ("ogg", "libopus"),
        ("webm", "libopus"),
        ("mp4", "aac"),
        ("adts", "aac"),
        ("mpeg", "mp2"),
    ],
)
def test_every_container(client, container, codec):
    rate = word_error_rate(client, HEARD[:12], lambda d: encoded(d, container, codec, 48_000))
    print(f"word error rate as {container}/{codec}: {rate:.1%}")
    assert rate < 0.20


@pytest.mark.parametrize("layout", ["mono", "stereo"])
@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_every_rate(client, rate_hz, layout):
    rate = word_error_rate(client, HEARD[:12], lambda d: encoded(d, "wav", "pcm_s16le", rate_hz, layout))
    print(f"word error rate at {rate_hz} Hz, {layout}: {rate:.1%}")
    assert rate < (0.25 if rate_hz == 8_000 else 0.20)


def wav(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format="WAV", subtype="PCM_16")
    return file.getvalue()


@pytest.mark.contract("audio.silence")
def test_silence_and_noise_say_nothing(client):
    dice = np.random.default_rng(0)
    for samples in (np.zeros(48_000), dice.normal(0, 0.01, 48_000), dice.normal(0, 0.001, 160_000)):
        assert heard(client, wav(samples)) == ""


def test_a_given_language_is_kept(client):
    clip = next(c for c in HEARD if c["language"] == "Spanish")
    data = (SPEECH / clip["file"]).read_bytes()
    answer = client.audio.transcriptions.create(
        file=("a", data), model="tiny-asr", language="es", response_format="verbose_json"
    )
    assert answer.language == "Spanish"


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_an_hour_of_speech_in_bounded_memory(client, speech_server):
    """Clips with pauses, one after another, to 60 minutes: the words are all there, in order."""
    spoken, pause = [], np.zeros(12_000, dtype=np.float32)
    pieces: list[np.ndarray] = []
    length = 0
    clips = [clip for clip in HEARD if clip["language"] == "English"]
    index = 0
    while length < 3600 * 16_000:
        clip = clips[index % len(clips)]
        samples, _ = samples_of((SPEECH / clip["file"]).read_bytes())
        pieces += [samples, pause]
        spoken += words(clip["text"])
        length += len(samples) + len(pause)
        index += 1
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 16_000, 1, format="OGG", subtype="VORBIS") as recording:
        for piece in pieces:  # libsndfile dies of one long write
            recording.write(piece)
    process = psutil.Process(speech_server.process.pid)
    (worker,) = process.children()
    before = process.memory_info().rss, worker.memory_info().rss
    stream = client.audio.transcriptions.create(file=("a", file.getvalue()), model="tiny-asr", stream=True)
    deltas, peak = [], 0
    for event in stream:
        peak = max(peak, worker.memory_info().rss)
        if event.type == "transcript.text.delta":
            deltas.append(event.delta)
    rate = errors(spoken, words("".join(deltas))) / len(spoken)
    grown = process.memory_info().rss - before[0]
    print(f"an hour, {len(spoken)} words: {rate:.1%} wrong; server grew {grown >> 20} MiB, ", end="")
    print(f"worker peaked at {peak >> 20} MiB from {before[1] >> 20}")
    assert rate < 0.15
    assert grown < 60 << 20
    assert peak < before[1] + (600 << 20)
