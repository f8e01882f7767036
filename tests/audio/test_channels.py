"""One channel, or each by itself."""

from __future__ import annotations

import os

import numpy as np
import pytest
from sounds import PLENTY, chirp, written

from ominix.audio import channels, decode
from ominix.audio.piece import Piece
from ominix.errors import JobRefused

LEFT, RIGHT = chirp(16_000), chirp(16_000)[::-1].copy()
STEREO = np.stack([LEFT, RIGHT], 1)


def decoded(path, samples, channel, rate_hz=16_000, form="WAV"):
    path.write_bytes(written(samples, rate_hz, form, "FLOAT" if form == "WAV" else None))
    found = decode.blocks(os.open(path, os.O_RDONLY), max_seconds=3600, max_bytes=PLENTY, channel=channel)
    return np.concatenate(list(found))


@pytest.mark.parametrize(
    ("channel", "wanted"), [("left", LEFT), ("right", RIGHT), ("0", LEFT), ("1", RIGHT), ("01", RIGHT)]
)
def test_one_channel(tmp_path, channel, wanted):
    assert np.array_equal(decoded(tmp_path / "file", STEREO, channel), wanted)


def test_separate_channels_stand_side_by_side(tmp_path):
    assert np.array_equal(decoded(tmp_path / "file", STEREO, "separate"), STEREO)
    assert decoded(tmp_path / "file", LEFT, "separate").shape == (48_000, 1)


def test_separate_channels_are_resampled_as_one_would_be(tmp_path):
    both = np.stack([chirp(44_100), chirp(44_100)[::-1]], 1)
    found = decoded(tmp_path / "file", both, "separate", rate_hz=44_100)
    for column in (0, 1):
        alone = decoded(tmp_path / "file", both[:, column], None, rate_hz=44_100)
        assert np.abs(found[:, column] - alone).max() < 1e-5


@pytest.mark.parametrize(("channel", "count"), [("right", 1), ("left", 1), ("1", 1), ("2", 2), ("99", 6)])
def test_a_channel_that_is_not_there_says_how_many_there_are(channel, count):
    choice = channels.chosen(channel)
    with pytest.raises(JobRefused, match=f"has {count} channel") as caught:
        choice(Piece(np.zeros((9, count), np.float32), 16_000))
    assert (caught.value.param, caught.value.code) == ("channel", "invalid_channel")


def test_sides_go_by_role_where_the_file_tells_them():
    piece = Piece(np.float32([[1, 2, 3]]), 16_000, roles=("FC", "FL", "FR"))
    assert channels.chosen("left")(piece) == [2]
    assert channels.chosen("right")(piece) == [3]


def test_too_many_for_separate_transcription():
    with pytest.raises(JobRefused, match="up to 8"):
        channels.chosen("separate")(Piece(np.zeros((9, 16), np.float32), 16_000))


def test_joined_recordings_keep_the_first_one_s_channels():
    choice = channels.chosen("separate")
    assert choice(Piece(np.ones((4, 2), np.float32), 16_000)).shape == (4, 2)
    assert choice(Piece(np.ones((4, 1), np.float32), 8_000)).tolist() == [[1, 0]] * 4
    assert choice(Piece(np.ones((4, 3), np.float32), 8_000)).shape == (4, 2)
