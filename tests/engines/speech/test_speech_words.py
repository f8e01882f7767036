"""Words through the speech engine, with random models: nonsense, but in order and complete."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
import time
import unicodedata
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cut import lenient
from files import again, opened

from ominix import locks
from ominix.cpu import door
from ominix.cpu.backend import Backend
from ominix.engines.speech.loading import prepare
from ominix.engines.speech.reader import ReadingThread
from ominix.engines.speech.scheduler import Scheduler
from ominix.engines.speech.stages.words import WordsLoader
from ominix.errors import JobRefused
from ominix.models.aligner import Utterance, load
from ominix.models.qwen3_asr import alignment, config, features, tokenizer, weights
from ominix.models.qwen3_asr.aligner import Qwen3Aligner
from ominix.models.qwen3_asr.prompt import Grammar
from ominix.models.qwen3_asr.recogniser import Qwen3Recogniser
from ominix.models.qwen3_asr.words import split
from ominix.wire.events import Segment, TranscriptionDone
from ominix.wire.jobs import Helper, TranscriptionJob

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parents[2] / "golden"
ALIGNER = GOLDEN / "qwen3_aligner"
CASES = json.loads((ALIGNER / "answers.json").read_text("utf-8"))
SECONDS = (0.3, 2.0, 9.5, 4.2)


@pytest.fixture(scope="module")
def model(cpu):
    model = weights.load(GOLDEN / "qwen3_asr")
    door.settle(model, cpu, fits_float32=lambda model: True)
    return model


@pytest.fixture
def engine(model):
    grammar = Grammar(tokenizer.load(GOLDEN / "qwen3_asr"))
    recogniser = Qwen3Recogniser(model, grammar, limit=lambda seconds: 150)
    return Scheduler(recogniser, 8, {"words": loader(features.KIND).open}, ReadingThread(judge=lenient))


def loader(features_kind: str) -> WordsLoader:
    return WordsLoader(partial(prepare, backend=Backend("cpu", "some")), features_kind)


@pytest.fixture(scope="module")
def sound():
    samples = np.load(GOLDEN / "qwen3_asr" / "answers.npz")["samples"]
    return np.concatenate([samples, samples[::-1]])  # 70 s


@pytest.fixture(scope="module")
def files(tmp_path_factory, sound) -> list[str]:
    folder = tmp_path_factory.mktemp("clips")
    paths = [str(folder / f"{i}.wav") for i in range(len(SECONDS))]
    for i, (path, seconds) in enumerate(zip(paths, SECONDS, strict=True)):
        soundfile.write(path, sound[i * 16_000 :][: round(seconds * 16_000)], 16_000)
    return paths


def helper(folder: Path) -> Helper:
    return Helper("qwen3_asr", str(folder))


def helpers(folder: Path) -> dict[str, Helper]:
    return {"words": helper(folder)}


def job(path: str, **fields) -> TranscriptionJob:
    """Warm, since the random model's likeliest answers are one token again and again."""
    given = {"language": "English", "temperature": 1.0, "helpers": helpers(ALIGNER), **fields}
    return TranscriptionJob(opened(path), **given)


def events_of(engine, jobs: dict[int, TranscriptionJob]) -> dict[int, list]:
    found: dict[int, list] = {number: [] for number in jobs}
    for number, wanted in jobs.items():
        engine.admit(number, again(wanted))
    deadline = time.monotonic() + 60
    while not engine.idle:
        assert time.monotonic() < deadline
        for number, event in engine.step():
            found[number].append(event)
    return found


def segments(events: list) -> list[Segment]:
    return [event for event in events if isinstance(event, Segment)]


def words(events: list) -> list:
    return [word for segment in segments(events) for word in segment.words]


def timed(events: list) -> list:
    """Without probabilities, whose last digits depend on what is computed beside them."""
    return [(word.text, word.start, word.end) for word in words(events)]


def letters(text: str) -> str:
    return "".join(c for c in text if c == "'" or unicodedata.category(c)[0] in "LN")


def check(events: list) -> None:
    """Inside the recording, in order, and none lost."""
    done, found = events[-1], words(events)
    assert isinstance(done, TranscriptionDone)
    assert letters("".join(word.text for word in found)) == letters(done.text)
    assert all(0 <= word.start <= word.end <= done.duration_seconds for word in found)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))
    told = segments(events)
    assert [segment.id for segment in told] == list(range(len(told)))
    assert "".join("".join(s.text.split()) for s in told) == "".join(done.text.split())
    for segment in told:
        if segment.words:
            assert (segment.start, segment.end) == (segment.words[0].start, segment.words[-1].end)


