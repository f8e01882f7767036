"""What of a window counts, and what the next window of a sequence gets to know of it."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from ominix.models.whisper.tokenizer import SpecialTokens, Vocabulary
from ominix.models.whisper.verdicts import Verdicts
from ominix.models.whisper.window import Attempt, Previous, WhisperPrompt, Window
from ominix.wire.jobs import SearchOptions

TOKENS = SpecialTokens(51865)
END = TOKENS.end


@pytest.fixture(scope="module")
def verdicts() -> Verdicts:
    return Verdicts(Vocabulary(multilingual=True), TOKENS)


def at(seconds: float) -> int:
    return TOKENS.first_timestamp + round(seconds * 50)


def window(previous: Previous | None) -> Window:
    prompt = WhisperPrompt((), (), "German", 0.0, "de", False, np.zeros(99), SearchOptions(), False, previous)
    return Window(1, np.zeros((800, 80), np.float32), prompt, (), deque())


def judged(verdicts, previous, tokens, logprob=-0.5, no_speech=0.1, temperature=0.0):
    attempt = Attempt(temperature, list(tokens), [logprob] * len(tokens), no_speech)
    attempt.quality = verdicts.quality(attempt)
    one = window(previous)
    one.attempts.append(attempt)
    return verdicts.draws(one, attempt)


def previous(keeps=True, given=()):
    return Previous(TOKENS.start_of_prev, given, 5, keeps=keeps)


HELLO, WORLD = 2425, 1002


def test_of_a_sequence_the_finished_segments_count(verdicts):
    before = previous()
    draws = judged(
        verdicts, before, [at(0), HELLO, at(2), at(2), WORLD, at(3), at(3), HELLO, END], temperature=0.4
    )
    assert [draw.token for draw in draws] == [at(0), HELLO, at(2), at(2), WORLD, at(3), END]
    (verdict,) = {draw.verdict for draw in draws}
    assert verdict.heard_seconds == 3.0 and verdict.temperature == 0.4 and verdict.avg_logprob == -0.5
    assert [(s.start, s.end, s.tokens, s.text_tokens) for s in verdict.spans] == [
        (0.0, 2.0, (at(0), HELLO, at(2)), 1),
        (2.0, 3.0, (at(2), WORLD, at(3)), 1),
    ]
    assert before.prompt == [TOKENS.start_of_prev, HELLO, at(2), at(2), WORLD, at(3)]


def test_a_segment_of_spaces_is_left_out(verdicts):
    draws = judged(verdicts, previous(), [at(0), 220, at(2), at(2), WORLD, at(3), END])
    assert [draw.token for draw in draws] == [at(2), WORLD, at(3), END]
    assert draws[0].verdict.heard_seconds == 8.0


def test_a_silent_window_is_passed_and_leaves_the_prompt_alone(verdicts):
    before = previous(keeps=False, given=[HELLO])
    (draw,) = judged(verdicts, before, [at(0), WORLD, END], logprob=-3.0, no_speech=0.9)
    assert draw.token == END and draw.verdict.heard_seconds == 8.0 and not draw.verdict.spans
    assert before.prompt == [TOKENS.start_of_prev, HELLO]


def test_clips_that_stand_alone_keep_all_and_say_nothing_of_the_next(verdicts):
    draws = judged(verdicts, None, [HELLO, WORLD], temperature=0.2)
    assert [draw.token for draw in draws] == [HELLO, WORLD, END]
    assert draws[0].verdict.temperature == 0.2 and draws[0].verdict.heard_seconds is None


def test_the_given_text_is_the_first_window_s_unless_each_sees_what_came_before():
    for keeps, after in ((False, []), (True, [TOKENS.start_of_prev, 1, 2, 3])):
        before = previous(keeps, [1])
        before.add([2, 3], 0.0)
        assert before.prompt == after


def test_the_end_of_earlier_text_counts_and_warm_text_ends_it():
    before = previous()
    before.add([1, 2, 3, 4], 0.5)
    before.add([5, 6], 0.0)
    assert before.prompt == [TOKENS.start_of_prev, 2, 3, 4, 5, 6]
    before.add([7], 0.6)
    assert before.prompt == []
