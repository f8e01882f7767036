"""Clips of several channels come in order, and each channel is tiled as if it were alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from cut import lenient

from ominix.engines.speech.channel_cutters import ChannelCutters
from ominix.engines.speech.clips import Cutter
from ominix.wire.jobs import Cutting

RATE_HZ = 16_000
RNG = np.random.default_rng(3)


def speech(spans, seconds):
    """Noise in syllables where somebody speaks."""
    t = np.arange(seconds * RATE_HZ) / RATE_HZ
    sound = 0.0005 * RNG.standard_normal(len(t))
    for start, end in spans:
        inside = (t >= start) & (t < end)
        sound += inside * 0.1 * RNG.standard_normal(len(t)) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * t))
    return sound.astype(np.float32)


def cutter():
    return Cutter(Cutting(), 10.0, lenient)


def clips_of(block, cutters):
    found = []
    for at in range(0, len(block), 5 * RATE_HZ):
        found += cutters.append(block[at : at + 5 * RATE_HZ])
    return [*found, *cutters.rest()]


def test_one_channel_is_cut_as_ever():
    mono = speech([(1, 4), (8, 40)], 60)
    found = clips_of(mono, ChannelCutters(cutter))
    alone = cutter()
    wanted = []
    for at in range(0, len(mono), 5 * RATE_HZ):
        alone.append(mono[at : at + 5 * RATE_HZ])
        wanted += alone.ready()
    wanted += alone.rest()
    assert [(clip.start, clip.end) for clip in found] == [(clip.start, clip.end) for clip in wanted]
    assert all(clip.channel is None for clip in found)


def test_channels_come_in_order_and_tile():
    columns = [speech([(1, 30)], 60), speech([(5, 6), (31, 58)], 60), speech([], 60)]
    found = clips_of(np.stack(columns, 1), ChannelCutters(cutter))

    starts = [clip.start for clip in found]
    assert starts == sorted(starts)
    for number in range(3):
        tiles = [clip for clip in found if clip.channel.number == number]
        assert tiles[0].start == 0
        assert tiles[-1].end == pytest.approx(60, abs=0.02)
        assert all(a.end == b.start for a, b in itertools.pairwise(tiles))
    assert {clip.channel.name for clip in found} == {"channel 0", "channel 1", "channel 2"}
    assert {clip.channel.number for clip in found if clip.sound} == {0, 1}


@pytest.mark.slow
def test_what_waits_is_bounded():
    """Ten minutes in which one speaks all the time and the other never."""
    cutters = ChannelCutters(cutter)
    both = np.stack([speech([(0, 600)], 600), speech([], 600)], 1)
    behind = 0.0
    for at in range(0, len(both), 5 * RATE_HZ):
        clips = list(cutters.append(both[at : at + 5 * RATE_HZ]))
        if clips:
            behind = max(behind, at / RATE_HZ + 5 - clips[-1].end)
    assert behind < 30


def test_two_channels_are_left_and_right():
    found = clips_of(np.stack([speech([(1, 3)], 5)] * 2, 1), ChannelCutters(cutter))
    assert {clip.channel for clip in found} == {(0, "left"), (1, "right")}


def test_an_empty_recording_has_no_clips():
    assert list(ChannelCutters(cutter).rest()) == []


def test_a_gap_before_and_inside_all_channels():
    cutters = ChannelCutters(cutter)
    both = np.stack([speech([(1, 3)], 5), speech([(2, 4)], 5)], 1)
    found = [*cutters.skipped(7.0), *cutters.append(both), *cutters.skipped(10.0), *cutters.append(both)]
    found += cutters.rest()
    for number in range(2):
        tiles = [clip for clip in found if clip.channel.number == number]
        assert tiles[0].start == 0
        assert tiles[-1].end == pytest.approx(27, abs=0.02)
        spoken = [clip.sound[0] for clip in tiles if clip.sound]
        assert spoken == pytest.approx([8 + number, 23 + number], abs=0.1)
