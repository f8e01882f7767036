"""A recording heard window by window: the answer to one says where the next begins. The model is a toy."""

from __future__ import annotations

import itertools
import time
from collections import deque

import numpy as np
import pytest
import soundfile
from files import opened
from toy_speech import END, ToyAnswer, ToyRecogniser, ToyWords

from ominix.engines.speech.reader import ReadingThread
from ominix.engines.speech.scheduler import Scheduler
from ominix.errors import JobRefused
from ominix.models.recogniser import Draw, Span, Verdict
from ominix.wire.events import Delta, Progress, Segment, TranscriptionDone
from ominix.wire.jobs import Helper, TranscriptionJob

pytestmark = pytest.mark.slow

RATE = 16_000


class ToySurvey:
    window_seconds = 3.0
    hop_samples = 160
    margin_samples = 200

    def append(self, samples):
        pass

    def end(self):
        pass

    def features(self, before, samples, after):
        return samples[: len(samples) // 160 * 160].reshape(-1, 160)


class SequentialAnswer(ToyAnswer):
    def feed(self, draw):
        self.verdict = draw.verdict
        return super().feed(draw)


class SequentialToy(ToyRecogniser):
    """Finishes two of three seconds; says what second of a clock it hears, twice, in two segments."""

    def survey(self):
        return ToySurvey()

    def answer(self, job):
        return SequentialAnswer(job.language)

    def step(self):
        if not self._begun:
            return super().step()
        row, clip, _ = self._begun.popleft()
        self._coming[row] = deque()
        words = [f"at {round(float(clip[0].max()) * 100)}", "!"]
        spans = tuple(Span(2.0 * i, 2.0 * i + 1, tuple(w.encode()), len(w)) for i, w in enumerate(words))
        verdict = Verdict(0.4, -0.25, 1.5, spans, 2.0)
        tokens = [*"".join(words).encode(), END]
        return [Draw(row, token, -0.5, -9.0, verdict) for token in tokens]


@pytest.fixture(scope="module")
def clock(tmp_path_factory) -> str:
    """7.5 s whose level counts the seconds."""
    path = tmp_path_factory.mktemp("sounds") / "clock.wav"
    soundfile.write(path, np.repeat(np.arange(8) / 100, RATE)[: round(7.5 * RATE)], RATE, subtype="FLOAT")
    return str(path)


def events_of(recogniser, jobs, cancelled=None):
    scheduler = Scheduler(recogniser, 4, {"words": lambda helper: ToyWords()}, ReadingThread())
    found = [[] for _ in jobs]
    for number, job in enumerate(jobs):
        scheduler.admit(number, job)
    deadline = time.monotonic() + 60
    for _ in itertools.count():
        if scheduler.idle:
            return found
        assert time.monotonic() < deadline
        for number, event in scheduler.step():
            found[number].append(event)
            if cancelled is not None and isinstance(event, Segment):
                scheduler.cancel(cancelled)
    raise AssertionError("never")


def job(path, **more) -> TranscriptionJob:
    return TranscriptionJob(opened(path), language="English", sequential=True, **more)


def test_each_window_begins_where_the_last_was_finished(clock):
    (events,) = events_of(SequentialToy(), [job(clock)])
    segments = [event for event in events if isinstance(event, Segment)]
    assert [(s.text, s.start, s.end) for s in segments] == [
        ("at 0", 0.0, 1.0), ("!", 2.0, 3.0), ("at 2", 2.0, 3.0), ("!", 4.0, 5.0),
        ("at 4", 4.0, 5.0), ("!", 6.0, 7.0), ("at 6", 6.0, 7.0), ("!", 7.5, 7.5),  # not past the end
    ]  # fmt: skip
    assert [s.seek_seconds for s in segments] == [0.0, 0.0, 2.0, 2.0, 4.0, 4.0, 6.0, 6.0]
    assert {(s.temperature, s.avg_logprob, s.compression_ratio) for s in segments} == {(0.4, -0.25, 1.5)}
    assert segments[0].tokens == tuple(b"at 0")
    done = events[-1]
    assert isinstance(done, TranscriptionDone) and done.duration_seconds == 7.5
    assert done.text == "".join(e.text for e in events if isinstance(e, Delta)) == "at 0! at 2! at 4! at 6!"
    progress = [(e.done_seconds, e.total_seconds) for e in events if isinstance(e, Progress)]
    assert progress == [(2.0, 7.5), (4.0, 7.5), (6.0, 7.5), (7.5, 7.5)]


def test_segments_come_before_the_next_window_is_heard(clock):
    scheduler = Scheduler(SequentialToy(), 4, {}, ReadingThread())
    scheduler.admit(1, job(clock))
    begun, deadline = [], time.monotonic() + 60
    while not scheduler.idle and time.monotonic() < deadline:
        kinds = [type(event) for _, event in scheduler.step()]
        begun.append((scheduler._recogniser._number, kinds.count(Segment)))
    assert [number for number, count in begun if count] == [1, 2, 3, 4]


def test_sequences_go_side_by_side_with_others_and_one_is_cancelled(clock):
    toy = SequentialToy()
    doomed, kept = events_of(toy, [job(clock), job(clock)], cancelled=0)
    assert not any(isinstance(event, TranscriptionDone) for event in doomed)
    assert kept[-1].text == "at 0! at 2! at 4! at 6!"
    assert not toy.live


def test_what_cannot_be_heard_so_is_refused_by_name(clock):
    for recogniser, more, param in (
        (ToyRecogniser(), {}, "chunking_strategy"),
        (SequentialToy(), {"channel": "separate"}, "channel"),
    ):
        with pytest.raises(JobRefused) as refusal:
            Scheduler(recogniser, 4, {}, ReadingThread()).admit(1, job(clock, **more))
        assert refusal.value.param == param


def test_a_file_without_sound_and_one_that_is_none_end_the_job(clock, tmp_path):
    soundfile.write(tmp_path / "short.wav", np.zeros(100), RATE)
    (tmp_path / "text.wav").write_text("no sound" * 100)
    short, text = events_of(SequentialToy(), [job(tmp_path / "short.wav"), job(tmp_path / "text.wav")])
    assert short[-1].text == "" and text[-1].param == "file"


def test_segments_go_from_word_to_word_where_words_are_timed(clock):
    (events,) = events_of(SequentialToy(), [job(clock, helpers={"words": Helper("toy", "itself")})])
    segments = [event for event in events if isinstance(event, Segment)]
    assert [[word.text for word in segment.words] for segment in segments[:4]] == [
        ["at", "0!"],
        [],
        ["at", "2!"],
        [],
    ]
    for segment in segments[::2]:
        assert (segment.start, segment.end) == (segment.words[0].start, segment.words[-1].end)
    assert segments[1].start == 2.0  # no word begins in it: the model's own time
