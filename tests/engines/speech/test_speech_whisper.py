"""The speech engine with Whisper's network and random weights: nonsense for answers, sound events."""

from __future__ import annotations

import itertools
import time

import mlx.core as mx
import numpy as np
import pytest
import soundfile
from cut import lenient
from files import again, opened

from ominix.engines.speech.reader import ReadingThread
from ominix.engines.speech.scheduler import Scheduler
from ominix.engines.speech.stages.words import WordsLoader
from ominix.models.whisper.config import Config
from ominix.models.whisper.model import Model
from ominix.models.whisper.recogniser import WhisperRecogniser
from ominix.models.whisper.tokenizer import SpecialTokens, Vocabulary
from ominix.wire.events import Delta, Segment, TranscriptionDone
from ominix.wire.jobs import Helper, TranscriptionJob

pytestmark = pytest.mark.slow

RATE = 16_000
WORDS = {"words": Helper("whisper", "itself")}


@pytest.fixture(scope="module")
def recogniser() -> WhisperRecogniser:
    return made()


@pytest.fixture(scope="module")
def short() -> WhisperRecogniser:
    """Its windows are three seconds long."""
    return made(n_audio_ctx=150)


def made(**more: int) -> WhisperRecogniser:
    mx.random.seed(3)
    sizes = {"n_audio_state": 16, "n_audio_head": 2, "n_audio_layer": 2, **more}
    model = Model(Config(n_text_ctx=64, n_text_state=16, n_text_head=2, n_text_layer=2, **sizes))
    model.decoder.token_embedding.weight = mx.random.normal((51865, 16))
    return WhisperRecogniser(model, Vocabulary(multilingual=True), SpecialTokens(51865))


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[str]:
    """Noise that comes and goes like syllables, with pauses; the last file is silent."""
    folder, dice = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0)
    for number, lengths in enumerate([(2.5, 3.0), (2.2,), (2.4, 2.1, 2.6), ()]):
        pieces = [np.zeros(2 * RATE)]
        for seconds in lengths:
            t = np.arange(round(seconds * RATE)) / RATE
            loudness = np.maximum(0.02, np.sin(2 * np.pi * 4 * t) ** 2)
            pieces += [0.2 * dice.standard_normal(len(t)) * loudness, np.zeros(2 * RATE)]
        soundfile.write(folder / f"{number}.wav", np.concatenate(pieces), RATE, subtype="FLOAT")
    return [str(folder / f"{number}.wav") for number in range(4)]


def events_of(recogniser, jobs: list[TranscriptionJob], cancelled: int | None = None) -> list[list]:
    words = WordsLoader(lambda model: None, recogniser.features_kind, {"itself": recogniser.aligner})
    scheduler = Scheduler(recogniser, 4, {"words": words.open}, ReadingThread(judge=lenient))
    found: list[list] = [[] for _ in jobs]
    for number, job in enumerate(jobs):
        scheduler.admit(number, again(job))
    deadline = time.monotonic() + 60
    for step in itertools.count():
        if scheduler.idle:
            return found
        assert time.monotonic() < deadline
        if step == 6 and cancelled is not None:
            scheduler.cancel(cancelled)
        for number, event in scheduler.step():
            found[number].append(event)
    raise AssertionError("never")


def job(path: str, **more) -> TranscriptionJob:
    return TranscriptionJob(opened(path), temperature=1.0, **more)


def test_a_recording_gives_a_text_that_is_its_deltas_and_its_segments(recogniser, files):
    (events,) = events_of(recogniser, [job(files[0], logprobs=True)])
    done = events[-1]
    assert isinstance(done, TranscriptionDone)
    deltas = [event for event in events if isinstance(event, Delta)]
    segments = [event for event in events if isinstance(event, Segment)]
    assert done.text and done.text == "".join(delta.text for delta in deltas)
    assert done.language in recogniser._prompts.codes
    assert len(segments) == 2
    assert all(0 <= s.start < s.end <= done.duration_seconds and s.avg_logprob < 0 for s in segments)
    assert sum(len(s.tokens) for s in segments) == sum(len(delta.logprobs) for delta in deltas)


def test_jobs_beside_each_other_get_what_they_get_alone(recogniser, files):
    jobs = [job(path, language="German") for path in files]
    alone = [events_of(recogniser, [one])[0][-1].text for one in jobs]
    together = [events[-1].text for events in events_of(recogniser, jobs)]
    assert together == alone
    assert alone[3] == "" and all(alone[:3])


def test_a_cancelled_job_leaves_the_others_and_nothing_behind(recogniser, files):
    jobs = [job(files[2], language="German"), job(files[1], language="German")]
    _, events = events_of(recogniser, jobs, cancelled=0)
    assert events[-1].text == events_of(recogniser, jobs[1:])[0][-1].text
    assert not recogniser._windows and not len(recogniser._rows)


def test_words_are_timed_by_the_same_network(recogniser, files):
    (events,) = events_of(recogniser, [job(files[0], language="German", helpers=WORDS)])
    words = [word for event in events if isinstance(event, Segment) for word in event.words]
    times = [time for word in words for time in (word.start, word.end)]
    assert words and times == sorted(times)
    assert times[0] >= 0 and times[-1] <= events[-1].duration_seconds


def sequence(path: str, **more) -> TranscriptionJob:
    return job(path, language="German", sequential=True, **more)


def test_a_sequence_has_the_model_s_own_times_and_covers_the_recording(short, files):
    (events,) = events_of(short, [sequence(files[0], logprobs=True, previous_text=True)])
    done, segments = events[-1], [event for event in events if isinstance(event, Segment)]
    deltas = [event for event in events if isinstance(event, Delta)]
    assert done.text and done.text == "".join(delta.text for delta in deltas)
    first = SpecialTokens(51865).first_timestamp
    for segment in segments:
        assert 0 <= segment.start <= segment.end <= done.duration_seconds
        assert segment.temperature == 1.0 and segment.avg_logprob < 0 and segment.compression_ratio > 0
        assert segment.seek_seconds <= segment.start
        assert segment.tokens[0] >= first
    texts = [token for segment in segments for token in segment.tokens if token < first]
    assert len(texts) == sum(len(delta.logprobs) for delta in deltas)


def test_sequences_beside_each_other_and_beside_clips_get_what_they_get_alone(short, files):
    jobs = [sequence(files[0]), job(files[2], language="German"), sequence(files[1], previous_text=True)]
    alone = [events_of(short, [one])[0][-1].text for one in jobs]
    assert [events[-1].text for events in events_of(short, jobs)] == alone
    assert not short._windows and not len(short._rows)
