"""What stamps mean: gaps where sound is missing, and nothing lost or moved back where they are wrong."""

from __future__ import annotations

import numpy as np
import pytest

from ominix.audio.piece import Gap, Piece
from ominix.audio.timeline import Timeline

RATE_HZ = 1_000
FRAME_SECONDS = 0.02
HOUR = 3600.0


def frame(stamp, seconds=FRAME_SECONDS):
    return Piece(np.zeros((round(seconds * RATE_HZ), 1), np.float32), RATE_HZ, start=stamp)


def run(begin, end, at=None):
    """Frames from `begin` to `end` by their own clock; stamped from `at` on, if that differs."""
    count = round((end - begin) / FRAME_SECONDS)
    first = begin if at is None else at
    return [frame(first + n * FRAME_SECONDS) for n in range(count)]


def laid(*runs, origin=0.0, pictures=()):
    """(gaps as (where, how long), length in seconds)."""
    timeline = Timeline(origin)
    for start, end in pictures:
        timeline.note_picture(start, end)
    gaps, position = [], 0.0
    for piece in timeline.laid([frame for run in runs for frame in run]):
        if isinstance(piece, Gap):
            gaps.append((pytest.approx(position, abs=0.001), pytest.approx(piece.seconds, abs=0.001)))
        position += piece.seconds
    return gaps, pytest.approx(position, abs=0.001)


def test_even_stamps_make_no_gap():
    assert laid(run(0, 10)) == ([], 10)


@pytest.mark.parametrize("origin", [7.0, None])
def test_the_clock_may_begin_anywhere(origin):
    assert laid(run(7, 17), origin=origin) == ([], 10)


def test_sound_begins_after_the_picture():
    assert laid(run(4.9, 6)) == ([(0, 4.9)], 6)
    assert laid(run(1.45, 1.95), origin=1.4) == ([(0, 0.05)], 0.55)


def test_the_picture_is_only_seen_in_its_packets():
    assert laid(run(5, 6), origin=5.0, pictures=[(3, 3.04)]) == ([(0, 2)], 3)


def test_a_pause_and_lost_packets():
    assert laid(run(0, 3), run(8, 9)) == ([(3, 5)], 9)
    assert laid(run(0, 3), run(3.3, 4)) == ([(3, 0.3)], 4)


def test_a_packet_every_now_and_then():
    assert laid([frame(n * 0.4) for n in range(4)]) == ([(0.02, 0.38), (0.42, 0.38), (0.82, 0.38)], 1.22)


def test_a_small_loss_becomes_a_gap_once_it_is_certain():
    assert laid(run(0, 3), run(3.1, 6)) == ([(4, 0.1)], 6)
    assert laid(run(0, 3), run(3.1, 3.5)) == ([(3.4, 0.1)], 3.5)


def test_jitter_makes_no_gap():
    late = [frame(n * FRAME_SECONDS + (0.2 if n % 10 == 5 else 0.0)) for n in range(500)]
    assert laid(late) == ([], 10)


def test_one_wrong_stamp_moves_nothing():
    for wrong in (1e9, 100.0, -50.0):
        assert laid(run(0, 3), [frame(wrong)], run(3.02, 5)) == ([], 5)


def test_a_clock_that_is_set_back_shifts_nothing():
    assert laid(run(0, 3), run(0, 2)) == ([], 5)
    assert laid(run(0, 3), run(0, 2), run(4, 5)) == ([(5, 2)], 8)  # gaps count from the new clock


def test_an_overlap_is_made_good_by_the_next_gap():
    """A clock that is slower than the samples: 10 s of stamps for 11 s of sound, then a pause to 15 s."""
    slow = [frame(n * FRAME_SECONDS / 1.1) for n in range(550)]
    assert laid(slow, run(15, 16)) == ([(11, 4)], 16)


def test_an_absurd_gap_is_a_reset():
    assert laid(run(0, 3), run(1e9, 1e9 + 2)) == ([], 5)
    assert laid(run(0, 3), run(3 + 5 * HOUR, 4 + 5 * HOUR)) == ([(3, 5 * HOUR)], 4 + 5 * HOUR)
    assert laid(run(1e9, 1e9 + 2)) == ([], 2)


def test_the_picture_goes_on_when_the_sound_has_ended():
    assert laid(run(0, 3), pictures=[(4.96, 5.0), (4.92, 4.96)]) == ([(3, 2)], 5)
    assert laid(run(0, 3), pictures=[(1, 2)]) == ([], 3)
    assert laid(run(0, 3), pictures=[(0, 1e12)]) == ([], 3)


def test_frames_without_stamps_follow_each_other():
    assert laid([frame(None)] * 3, run(0.06, 1), [frame(None)]) == ([], 1.02)
