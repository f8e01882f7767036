"""The child's side, with the scripted engine: what it does with its socket and with jobs' files."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from serving import eventually

from ominix.wire import transport
from ominix.wire.control import REPORTS, Batch, Cancel, Ending, EngineSpec, Loaded, Submit
from ominix.wire.jobs import TranscriptionJob
from ominix.wire.transport import Transport

SPEC = msgspec.json.encode(EngineSpec("scripted", "", slots=100)).decode()


class Child:
    """A worker's process and our end of its socket."""

    def __init__(self) -> None:
        self.near, far = transport.pair()
        command = [sys.executable, "-m", "ominix.workers.worker", str(far.fileno()), SPEC]
        self.process = subprocess.Popen(command, pass_fds=(far.fileno(),), stderr=subprocess.DEVNULL)
        far.close()
        self.transport = Transport(self.near, REPORTS)
        self.next(Loaded)

    def next(self, kind: type = object):
        """The next report of a kind."""
        deadline = time.monotonic() + 20.0
        while time.monotonic() < deadline:
            for received in self.transport.receive(1.0):
                if isinstance(received.message, kind):
                    return received.message
        raise AssertionError(f"no {kind.__name__} came")

    def submit(self, job_id: int, path: Path, prompt: str) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        job = TranscriptionJob(descriptor, context=prompt)
        self.transport.send(Submit(job_id, job), [descriptor])
        os.close(descriptor)

    def open_files(self, path: Path) -> int:
        links = Path(f"/proc/{self.process.pid}/fd").iterdir()
        return sum(str(link.readlink()).startswith(str(path)) for link in links if link.is_symlink())


@pytest.fixture
def child():
    made = Child()
    yield made
    made.transport.close()
    made.process.kill()
    made.process.wait()


def test_it_ends_when_the_server_has_gone(child):
    child.near.close()
    assert child.process.wait(5.0) == 0


def test_it_says_so_when_it_is_sent_no_message(child):
    child.near.send(transport.HEADER.pack(3, 0) + b"xyz")
    assert child.next(Ending).reason.startswith("was sent something that is no message")
    assert child.process.wait(5.0) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(("prompt", "ends"), [("hello", True), ("refuse", True), ("tick 1", False)])
def test_a_job_s_file_is_closed_with_the_job(child, tmp_path, prompt, ends):
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF")
    for job_id in range(1, 6):
        child.submit(job_id, path, prompt)
    child.next(Batch)
    if not ends:
        assert eventually(lambda: child.open_files(path) == 5)
        for job_id in range(1, 6):
            child.transport.send(Cancel(job_id))
    assert eventually(lambda: child.open_files(path) == 0)
