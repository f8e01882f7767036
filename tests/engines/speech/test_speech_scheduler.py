"""The speech engine on the tiny random checkpoint: what it says is nonsense, but always the same nonsense."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cut import lenient
from files import again, opened

from ominix.cpu import door
from ominix.engines import memory, speech
from ominix.engines.speech.reader import ReadingThread
from ominix.engines.speech.scheduler import Scheduler
from ominix.errors import JobRefused
from ominix.models.qwen3_asr import config, tokenizer, weights
from ominix.models.qwen3_asr.prompt import Grammar
from ominix.models.qwen3_asr.recogniser import MAX_PROMPT_TOKENS, Qwen3Recogniser
from ominix.wire.control import EngineSpec
from ominix.wire.events import Delta, Progress, Refused, Segment, Started, TranscriptionDone
from ominix.wire.jobs import ChatJob, SearchOptions, TranscriptionJob

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parents[2] / "golden" / "qwen3_asr"
TOKENS = 10  # for every clip: the random model knows no end
SECONDS = (0.3, 2.0, 9.5, 1.0, 4.2, 0.05, 3.0, 12.0)


@pytest.fixture(scope="module")
def model(cpu):
    model = weights.load(GOLDEN)
    door.settle(model, cpu, fits_float32=lambda model: True)
    return model


@pytest.fixture
def engine(model):
    grammar = Grammar(tokenizer.load(GOLDEN), config.read(GOLDEN).eos_token_ids)
    return Scheduler(
        Qwen3Recogniser(model, grammar, limit=lambda seconds: TOKENS), 8, {}, ReadingThread(judge=lenient)
    )


@pytest.fixture(scope="module")
def sound():
    samples = np.load(GOLDEN / "answers.npz")["samples"]
    return np.concatenate([samples, samples[::-1]])  # 70 s


@pytest.fixture(scope="module")
def files(tmp_path_factory, sound) -> list[str]:
    folder = tmp_path_factory.mktemp("clips")
    paths = [str(folder / f"{i}.wav") for i in range(len(SECONDS))]
    for i, (path, seconds) in enumerate(zip(paths, SECONDS, strict=True)):
        soundfile.write(path, sound[i * 16_000 :][: round(seconds * 16_000)], 16_000)
    return paths


@pytest.fixture
def wav(tmp_path):
    def write(samples: np.ndarray) -> str:
        path = str(tmp_path / "sound.wav")
        soundfile.write(path, samples, 16_000)
        return path

    return write


def events_of(engine, jobs: dict[int, TranscriptionJob], late: dict[int, TranscriptionJob] | None = None):
    """Events by job; `late` come aboard one by one, three steps apart."""
    found: dict[int, list] = {number: [] for number in (*jobs, *(late or {}))}
    waiting = list((late or {}).items())
    for number, job in jobs.items():
        engine.admit(number, again(job))
    deadline, steps = time.monotonic() + 60, 0
    while not engine.idle or waiting:
        assert time.monotonic() < deadline
        if waiting and steps % 3 == 2:
            number, job = waiting.pop()
            engine.admit(number, again(job))
        for number, event in engine.step():
            found[number].append(event)
        steps += 1
    return found


def text_of(events) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


def alike(a: list, b: list) -> bool:
    """The same text and segments, and the same numbers but for rounding."""
    pairs = list(
        zip([e for e in a if isinstance(e, Segment)], [e for e in b if isinstance(e, Segment)], strict=True)
    )
    for one, other in pairs:
        assert (one.text, one.tokens, one.start, one.end) == (
            other.text,
            other.tokens,
            other.start,
            other.end,
        )
        assert one.avg_logprob == pytest.approx(other.avg_logprob, abs=1e-3)
        assert one.no_speech_prob == pytest.approx(other.no_speech_prob, abs=1e-4)
    return text_of(a) == text_of(b) and a[-1] == b[-1]


def test_events_come_in_order_and_add_up(engine, files):
    (events,) = events_of(engine, {1: TranscriptionJob(opened(files[2]), logprobs=True)}).values()
    assert events[0] == Started()
    assert [type(e) for e in events[-3:]] == [Segment, Progress, TranscriptionDone]
    assert events[-1].text == text_of(events)
    assert events[-1].duration_seconds == 9.5
    assert events[-1].audio_tokens == 111
    assert events[-1].completion_tokens == 2 * TOKENS  # of two clips: there is a pause
    segment = events[-3]
    assert segment.avg_logprob < 0
    assert 0 <= segment.no_speech_prob < 1


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_answer_does_not_depend_on_its_neighbours(engine, files, temperature):
    options = [{}, {"language": "English"}, {"context": "one two three " * 5}, {"language": "Thai"}] * 2
    jobs = {
        i: TranscriptionJob(opened(path), temperature=temperature, **fields)
        for i, (path, fields) in enumerate(zip(files, options, strict=True))
    }
    alone = {i: events_of(engine, {i: job})[i] for i, job in jobs.items()}
    together = events_of(engine, jobs)
    first, late = dict(list(jobs.items())[:3]), dict(list(jobs.items())[3:])
    staggered = events_of(engine, first, late)
    for i in jobs:
        assert alike(alone[i], together[i])
        assert alike(alone[i], staggered[i])
    assert len({text_of(events) for events in alone.values()}) > 4  # they differ, so equality means something


def test_a_warm_answer_is_not_the_likeliest(engine, files):
    def answer(temperature):
        return text_of(events_of(engine, {1: TranscriptionJob(opened(files[2]), temperature=temperature)})[1])

    assert answer(1.0) != answer(0.0)


@pytest.mark.slow
@pytest.mark.contract("audio.answer.long")
def test_a_long_recording_is_cut_and_told_in_order(engine, wav, sound):
    path = wav(sound)
    (events,) = events_of(engine, {1: TranscriptionJob(opened(path), temperature=1.0)}).values()
    segments = [e for e in events if isinstance(e, Segment)]
    assert [(s.start, s.end) for s in segments[:3]] == [
        pytest.approx(pair) for pair in ((0, 6.12), (7.67, 14.96), (16.52, 24.37))
    ]
    assert [s.id for s in segments] == list(range(8))
    assert all(a.end <= b.start for a, b in itertools.pairwise(segments))
    done = [e.done_seconds for e in events if isinstance(e, Progress)]
    assert done == sorted(done)
    assert done[-1] == 70
    assert text_of(events) == events[-1].text
    pieces = events[-1].text
    for segment in segments:
        assert segment.text in pieces
        pieces = pieces.split(segment.text, 1)[1]


@pytest.mark.contract("audio.silence")
def test_silence_costs_no_model_call(engine, wav):
    (events,) = events_of(engine, {1: TranscriptionJob(opened(wav(np.zeros(50_000, np.int16))))}).values()
    assert [type(event) for event in events] == [Started, Progress, TranscriptionDone]
    assert events[-1] == TranscriptionDone("", None, 3.125)  # no tokens: the model was not asked


def test_what_is_no_audio_is_refused_and_others_go_on(engine, files, tmp_path):
    (tmp_path / "not.wav").write_bytes(b"hello")
    jobs = {1: TranscriptionJob(opened(tmp_path / "not.wav")), 2: TranscriptionJob(opened(files[1]))}
    jobs[3] = TranscriptionJob(opened(tmp_path))  # a folder: it opens, and cannot be read
    events = events_of(engine, jobs)
    assert isinstance(events[1][0], Refused)
    assert (events[1][0].code, events[1][0].param) == ("invalid_audio_format", "file")
    assert events[3] == [Refused("the file cannot be read: Is a directory", "file", "invalid_request")]
    assert isinstance(events[2][-1], TranscriptionDone)


def test_jobs_that_cannot_be_done_are_not_taken_aboard(engine, files):
    with pytest.raises(JobRefused, match="does not chat"):
        engine.admit(1, ChatJob(messages=()))
    assert engine.idle


def test_of_a_long_context_the_end_counts(engine, files):
    engine.admit(1, TranscriptionJob(opened(files[0]), context="word " * 3000))
    prompt = engine._tasks[1].prompt
    assert len(prompt.before) + len(prompt.after) <= MAX_PROMPT_TOKENS
    assert len(prompt.before) > MAX_PROMPT_TOKENS // 3
    engine.cancel(1)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [0, 1, 3, 6])
def test_a_cancelled_job_says_no_more_and_disturbs_nobody(engine, files, steps):
    job = TranscriptionJob(opened(files[2]))
    alone = events_of(engine, {1: job})[1]
    engine.admit(1, again(job))
    engine.admit(2, TranscriptionJob(opened(files[7])))
    events = [event for _ in range(steps) for number, event in engine.step() if number == 1]
    engine.cancel(2)
    engine.cancel(99)
    while not engine.idle:
        for number, event in engine.step():
            assert number == 1
            events.append(event)
    assert alike(alone, events)


@pytest.mark.parametrize("steps", [1, 2, 3, 6])
def test_cancelled_jobs_give_back_their_rows(engine, files, steps):
    engine.admit(1, TranscriptionJob(opened(files[7])))
    for _ in range(steps):
        engine.step()
    engine.cancel(1)
    assert engine.idle
    recogniser = engine._recogniser
    for waiting in (engine._rows, recogniser._rows, recogniser._clips, recogniser._prompts):
        assert len(waiting) == 0
    assert engine.step() == []


@pytest.mark.slow
def test_few_clips_of_a_long_recording_are_held(model, wav, sound):
    """Four may be answered, two wait and one be decoded: the rest is not read yet."""
    engine = Scheduler(
        Qwen3Recogniser(model, Grammar(tokenizer.load(GOLDEN))), 4, {}, ReadingThread(judge=lenient)
    )
    engine.admit(1, TranscriptionJob(opened(wav(np.tile(sound, 4)))))  # 280 s
    (task,) = engine._tasks.values()
    while len(task.rows) < 4:
        engine.step()
    for _ in range(8):
        time.sleep(0.1)
        engine.step()
    assert len(task.waiting) <= 3
    assert not task.reader.ended
    engine.cancel(1)


def test_a_row_s_memory_is_what_its_caches_take(engine, model):
    recogniser = engine._recogniser
    measured = memory.measure(model, kept_bytes=0)
    (keys_and_values,) = measured.sequence.growths
    assert measured.sequence.fixed_bytes == 0
    assert recogniser.row_bytes == keys_and_values.token_bytes * 1200


def test_loading_by_the_protocol(files):
    engine = speech.load(EngineSpec("speech", str(GOLDEN), slots=2, package="qwen3_asr"))
    assert engine.idle
    engine.admit(5, TranscriptionJob(opened(files[0])))
    events = []
    while not engine.idle:
        events += engine.step()
    assert {number for number, _ in events} == {5}
    assert isinstance(events[-1][1], TranscriptionDone)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"sequential": True}, "chunking_strategy"),
        ({"search": SearchOptions(beam_size=2)}, "beam_size"),
        ({"search": SearchOptions(best_of=2)}, "best_of"),
    ],
)
def test_ways_of_decoding_that_the_model_lacks_are_refused_by_name(engine, files, more, param):
    with pytest.raises(JobRefused) as refusal:
        engine.admit(1, TranscriptionJob(opened(files[0]), **more))
    assert refusal.value.param == param
    assert engine.idle
