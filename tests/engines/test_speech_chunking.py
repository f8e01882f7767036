"""Cutting, joining and stopping: what the speech engine does without a model."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ominix.engines.speech import chunking, joining
from ominix.engines.speech.repetition import RepetitionFilter

RATE = chunking.SAMPLE_RATE_HZ


def noise(seconds: float, level: float = 0.1) -> np.ndarray:
    return (level * np.random.RandomState(0).randn(round(seconds * RATE))).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


def in_blocks(samples: np.ndarray, size: int = 80_000):
    return (samples[i : i + size] for i in range(0, len(samples), size))


def found(samples: np.ndarray) -> list[chunking.Clip]:
    return list(chunking.clips(in_blocks(samples)))


# Cuts


def test_a_short_recording_is_one_clip():
    (clip,) = found(noise(29.9))
    assert (clip.start, clip.end) == (0, 29.9)


def test_nothing_is_no_clip():
    assert found(silence(0)) == []


@pytest.mark.parametrize("block", [999, 80_000, 2_000_000])
def test_clips_tile_the_recording_whatever_the_blocks(block):
    samples = noise(100)
    clips = list(chunking.clips(in_blocks(samples, block)))
    assert np.array_equal(np.concatenate([clip.samples for clip in clips]), samples)
    assert all(a.end == b.start for a, b in itertools.pairwise(clips))
    assert max(clip.end - clip.start for clip in clips) <= chunking.MAX_SECONDS


def test_the_cut_is_in_a_pause_late_rather_than_early():
    parts = [noise(12), silence(0.5), noise(12), silence(0.5), noise(4), noise(10)]
    first = found(np.concatenate(parts))[0]
    assert 24.5 < first.end < 25.0


def test_a_quiet_moment_is_better_than_none():
    samples = noise(40)
    samples[20 * RATE : round(20.4 * RATE)] *= 0.03
    assert 20.0 < found(samples)[0].end < 20.4


def test_a_pause_at_the_very_beginning_is_no_place_to_cut():
    assert found(np.concatenate([noise(1), silence(1), noise(40)]))[0].end > 25


def test_endless_noise_is_cut_near_the_bound():
    assert found(noise(65))[0].end > 28


def test_cutting_reads_no_further_than_it_must():
    read = []
    blocks = (read.append(i) or noise(5) for i in range(100))
    next(chunking.clips(blocks))
    assert len(read) == 7  # 35 s


def test_silence_offset_and_dither_are_no_sound():
    dither = np.random.RandomState(0).randint(-1, 2, RATE).astype(np.float32) / 32768
    for samples in (silence(1), silence(1) + 0.3, dither):
        assert found(samples)[0].sound is None


def test_quiet_speech_is_sound_and_its_borders_are_found():
    samples = np.concatenate([silence(1), noise(1, 0.001), silence(1.5)])
    assert found(samples)[0].sound == pytest.approx((1, 2), abs=0.011)


def test_borders_count_from_the_recording_s_start():
    clips = found(np.concatenate([noise(27), silence(1), noise(10), silence(2)]))
    assert clips[0].sound == pytest.approx((0, 27), abs=0.011)
    assert clips[1].sound == pytest.approx((28, 38), abs=0.011)


# Joints


@pytest.mark.parametrize(
    ("before", "after", "joint"),
    [
        ("Hello.", "World", " "),
        ("Hello", ", world", ""),
        ("你好。", "世界", ""),
        ("こんにちは", "カタカナ", ""),
        ("สวัสดี", "ครับ", ""),
        ("안녕하세요", "세계", " "),
        ("three", "零", " "),
        ("", "World", ""),
        ("Hello ", "World", ""),
        ("нет", "да", " "),
    ],
)
def test_spaces_only_where_the_script_has_them(before, after, joint):
    assert joining.between(before, after) == joint


# RepetitionFilter


def through(text: str, size: int = 3) -> tuple[str, bool]:
    loops = RepetitionFilter()
    shown = "".join(loops.feed(text[i : i + size]) for i in range(0, len(text), size))
    return shown + loops.end(), loops.found


@pytest.mark.parametrize(
    "text",
    [
        "The cat sat on the mat, and that was that.",
        "no no no no no no, he said",
        "1000000000000000 is a number",
        "ha" * 19 + " very funny",
        "。" * 3 + "好好好",
        "",
    ],
)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_what_is_no_loop_passes_unchanged(text, size):
    assert through(text, size) == (text, False)


@pytest.mark.parametrize(
    ("pattern", "copies"),
    [("a", 200), ("ha ", 100), ("好的。", 50), ("one two three four five six seven. ", 12)],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_loop_is_found_and_at_most_three_copies_are_left(pattern, copies, size):
    text, looped = through("It begins. " + pattern * copies, size)
    assert looped
    assert text.startswith("It begins. " + pattern * 2)
    assert ("It begins. " + pattern * 3).startswith(text)


def test_text_is_shown_at_once_unless_it_repeats():
    loops = RepetitionFilter()
    assert [loops.feed(word) for word in ("one ", "two ", "three ")] == ["one ", "two ", "three "]
    shown = [loops.feed("four ") for _ in range(6)]
    assert shown[:2] == ["four ", "four "]
    assert shown[4:] == ["", ""]
    assert "".join(shown) + loops.feed("five") == "four " * 6 + "five"
