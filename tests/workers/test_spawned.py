"""Real processes and their sockets; what is told of their end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from serving import chat, eventually

from ominix.wire.control import EngineSpec, Report, Submit
from ominix.wire.jobs import TranscriptionJob
from ominix.workers.spawned import SpawnedProcess

pytestmark = pytest.mark.slow

SPEC = EngineSpec("scripted", "", slots=4)
OPEN_FILES = Path("/dev/fd")


class Log:
    """An observer that keeps what it is told; may fail at it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.is_over = False
        self.reports: list[Report] = []
        self.ends: list[str] = []
        self._error = error

    def on_message(self, report: Report) -> None:
        self.reports.append(report)
        if self._error:
            raise self._error

    def on_quiet(self) -> None: ...

    def on_end(self, cause: str) -> None:
        self.ends.append(cause)


@pytest.fixture
def started():
    made: list[SpawnedProcess] = []

    def start(log: Log) -> SpawnedProcess:
        made.append(SpawnedProcess("a", SPEC))
        made[-1].start(log)
        return made[-1]

    yield start
    for process in made:
        process.kill()
        process.join(5.0)


def test_a_bug_of_ours_is_told_as_what_it_is_and_logged_with_its_traceback(started, caplog):
    """It used to be told as "died of SIGKILL", without a word in the log."""
    log = Log(ZeroDivisionError("slip"))
    process = started(log)
    process.join(20.0)
    assert log.ends == ["was stopped: the server failed with ZeroDivisionError at its message"]
    assert "ZeroDivisionError: slip" in caplog.text
    assert not psutil.pid_exists(process.pid)


def test_bytes_that_are_no_message_end_the_process_with_that_reason(started):
    log = Log()
    process = started(log)
    assert eventually(lambda: log.reports)
    process._transport._buffer += b"\xff" * 5  # as if the child had sent them
    process.send(Submit(1, chat("say hello")))
    process.join(10.0)
    assert log.ends == ["sent something that is no message and was stopped"]


def test_an_end_by_itself_is_told_by_its_status(started):
    log = Log()
    process = started(log)
    process.send(Submit(1, chat("exit 7")))
    process.join(20.0)
    assert log.ends == ["ended with exit code 7"]


def test_nothing_of_the_current_folder_is_imported(started, tmp_path, monkeypatch):
    """`python -m` would look there first: whoever can write into it could run code in the worker."""
    (tmp_path / "resource.py").write_text("raise SystemExit(66)")
    monkeypatch.chdir(tmp_path)
    log = Log()
    started(log)
    assert eventually(lambda: log.reports or log.ends)
    assert not log.ends


def test_a_kill_before_the_start_is_not_lost():
    log = Log()
    process = SpawnedProcess("a", SPEC)
    process.kill()
    process.start(log)
    process.join(10.0)
    assert log.ends == ["died of SIGKILL"]


TRACER = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
pid = int(sys.argv[1])
seized = libc.ptrace(0x4206, pid, None, None)  # PTRACE_SEIZE: its end is ours to wait for, before its parent
print("seized" if seized == 0 else "refused", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ptrace of Linux")
def test_jobs_hear_of_the_end_before_the_system_lets_the_process_go(started):
    """With much memory to free that takes minutes; here a tracer looks away."""
    log = Log()
    process = started(log)
    assert eventually(lambda: log.reports)
    command = [sys.executable, "-c", TRACER, str(process.pid)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as tracer:
        assert tracer.stdout
        if tracer.stdout.readline() != "seized\n":
            pytest.skip("tracing is not allowed here")
        log.is_over = True
        process.kill()
        assert eventually(lambda: log.ends, 2.0)
        process.join(0.1)
        assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
        tracer.communicate("")
    assert eventually(lambda: not psutil.pid_exists(process.pid))


def test_what_is_sent_to_a_stopped_process_takes_no_thread_and_arrives_later(started):
    log = Log()
    process = started(log)
    assert eventually(lambda: log.reports)
    psutil.Process(process.pid).suspend()
    begun = time.monotonic()
    for job_id in range(1, 4):
        process.send(Submit(job_id, chat("say " + "x" * 1_000_000)))
    assert time.monotonic() - begun < 1.0
    psutil.Process(process.pid).resume()
    assert eventually(lambda: sum(len(getattr(r, "events", [])) for r in log.reports) >= 12, 20.0)


def test_a_job_s_file_reaches_the_process_and_stays_open_here(started, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    log = Log()
    process = started(log)
    descriptor = os.open(tmp_path / "a.wav", os.O_RDONLY)
    process.send(Submit(1, TranscriptionJob(descriptor, context="say hello")), [descriptor])
    assert os.fstat(descriptor).st_size == 4
    os.close(descriptor)
    (tmp_path / "a.wav").unlink()
    assert eventually(lambda: "TranscriptionDone" in str(log.reports))


def test_processes_leave_no_descriptor_and_no_child():
    """In an interpreter of its own: other tests' threads open files and start children, too."""
    code = """
import os, psutil
from test_spawned import SPEC, Log, live
live(Log())
before = len(os.listdir(OPEN_FILES))
for _ in range(3):
    live(Log())
print(len(os.listdir(OPEN_FILES)) - before, len(psutil.Process().children()))
""".replace("OPEN_FILES", repr(str(OPEN_FILES)))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["0", "0"]


def live(log: Log) -> None:
    process = SpawnedProcess("a", SPEC)
    process.start(log)
    assert eventually(lambda: log.reports)
    process.kill()
    process.join(10.0)
