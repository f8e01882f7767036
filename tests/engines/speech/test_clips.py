"""Where recordings are cut into clips, on synthetic speech."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from cut import clips_of, lenient

from ominix.engines.speech.clips import Clip, Cutter
from ominix.wire.jobs import Cutting

RATE = 16_000
MAX_SECONDS = 30  # of speech in a clip


def noise(seconds: float, level: float = 0.1) -> np.ndarray:
    return (level * np.random.RandomState(0).randn(round(seconds * RATE))).astype(np.float32)


def speech(seconds: float, level: float = 0.1) -> np.ndarray:
    """Noise that comes and goes eight times a second: to the ear of the gate, syllables."""
    t = np.arange(round(seconds * RATE)) / RATE
    return (noise(seconds, level) * np.maximum(0.02, np.sin(2 * np.pi * 4 * t) ** 2)).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


def in_blocks(samples: np.ndarray, size: int = 80_000):
    return (samples[i : i + size] for i in range(0, len(samples), size))


def found(samples: np.ndarray, **cutting) -> list[Clip]:
    return list(clips_of(in_blocks(samples), Cutting(**cutting), MAX_SECONDS))


def sounds(samples: np.ndarray, **cutting) -> list[tuple[float, float]]:
    return [clip.sound for clip in found(samples, **cutting) if clip.sound]


def recording(*parts: tuple[float, float]) -> np.ndarray:
    """(pause, speech) in seconds, again and again."""
    return np.concatenate([x for pause, length in parts for x in (silence(pause), speech(length))])


def near(times: list[tuple[float, float]], seconds: float = 0.05) -> list:
    return [pytest.approx(pair, abs=seconds) for pair in times]


# Cuts


def test_a_short_recording_is_one_clip():
    (clip,) = found(speech(29.9))
    assert (clip.start, clip.end) == (0, 29.9)
    assert len(clip.samples) == round(29.9 * RATE)


def test_nothing_is_no_clip():
    assert found(silence(0)) == []


@pytest.mark.slow
@pytest.mark.parametrize("block", [1600, 9999, 80_000, 2_000_000])
@pytest.mark.parametrize("tail", [0, 77, 40_000, 200_000])
def test_clips_tile_the_recording_whatever_the_blocks(block, tail):
    samples = np.concatenate(
        [recording((8, 3), (0.5, 44), (1, 3), (40, 5), (70, 1)), np.zeros(tail, np.float32)]
    )
    tiles = list(clips_of(in_blocks(samples, block), Cutting(), MAX_SECONDS))
    assert tiles[0].start == 0
    assert tiles[-1].end == pytest.approx(len(samples) / RATE, abs=1e-9)
    assert all(a.end == b.start for a, b in itertools.pairwise(tiles))
    for clip in tiles:
        assert len(clip.samples) <= (MAX_SECONDS + 1) * RATE
        assert clip.end > clip.start
        if clip.sound:
            assert clip.start <= clip.sound[0] < clip.sound[1] <= clip.end
    spoken = sum(end - start for start, end in sounds(samples))
    assert spoken == pytest.approx(56.5, abs=0.5)


@pytest.mark.parametrize("padding", [0.3, 3.0])
def test_every_sample_of_speech_is_heard_once(padding):
    """The clips' samples, side by side, are the recording without the middle of its pauses."""
    samples = recording((8, 3), (0.5, 70), (1, 3))
    heard = [clip.samples for clip in found(samples, padding_seconds=padding)]
    where = 0
    for piece in filter(len, heard):
        start = where + _find(samples[where:], piece)
        assert not samples[where:start].any(), "speech between two clips"
        where = start + len(piece)
    assert not samples[where:].any()


def _find(samples: np.ndarray, piece: np.ndarray) -> int:
    probe = np.flatnonzero(piece)[0]
    starts = np.flatnonzero(samples == piece[probe]) - probe
    return next(i for i in starts if np.array_equal(samples[max(0, i) : i + len(piece)], piece))


def test_speech_without_pauses_is_cut_in_a_lull_late_rather_than_early():
    parts = [speech(12), silence(0.5), speech(12), silence(0.5), speech(4), speech(10)]
    first = found(np.concatenate(parts))[0]
    assert 24.5 < first.end < 25.0


def test_speech_without_lulls_is_cut_near_the_bound():
    assert found(speech(65))[0].end > 28


def test_a_pause_at_the_very_beginning_is_no_place_to_cut():
    assert found(np.concatenate([speech(1), silence(0.5), speech(40)]))[0].end > 25


def test_cutting_reads_no_further_than_it_must():
    read = []
    blocks = (read.append(i) or speech(5) for i in range(100))
    next(clips_of(blocks, Cutting(), MAX_SECONDS))
    assert len(read) == 7  # 35 s


# Speech and pauses


@pytest.mark.parametrize("level", [0.5, 0.01, 0.001])
def test_steady_sound_is_nobody_s_speech(level):
    t = np.arange(40 * RATE) / RATE
    tone, hum = np.sin(2 * np.pi * 440 * t), sum(np.sin(2 * np.pi * 50 * k * t) / k for k in range(1, 9))
    dither = np.random.RandomState(0).randint(-1, 2, RATE).astype(np.float32) / 32768
    for samples in (silence(40), silence(40) + 0.3, dither, noise(40, level), level * tone, level * hum):
        assert sounds(samples.astype(np.float32)) == []


