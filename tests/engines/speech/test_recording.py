"""Events of one recording, with the answers written down here."""

from __future__ import annotations

import math

import numpy as np
import pytest
from toy_speech import END, ToyRecogniser

from ominix.engines.speech.clips import Clip
from ominix.engines.speech.recording import Part, Recording
from ominix.errors import JobRefused
from ominix.models.recogniser import Draw
from ominix.text import subtitles
from ominix.text.sentences import TimedWord
from ominix.wire.events import Delta, Progress, Segment, Started, TranscriptionDone
from ominix.wire.jobs import TranscriptionJob


def clip(start: float, end: float, *, silent: bool = False) -> Clip:
    return Clip(start, end, np.zeros(0, np.float32), None if silent else (start + 0.25, end - 0.25), start)


def say(part: Part, text: str, *, ends: bool = False, logprob: float = -0.5) -> None:
    """Let a part's answer grow by this text."""
    for token in [*text.encode(), *([END] if ends else [])]:
        if part.finished:
            break
        part.feed(Draw(1, token, logprob, -9.0))


def recording(limit=lambda seconds: 1000, **fields) -> Recording:
    return Recording(TranscriptionJob(-1, **fields), ToyRecogniser(limit=limit))


def test_one_clip_from_start_to_end():
    job = recording()
    part = job.add(clip(0, 4))
    part.prompt_tokens, part.audio_tokens = 15, 52
    assert job.next_events() == [Started()]
    say(part, "English")
    assert job.next_events() == []
    say(part, ":one")
    assert job.next_events() == [Delta("one")]
    say(part, " two", ends=True)
    job.end()
    delta, segment, progress, done = job.next_events()
    assert delta == Delta(" two")
    assert (segment.start, segment.end, segment.text, segment.id) == (0.25, 3.75, "one two", 0)
    assert segment.avg_logprob == -0.5
    assert segment.no_speech_prob == pytest.approx(math.exp(-9))
    assert progress == Progress(4, 4)
    assert (done.text, done.language, done.duration_seconds) == ("one two", "English", 4)
    assert (done.prompt_tokens, done.audio_tokens) == (15, 52)
    assert done.completion_tokens == part.drawn == len("English:one two") + 1


@pytest.mark.contract("audio.answer.long")
def test_clips_are_told_in_order_however_they_are_answered():
    job = recording()
    first, second = job.add(clip(0, 20)), job.add(clip(20, 30))
    say(second, "Chinese:你好", ends=True)
    assert job.next_events() == [Started()]
    say(first, "English:one two", ends=True)
    job.end()
    events = job.next_events()
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
    assert job.is_closed


def test_progress_knows_the_whole_only_when_it_is_heard():
    job = recording()
    say(job.add(clip(0, 20)), "English:one", ends=True)
    assert job.next_events()[-1] == Progress(20, None)


def test_silence_is_no_text_and_no_segment():
    job = recording()
    assert job.add(clip(0, 4, silent=True)).finished
    job.end()
    assert job.next_events() == [Started(), Progress(4, 4), TranscriptionDone("", None, 4)]


def test_nothing_heard_at_all_ends_well():
    job = recording()
    assert job.next_events() == []
    job.end()
    assert job.next_events() == [Started(), TranscriptionDone("", None, 0)]


@pytest.mark.contract("audio.answer.loops")
def test_an_answer_is_cut_off_at_its_limit_and_the_next_is_not():
    job = recording(limit=lambda seconds: int(seconds), language="English")
    first, second = job.add(clip(0, 5)), job.add(clip(5, 30))
    say(first, "one two" * 9)
    say(second, "one two" * 2, ends=True)
    assert (first.finished, first.drawn) == (True, 5)
    assert second.text == "one twoone two"


@pytest.mark.contract("audio.answer.loops")
def test_an_answer_that_loops_is_stopped():
    part = recording(language="English").add(clip(0, 30))
    say(part, "one two " * 100)
    assert part.finished
    assert part.text.strip() == "one two one two one two"
    assert part.drawn < 200


def test_an_answer_that_loops_and_comes_all_at_once_is_shortened():
    part = recording().add(clip(0, 30))
    say(part, "one two " * 100, ends=True)  # no language in front: the toy answers at its end
    assert part.finished
    assert part.text.strip() == "one two one two one two"


