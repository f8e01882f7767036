"""Recordings through decode children: real processes, real signals. What one file does hurts no other."""

from __future__ import annotations

import math
import os
import re
import signal
import struct
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
from sounds import SECONDS, blocks_of, chirp, encoded, written

from ominix.audio.children import MOST_FILES
from ominix.audio.decoder import Decoder
from ominix.audio.process import ChildProcess
from ominix.errors import InferenceFailed, JobRefused
from ominix.wire.decoding import Opened, Samples
from ominix.wire.events import Track

pytestmark = pytest.mark.slow

on_linux = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks into /proc")

FILES = {
    "wav": written(chirp(22_050), 22_050, "WAV"),
    "short wav": written(chirp(16_000, 0.01), 16_000, "WAV"),
    "long wav": written(chirp(44_100, 13.3), 44_100, "WAV"),
    "flac": written(chirp(48_000), 48_000, "FLAC"),
    "mp3": encoded("mp3", "libmp3lame", [chirp(48_000)]),
    "m4a": encoded("ipod", "aac", [chirp(48_000)]),
    "film": encoded("mp4", "aac", [chirp(48_000)], video=True),
    "webm": encoded("webm", "libopus", [chirp(48_000)]),
    "24 channels": encoded("matroska", "pcm_s16le", [chirp(48_000)], layout="22.2", frame_size=10**6),
}


@pytest.fixture(scope="module")
def shared():
    decoder = Decoder()
    yield decoder
    decoder.close()


@pytest.fixture
def make():
    """Decoders that end with the test, so that no child of theirs stays, be it stopped."""
    made = []

    def decoder(**options):
        made.append(Decoder(**options))
        return made[-1]

    yield decoder
    for one in made:
        one.close()


@pytest.fixture
def own(request, make):
    """A decoder whose children the test may hurt; its arguments are in `own.param`."""
    return make(**getattr(request, "param", {}))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "upload"

    def write(data):
        path.write_bytes(data)
        return path

    return write


@pytest.fixture
def hour(tmp_path):
    """A WAV file of an hour: zeros that take no disk."""
    path = tmp_path / "hour"
    header = written(np.zeros(1, np.int16), 16_000, "WAV")[:44]
    with path.open("wb") as out:
        out.write(header[:40] + struct.pack("<I", 0xFFFFFFFF))
        out.truncate(44 + 3600 * 32_000)
    return path


def begin(decoder, path):
    return decoder.decode(os.open(path, os.O_RDONLY))


def next_block(decoder, decoding):
    """The next block, however long it takes; None at the end."""
    decoding.ask()
    while not decoding.has_news:
        decoder.wait(1)
    return decoding.next()


def samples_of(decoder, *decodings):
    """All samples of each, side by side; for one that raises: its error."""
    blocks = {decoding: [] for decoding in decodings}
    found = {}
    for decoding in decodings:
        decoding.ask()
    while len(found) < len(decodings):
        for decoding in decoder.wait(10):
            try:
                block = decoding.next()
            except (JobRefused, InferenceFailed) as error:
                found[decoding] = error
                continue
            if block is None:
                found[decoding] = np.concatenate(blocks[decoding])
            else:
                blocks[decoding].append(block)
                decoding.ask()
    return [found[decoding] for decoding in decodings]


def gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def soon(condition, seconds=10):
    due = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < due
        time.sleep(0.01)


@pytest.mark.parametrize("kind", FILES)
def test_samples_are_those_of_decoding_in_this_process(shared, file, kind):
    path = file(FILES[kind])
    (samples,) = samples_of(shared, begin(shared, path))
    assert samples.dtype == np.float32
    assert np.array_equal(samples, np.concatenate(list(blocks_of(path))))


@pytest.mark.parametrize("data", [b"", b"hello", b"#EXTM3U\nfile:///etc/passwd", written([], 16_000, "WAV")])
def test_a_refusal_is_that_of_decoding_in_this_process(shared, file, data):
    path = file(data)
    with pytest.raises(JobRefused) as wanted:
        list(blocks_of(path))
    (refusal,) = samples_of(shared, begin(shared, path))
    assert isinstance(refusal, JobRefused)
    assert (refusal.message, refusal.param, refusal.code) == (
        wanted.value.message,
        wanted.value.param,
        wanted.value.code,
    )


def test_what_cannot_be_read_is_refused(shared, tmp_path):
    (refusal,) = samples_of(shared, begin(shared, tmp_path))
    assert refusal.message == "the file cannot be read: Is a directory"