@pytest.mark.parametrize("pause", [0.1, 0.3])
def test_a_short_pause_does_not_end_a_segment(pause):
    assert len(sounds(recording((1, 3), (pause, 3)))) == 1


def test_a_pause_ends_a_segment_and_borders_are_where_speech_begins_and_ends():
    clips = found(recording((1.5, 3), (0.8, 4), (5, 2), (3, 1)))
    assert [c.sound for c in clips if c.sound] == near([(1.5, 4.5), (5.3, 9.3), (14.3, 16.3), (19.3, 20.3)])


def test_a_very_short_turn_is_joined_with_what_follows_soon():
    assert len(sounds(recording((1, 0.5), (0.8, 3)))) == 1
    assert len(sounds(recording((1, 0.5), (2.5, 3)))) == 2
    assert len(sounds(recording((1, 0.5), (0.8, 3)), shortest_seconds=0)) == 2


@pytest.mark.parametrize("level", [0.0, 0.001, 0.01])
def test_borders_in_noise(level):
    samples = recording((2, 3), (1, 4), (2, 2)) + noise(14, level)
    assert sounds(samples) == near([(2, 5), (6, 10), (12, 14)], 0.12 if level else 0.05)


def test_a_sentence_hours_away_from_anything():
    samples = np.concatenate([silence(400), speech(3), silence(395)])
    clips = found(samples)
    assert [c.sound for c in clips if c.sound] == near([(400, 403)])
    assert sum(len(c.samples) for c in clips) < 4 * RATE


def test_quiet_speech_is_speech():
    assert sounds(np.concatenate([silence(1), speech(1, 0.001), silence(1.5)])) == near([(1, 2)])


def test_a_click_is_no_speech():
    click = np.concatenate([silence(2), noise(0.01, 0.5), silence(2)])
    assert sounds(click) == []


# What a client may set


def test_silence_seconds_says_which_pauses_cut():
    samples = recording((1, 3), (0.4, 3), (0.9, 3))
    assert [len(sounds(samples, silence_seconds=s)) for s in (0.2, 0.6, 1.5)] == [3, 2, 1]


def test_padding_seconds_says_how_much_is_heard_before_the_speech():
    samples = recording((3, 3))
    lengths = [len(found(samples, padding_seconds=p)[-1].samples) / RATE for p in (0.0, 0.3, 1.0)]
    assert lengths == [pytest.approx(3 + p, abs=0.1) for p in (0.0, 0.3, 1.0)]


def test_threshold_says_what_counts_as_speech():
    samples = noise(6, 0.01)
    samples[2 * RATE : 4 * RATE] += speech(2, 0.015)  # barely above the noise
    spans = [sounds(samples, threshold=t, silence_seconds=0.3) for t in (0.0, 0.5, 0.999, 1.0)]
    lengths = [sum(end - start for start, end in span) for span in spans]
    assert lengths[0] == pytest.approx(6)
    assert 2.5 > lengths[1] > lengths[2] + 0.1
    assert spans[3] == []
    assert sounds(silence(3), threshold=0.0) == []


# Gaps


def around(gap_seconds: float, before: np.ndarray, after: np.ndarray) -> list[Clip]:
    """The clips of two stretches with a gap between them."""
    cutter = Cutter(Cutting(), MAX_SECONDS, lenient)
    clips = []
    for samples, following in ((before, gap_seconds), (after, 0.0)):
        for block in in_blocks(samples):
            cutter.append(block)
            clips += cutter.ready()
        if following:
            clips += cutter.skipped(following)
    return [*clips, *cutter.rest()]


@pytest.mark.parametrize("gap", [0.13, 1.5, 2.0, 77.77, 20_000.0])
def test_what_follows_a_gap_is_later_by_it(gap):
    clips = around(gap, recording((1, 3)), np.concatenate([recording((1, 3)), silence(1.1)]))
    assert [clip.sound for clip in clips if clip.sound] == near([(1, 4), (5 + gap, 8 + gap)])
    assert clips[0].start == 0
    assert clips[-1].end == pytest.approx(9.1 + gap)
    assert all(one.end == following.start for one, following in itertools.pairwise(clips))
    assert sum(len(clip.samples) for clip in clips) < 14 * RATE


def test_a_recording_may_begin_and_end_with_a_gap():
    clips = around(5.0, silence(0), recording((1, 3)))
    assert (clips[0].start, clips[0].end, clips[0].sound) == (0, 5, None)
    assert [clip.sound for clip in clips if clip.sound] == near([(6, 9)])
    clips = around(0.5, silence(0), recording((1, 3)))
    assert [clip.sound for clip in clips if clip.sound] == near([(1.5, 4.5)])
    clips = around(5.0, recording((1, 3)), silence(0))
    assert (clips[-1].end, clips[-1].sound) == (9, None)


@pytest.mark.parametrize("gap", [0.5, 1.9, 3.0])
def test_noise_around_a_gap_does_not_pass_for_speech(gap):
    hum = noise(10, 0.005)
    heard = np.concatenate([hum, speech(2), hum])
    clips = around(gap, heard, heard)
    assert [clip.sound for clip in clips if clip.sound] == near([(10, 12), (32 + gap, 34 + gap)], 0.1)
