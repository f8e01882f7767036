"""Events of one recording, with the model's tokens written down here."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from ominix.engines.speech.clips import Clip
from ominix.engines.speech.recording import Part, Transcription, token_limit
from ominix.engines.speech.stages.words import TimedWord
from ominix.errors import JobRefused
from ominix.models.qwen3_asr import tokenizer
from ominix.models.qwen3_asr.prompt import Grammar
from ominix.wire.events import Delta, Progress, Segment, Started, TranscriptionDone
from ominix.wire.jobs import TranscriptionJob

GOLDEN = Path(__file__).parents[2] / "golden" / "qwen3_asr"
END = "<|im_end|>"


@pytest.fixture(scope="module")
def vocabulary():
    return tokenizer.load(GOLDEN)


@pytest.fixture(scope="module")
def grammar(vocabulary):
    return Grammar(vocabulary)


def clip(start: float, end: float, *, silent: bool = False) -> Clip:
    return Clip(start, end, np.zeros(0, np.float32), None if silent else (start + 0.25, end - 0.25), start)


@pytest.fixture
def say(vocabulary):
    """Lets a part's answer grow by these tokens."""

    def speak(part: Part, text: str, logprob: float = -0.5, watched: float = -9.0) -> None:
        for token in vocabulary.encode(text):
            if part.finished:
                break
            part.draw(token, logprob, watched)

    return speak


def transcription(grammar, limit=token_limit, **fields) -> Transcription:
    return Transcription(TranscriptionJob("a.wav", **fields), grammar, limit)


def test_one_clip_from_start_to_end(grammar, say):
    job = transcription(grammar)
    part = job.add(clip(0, 4))
    part.prompt_tokens, part.audio_tokens = 15, 52
    assert job.events() == [Started()]
    say(part, "language English")
    assert job.events() == []
    say(part, "<asr_text>one")
    assert job.events() == [Delta("one")]
    say(part, " two" + END)
    job.end()
    delta, segment, progress, done = job.events()
    assert delta == Delta(" two")
    assert (segment.start, segment.end, segment.text, segment.id) == (0.25, 3.75, "one two", 0)
    assert segment.avg_logprob == -0.5
    assert segment.no_speech_prob == pytest.approx(math.exp(-9))
    assert progress == Progress(4, 4)
    drawn = len(part.answer.tokens) + part.answer.tokens.count(0) + 0
    assert (done.text, done.language, done.duration_seconds) == ("one two", "English", 4)
    assert (done.prompt_tokens, done.audio_tokens) == (15, 52)
    assert done.completion_tokens == part.drawn > drawn


@pytest.mark.contract("audio.answer.long")
def test_clips_are_told_in_order_however_they_are_answered(grammar, say):
    job = transcription(grammar)
    first, second = job.add(clip(0, 20)), job.add(clip(20, 30))
    say(second, "language Chinese<asr_text>你好" + END)
    assert job.events() == [Started()]
    say(first, "language English<asr_text>one two" + END)
    job.end()
    events = job.events()
    assert [type(event) for event in events] == [
        Delta,
        Segment,
        Progress,
        Delta,
        Segment,
        Progress,
        TranscriptionDone,
    ]
    assert "".join(e.text for e in events if isinstance(e, Delta)) == events[-1].text == "one two 你好"
    assert [e.text for e in events if isinstance(e, Segment)] == ["one two", "你好"]
    assert events[-1].language == "English"  # 20 seconds of it
    assert job.is_told


def test_progress_knows_the_whole_only_when_it_is_heard(grammar, say):
    job = transcription(grammar)
    say(job.add(clip(0, 20)), "language English<asr_text>one" + END)
    assert job.events()[-1] == Progress(20, None)


def test_silence_is_no_text_and_no_segment(grammar):
    job = transcription(grammar)
    assert job.add(clip(0, 4, silent=True)).finished
    job.end()
    assert job.events() == [Started(), Progress(4, 4), TranscriptionDone("", None, 4)]


def test_nothing_heard_at_all_ends_well(grammar):
    job = transcription(grammar)
    assert job.events() == []
    job.end()
    assert job.events() == [Started(), TranscriptionDone("", None, 0)]


def test_language_none_ends_the_answer_at_once(grammar, say):
    job = transcription(grammar)
    part = job.add(clip(0, 4))
    say(part, "language None<asr_text>one two three", watched=-0.01)
    assert part.finished
    assert part.no_speech_prob > 0.9
    job.end()
    assert job.events()[-1] == TranscriptionDone("", None, 4, completion_tokens=part.drawn)
    assert part.drawn < 10


