"""Sound is where the container's clock puts it, in every container that has one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sounds import SECONDS, blocks_of, chirp, encoded, likeness

from ominix.audio.piece import Gap

CASES = Path(__file__).parents[1] / "data" / "cases"
CLOCKS = [
    ("matroska", "aac"),
    ("matroska", "libopus"),
    ("matroska", "pcm_s16le"),
    ("mp4", "aac"),
    ("mp4", "libopus"),
    ("mov", "alac"),
    ("mpegts", "aac"),
    ("mpegts", "mp2"),
    ("mpeg", "mp2"),
    ("flv", "aac"),
]


@pytest.fixture
def place(tmp_path):
    """The samples of a file, gaps as zeros, and the gaps as (from, to)."""

    def placed(data):
        path = tmp_path / "upload"
        path.write_bytes(data)
        return laid_out(path)

    return placed


def laid_out(path):
    parts, gaps, length = [], [], 0.0
    for block in blocks_of(path):
        samples = np.zeros(round(block.seconds * 16_000), np.float32) if isinstance(block, Gap) else block
        if isinstance(block, Gap):
            gaps.append((length, length + block.seconds))
        length += len(samples) / 16_000
        parts.append(samples)
    return np.concatenate(parts), gaps


@pytest.mark.parametrize(("container", "codec"), [c for c in CLOCKS if c[0] != "flv"])
def test_sound_that_begins_after_the_picture(place, container, codec):
    samples, gaps = place(encoded(container, codec, [chirp(48_000)], video=True, start_seconds=1.9))
    assert len(samples) / 16_000 == pytest.approx(1.9 + SECONDS, abs=0.1)
    assert gaps[0] == pytest.approx((0, 1.9), abs=0.06)
    score, shift = likeness(samples[round(1.9 * 16_000) :])
    assert score > 0.99
    assert abs(shift) < 0.06


@pytest.mark.parametrize(("container", "codec"), CLOCKS)
def test_a_recorder_that_was_paused(place, container, codec):
    """What was recorded later is heard at its own time."""
    samples, gaps = place(encoded(container, codec, [chirp(48_000)], pause=(1.0, 5.0)))
    assert len(samples) / 16_000 == pytest.approx(5 + SECONDS, abs=0.1)
    assert gaps == [pytest.approx((1.0, 6.0), abs=0.06)]
    before, after = (round(seconds * 16_000) for seconds in gaps[0])
    assert likeness(np.concatenate([samples[:before], samples[after:]]))[0] > 0.98


@pytest.mark.parametrize(("container", "codec"), [c for c in CLOCKS if c[0] in ("mpegts", "flv", "matroska")])
def test_a_piece_of_a_longer_recording_begins_at_0(place, container, codec):
    samples, gaps = place(encoded(container, codec, [chirp(48_000)], start_seconds=5.0))
    assert len(samples) / 16_000 == pytest.approx(SECONDS, abs=0.1)
    assert gaps == []


def test_an_edit_list_that_begins_empty_is_silence(place):
    """MP4's clock begins at 0, also where nothing else is in the file."""
    samples, gaps = place(encoded("ipod", "aac", [chirp(48_000)], start_seconds=5.0))
    assert len(samples) / 16_000 == pytest.approx(5 + SECONDS, abs=0.05)
    assert gaps == [pytest.approx((0, 5), abs=0.05)]


def test_a_clock_of_33_bits_that_starts_again(place):
    wrap_seconds = 2**33 / 90_000
    options = {"output_ts_offset": str(wrap_seconds - 2)}
    samples, gaps = place(encoded("mpegts", "aac", [chirp(48_000)], options=options, start_seconds=0.0))
    assert len(samples) / 16_000 == pytest.approx(SECONDS, abs=0.1)
    assert gaps == []


def test_a_picture_that_begins_and_ends_later(place):
    """As long as a player shows it: the picture is 3 s."""
    samples, gaps = place(encoded("matroska", "aac", [chirp(48_000, 1)], video=True))
    assert len(samples) / 16_000 == pytest.approx(SECONDS, abs=0.1)
    assert gaps == [pytest.approx((1, SECONDS), abs=0.1)]


def test_stamps_that_jump_by_days_and_back(place, tmp_path):
    data = encoded("matroska", "aac", [chirp(48_000)], pause=(1.0, 1e6))
    samples, gaps = place(data)
    assert len(samples) / 16_000 == pytest.approx(SECONDS, abs=0.1)
    assert gaps == []


def test_five_hours_of_nothing_are_a_number(tmp_path):
    path = tmp_path / "upload"
    path.write_bytes(encoded("matroska", "aac", [chirp(48_000)], pause=(1.0, 5 * 3600.0)))
    blocks = list(blocks_of(path, max_seconds=6 * 3600.0))
    assert [type(block) for block in blocks] == [np.ndarray, Gap, np.ndarray]
    assert sum(b.seconds for b in blocks if isinstance(b, Gap)) == pytest.approx(5 * 3600, abs=0.1)


def test_links_of_an_ogg_file_follow_each_other(place):
    """Each has a clock of its own; one of headers alone is no recording."""
    one = encoded("ogg", "libopus", [chirp(48_000)])
    late = encoded("ogg", "libopus", [chirp(48_000)], start_seconds=100.0)
    pages = [at for at in range(len(one)) if one.startswith(b"OggS", at)]
    for data in (one + late, one + late + one[: pages[2]], one + one[: pages[2]] + late):
        samples, gaps = place(data)
        assert len(samples) / 16_000 == pytest.approx(2 * SECONDS, abs=0.05)
        assert gaps == []


@pytest.mark.parametrize(
    ("container", "codec"),
    [("ogg", "libopus"), ("webm", "libopus"), ("mp3", "libmp3lame"), ("ipod", "aac")],
)
def test_what_encoders_add_at_both_ends_is_left_out(place, container, codec):
    samples, gaps = place(encoded(container, codec, [chirp(48_000)]))
    assert len(samples) / 16_000 == pytest.approx(SECONDS, abs=0.01)
    assert gaps == []
    assert abs(likeness(samples)[1]) < 0.005


LATE, PAUSED = ("late-sound.mkv", 12.0, [(0, 4.84)]), ("paused.webm", 11.82, [(3.0, 8.0)])


@pytest.mark.parametrize(("name", "seconds", "silent"), [LATE, PAUSED, ("header-at-end.opus", 6.8, [])])
def test_cases(name, seconds, silent):
    samples, gaps = laid_out(CASES / name)
    assert len(samples) / 16_000 == pytest.approx(seconds, abs=0.05)
    assert gaps[:1] == [pytest.approx(span, abs=0.05) for span in silent]