def test_an_answer_that_says_that_nobody_speaks_is_no_segment():
    job = recording()
    part = job.add(clip(0, 4))
    say(part, "None:one two three")
    job.end()
    assert job.next_events()[-1] == TranscriptionDone("", None, 4, completion_tokens=part.drawn)
    assert part.drawn == len("None:")


def test_logprobs_come_with_the_text_s_tokens_alone():
    job = recording(logprobs=True)
    part = job.add(clip(0, 4))
    say(part, "English:", logprob=-0.1)
    say(part, "one two", ends=True, logprob=-0.7)
    job.end()
    told = [entry for event in job.next_events() if isinstance(event, Delta) for entry in event.logprobs]
    assert b"".join(bytes(entry.token_bytes) for entry in told) == b"one two"
    assert {entry.logprob for entry in told} == {-0.7}
    assert len(told) == len("one two")


@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_subtitles_are_laid_out_here_and_no_segments_are_sent(form):
    job = recording(subtitles=form)
    say(job.add(clip(0, 20)), "English:one two", ends=True)
    say(job.add(clip(20, 30)), "English:three", ends=True)
    job.end()
    events = job.next_events()
    assert [type(event) for event in events[1:]] == [Delta, Progress, Delta, Progress, TranscriptionDone]
    as_text = {"srt": subtitles.as_srt, "vtt": subtitles.as_vtt}[form]
    segments = [Segment(0, 0.25, 19.75, "one two"), Segment(1, 20.25, 29.75, "three")]
    assert events[-1].subtitles == as_text(segments, 30)


# Words


def timed(part: Part, *words: tuple[str, float, float]) -> None:
    """What the aligner would find: each word where it stands in the text."""
    part.words, place = [], 0
    for word, start, end in words:
        first = part.text.index(word, place)
        place = first + len(word)
        part.words.append(TimedWord(word, first, place, start, end))
    part.open_stages = 0


def test_a_clip_is_closed_when_its_words_have_times():
    job = recording()
    part = job.add(clip(0, 6))
    job.end()
    say(part, "English:one two. Two three", ends=True)
    part.open_stages = 1
    assert [type(event) for event in job.next_events()] == [Started, Delta]
    timed(part, ("one", 0.5, 1.0), ("two", 1.0, 1.4), ("Two", 1.5, 2.0), ("three", 2.7, 3.1))
    segments = [event for event in job.next_events() if isinstance(event, Segment)]
    assert [(s.id, s.text, s.start, s.end) for s in segments] == [
        (0, "one two.", 0.5, 1.4),
        (1, "Two", 1.5, 2.0),
        (2, "three", 2.7, 3.1),
    ]
    assert [[word.text for word in s.words] for s in segments] == [["one", "two"], ["Two"], ["three"]]
    texts = [bytes(s.tokens).decode() for s in segments]
    assert "".join(texts) == "one two. Two three"
    assert all(segment.text in text for segment, text in zip(segments, texts, strict=True))
    assert {segment.avg_logprob for segment in segments} == {-0.5}


@pytest.mark.parametrize(("order", "refused"), [(["Thai", "English"], True), (["English", "Thai"], False)])
def test_the_first_language_heard_decides_whether_words_can_be_had(order, refused):
    job = recording()
    for i, language in enumerate(order):
        part = job.add(clip(10 * i, 10 * i + 10))
        say(part, f"{language}:one", ends=True)
        timed(part, ("one", 10 * i + 1.0, 10 * i + 2.0))
        part.refusal = JobRefused("no words") if language == "Thai" else None
    job.end()
    if refused:
        with pytest.raises(JobRefused, match="no words"):
            job.next_events()
    else:
        assert sum(isinstance(event, Segment) for event in job.next_events()) == 2


def test_words_are_as_likely_as_their_tokens():
    job = recording()
    part = job.add(clip(0, 4))
    job.end()
    say(part, "English:")
    say(part, "one ", logprob=-0.5)
    say(part, "two.", ends=True, logprob=-2.0)
    timed(part, ("one", 0.5, 1.0), ("two", 1.0, 1.5))
    (segment,) = (event for event in job.next_events() if isinstance(event, Segment))
    assert [word.probability for word in segment.words] == pytest.approx([math.exp(-0.5), math.exp(-2.0)])
