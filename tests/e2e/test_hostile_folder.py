"""Everything that ominix starts, from a folder in which each module that it could import lies once more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest
import runner_watch
from hub import model_files
from serving import eventually

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SPEECH = ROOT / "tests" / "data" / "speech" / "seen-00.ogg"
OTHERS = (
    "ominix", "numpy", "mlx", "mlx_lm", "av", "soxr", "soundfile", "falcon", "waitress", "huggingface_hub",
    "httpx2", "httpcore2", "msgspec", "jsonschema", "tokenizers", "transformers", "jinja2", "tqdm", "yaml",
    "src", "scipy_openblas32", "sitecustomize", "usercustomize", "typing_extensions", "_cffi_backend",
)  # fmt: skip
HOSTILE = "open({marker!r}, 'a').write(__name__ + '\\n')\nraise SystemExit(66)\n"


class Folder:
    """A folder of downloads, some of them Python files that write into `marker` when they are run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.marker = path.parent / "executed"
        path.mkdir()
        hostile = HOSTILE.format(marker=str(self.marker))
        for name in {*sys.stdlib_module_names, *OTHERS}:
            (path / f"{name}.py").write_text(hostile)
        for name in ("ominix", "encodings", "json", "importlib"):
            (path / name).mkdir()
            (path / name / "__init__.py").write_text(hostile)
        (path / "a.ogg").write_bytes(SPEECH.read_bytes())
        (path / "x.gguf").write_bytes(b"GGUF" + bytes(100))
        (path / "model.bin").write_bytes(b"x")
        # As an installer writes it; `python -m ominix` itself could not be helped.
        self._script = path.parent / "bin" / "ominix"
        self._script.parent.mkdir()
        # The variable is set late: with it, no Python program at all could be started here safely.
        self._script.write_text(
            "import os, sys\nos.environ['PYTHONPATH'] = ':.:lib'\n"
            "from ominix.console import main\nsys.exit(main())\n"
        )
        self.home = path.parent / "home"

    def start(self, *arguments: str, **options) -> subprocess.Popen:
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "OMINIX_SCRIPTED": "1"}
        command = [sys.executable, str(self._script), "--home", str(self.home), *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=self.path, env=environ, stdout=pipe, stderr=pipe, text=True, **options
        )

    def run(self, *arguments: str, said: str = "") -> tuple[int, str]:
        process = self.start(*arguments, stdin=subprocess.PIPE)
        out, err = process.communicate(said, timeout=100)
        assert self.executed() == "", f"{arguments}: {self.executed()}"
        return process.returncode, out + err

    def executed(self) -> str:
        return self.marker.read_text() if self.marker.exists() else ""


@pytest.fixture
def downloads(tmp_path) -> Folder:
    return Folder(tmp_path / "downloads")


def test_serve_runs_nothing_of_it(downloads, hub):
    hub.add("demo/tiny", model_files())
    process = downloads.start("serve", "--port", "0", stdin=subprocess.DEVNULL)
    runner_watch.started(process.pid)
    try:
        assert process.stdout
        url = process.stdout.readline().split("serves ")[1].split("/v1")[0]
        chat = {"model": "scripted", "messages": [{"role": "user", "content": "say hi"}]}
        assert b"hi" in post(f"{url}/v1/chat/completions", chat)
        code, said = downloads.run(
            "transcribe", "a.ogg", "--url", url, "--model", "tiny-asr", "--format", "json"
        )
        assert (code, "text" in said) == (0, True), said
        post(f"{url}/v1/models/download", {"repo_id": "demo/tiny"})
        assert eventually((downloads.home / "models" / "tiny" / "config.json").exists, 30)
    finally:
        process.kill()
        process.communicate()
        runner_watch.ended(process.pid)
    assert downloads.executed() == ""


def post(url: str, body: dict) -> bytes:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def test_transcribe_and_chat_run_nothing_of_it(downloads):
    code, said = downloads.run("transcribe", "a.ogg", "--port", "9", "--model", "tiny-asr")
    assert code == 0, said
    code, said = downloads.run("chat", "scripted", "--port", "9", said="say hello there\n")
    assert "hello there" in said


def test_the_other_commands_run_nothing_of_it(downloads, hub):
    hub.add("demo/tiny", model_files(model_type="llama"))
    assert downloads.run("doctor", "--port", "9")[0] == 0
    code, said = downloads.run("pull", "demo/tiny")
    assert code == 0, said
    code, said = downloads.run("import-gguf", "x.gguf")
    assert (code, "Traceback" in said) == (1, False), said
    code, said = downloads.run("import-ct2", "model.bin", "--name", "w")
    assert (code, "Traceback" in said) == (1, False), said
    code, said = downloads.run("quantize", "tiny", "tiny-8bit")
    assert code == 1, said
    for command in (["list"], ["info", "tiny"], ["rm", "tiny"]):
        assert downloads.run(*command)[0] == 0


def test_a_command_that_is_killed_leaves_no_server(downloads):
    """Its private one, with a worker, went on for ever."""
    process = downloads.start("chat", "scripted", "--port", "9", stdin=subprocess.PIPE)
    assert process.stdin
    process.stdin.write("tick 0.05\n")
    process.stdin.flush()
    command = psutil.Process(process.pid)
    assert eventually(lambda: len(command.children(recursive=True)) == 2, 20)  # a server and its worker
    others = command.children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert eventually(lambda: not any(other.is_running() for other in others), 10)
