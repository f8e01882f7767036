"""Segments out of timestamps."""

from __future__ import annotations

from ominix.models.whisper.segments import Cut, Segment, cut
from ominix.models.whisper.tokenizer import SpecialTokens

TOKENS = SpecialTokens(51865)


def at(seconds: float) -> int:
    return TOKENS.first_timestamp + round(seconds * 50)


def test_pairs_cut_and_the_unfinished_rest_is_left_to_the_next_window():
    found = cut([at(0), 1, 2, at(2.1), at(2.1), 3, at(4), at(4.5), 4, 5], TOKENS, 30.0)
    assert found == Cut(
        (Segment(0.0, 2.1, (at(0), 1, 2, at(2.1))), Segment(2.1, 4.0, (at(2.1), 3, at(4)), 4)), 4.0
    )


def test_text_and_one_timestamp_at_the_end_mean_that_all_was_said():
    found = cut([at(0), 1, at(2), at(3), 2, at(5)], TOKENS, 8.0)
    assert found == Cut((Segment(0.0, 2.0, (at(0), 1, at(2))), Segment(3.0, 5.0, (at(3), 2, at(5)), 3)), 8.0)


def test_a_window_without_pairs_is_one_segment():
    assert cut([at(0), 1, 2, at(6)], TOKENS, 8.0) == Cut((Segment(0.0, 6.0, (at(0), 1, 2, at(6))),), 8.0)
    assert cut([at(0), 1, 2], TOKENS, 8.0) == Cut((Segment(0.0, 8.0, (at(0), 1, 2)),), 8.0)
    assert cut([1, 2], TOKENS, 8.0) == Cut((Segment(0.0, 8.0, (1, 2)),), 8.0)


def test_nothing_said_gives_no_segments():
    assert cut([], TOKENS, 8.0) == Cut((), 8.0)
    assert cut([at(0)], TOKENS, 8.0) == Cut((), 8.0)


def test_segments_without_text_or_length_are_left_out():
    found = cut([at(0), at(0), 1, at(2), at(2), 2, at(2), at(2)], TOKENS, 8.0)
    assert found.segments == (Segment(0.0, 2.0, (at(0), 1, at(2)), 1),)
