"""The commands against a real server, and against the private one they start."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def ominix(server, *argv: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "ominix", *argv, "--url", server.url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


@pytest.fixture
def recordings(tmp_path):
    folder = tmp_path / "recordings"
    (folder / "deeper").mkdir(parents=True)
    (folder / "a.wav").write_bytes(b"x")
    (folder / "deeper" / "b.MP3").write_bytes(b"x")
    (folder / "notes.txt").write_text("x")
    return folder


def test_transcribe_prints_one_file_s_text(shared_server, recordings):
    done = ominix(
        shared_server,
        "transcribe",
        str(recordings / "a.wav"),
        "--model",
        "scripted-speech",
        "--prompt",
        "say hi you",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "hi you\n", "")


@pytest.mark.slow
def test_transcribe_walks_folders_and_writes_files(shared_server, recordings, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    argv = ["transcribe", str(recordings), "--model", "scripted-speech", "--prompt", "say hi"]
    done = ominix(shared_server, *argv, "--format", "verbose", "--output", str(out))
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in out.iterdir()) == ["a.json", "b.json"]
    body = json.loads((out / "a.json").read_text())
    assert (body["language"], body["segments"][0]["text"]) == ("English", "hi")
    done = ominix(shared_server, *argv, "--format", "srt")
    assert done.stdout.count("00:00:00,000 --> 00:00:01,000\nhi\n") == 2


def written(server, recordings, *argv: str) -> dict[str, str]:
    """The files that there are afterwards, by their path below the recordings' parent."""
    command = ["transcribe", str(recordings), "--model", "scripted-speech", "--prompt", "say hi there"]
    done = ominix(server, *command, *argv)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    texts = {str(p.relative_to(recordings.parent)): p for p in recordings.parent.rglob("*") if p.is_file()}
    skipped, *told = done.stderr.splitlines()
    assert skipped == f"skipped, as no audio or video: {recordings}/notes.txt"
    assert all(line in map(str, texts.values()) for line in told)
    return {name: path.read_text() for name, path in texts.items()}


CUE = "00:00:00,000 --> 00:00:01,000\nhi there\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "ending", "text"),
    [
        ("srt", ".srt", f"1\n{CUE}"),
        ("vtt", ".vtt", f"WEBVTT\n\n{CUE.replace(',', '.')}"),
        ("tsv", ".tsv", "start\tend\ttext\n0\t1000\thi there\n"),
        ("txt", ".txt", "hi there\n"),
    ],
)
def test_transcribe_writes_beside_the_recordings(shared_server, recordings, form, ending, text):
    files = written(shared_server, recordings, "--beside", "-f", form)
    assert files[f"recordings/a{ending}"] == files[f"recordings/deeper/b{ending}"] == text


@pytest.mark.parametrize("flag", ["-o", "--output-dir", "--output_dir"])
def test_transcribe_makes_the_folder_it_writes_into(shared_server, recordings, flag):
    files = written(shared_server, recordings, flag, str(recordings.parent / "new/folder"), "--format", "srt")
    assert files["new/folder/a.srt"] == files["new/folder/b.srt"] == f"1\n{CUE}"


def test_recordings_of_one_name_do_not_overwrite_each_other(shared_server, recordings):
    (recordings / "a.mp3").write_bytes(b"x")
    files = written(shared_server, recordings, "--beside")
    assert {"recordings/a.wav.txt", "recordings/a.mp3.txt", "recordings/deeper/b.txt"} < set(files)


def test_a_dash_is_the_terminal_and_a_file_is_no_folder(shared_server, recordings):
    argv = ["transcribe", str(recordings / "a.wav"), "--model", "scripted-speech", "--prompt", "say hi"]
    assert ominix(shared_server, *argv, "-o", "-").stdout == "hi\n"
    assert "is not a folder" in ominix(shared_server, *argv, "-o", str(recordings / "a.wav")).stderr
    assert "not allowed with" in ominix(shared_server, *argv, "-o", "x", "--beside").stderr


def test_transcribe_tells_words(shared_server, recordings):
    argv = ["transcribe", str(recordings / "a.wav"), "--model", "scripted-speech", "--prompt", "say hi you"]
    body = json.loads(ominix(shared_server, *argv, "--words", "-f", "verbose").stdout)
    assert [(w["word"], w["start"], w["end"]) for w in body["words"]] == [("hi", 0, 0.5), ("you", 0.5, 1)]
    assert "words" not in json.loads(ominix(shared_server, *argv, "-f", "verbose").stdout)


@pytest.mark.slow
def test_words_that_nobody_can_time_are_refused_with_the_server_s_reason(shared_server, recordings):
    argv = ["transcribe", str(recordings / "a.wav"), "--model", "tiny-asr", "--words", "--language", "th"]
    done = ominix(shared_server, *argv)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Words of Thai cannot be given times" in done.stderr


def test_verbose_is_what_the_server_itself_would_answer(shared_server, recordings):
    argv = ["transcribe", str(recordings / "a.wav"), "--model", "scripted-speech", "--prompt", "say hi you"]
    body = json.loads(ominix(shared_server, *argv, "--words", "-f", "verbose").stdout)
    form = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in {
            "model": "scripted-speech",
            "prompt": "say hi you",
            "response_format": "verbose_json",
            "timestamp_granularities[]": "word",
            'file"; filename="audio': "x",
        }.items()
    ]
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    asked = shared_server.request(
        "POST", "/v1/audio/transcriptions", "".join([*form, "--b--\r\n"]).encode(), headers
    )
    assert (asked[0], body) == (200, asked[2])


