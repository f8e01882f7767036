"""What a decode child may use, in a process that uses more."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from ominix import limits

pytestmark = pytest.mark.slow

WATCHED = """
import socket, threading, time
from ominix.limits import Watch
ours, theirs = socket.socketpair()
watch = Watch(ours, memory_bytes=64 << 20, cpu_seconds=60)
watch.start()
with watch.computing():
    {}
    time.sleep(30)
"""


def ending(program):
    """How a process ends, whose parent is a small one: on Linux the peak of its memory is handed down."""
    command = ["sh", "-c", '"$0" -c "$1"; exit $?', sys.executable, program]
    return subprocess.run(command, capture_output=True, timeout=30, text=True)


def test_processor_time():
    program = "from ominix import limits; limits.allow_seconds(0)\nwhile True: pass"
    assert ending(program).returncode == 128 + signal.SIGXCPU


def test_processor_time_that_is_granted_anew():
    program = """
import resource, time
from ominix import limits
limits.allow_seconds(9)
first, _ = resource.getrlimit(resource.RLIMIT_CPU)
begin = int(time.process_time())
while time.process_time() < begin + 1.1:
    pass
limits.allow_seconds(9)
print(resource.getrlimit(resource.RLIMIT_CPU)[0] > first)
"""
    assert ending(program).stdout == "True\n"


@pytest.mark.skipif(sys.platform != "linux", reason="macOS bounds no memory")
def test_memory():
    program = "from ominix import limits; limits.confine(32 << 20, 2); bytearray({} << 20)"
    assert ending(program.format(16)).returncode == 0
    assert "MemoryError" in ending(program.format(64)).stderr


def test_files_and_sockets():
    program = """
import os, socket
from ominix import limits
limits.confine(1 << 30, 2)
recording = os.open("/dev/null", os.O_RDONLY)
try:
    socket.socket()
except OSError as error:
    print(error.strerror)
"""
    assert ending(program).stdout == "Too many open files\n"


def test_the_watch_looks_at_memory():
    assert ending(WATCHED.format("eaten = b'x' * (96 << 20)")).returncode == limits.OUT_OF_MEMORY


def test_the_watch_ends_a_child_whose_parent_has_gone():
    assert ending(WATCHED.format("theirs.close()")).returncode == 0


def test_the_watch_lets_a_parent_speak():
    program = WATCHED.replace("time.sleep(30)", "time.sleep(0.5); print('alive')")
    assert ending(program.format("theirs.send(b'next')")).stdout == "alive\n"