def test_eight_recordings_at_once(shared, file):
    path = file(FILES["long wav"])
    wanted = np.concatenate(list(blocks_of(path)))
    for samples in samples_of(shared, *(begin(shared, path) for _ in range(8))):
        assert np.array_equal(samples, wanted)


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (signal.SIGSEGV, "its decoder died of SIGSEGV"),
        pytest.param(signal.SIGKILL, "its decoder died of SIGKILL", marks=pytest.mark.slow),
        pytest.param(
            signal.SIGXCPU, "a stretch of it takes more than 30 s of processor time", marks=pytest.mark.slow
        ),
    ],
)
def test_a_crash_in_mid_recording_is_refused_and_hurts_no_other(own, file, hour, number, why):
    doomed, other = begin(own, hour), begin(own, hour)
    assert len(next_block(own, doomed)) == len(next_block(own, other)) == 80_000

    os.kill(doomed.child.pid, number)
    refusal, samples = samples_of(own, doomed, begin(own, file(FILES["wav"])))

    assert refusal.message == f"the file cannot be decoded: {why}"
    assert (refusal.param, refusal.code) == ("file", "invalid_audio_format")
    assert len(samples) == SECONDS * 16_000
    assert len(next_block(own, other)) == 80_000


@on_linux
@pytest.mark.parametrize("own", [{"start": partial(ChildProcess, memory_bytes=2 << 20)}], indirect=True)
def test_a_file_that_takes_too_much_memory_is_refused(own, file):
    plain = file(written(chirp(16_000, 1), 16_000, "WAV"))
    assert len(samples_of(own, begin(own, plain))[0]) == 16_000

    (refusal,) = samples_of(own, begin(own, file(FILES["long wav"])))

    assert refusal.message == "the file cannot be decoded: it takes more than 2 MiB of memory"
    assert len(samples_of(own, begin(own, file(written(chirp(16_000, 1), 16_000, "WAV"))))[0]) == 16_000


def test_a_child_that_hangs_is_killed_and_holds_up_nobody(make, file, hour):
    now = 0.0
    decoder = make(clock=lambda: now)
    hung = begin(decoder, hour)
    next_block(decoder, hung)
    pid = hung.child.pid
    os.kill(pid, signal.SIGSTOP)
    hung.ask()

    (samples,) = samples_of(decoder, begin(decoder, file(FILES["wav"])))
    assert len(samples) == SECONDS * 16_000
    now = 60.0
    assert not decoder.wait(0)
    now = 60.1
    assert decoder.wait(0) == [hung]
    with pytest.raises(JobRefused, match="cannot be decoded: nothing has come of it for 60 s"):
        hung.next()
    assert gone(pid)


@pytest.mark.slow
def test_whoever_does_not_ask_may_take_all_the_time(make, hour):
    now = 0.0
    decoder = make(clock=lambda: now)
    slow = begin(decoder, hour)
    next_block(decoder, slow)
    now = 3600.0
    assert not decoder.wait(0)
    assert len(next_block(decoder, slow)) == 80_000


def test_a_cancelled_recording_takes_its_child_along(own, file, hour):
    cancelled, other = begin(own, hour), begin(own, hour)
    next_block(own, cancelled)
    next_block(own, other)
    pid = cancelled.child.pid
    os.kill(pid, signal.SIGSTOP)  # deep in a codec

    cancelled.cancel()
    cancelled.cancel()

    assert gone(pid)
    assert cancelled.has_news
    assert cancelled.next() is None
    assert len(next_block(own, other)) == 80_000


@pytest.mark.slow
def test_a_recording_is_cancelled_that_still_waits_for_a_child(make, hour):
    decoder = make()
    waiting = begin(decoder, hour)
    assert waiting.child is None
    waiting.cancel()
    with pytest.raises(OSError):
        os.fstat(waiting.descriptor)


@pytest.mark.slow
@on_linux
def test_a_child_waits_while_nobody_asks(own, hour):
    decoding = begin(own, hour)
    next_block(own, decoding)

    def position():
        return int(Path(f"/proc/{decoding.child.pid}/fdinfo/4").read_text().split()[1])

    time.sleep(0.2)
    before = position()
    time.sleep(0.2)
    assert position() == before < 2 << 20


@pytest.mark.slow
def test_an_idle_child_that_died_is_replaced_without_a_word(own, file):
    path = file(FILES["wav"])
    used = begin(own, path)
    samples_of(own, used)
    os.kill(used.child.pid, signal.SIGKILL)
    with pytest.raises(EOFError):
        soon(used.child.receive)

    (samples,) = samples_of(own, begin(own, path))

    assert len(samples) == SECONDS * 16_000


def test_a_child_takes_one_file_after_the_other(own, file):
    path = file(FILES["wav"])
    pids = set()
    for _ in range(5):
        decoding = begin(own, path)
        samples_of(own, decoding)
        pids.add(decoding.child.pid)
    assert len(pids) <= 2  # the second is one that was kept ready


@pytest.mark.slow
def test_a_child_ends_after_many_files(own, file):
    path = file(FILES["wav"])
    used = begin(own, path)
    samples_of(own, used)
    pid, used.child.files = used.child.pid, MOST_FILES
    samples_of(own, begin(own, path))
    soon(lambda: gone(pid))


