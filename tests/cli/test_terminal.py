from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ominix.cli import terminal


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b]52;c;ZWNobw==\x07", "\ufffd]52;c;ZWNobw==\ufffd"),  # fills the clipboard
        ("\x1b[2Jgone", "\ufffd[2Jgone"),
        ("\x9b31mred", "\ufffd31mred"),
        ("password\rharmless", "password\ufffdharmless"),
        ("a\x08b\x7fc\x00", "a\ufffdb\ufffdc\ufffd"),
        ("abc\u202edcba", "abc\ufffddcba"),
        ("one\r\ntwo\n\tthree", "one\ntwo\n\tthree"),
        ("Grüße, 你好, שלום", "Grüße, 你好, שלום"),
    ],
)
def test_nothing_is_printed_that_a_terminal_would_obey(raw, shown):
    assert terminal.printable(raw) == shown


def test_ctrl_c_is_a_status_and_no_traceback():
    def interrupted() -> int:
        raise KeyboardInterrupt

    assert terminal.exit_status(interrupted) == 130


SCRIPT = """
import sys
from ominix.cli import terminal
def run():
    for n in range(int(sys.argv[1])):
        terminal.say("Grüße, 你好")
    terminal.notice("fertig: 你好")
    return 0
sys.exit(terminal.exit_status(run))
"""


def test_a_reader_that_leaves_ends_it_quietly():
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "100000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout and process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_characters_that_a_terminal_lacks_are_replaced(encoding):
    env = {"PYTHONIOENCODING": encoding, "PATH": ""}
    done = subprocess.run([sys.executable, "-c", SCRIPT, "1"], env=env, capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode(encoding).endswith(", ??\n")
    assert done.stderr == b"fertig: ??\n"


@pytest.mark.parametrize("argv", [["--help"], ["serve", "--help"], ["models"]])
def test_help_for_a_reader_that_has_left_ends_quietly(argv):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "ominix", *argv]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=30)
    os.close(writer)
    assert (done.returncode in (0, 141), done.stderr) == (True, b"")  # argparse has its own way


def test_a_command_without_standard_output_does_its_work():
    done = subprocess.run(
        ["sh", "-c", '"$0" -m ominix models >&-', sys.executable], capture_output=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, b"")
