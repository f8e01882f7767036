"""What `ominix transcribe` reads and writes, against a real server whose model says what it is asked to."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SAY = ["--model", "scripted-speech", "--prompt"]


def command(server, *argv: object) -> list[str]:
    return [sys.executable, "-m", "ominix", "transcribe", *map(str, argv), "--url", server.url]


def transcribe(server, *argv: object, **options) -> subprocess.CompletedProcess:
    done = subprocess.run(command(server, *argv), capture_output=True, timeout=60, **options)
    assert b"Traceback" not in done.stderr
    return done


def recordings(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_equal_names_never_overwrite_one_another(shared_server, tmp_path):
    recordings(tmp_path, "monday/rec.wav", "tuesday/rec.wav", "tuesday/rec.flac")
    out = tmp_path / "out"
    done = transcribe(shared_server, tmp_path / "monday", tmp_path / "tuesday", "-o", out, *SAY, "say hi")
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in out.iterdir()) == [
        "monday-rec.wav.txt", "rec.flac.txt", "tuesday-rec.wav.txt",
    ]  # fmt: skip


def test_what_is_there_is_refused_by_name_and_the_others_go_on(shared_server, tmp_path):
    recordings(tmp_path, "interview.wav", "other.wav")
    (tmp_path / "interview.txt").write_text("my own notes\n")
    done = transcribe(shared_server, tmp_path, "--beside", *SAY, "say hi")
    assert done.returncode == 1
    refusal = f"{tmp_path}/interview.wav: {tmp_path}/interview.txt is there already; --overwrite replaces it"
    assert f"ominix: {refusal}\n" in done.stderr.decode()
    assert (tmp_path / "interview.txt").read_text() == "my own notes\n"
    assert (tmp_path / "other.txt").read_text() == "hi\n"
    done = transcribe(shared_server, tmp_path, "--beside", "--overwrite", *SAY, "say anew")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "interview.txt").read_text() == (tmp_path / "other.txt").read_text() == "anew\n"


def test_nothing_is_asked_of_a_server_when_nothing_may_be_written(tmp_path):
    recordings(tmp_path, "a.wav")
    (tmp_path / "a.txt").write_text("mine")
    argv = [sys.executable, "-m", "ominix", "transcribe", tmp_path, "--beside", "--url", "127.0.0.1:9"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    assert (done.returncode, "no ominix server" in done.stderr) == (1, False)


def test_what_is_skipped_in_a_folder_is_named(shared_server, tmp_path):
    recordings(tmp_path, "a.wav", "._a.wav", "cover.jpg", "deeper/notes.md")
    done = transcribe(shared_server, tmp_path, *SAY, "say hi")
    assert (done.returncode, done.stdout) == (0, b"hi\n")
    assert (
        f"skipped, as no audio or video: {tmp_path}/cover.jpg, {tmp_path}/deeper/notes.md"
        in done.stderr.decode()
    )
    assert b"1 hidden" in done.stderr


def test_standard_input_is_heard_from_a_file_and_from_a_pipe(shared_server, tmp_path):
    recordings(tmp_path, "a.wav")
    with (tmp_path / "a.wav").open("rb") as file:
        done = transcribe(shared_server, "-", *SAY, "say hi", stdin=file)
    assert (done.returncode, done.stdout) == (0, b"hi\n"), done.stderr
    done = transcribe(shared_server, "-", *SAY, "say hi", "-o", tmp_path / "out", input=bytes(300_000))
    assert (done.returncode, (tmp_path / "out" / "stdin.txt").read_text()) == (0, "hi\n"), done.stderr
    done = transcribe(shared_server, "-", *SAY, "say hi", input=b"")
    assert (done.returncode, b"standard input: the file is empty" in done.stderr) == (1, True), done.stderr


def test_a_pipe_with_a_name_is_heard(shared_server, tmp_path):
    recordings(tmp_path, "a.wav")
    line = f"{' '.join(command(shared_server))} <(cat {tmp_path}/a.wav) {' '.join(SAY)} 'say hi'"
    done = subprocess.run(["bash", "-c", line], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"hi\n"), done.stderr


def test_a_device_is_no_recording(shared_server):
    done = transcribe(shared_server, "/dev/zero", *SAY, "say hi")
    assert done.returncode == 1
    assert b"ominix: /dev/zero: this is a terminal or a device" in done.stderr


def test_a_reader_that_has_left_is_no_error_of_a_file(shared_server, tmp_path):
    recordings(tmp_path, *(f"{n}.wav" for n in range(3)))
    line = f"set -o pipefail; {shlex.join(command(shared_server, tmp_path, *SAY, 'say hi'))} | true"
    done = subprocess.run(["bash", "-c", line], capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_terminal_without_the_characters_gets_others(shared_server, tmp_path):
    recordings(tmp_path, "a.wav")
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = transcribe(shared_server, tmp_path / "a.wav", *SAY, "say 你好 Grüße", env=env)
    assert (done.returncode, done.stdout) == (0, b"?? Gr??e\n"), done.stderr


def test_control_characters_of_a_model_do_not_reach_the_terminal(shared_server, tmp_path):
    recordings(tmp_path, "a.wav")
    for form in ("txt", "srt", "tsv", "json"):
        done = transcribe(
            shared_server, tmp_path / "a.wav", "-f", form, *SAY, "say \x1b]52;c;ZQ==\x07 x\x9b1m"
        )
        assert done.returncode == 0, done.stderr
        assert not {"\x1b", "\x07", "\x9b"} & set(done.stdout.decode())


def test_the_limits_are_the_same_whether_or_not_a_server_runs(shared_server, tmp_path):
    with (tmp_path / "long.wav").open("wb") as file:
        file.truncate(30_000_000)
    done = transcribe(shared_server, tmp_path / "long.wav", *SAY, "say hi")
    assert (done.returncode, done.stdout) == (0, b"hi\n"), done.stderr