def test_words_have_times_and_none_is_lost(engine, files):
    (events,) = events_of(engine, {1: job(files[2])}).values()
    check(events)
    assert len(words(events)) > 3
    plain = events_of(engine, {1: job(files[2], helpers={})})[1]
    assert plain[-1] == events[-1]  # the text is the same
    assert not words(plain)
    assert sum((s.tokens for s in segments(events)), ()) == sum((s.tokens for s in segments(plain)), ())


def test_words_count_from_where_the_model_has_begun_to_hear(engine, sound, tmp_path):
    found = []
    for silence in (8_000, 328_000):
        path = str(tmp_path / "late.wav")
        parts = [np.zeros(silence, np.int16), sound[: 5 * 16_000], np.zeros(64_000, np.int16)]
        soundfile.write(path, np.concatenate(parts), 16_000)
        (events,) = events_of(engine, {1: job(path)}).values()
        check(events)
        found.append(words(events))
        assert found[-1][-1].end <= silence / 16_000 + 5.31  # the silence behind it was not heard
    soon, late = ([(word.text, word.start) for word in timed] for timed in found)
    assert [(text, pytest.approx(start + 20)) for text, start in soon] == late


@pytest.mark.slow
def test_words_do_not_depend_on_what_is_timed_beside_them(engine, files):
    jobs = {i: job(path) for i, path in enumerate(files)}
    alone = {i: events_of(engine, {i: wanted})[i] for i, wanted in jobs.items()}
    together = events_of(engine, {**jobs, 9: job(files[1], helpers={})})
    for i in jobs:
        check(alone[i])
        assert timed(together[i]) == timed(alone[i])
        assert [s.text for s in segments(together[i])] == [s.text for s in segments(alone[i])]
    assert not words(together[9])


@pytest.mark.slow
@pytest.mark.contract("audio.answer.long", "audio.answer.words")
def test_a_long_recording_s_words_go_on_where_the_clip_before_ended(engine, tmp_path, sound):
    path = str(tmp_path / "long.wav")
    soundfile.write(path, sound, 16_000)
    (events,) = events_of(engine, {1: job(path)}).values()
    check(events)
    assert words(events)[-1].start > 40


def test_silence_has_no_words(engine, tmp_path):
    path = str(tmp_path / "silence.wav")
    soundfile.write(path, np.zeros(50_000, np.int16), 16_000)
    (events,) = events_of(engine, {1: job(path)}).values()
    check(events)
    assert words(events) == []


def test_features_of_a_recogniser_that_are_of_another_kind_are_computed_by_the_aligner(model, engine, files):
    class Other(Qwen3Recogniser):
        """As a model whose features are no use to the aligner."""

        features_kind = "other"

    grammar = Grammar(tokenizer.load(GOLDEN / "qwen3_asr"))
    recogniser = Other(model, grammar, limit=lambda seconds: 150)
    other = Scheduler(
        recogniser, 8, {"words": loader(recogniser.features_kind).open}, ReadingThread(judge=lenient)
    )
    (expected,), (events,) = (events_of(e, {1: job(files[1])}).values() for e in (engine, other))
    assert timed(events) == timed(expected) != []


def test_a_language_that_the_aligner_does_not_know_is_refused_at_once(engine, files):
    with pytest.raises(JobRefused, match="Words of Thai cannot be given times") as caught:
        engine.admit(1, job(files[0], language="Thai"))
    assert (caught.value.param, caught.value.code) == ("timestamp_granularities", "unsupported_language")
    assert engine.idle


def test_what_is_no_aligner_is_refused_and_named_without_its_path(engine, files, tmp_path):
    broken = tmp_path / "broken-aligner"
    shutil.copytree(ALIGNER, broken)
    (broken / "model.safetensors").write_bytes(b"\x00" * 40)
    for folder in (broken, tmp_path / "gone"):
        with pytest.raises(JobRefused, match=f"The aligner {folder.name} cannot be loaded") as caught:
            engine.admit(1, job(files[0], helpers=helpers(folder)))
        assert str(tmp_path) not in caught.value.message
    check(events_of(engine, {1: job(files[0])})[1])


@pytest.mark.slow
def test_jobs_with_different_aligners_each_keep_their_own(engine, files, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(ALIGNER, other)
    settings = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**settings, "timestamp_segment_time": 8}))
    alone = events_of(engine, {1: job(files[2])})[1]
    both = events_of(engine, {1: job(files[2]), 2: job(files[2], helpers=helpers(other))})
    assert timed(both[1]) == timed(alone)
    assert words(both[2])[-1].end < words(alone)[-1].end


