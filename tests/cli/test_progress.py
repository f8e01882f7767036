from __future__ import annotations

import contextlib
import os
import pty
import termios
import time
from collections.abc import Iterator

from ominix.cli.progress import AudioBar, BytesBar, Spinner


@contextlib.contextmanager
def terminal() -> Iterator[list[str]]:
    """Standard error is a terminal; at the end the list has what it has shown."""
    reader, writer = pty.openpty()
    termios.tcsetwinsize(writer, (24, 80))
    shown: list[str] = []
    with os.fdopen(writer, "w") as stream, contextlib.redirect_stderr(stream):
        yield shown
        print("the end", file=stream)
    text = b""
    while b"the end" not in text:  # the kernel hands it on in pieces
        text += os.read(reader, 65536)
    os.close(reader)
    shown.append(text.decode().partition("the end")[0])


def test_a_download_shows_bytes_and_what_was_there_before():
    with terminal() as shown, contextlib.closing(BytesBar("tiny")) as bar:
        bar.show(100_000, 200_000)
        bar.show(200_000, 200_000)
    assert "tiny:" in shown[0] and "100k/200k" in shown[0] and "200k/200k" in shown[0]


def test_a_recording_shows_times_speed_and_what_is_left_and_then_makes_room():
    with terminal() as shown, contextlib.closing(AudioBar("a.wav")) as bar:
        bar.show(61.5, None)
        time.sleep(0.2)  # tqdm draws ten times a second
        bar.show(3690.0, 4920.0)
    assert "a.wav: 1:01" in shown[0]
    drawn = shown[0].rsplit("a.wav:", 1)[1]
    assert drawn.startswith("  75%|") and "1:01:30/1:22:00, " in drawn
    assert "x real time, 0:00 left" in drawn
    assert drawn.rsplit("\r", 2)[1].strip() == ""  # the text takes its place


def test_a_download_that_brought_nothing_leaves_nothing_above_its_message():
    with terminal() as shown, contextlib.closing(BytesBar("tiny")) as bar:
        bar.show(0, 200_000)
    assert shown[0].rsplit("\r", 2)[1].strip() == ""


def test_a_wait_says_what_is_waited_for_until_it_is_over():
    with terminal() as shown, Spinner("loading base"):
        time.sleep(0.6)
    assert "| loading base (0 s)" in shown[0] and shown[0].endswith("\r\033[K")
    with terminal() as shown, Spinner("short") as spinner:
        spinner.stop()
    assert shown == [""]


def test_where_there_is_no_terminal_nothing_is_shown(capsys):
    with contextlib.closing(BytesBar("tiny")) as bar:
        bar.show(1, 2)
        bar.show(2, 2)
    with Spinner("loading"):
        time.sleep(0.4)
    assert capsys.readouterr().err == ""
