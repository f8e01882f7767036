"""Times and subtitles of real speech through HTTP, as openai-python and openai-node read them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import openai
import pytest
import soundfile
import srt
import webvtt
from serving import RunningServer

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import bench_vad as sounds

SPEECH = Path(__file__).parents[1] / "data" / "speech"
NODE = Path(__file__).parents[1] / "clients" / "transcribe.mjs"
INSTALLED = Path(__file__).parents[2] / ".venv" / "clients"  # by tools/test_clients
RATE = 16_000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("speech")]


@pytest.fixture(scope="module")
def client(speech_server: RunningServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{speech_server.url}/v1", api_key="any", timeout=500, max_retries=0)


def english(count: int) -> list[tuple[np.ndarray, str]]:
    clips = json.loads((SPEECH / "clips.json").read_text("utf-8"))
    chosen = [c for c in clips if c["heard_in_training"] and c["language"] == "English"][:count]
    return [(soundfile.read(SPEECH / c["file"], dtype="float32")[0], c["text"]) for c in chosen]


def wav(samples: np.ndarray, container: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=container, subtype="PCM_16")
    return file.getvalue()


@pytest.fixture(scope="module")
def placed() -> tuple[bytes, list[tuple[float, float]]]:
    """Five utterances after 3, 2.5, 4, ... seconds, and where each lies."""
    pieces, times, length = [], [], 0
    for pause, (samples, _) in zip((3.0, 2.5, 4.0, 8.0, 2.2), english(5), strict=True):
        silence = np.zeros(round(pause * RATE), np.float32)
        start = (length + len(silence)) / RATE
        times.append((start, start + len(samples) / RATE))
        pieces += [silence, samples]
        length += len(silence) + len(samples)
    return wav(np.concatenate([*pieces, np.zeros(6 * RATE, np.float32)])), times


def heard(client: openai.OpenAI, data: bytes, **fields):
    return client.audio.transcriptions.create(file=("audio", data), model="whisper-1", **fields)


def letters(text: str) -> str:
    """Without spaces: those between segments are nobody's token."""
    return "".join(text.split())


@pytest.mark.contract("audio.answer.verbose")
def test_segments_are_where_the_speech_is(client, placed):
    data, times = placed
    found = heard(client, data, response_format="verbose_json")
    assert len(found.segments) == 5
    off = [
        abs(a - b)
        for s, t in zip(found.segments, times, strict=True)
        for a, b in ((s.start, t[0]), (s.end, t[1]))
    ]
    print(f"borders of the clips: {1000 * np.median(off):.0f} ms off, at most {1000 * max(off):.0f}")
    assert max(off) < 0.35  # the clips have some silence of their own
    assert np.median(off) < 0.1
    assert found.duration == pytest.approx(times[-1][1] + 6, abs=0.01)


def test_a_segment_s_numbers_come_from_the_model(client, placed):
    segments = heard(client, placed[0], response_format="verbose_json").segments
    for segment in segments:
        assert -1.5 < segment.avg_logprob < 0
        assert 0 <= segment.no_speech_prob < 0.5
        assert 0.3 < segment.compression_ratio < 2.4
        assert segment.tokens
        assert segment.seek == round(segment.start * 100)
        assert segment.temperature == 0
    assert len({segment.avg_logprob for segment in segments}) == 5


@pytest.mark.contract("clients.openai-python", "audio.answer.text", "audio.answer.verbose")
def test_openai_python_reads_every_format(client, placed):
    whole = heard(client, placed[0]).text
    segments = heard(client, placed[0], response_format="verbose_json").segments
    assert heard(client, placed[0], response_format="text") == whole + "\n"
    cues = list(srt.parse(heard(client, placed[0], response_format="srt")))
    captions = webvtt.from_string(heard(client, placed[0], response_format="vtt"))
    assert " ".join(cue.content for cue in cues) == whole
    assert [c.text for c in captions] == [c.content for c in cues]
    for cue, segment in zip(cues, segments, strict=True):
        assert cue.start.total_seconds() == pytest.approx(segment.start, abs=0.001)
        assert cue.end.total_seconds() >= segment.end - 0.001


@pytest.mark.contract("clients.openai-python", "audio.answer.stream")
def test_openai_python_reads_the_stream(client, placed):
    events = list(heard(client, placed[0], stream=True, include=["logprobs"]))
    kinds = [event.type.removeprefix("transcript.text.") for event in events]
    assert kinds[-1] == "done"
    assert kinds.count("segment") == 5
    assert "delta" in kinds[kinds.index("segment") :]  # a segment does not wait for the next one's text
    assert "".join(e.delta for e in events if e.type == "transcript.text.delta") == events[-1].text
    assert events[-1].text == heard(client, placed[0]).text
    tokens = [entry for e in events if e.type == "transcript.text.delta" for entry in e.logprobs]
    assert letters("".join(entry.token for entry in tokens)) == letters(events[-1].text)
    assert [entry.logprob for entry in events[-1].logprobs] == [entry.logprob for entry in tokens]
    assert events[-1].usage.output_tokens > 0


