"""The speech engine with a recogniser and stages that are no network: it knows no model."""

from __future__ import annotations

import itertools
import re
import time
from concurrent.futures import wait
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cut import lenient
from files import again, opened
from toy_speech import LOGPROB, ToyLoudness, ToyRecogniser, ToyWords

import ominix
from ominix.engines.speech.reader import ReadingThread
from ominix.engines.speech.scheduler import Scheduler
from ominix.errors import JobRefused
from ominix.wire.events import Delta, Refused, Segment, Started, TranscriptionDone
from ominix.wire.jobs import Caller, Helper, TranscriptionJob

pytestmark = pytest.mark.slow

RATE = 16_000
TOY = Helper("toy", "folder")


def sound(*parts: tuple[int, float]) -> np.ndarray:
    """(level, seconds): noise that comes and goes like syllables; each part follows a second of silence."""
    dice = np.random.default_rng(0)
    pieces = []
    for level, seconds in parts:
        t = np.arange(round(seconds * RATE)) / RATE
        syllables = np.maximum(0.02, np.sin(2 * np.pi * 4 * t) ** 2)
        pieces += [np.zeros(RATE), 0.1 * level * dice.standard_normal(len(t)) * syllables]
    return np.concatenate([*pieces, np.zeros(RATE)]).astype(np.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("sounds")
    sounds = [sound((1, 2.5), (3, 2.5)), sound((2, 2.0)), sound((4, 2.8), (1, 2.2), (2, 2.6))]
    for i, samples in enumerate(sounds):
        soundfile.write(folder / f"{i}.wav", samples, RATE, subtype="FLOAT")
    return [str(folder / f"{i}.wav") for i in range(len(sounds))]


TEXTS = ["level 1. level 3.", "level 2.", "level 4. level 1. level 2."]


class Engine:
    """The real scheduler around the toys."""

    def __init__(self, rows: int = 4, **options):
        self.recogniser = ToyRecogniser(**options)
        self.words, self.loudness = ToyWords(), ToyLoudness()
        self.opened = []
        stages = {"words": self._open(self.words), "loudness": self._open(self.loudness)}
        self.scheduler = Scheduler(self.recogniser, rows, stages, ReadingThread(judge=lenient))

    def _open(self, stage):
        def opened(helper):
            self.opened.append(helper)
            return stage

        return opened

    def events(
        self, jobs: dict[int, TranscriptionJob], cancelled: int = 0, steps: int = 0, together: bool = False
    ) -> dict[int, list]:
        """`together`: every job's first clip is there before any of them is begun."""
        found: dict[int, list] = {number: [] for number in jobs}
        for number, job in jobs.items():
            self.scheduler.admit(number, again(job))
        if together:
            assert not self.scheduler.step()
            wait([task.reader.pending for task in self.scheduler._tasks.values()])
        deadline, done = time.monotonic() + 30, 0
        while not self.scheduler.idle:
            assert time.monotonic() < deadline
            if cancelled and done == steps:
                self.scheduler.cancel(cancelled)
            for number, event in self.scheduler.step():
                found[number].append(event)
            done += 1
        return found


def text_of(events) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


def segments(events) -> list[Segment]:
    return [event for event in events if isinstance(event, Segment)]


@pytest.mark.parametrize("holds_back", [False, True])
def test_another_recogniser_is_heard_clip_by_clip(files, holds_back):
    engine = Engine(holds_back=holds_back)
    (events,) = engine.events({1: TranscriptionJob(opened(files[0]), context="abc")}).values()
    assert events[0] == Started()
    assert text_of(events) == TEXTS[0]
    first, second = segments(events)
    assert (first.text, second.text) == ("level 1.", "level 3.")
    assert bytes(first.tokens) == b"level 1."
    assert first.avg_logprob == LOGPROB
    done = events[-1]
    assert (done.text, done.language) == (TEXTS[0], "English")
    assert done.prompt_tokens == 2 * len("abc")
    assert done.completion_tokens == 2 * len("English:level 1.") + 2
    assert not engine.recogniser.live


def test_a_given_language_goes_through(files):
    (events,) = Engine().events({1: TranscriptionJob(opened(files[1]), language="Greek")}).values()
    assert (text_of(events), events[-1].language) == (TEXTS[1], "Greek")


@pytest.mark.parametrize("rows", [1, 2, 8])
def test_jobs_are_answered_side_by_side(files, rows):
    jobs = {i: TranscriptionJob(opened(path)) for i, path in enumerate([*files, *files])}
    found = Engine(rows).events(jobs)
    assert [text_of(events) for events in found.values()] == [*TEXTS, *TEXTS]


@pytest.mark.parametrize("steps", [0, 1, 2, 5, 9, 14])
def test_a_cancelled_job_gives_its_rows_back(files, steps):
    engine = Engine(rows=2)
    helpers = {"words": TOY}
    jobs = {1: TranscriptionJob(opened(files[0])), 2: TranscriptionJob(opened(files[2]), helpers=helpers)}
    found = engine.events(jobs, cancelled=2, steps=steps)
    assert text_of(found[1]) == TEXTS[0]
    assert not any(isinstance(event, TranscriptionDone) for event in found[2])
    assert not engine.recogniser.live


def test_logprobs_have_the_recogniser_s_bytes(files):
    (events,) = Engine().events({1: TranscriptionJob(opened(files[1]), logprobs=True)}).values()
    logprobs = [entry for event in events if isinstance(event, Delta) for entry in event.logprobs]
    assert b"".join(bytes(entry.token_bytes) for entry in logprobs) == TEXTS[1].encode()
    assert {entry.logprob for entry in logprobs} == {LOGPROB}


def test_a_recogniser_s_refusal_is_the_job_s(files):
    engine = Engine()
    with pytest.raises(JobRefused, match="no Thai"):
        engine.scheduler.admit(1, TranscriptionJob(opened(files[0]), language="Thai"))
    assert engine.scheduler.idle


@pytest.mark.parametrize("holds_back", [False, True])
def test_an_answer_past_the_recogniser_s_limit_is_cut_off(files, holds_back):
    engine = Engine(limit=lambda seconds: len("English:lev"), holds_back=holds_back)
    (events,) = engine.events({1: TranscriptionJob(opened(files[1]))}).values()
    assert text_of(events) == "lev"


# Stages


def test_a_stage_that_needs_the_text_runs_when_it_is_whole(files):
    engine = Engine()
    jobs = {i: TranscriptionJob(opened(path), helpers={"words": TOY}) for i, path in enumerate(files)}
    found = engine.events(jobs, together=True)
    assert engine.opened == [TOY] * 3
    for i, text in enumerate(TEXTS):
        words = [word for segment in segments(found[i]) for word in segment.words]
        assert [word.text for word in words] == text.split()
        assert all(a.end <= b.start + 1e-6 for a, b in itertools.pairwise(words))
    assert sum(engine.words.batches) == 6


def test_a_stage_gets_the_parts_of_several_jobs_together(files):
    engine = Engine()
    for number in (1, 2):
        engine.scheduler.admit(number, TranscriptionJob(opened(files[1]), helpers={"words": TOY}))
    engine.scheduler.step()
    for task in engine.scheduler._tasks.values():
        task.reader.pending.result()  # both clips are there, so both rows begin and end together
    while not engine.scheduler.idle:
        engine.scheduler.step()
    assert engine.words.batches == [2]


def test_a_cancelled_job_s_parts_leave_the_stages(files):
    engine = Engine()
    engine.scheduler.admit(1, TranscriptionJob(opened(files[0]), helpers={"words": TOY}))
    while not engine.scheduler._staged:
        engine.scheduler.step()
    engine.scheduler.cancel(1)
    assert engine.scheduler.step() == []
    assert engine.words.batches == []


def test_a_stage_that_needs_no_text_runs_as_soon_as_a_clip_is_there(files):
    engine = Engine()
    engine.scheduler.admit(1, TranscriptionJob(opened(files[2]), helpers={"loudness": TOY, "words": TOY}))
    events = []
    while not engine.loudness.loudest:
        events += engine.scheduler.step()
    assert not any(isinstance(event, Delta) for _, event in events)
    while not engine.scheduler.idle:
        events += engine.scheduler.step()
    assert len(engine.loudness.loudest) == 3
    assert sum(engine.words.batches) == 3


def test_jobs_without_a_helper_pass_the_stages_by(files):
    engine = Engine()
    helpers = {"words": TOY}
    found = engine.events(
        {1: TranscriptionJob(opened(files[0])), 2: TranscriptionJob(opened(files[1]), helpers=helpers)}
    )
    assert not any(segment.words for segment in segments(found[1]))
    assert engine.words.batches == [1]


def test_a_stage_s_refusal_comes_before_the_file_is_read():
    engine = Engine()
    job = TranscriptionJob(-1, language="Greek", helpers={"words": TOY})
    with pytest.raises(JobRefused, match="no times for Greek"):
        engine.scheduler.admit(1, job)
    assert engine.scheduler.idle


def test_a_helper_without_a_stage_is_refused(files):
    with pytest.raises(JobRefused, match="no stage that is called 'dreams'"):
        Engine().scheduler.admit(1, TranscriptionJob(opened(files[0]), helpers={"dreams": TOY}))


def test_what_a_stage_could_not_do_is_a_refusal_if_it_comes_first(files):
    engine = Engine()

    def refuse(parts):
        for part in parts:
            part.refusal = JobRefused("no words")

    engine.words.run = refuse
    (events,) = engine.events({1: TranscriptionJob(opened(files[0]), helpers={"words": TOY})}).values()
    assert events[-1] == Refused("no words", None, "invalid_request")
    assert not engine.recogniser.live


# Imports and names


def test_no_engine_names_a_model():
    engines = Path(ominix.__file__).parent / "engines"
    packages = {path.parent.name for path in (engines.parent / "models").glob("*/__init__.py")}
    packages.remove("voice_activity")  # which has the name of what it does
    assert "qwen3_asr" in packages
    names = re.compile(
        "|".join({name.split("_")[0].rstrip("0123456789") for name in packages}), re.IGNORECASE
    )
    for file in engines.rglob("*.py"):
        assert not names.findall(file.read_text()), file.name


@pytest.mark.parametrize("rows", [1, 2])
def test_beside_a_flood_of_one_client_another_waits_for_a_turn(files, rows):
    engine = Engine(rows)
    for number in range(1, 9):
        job = TranscriptionJob(opened(files[1]), caller=Caller(client="b" if number == 8 else "flood"))
        engine.scheduler.admit(number, job)
    ended, deadline = [], time.monotonic() + 30
    tasks = engine.scheduler._tasks.values()
    while not all(task.waiting for task in tasks):  # until each has a clip to begin
        assert time.monotonic() < deadline
        engine.scheduler._receive_clips()
    while not engine.scheduler.idle:
        assert time.monotonic() < deadline
        ended += [n for n, event in engine.scheduler.step() if isinstance(event, TranscriptionDone)]

    assert len(ended) == 8
    assert ended.index(8) <= 1