@pytest.mark.slow
@pytest.mark.parametrize("steps", (1, 3, 80, 152, 153, 154, 155))
def test_a_cancelled_job_leaves_nothing_to_be_timed(engine, files, steps):
    engine.admit(1, job(files[2]))
    for _ in range(steps):
        engine.step()
    engine.cancel(1)
    assert engine.idle
    assert not engine._staged
    assert engine.step() == []


# The language that is heard


@pytest.fixture(scope="module")
def aligner() -> Qwen3Aligner:
    return load("qwen3_asr", ALIGNER, partial(prepare, backend=Backend("cpu")))


@pytest.mark.slow
def test_texts_are_timed_as_the_reference_does(aligner):
    samples = np.load(GOLDEN / "qwen3_asr" / "answers.npz")["samples"].astype(np.float32) / 32768
    clips, expected = [], []
    for case in CASES:
        mel = features.log_mel(samples[: round(case["seconds"] * 16_000)])
        clips.append(Utterance(mel, case["text"], case["language"], 100.0, 200.0))
        expected.append([[100 + start / 1000 for start, _ in case["times"]], case["words"]])
    for found, (starts, read) in zip(aligner.align(clips), expected, strict=True):
        assert [word.start for word in found] == pytest.approx(starts)
        assert len(found) == len(read)


def test_texts_without_words_and_of_other_languages(aligner):
    mel = features.log_mel(np.random.RandomState(1).randn(16_000).astype(np.float32))
    empty, thai, none = aligner.align(
        [
            Utterance(mel, "...", "English", 0, 1),
            Utterance(mel, "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 ok", "Thai", 0, 1),
            Utterance(mel, "one", None, 0, 1),
        ]
    )
    assert empty == []
    assert [word.text for word in thai] == ["\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "ok"]
    assert [word.text for word in none] == ["one"]
    assert all(0 <= w.start <= w.end <= 1 for w in (*thai, *none))


def test_a_clip_that_is_shorter_than_its_last_class_bounds_the_times(aligner):
    mel = features.log_mel(np.random.RandomState(1).randn(16_000).astype(np.float32))
    (found,) = aligner.align([Utterance(mel, "one two three", "English", 10.0, 10.0101)])
    assert {word.end for word in found} == {10.0101}


def test_japanese_is_cut_at_ideographs_where_nagisa_is_missing(aligner, monkeypatch):
    monkeypatch.setitem(sys.modules, "nagisa", None)
    mel = features.log_mel(np.random.RandomState(1).randn(16_000).astype(np.float32))
    (found,) = aligner.align([Utterance(mel, "\u4eca\u65e5 ok", "Japanese", 0, 1)])
    assert [word.text for word in found] == ["\u4eca", "\u65e5", "ok"]


def test_a_word_whose_two_classes_are_one_lasts_a_class_at_most(aligner):
    places = split("one two three", "English")
    clip = Utterance(np.zeros((1, 1)), "one two three", "English", 10.0, 20.0)
    length = aligner._class_ms / 1000
    found = aligner._timed(clip, places, [3, 3, 9, 9, 9, 12])
    assert [round(word.end - word.start, 3) for word in found] == [length, 0, 3 * length]
    assert found[1].end == found[2].start


def test_the_folder_is_held_as_long_as_the_aligner_is_loaded(tmp_path):
    folder = tmp_path / "aligner"
    shutil.copytree(ALIGNER, folder)
    words_loader = loader(features.KIND)
    assert not locks.is_held(folder)
    words_loader.open(helper(folder))
    assert locks.is_held(folder)
    words_loader.open(helper(ALIGNER))
    assert not locks.is_held(folder)


def test_a_question_s_stamps_are_behind_each_word():
    settings = config.read_aligner(ALIGNER)
    vocabulary = tokenizer.load(ALIGNER)
    question = alignment.Questions(vocabulary, settings).ask(["one", "two"])
    whole = vocabulary.encode("<|audio_end|>one<timestamp><timestamp>two<timestamp><timestamp>")
    assert question.after == whole
    assert {question.after[i] for i in question.stamps} == {settings.timestamp_token_id}
    assert len(question.stamps) == 4
    assert question.places(13)[0] == 1 + 13 + question.stamps[0]


def test_a_recogniser_that_can_time_words_itself_is_not_loaded_again(aligner):
    words = WordsLoader(prepare, features.KIND, {"/nowhere/model": aligner})
    stage = words.open(Helper("qwen3_asr", "/nowhere/model"))
    assert stage is words.open(Helper("qwen3_asr", "/nowhere/model"))
    with pytest.raises(JobRefused):
        words.open(Helper("qwen3_asr", "/nowhere/other"))