def test_a_given_language_is_no_reason_to_invent_speech(grammar, say):
    """With the language forced, the model cannot say "language None": its probability decides."""
    job = transcription(grammar, language="English")
    part = job.add(clip(0, 4))
    say(part, "one two" + END, watched=math.log(0.6))
    assert (part.finished, part.text) == (True, "")
    part = job.add(clip(4, 8))
    say(part, "one two" + END, watched=math.log(0.4))
    assert (part.finished, part.text) == (True, "one two")
    job.end()
    assert job.events()[-1].language == "English"


@pytest.mark.contract("audio.answer.loops")
def test_an_answer_is_cut_off_at_its_limit_and_the_next_is_not(grammar, say):
    job = transcription(grammar, limit=lambda seconds: int(seconds), language="English")
    first, second = job.add(clip(0, 5)), job.add(clip(5, 30))
    say(first, "one two three" * 9)
    say(second, "one two three" * 2 + END)
    assert (first.finished, first.drawn) == (True, 5)
    assert second.text == "one two threeone two three"


@pytest.mark.contract("audio.answer.loops")
def test_the_limit_grows_with_the_clip():
    assert token_limit(0.1) >= 32
    assert token_limit(30) >= 15 * 30


@pytest.mark.contract("audio.answer.loops")
def test_an_answer_that_loops_is_stopped(grammar, say):
    part = transcription(grammar, language="English").add(clip(0, 30))
    say(part, "one two " * 100)
    assert part.finished
    assert part.text.strip() == "one two one two one two"
    assert part.drawn < 200


def test_an_answer_that_loops_before_it_has_named_a_language_is_shortened(grammar, say):
    part = transcription(grammar).add(clip(0, 30))
    say(part, "one two " * 100 + END)
    assert part.finished
    assert part.text.strip() == "one two one two one two"


def test_logprobs_come_with_the_text_s_tokens_alone(grammar, say, vocabulary):
    job = transcription(grammar, logprobs=True)
    part = job.add(clip(0, 4))
    say(part, "language English<asr_text>", logprob=-0.1)
    say(part, "one two" + END, logprob=-0.7)
    job.end()
    told = [entry for event in job.events() if isinstance(event, Delta) for entry in event.logprobs]
    assert b"".join(bytes(entry.token_bytes) for entry in told) == b"one two"
    assert {entry.logprob for entry in told} == {-0.7}
    assert len(told) == len(vocabulary.encode("one two"))


# Words


def timed(part: Part, *words: tuple[str, float, float]) -> None:
    """What the aligner would find: each word where it stands in the text."""
    part.words, place = [], 0
    for word, start, end in words:
        first = part.text.index(word, place)
        place = first + len(word)
        part.words.append(TimedWord(word, first, place, start, end))
    part.aligning = False


def test_a_clip_is_closed_when_its_words_have_times(grammar, say):
    job = transcription(grammar)
    part = job.add(clip(0, 6))
    job.end()
    say(part, "language English<asr_text>one two. Two three" + END)
    part.aligning = True
    assert [type(event) for event in job.events()] == [Started, Delta]
    timed(part, ("one", 0.5, 1.0), ("two", 1.0, 1.4), ("Two", 1.5, 2.0), ("three", 2.7, 3.1))
    segments = [event for event in job.events() if isinstance(event, Segment)]
    assert [(s.id, s.text, s.start, s.end) for s in segments] == [
        (0, "one two.", 0.5, 1.4),
        (1, "Two", 1.5, 2.0),
        (2, "three", 2.7, 3.1),
    ]
    assert [[word.text for word in s.words] for s in segments] == [["one", "two"], ["Two"], ["three"]]
    texts = ["".join(grammar.bytes_of(t).decode() for t in s.tokens) for s in segments]
    assert "".join(texts) == "one two. Two three"
    assert all(segment.text in text for segment, text in zip(segments, texts, strict=True))
    assert {segment.avg_logprob for segment in segments} == {-0.5}


@pytest.mark.parametrize(("order", "refused"), [(["Thai", "English"], True), (["English", "Thai"], False)])
def test_the_first_language_heard_decides_whether_words_can_be_had(grammar, say, order, refused):
    job = transcription(grammar)
    for i, language in enumerate(order):
        part = job.add(clip(10 * i, 10 * i + 10))
        say(part, f"language {language}<asr_text>one" + END)
        timed(part, ("one", 10 * i + 1.0, 10 * i + 2.0))
        part.refusal = JobRefused("no words") if language == "Thai" else None
    job.end()
    if refused:
        with pytest.raises(JobRefused, match="no words"):
            job.events()
    else:
        assert sum(isinstance(event, Segment) for event in job.events()) == 2
