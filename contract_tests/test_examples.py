"""Every example of the API reference and of the README, run as it stands there."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
import soundfile
from hub import model_files
from serving import DEMO_SPEAKS, RunningServer, eventually

ROOT = Path(__file__).parents[1]
REFERENCE = Path(__file__).with_name("api_reference.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
GUIDE = (ROOT / "docs" / "guide" / "models.md").read_text("utf-8")
SAMPLE = ROOT / "ominix" / "embedded" / "samples" / "english.flac"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# The examples name port 8080 and models that are not here; nothing else is mapped.
SHELL = """
set -e
curl() {{ command curl -sS --fail-with-body --connect-to localhost:8080:127.0.0.1:{port} "$@"; }}
ominix() {{ "{python}" -m ominix "$@"; }}
"""
ALIASES = ("--alias", "minicpm-sala-9b=scripted", "--alias", "qwen3-0.6b=scripted")
DOWNLOADED = "Qwen3-ASR-1.7B-8bit"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def server(hub, serve) -> RunningServer:
    files = model_files(20_000, model_type="scripted", quantization={"bits": 8, "group_size": 64})
    for name in (DOWNLOADED, "Qwen3-ASR-0.6B-8bit"):
        hub.add(f"mlx-community/{name}", files)
    return serve("--scripted", "--strict", *ALIASES, *DEMO_SPEAKS)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with the recordings that the examples name."""
    (tmp_path / "desk" / "talks").mkdir(parents=True)
    (tmp_path / "desk" / "subtitles").mkdir()
    samples, rate = soundfile.read(SAMPLE, dtype="int16")
    m4a = io.BytesIO()
    with av.open(m4a, "w", format="ipod") as output:
        stream = output.add_stream("aac", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate)
        for piece in [*resampler.resample(frame), None]:
            output.mux(stream.encode(piece))
    for name in ("recording.m4a", "interview.m4a", "talks/first.m4a"):
        (tmp_path / "desk" / name).write_bytes(m4a.getvalue())
    soundfile.write(tmp_path / "desk" / "audio.wav", samples, rate)
    return tmp_path / "desk"


def run(server: RunningServer, desk: Path, command: str) -> str:
    script = SHELL.format(port=server.port, python=sys.executable) + command
    env = {**os.environ, "OMINIX_PORT": str(server.port), "OMINIX_HOME": str(server.home)}
    path = f"{ROOT}:{env.get('PYTHONPATH', '')}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=desk, env={**env, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def lacks(example: object, answer: object, path: str = "") -> Iterator[str]:
    """The fields of the example that the answer has not, or not of that type."""
    if isinstance(example, dict) and isinstance(answer, dict):
        for name, value in example.items():
            if name in answer:
                yield from lacks(value, answer[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}"
    elif isinstance(example, list) and isinstance(answer, list):
        if not any(list(lacks(example[0], item)) == [] for item in answer):
            yield f"{path}[]"
    elif not isinstance(answer, int | float if isinstance(example, float) else type(example)):
        yield f"{path} is {answer!r}"


@pytest.mark.contract("clients.curl", "clients.reference", "models.reference-fields")
def test_the_reference(server, desk):
    blocks = [match.groups() for match in BLOCK.finditer(REFERENCE)]
    assert len(blocks) == 14
    for (_, command), (kind, example) in zip(blocks[::2], blocks[1::2], strict=True):
        assert (command.split()[0], kind) == ("curl", "json")
        answer = json.loads(run(server, desk, command))
        assert list(lacks(json.loads(example), answer)) == [], (command, answer)
        if "download" in command:
            assert eventually(lambda: state(server) == "ready", 30)


def state(server: RunningServer) -> str:
    return server.request("GET", f"/v1/models/downloads/{DOWNLOADED}")[2]["state"]


@pytest.mark.contract("clients.curl")
def test_curl_in_the_readme(server, desk):
    (block,) = [text for _, text in BLOCK.findall(README) if "curl " in text]
    models, transcript, answer = (json.loads(run(server, desk, c)) for c in block.split("\n\n"))
    assert "scripted" in [model["id"] for model in models["data"]]
    assert transcript["text"]
    assert answer["choices"][0]["message"]["content"].startswith("What0 ")


@pytest.mark.contract("clients.openai-python", "models.aliases")
def test_python_in_the_readme(server, desk):
    (block,) = [text for kind, text in BLOCK.findall(README) if kind == "python"]
    program = block.replace("localhost:8080", f"127.0.0.1:{server.port}")
    done = subprocess.run([sys.executable, "-c", program], cwd=desk, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    heard, said = done.stdout.strip().splitlines()
    assert heard
    assert said.startswith("What0 ")


@pytest.mark.contract("models.lifecycle")
def test_commands_in_the_readme(server, desk):
    pulls = [text for _, text in BLOCK.findall(GUIDE) if text.startswith("ominix pull")]
    transcribes = [text for _, text in BLOCK.findall(README) if text.startswith("ominix transcribe")]
    assert (len(pulls), len(transcribes)) == (1, 1)
    blocks = pulls + transcribes
    for block in blocks:
        run(server, desk, block)
    assert {path.name for path in (desk / "subtitles").iterdir()} == {"interview.srt", "first.srt"}
    assert not (server.home / "models" / "Qwen3-ASR-0.6B-8bit").exists()


def test_an_answer_that_lacks_a_field_is_seen():
    example = {"a": 1.5, "b": [{"c": "x"}]}
    assert list(lacks(example, {"a": 2, "b": [{}, {"c": "y"}]})) == []
    assert list(lacks(example, {"a": "2", "b": [{}]})) == [".a is '2'", ".b[]"]
    assert list(lacks(example, {"b": []})) == [".a", ".b[]"]