@pytest.mark.clients
@pytest.mark.contract("clients.openai-node")
def test_openai_node_reads_what_openai_python_reads(speech_server, client, placed, tmp_path):
    file = tmp_path / "speech.wav"
    file.write_bytes(placed[0])
    command = ["node", str(NODE), speech_server.url, str(INSTALLED), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    whole = heard(client, placed[0]).text
    assert seen["json"]["text"] == whole
    for name in ("text", "srt", "vtt"):
        assert seen[name] == heard(client, placed[0], response_format=name)
    names = ("id", "seek", "start", "end", "text", "tokens", "temperature")
    segments = heard(client, placed[0], response_format="verbose_json").segments
    expected = [[getattr(segment, name) for name in names] for segment in segments]
    assert [[segment[name] for name in names] for segment in seen["verbose_json"]["segments"]] == expected
    assert letters("".join(entry["token"] for entry in seen["logprobs"]["logprobs"])) == letters(whole)
    assert len(seen["vad"]["segments"]) == 5
    assert seen["events"][-1]["text"] == whole
    assert "".join(e["delta"] for e in seen["events"] if e["type"] == "transcript.text.delta") == whole


def cost(client: openai.OpenAI, data: bytes) -> tuple[str, int]:
    """The text, and the tokens of sound that the model has heard."""
    done = list(heard(client, data, stream=True))[-1]
    return done.text, done.usage.input_token_details.audio_tokens


@pytest.mark.parametrize("level", [0.3, 0.01])
@pytest.mark.parametrize("name", ["white", "pink", "hum", "tone", "beeps", "music"])
def test_what_is_no_speech_costs_nothing_and_says_nothing(client, name, level):
    assert cost(client, wav(sounds.OTHERS[name](20 * RATE) * level)) == ("", 0)


@pytest.mark.contract("audio.silence")
def test_silence_is_empty_in_every_format(client):
    data = wav(np.zeros(10 * RATE))
    assert cost(client, data) == ("", 0)
    assert heard(client, data, response_format="text") == "\n"
    assert heard(client, data, response_format="srt") == ""
    assert heard(client, data, response_format="vtt") == "WEBVTT\n"
    found = heard(client, data, response_format="verbose_json")
    assert (found.text, found.segments, found.duration) == ("", [], 10.0)


def test_at_threshold_0_music_is_left_to_the_model_and_does_not_run_away(client):
    """The embedded model has heard no music and may mistake it; a loop is cut short all the same."""
    everything = {"type": "server_vad", "threshold": 0.0}
    done = list(
        heard(client, wav(sounds.music(20 * RATE) * 0.05), stream=True, chunking_strategy=everything)
    )[-1]
    assert done.usage.input_token_details.audio_tokens > 200
    assert len(done.text) < 400


@pytest.mark.contract("audio.answer.long")
def test_the_first_words_of_ten_minutes_come_long_before_the_end(speech_server, placed):
    pieces = [np.concatenate([samples, np.zeros(RATE, np.float32)]) for samples, _ in english(8)]
    whole = np.concatenate(pieces)
    data = wav(np.tile(whole, 600 * RATE // len(whole)), "FLAC")
    lines = []
    with openai.OpenAI(base_url=f"{speech_server.url}/v1", api_key="any", timeout=500) as client:
        create = client.audio.transcriptions.with_streaming_response.create
        with create(file=("a", data), model="whisper-1", stream=True) as answer:
            lines = [line for line in answer.iter_lines() if line]
    first = next(i for i, line in enumerate(lines) if "text.delta" in line)
    before = [line for line in lines[:first] if line.startswith(": progress")]
    reached = float(before[-1].split()[2].split("/")[0]) if before else 0.0
    whole_seconds = float([line for line in lines if line.startswith(": progress")][-1].split("/")[1])
    assert whole_seconds > 550
    assert reached < 60
    assert sum("text.delta" in line for line in lines) > 100


@pytest.mark.parametrize("hours", [3])
def test_one_sentence_in_hours_of_silence(client, speech_server, hours, tmp_path):
    """Its text, its time and its cost are as if it stood alone."""
    samples, text = english(3)[2]
    alone = cost(
        client, wav(np.concatenate([np.zeros(RATE, np.float32), samples, np.zeros(RATE, np.float32)]))
    )
    path, silence = tmp_path / "long.flac", np.zeros(60 * RATE, np.float32)
    with soundfile.SoundFile(path, "w", RATE, 1, subtype="PCM_16", format="FLAC") as file:
        for minute in range(60 * hours):
            file.write(samples if minute == 30 * hours else silence)
    found = heard(client, path.read_bytes(), response_format="verbose_json")
    (segment,) = found.segments
    assert segment.text == found.text == alone[0]
    assert segment.start == pytest.approx(30 * hours * 60, abs=0.2)
    assert segment.end == pytest.approx(30 * hours * 60 + len(samples) / RATE, abs=0.4)
    assert cost(client, path.read_bytes()) == alone
    print(f"{found.text!r} for {text!r} at {segment.start:.2f} s")
