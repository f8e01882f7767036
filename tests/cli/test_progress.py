from __future__ import annotations

import contextlib
import os
import pty
import termios
from collections.abc import Iterator

from ominix.cli.progress import AudioBar, BytesBar


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


def test_a_recording_shows_times_and_speed():
    with terminal() as shown, contextlib.closing(AudioBar("a.wav")) as bar:
        bar.show(61.5, None)
        bar.show(90.0, 120.0)
    last = shown[0].rstrip().rsplit("\r", 1)[-1]
    assert "a.wav:  75%" in last and "1:30/2:00, " in last and "x real time" in last


def test_where_there_is_no_terminal_nothing_is_shown(capsys):
    with contextlib.closing(BytesBar("tiny")) as bar:
        bar.show(1, 2)
        bar.show(2, 2)
    assert capsys.readouterr().err == ""