def test_a_bad_file_does_not_stop_the_others(shared_server, recordings):
    (recordings / "a.wav").write_bytes(b"")
    argv = ["transcribe", str(recordings), str(recordings / "none.wav"), "--model", "scripted-speech"]
    done = ominix(shared_server, *argv, "--prompt", "say hi")
    assert done.returncode == 1
    assert "a.wav: the file is empty" in done.stderr
    assert "none.wav: No such file" in done.stderr
    assert "b.MP3 ==\nhi\n" in done.stdout


def test_no_server_at_a_named_address_is_said(recordings):
    argv = [sys.executable, "-m", "ominix", "transcribe", str(recordings), "--url", "http://127.0.0.1:9"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "\nominix: no ominix server answers at http://127.0.0.1:9: " in done.stderr
    assert "refused" in done.stderr


@pytest.mark.slow
def test_a_private_server_serves_whatever_the_environment_says(recordings, tmp_path):
    """The key was asked for by the private server and not sent; the host is one it cannot listen on."""
    argv = ["--home", str(tmp_path), "transcribe", str(recordings / "a.wav"), "--port", "9"]
    environ = {**os.environ, "OMINIX_API_KEY": "secret", "OMINIX_HOST": "255.255.255.255", "OMINIX_PORT": "9"}
    argv += ["--model", "no-such-model"]
    done = subprocess.run(
        [sys.executable, "-m", "ominix", *argv], env=environ, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, "'no-such-model' does not exist here" in done.stderr) == (1, True), done.stderr


class Terminal:
    """A program on a pseudo-terminal of its own."""

    def __init__(self, command: list[str]) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execv(command[0], command)
        self.shown = ""

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def expect(self, text: str, seconds: float = 15.0) -> None:
        deadline = time.monotonic() + seconds
        start = len(self.shown)
        while text not in self.shown[start:]:
            assert time.monotonic() < deadline, f"{text!r} not in {self.shown[start:]!r}"
            if not select.select([self._fd], [], [], 0.1)[0]:
                continue
            self.shown += os.read(self._fd, 65536).decode()

    def end(self) -> int:
        try:
            while os.read(self._fd, 65536):
                pass
        except OSError:  # the other end has closed
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_chat_streams_and_ctrl_c_stops_the_answer_alone(shared_server):
    terminal = Terminal([sys.executable, "-m", "ominix", "chat", "scripted", "--url", shared_server.url])
    terminal.expect("> ")
    terminal.type("say hello there\n")
    terminal.expect("hello there\r\n")
    terminal.type("tick 0.05\n")
    terminal.expect("tick3")
    terminal.type("\x03")
    terminal.expect("[stopped]")
    terminal.type("refuse me\n")
    terminal.expect("refused as asked")
    terminal.type("say still here\n")
    terminal.expect("still here\r\n")
    terminal.type("\x04")
    assert terminal.end() == 0


def test_chat_has_commands_and_messages_of_several_lines(shared_server):
    terminal = Terminal([sys.executable, "-m", "ominix", "chat", "scripted", "--url", shared_server.url])
    terminal.expect("/help shows the commands, Ctrl-D ends.\r\n")
    terminal.type("/help\n")
    terminal.expect("forget what was said")
    terminal.type("/nonsense\n")
    terminal.expect("There is no /nonsense")
    terminal.type('"""say one\n')
    terminal.expect(". ")
    terminal.type('two"""\n')
    terminal.expect("\r\none\r\ntwo\r\n")
    terminal.type("say \x16\x1b]52;c;x now\n")  # ^V: the next key is text
    terminal.expect("]52;c;x now\r\n")
    assert "\x1b]52" not in terminal.shown.rpartition("now\r\n")[0].rpartition("\r\n")[2]
    terminal.type("/exit\n")
    assert terminal.end() == 0


def test_chat_without_a_terminal_prints_the_answers_alone(shared_server):
    done = ominix(shared_server, "chat", "scripted", input="say one\n\nsay \x1b]0;two\x07\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "one\n\ufffd]0;two\ufffd\n", "")
    done = ominix(shared_server, "chat", "scripted", input="refuse me\n")
    assert (done.returncode, done.stdout, "refused as asked" in done.stderr) == (1, "", True)


def test_chat_with_what_cannot_chat_greets_nobody(shared_server):
    done = ominix(shared_server, "chat", "nope", input="hello\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert "'nope' does not exist here" in done.stderr
    done = ominix(shared_server, "chat", "scripted-speech", input="hello\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert "ominix: scripted-speech is no chat model (speech)" in done.stderr


@pytest.mark.slow
def test_doctor_names_backend_and_packages(tmp_path):
    argv = [sys.executable, "-m", "ominix", "--home", str(tmp_path), "doctor", "--port", "9"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "GFLOP/s" in done.stdout
    assert "server: none at http://127.0.0.1:9; the port " in done.stdout
    assert "hub: " in done.stdout and "missing: a model for speech: 'ominix pull " in done.stdout


@pytest.mark.slow
def test_quantize_makes_a_new_folder_once(tmp_path):
    """What a killed run had left, `.sala-8bit.partial`, was in the way of every later one."""
    golden = Path(__file__).parents[1] / "golden"
    models = tmp_path / "models"
    shutil.copytree(golden / "minicpm_sala" / "case_a_dense_short", models / "sala")
    shutil.copy(golden / "qwen3_asr" / "tokenizer.json", models / "sala")
    (models / "sala" / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    (models / ".sala-8bit.partial").mkdir()
    argv = [sys.executable, "-m", "ominix", "--home", str(tmp_path), "quantize", "sala", "sala-8bit"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    config = json.loads((models / "sala-8bit" / "config.json").read_text())
    assert config["quantization"]["bits"] == 8
    assert sorted(p.name for p in models.iterdir()) == [".sala-8bit.partial", "sala", "sala-8bit"]
    again = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert again.returncode == 1
    assert "is there already" in again.stderr
