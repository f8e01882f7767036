"""Recordings become clips beside the engine, through real decode children; none waits for another."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
from cut import clips_of, lenient
from files import opened
from toy_speech import ToyRecogniser

from ominix.audio import decode
from ominix.audio.decoder import Decoder
from ominix.engines.speech.reader import Reader, ReadingThread
from ominix.engines.speech.scheduler import Scheduler
from ominix.errors import InferenceFailed, JobRefused
from ominix.wire.events import Failed, Segment, TranscriptionDone
from ominix.wire.jobs import Cutting, TranscriptionJob

pytestmark = pytest.mark.slow

RATE_HZ = 16_000
SECONDS = 42


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    """Syllables of noise, with a pause after each six seconds."""
    t = np.arange(SECONDS * RATE_HZ) / RATE_HZ
    loudness = np.maximum(0.02, np.sin(2 * np.pi * 4 * t) ** 2) * (t % 7 < 6)
    noise = np.random.default_rng(0).standard_normal(len(t))
    path = tmp_path_factory.mktemp("sounds") / "recording.wav"
    soundfile.write(path, 0.1 * loudness * noise, RATE_HZ, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def wanted(recording):
    blocks = decode.blocks(opened(recording), max_seconds=3600, max_bytes=1 << 30)
    return list(clips_of(blocks, Cutting(), ToyRecogniser.clip_seconds))


@pytest.fixture(scope="module")
def thread():
    return ReadingThread(judge=lenient)


def reader_of(thread, path) -> Reader:
    return Reader(thread, TranscriptionJob(opened(path)), ToyRecogniser())


def next_clip(reader, seconds=30.0):
    """None at the end, or if it does not come in this time."""
    reader.request()
    due = time.monotonic() + seconds
    while not reader.ended and time.monotonic() < due:
        if found := reader.poll():
            return found
        time.sleep(0.001)
    return None


def rest_of(reader):
    return list(iter(lambda: next_clip(reader), None))


def alike(found, wanted):
    """The clips are the same, bit for bit, and those with speech have the toy's features."""
    assert len(found) == len(wanted)
    for (clip, features), other in zip(found, wanted, strict=True):
        assert (clip.start, clip.end, clip.sound) == (other.start, other.end, other.sound)
        assert np.array_equal(clip.samples, other.samples)
        if clip.sound:
            assert np.array_equal(features, ToyRecogniser().features(other.samples))
        else:
            assert features is None
    return True


def child_of(reader):
    return reader._recording._decoding.child.pid


def test_clips_are_those_of_decoding_in_this_process(thread, recording, wanted):
    assert len(wanted) > 6
    assert alike(rest_of(reader_of(thread, recording)), wanted)


def test_eight_recordings_side_by_side(thread, recording, wanted):
    readers = [reader_of(thread, recording) for _ in range(8)]
    found = [[next_clip(reader)] for reader in readers]
    for first, reader in zip(found, readers, strict=True):
        assert alike(first + rest_of(reader), wanted)


def test_a_decoder_that_hangs_or_dies_holds_up_no_other(thread, recording, wanted):
    hung, doomed = reader_of(thread, recording), reader_of(thread, recording)
    found = [next_clip(hung)]
    next_clip(doomed)
    os.kill(child_of(hung), signal.SIGSTOP)
    try:
        os.kill(child_of(doomed), signal.SIGSEGV)
        rest_of(doomed)
        assert "heard: the file cannot be decoded: its decoder died of SIGSEGV" in doomed.notice
        while clip := next_clip(hung, seconds=0.3):  # what the child had sent before
            found.append(clip)

        assert alike(rest_of(reader_of(thread, recording)), wanted)

        assert hung.pending
    finally:
        os.kill(child_of(hung), signal.SIGCONT)
    assert alike(found + rest_of(hung), wanted)


def test_a_file_that_is_no_audio_is_refused(thread):
    reader = reader_of(thread, __file__)
    with pytest.raises(JobRefused, match="is not audio"):
        next_clip(reader)
    reader.close()


def test_a_closed_recording_leaves_no_child(thread, recording):
    reader = reader_of(thread, recording)
    next_clip(reader)
    child = psutil.Process(child_of(reader))
    reader.close()
    child.wait(5)
    assert reader.ended


def test_the_last_user_s_end_is_the_thread_s_and_its_children_s(recording):
    def held():
        return threading.active_count(), len(psutil.Process().children()), psutil.Process().num_fds()

    gc.collect()
    before = held()
    reader = reader_of(ReadingThread(judge=lenient), recording)
    next_clip(reader)
    assert held() != before
    del reader
    gc.collect()
    due = time.monotonic() + 5
    while held() != before:
        assert time.monotonic() < due
        time.sleep(0.01)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_of_ours_reaches_the_engine(recording):
    recogniser = ToyRecogniser()
    recogniser.features = None  # which cannot be called
    reader = Reader(ReadingThread(judge=lenient), TranscriptionJob(opened(recording)), recogniser)
    with pytest.raises(RuntimeError, match="the thread that reads recordings has ended"):
        next_clip(reader)


def test_a_thread_that_hangs_is_seen_by_the_engine(recording):
    go_on = threading.Event()
    recogniser = ToyRecogniser()
    recogniser.features = lambda samples: go_on.wait(30)
    thread = ReadingThread(hanging_seconds=0.2, judge=lenient)
    hung = Reader(thread, TranscriptionJob(opened(recording)), recogniser)
    assert next_clip(hung, seconds=5.0) is None
    reader = reader_of(thread, recording)
    with pytest.raises(RuntimeError, match="the thread that reads recordings hangs"):
        next_clip(reader)
    go_on.set()


def test_progress_is_told_of_jobs_that_wait_for_their_file_alone(thread, recording):
    engine = Scheduler(ToyRecogniser(), 4, {}, thread)
    engine.admit(1, TranscriptionJob(opened(recording)))
    engine.step()
    child = engine._tasks[1].reader
    told = []
    while not engine.idle:
        told.append(dict(engine.progress()))
        engine.step()
    amounts = [amount for amounts in told for amount in amounts.values()]
    assert amounts == sorted(amounts)
    assert amounts[-1] > amounts[0]
    assert {} in told  # its clips were being answered
    assert child.ended


def no_process():
    raise OSError(11, "Resource temporarily unavailable")


def test_without_a_child_jobs_fail_and_the_engine_goes_on(recording):
    thread = ReadingThread(lambda: Decoder(start=no_process))
    with pytest.raises(InferenceFailed, match="no process can be started"):
        next_clip(reader_of(thread, recording))

    engine = Scheduler(ToyRecogniser(), 4, {}, thread)
    engine.admit(1, TranscriptionJob(opened(recording)))
    events = []
    while not engine.idle:
        events += engine.step()
    ((number, failed),) = events
    assert number == 1
    assert isinstance(failed, Failed)
    assert "Resource temporarily unavailable" in failed.message


def test_what_was_heard_within_the_bound_is_not_lost(recording, wanted):
    """The rest is told in a notice, not answered with a refusal of everything."""
    thread = ReadingThread(partial(Decoder, max_seconds=20.0), judge=lenient)
    scheduler = Scheduler(ToyRecogniser(), 2, {}, thread)
    scheduler.admit(1, TranscriptionJob(opened(recording)))
    events = []
    while not scheduler.idle:
        events += [event for _, event in scheduler.step()]
    done = events[-1]
    assert isinstance(done, TranscriptionDone)
    assert done.duration_seconds == pytest.approx(20.0, abs=0.02)
    assert "more than the 20 seconds of audio" in done.notice
    assert any(isinstance(event, Segment) for event in events)