def test_a_child_that_dies_at_its_start_is_tried_once_for_each_file(make, hour):
    pids = []

    def start():
        child = ChildProcess()
        pids.append(child.pid)
        os.kill(child.pid, signal.SIGKILL)
        return child

    decoder = make(start=start)
    for n in range(1, 4):
        (error,) = samples_of(decoder, begin(decoder, hour))
        assert isinstance(error, InferenceFailed)
        assert error.message.startswith("audio cannot be decoded: ")
        assert len(pids) <= n + 1


def test_a_child_that_hangs_at_its_start_is_killed(make, hour):
    now = 0.0
    decoder = make(clock=lambda: now)
    pid = decoder._children.starting.pid
    os.kill(pid, signal.SIGSTOP)
    decoding = begin(decoder, hour)
    decoding.ask()
    assert not decoder.wait(0)
    now = 60.1
    assert decoder.wait(0) == [decoding]
    with pytest.raises(InferenceFailed, match="was not ready after 60 s"):
        decoding.next()
    assert gone(pid)


@pytest.mark.slow
def test_after_a_crowd_two_idle_children_are_kept(make, file):
    before = len(psutil.Process().children())
    decoder = make()
    path = file(FILES["long wav"])
    decodings = [begin(decoder, path) for _ in range(5)]
    for decoding in decodings:
        next_block(decoder, decoding)
    assert len(psutil.Process().children()) - before >= 5  # each has one of its own
    samples_of(decoder, *decodings)
    decoder.wait(2)  # for the one that is starting
    assert len(psutil.Process().children()) - before == 2


class Liar(ChildProcess):
    """Sends what is no block, as a codec may that has written where it should not."""

    def __init__(self, sent):
        super().__init__()
        self._sent = sent

    def receive(self):
        return [self._sent] if self.files else super().receive()


LIES = [Samples(b"123"), Opened(math.nan), Opened(None, Track(1, 2, "aac", title="x" * 10_000))]


@pytest.mark.parametrize("own", [{"start": partial(Liar, lie)} for lie in LIES], indirect=True)
def test_a_child_that_sends_nonsense_is_killed(own, hour):
    decoding = begin(own, hour)
    (refusal,) = samples_of(own, decoding)
    assert refusal.message == "the file cannot be decoded: its decoder sent what is no message"
    assert gone(decoding.child.pid)


def test_that_no_child_can_be_started_is_not_the_fault_of_the_file(make, hour):
    failing = True

    def start():
        if failing:
            raise OSError(11, "Resource temporarily unavailable")
        return ChildProcess()

    decoder = make(start=start)
    errors = samples_of(decoder, begin(decoder, hour))
    assert isinstance(errors[0], InferenceFailed)
    assert "no process can be started: Resource temporarily unavailable" in errors[0].message
    failing = False
    assert len(next_block(decoder, begin(decoder, hour))) == 80_000


@pytest.mark.slow
@on_linux
def test_a_child_has_no_secrets_and_no_descriptor_to_spare(make, file, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    decoder = make()
    decoding = begin(decoder, file(FILES["wav"]))
    samples_of(decoder, decoding)
    child = Path(f"/proc/{decoding.child.pid}")
    assert "HF_TOKEN" not in (child / "environ").read_text()
    assert sorted(entry.name for entry in (child / "fd").iterdir()) == ["0", "1", "2", "3"]
    limits = (child / "limits").read_text()
    for line in (r"Max open files +5 +5 ", r"Max file size +0 +0 ", r"Max core file size +0 +0 "):
        assert re.search(line, limits)
    assert (child / "cwd").resolve() == Path("/")


@pytest.mark.slow
@on_linux
def test_a_hundred_recordings_leave_nothing_behind(make, file, hour):
    def held():
        return len(list(Path("/proc/self/fd").iterdir())), len(psutil.Process().children())

    before = held()
    decoder = make()
    path = file(FILES["wav"])
    samples_of(decoder, begin(decoder, path))
    for n in range(100):
        decodings = [begin(decoder, path) for _ in range(n % 4)]
        samples_of(decoder, *decodings)
        if n % 20 == 0:
            cancelled = begin(decoder, hour)
            next_block(decoder, cancelled)
            cancelled.cancel()
    assert len(psutil.Process().children()) - before[1] <= 3  # two idle ones, one that is starting
    decoder.close()
    assert held() == before


PARENT = """
import os, sys, time
from ominix.audio.decoder import Decoder
decoder = Decoder()
decodings = [decoder.decode(os.open(sys.argv[1], os.O_RDONLY)) for _ in range(2)]
for decoding in decodings:
    decoding.ask()
while not all(decoding.has_news for decoding in decodings):
    decoder.wait(1)
decoder._children.keep_ready()
print(*(decoding.child.pid for decoding in decodings), decoder._children.starting.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.slow
def test_children_end_with_their_parent(hour):
    command = [sys.executable, "-c", PARENT, str(hour)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        pids = list(map(int, parent.stdout.readline().split()))
        assert len(pids) == 3
        parent.kill()
    soon(lambda: all(map(gone, pids)))
