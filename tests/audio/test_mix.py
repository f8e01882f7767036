"""Channels to one: what is said in any of them is heard, at its level."""

from __future__ import annotations

import numpy as np
import pytest
from sounds import encoded, heard, written

from ominix.audio import mix
from ominix.audio.mix import Mixer
from ominix.audio.piece import Piece

RATE_HZ = 16_000
RNG = np.random.default_rng(7)


def voice(seconds=4.0):
    """Noise in syllables, with the treble lowered: as broad as speech, and with its pauses."""
    noise = RNG.standard_normal(round(seconds * RATE_HZ) + 8)
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    syllables = np.maximum(0.0, np.sin(2 * np.pi * 2 * t)) * (t % 3 < 2.5)
    return (0.1 * np.convolve(noise, np.ones(9) / 3, "valid") * syllables).astype(np.float32)


def mixed(*channels, roles=(), pieces=(1.3,), mixer=None):
    samples = np.stack(channels, axis=1).astype(np.float32)
    cuts = np.cumsum(np.resize([round(s * RATE_HZ) for s in pieces], 400))
    mixer = mixer or Mixer()
    parts = np.split(samples, cuts[cuts < len(samples)])
    return np.concatenate([mixer.mono(Piece(part, RATE_HZ, roles=roles)) for part in parts])


def level(samples):
    return float(np.sqrt(np.square(samples, dtype=np.float64).mean()))


def late(samples, count):
    return np.concatenate([np.zeros(count, np.float32), samples[: len(samples) - count]])


def test_mono_and_dual_mono_stay_as_they_are():
    said = voice()
    assert np.array_equal(mixed(said), said)
    assert np.allclose(mixed(said, said), said, atol=1e-7)


@pytest.mark.parametrize("side", [0, 1])
def test_one_silent_channel_costs_no_level(side):
    said = voice()
    channels = [said, np.zeros_like(said)]
    assert np.allclose(mixed(*channels[:: 1 - 2 * side]), said, atol=1e-7)


def test_a_channel_that_is_all_but_silent_costs_no_level():
    said = voice()
    hiss = 1e-5 * RNG.standard_normal(len(said))
    assert level(mixed(said, hiss)) > 0.95 * level(said)


def test_a_second_speaker_who_begins_late_is_heard():
    first, second = voice(8), voice(8)
    first[len(first) // 2 :] = 0
    second[: len(second) // 2] = 0
    heard_both = mixed(first, second)
    for half, said in enumerate((first, second)):
        span = slice(half * len(first) // 2 + RATE_HZ // 2, (half + 1) * len(first) // 2)
        assert level(heard_both[span]) > 0.45 * level(said[span])


@pytest.mark.parametrize("scale", [-1.0, -0.6, -1.5])
def test_opposite_phase_is_not_silence(scale):
    said = voice()
    assert level(mixed(said, scale * said)) > 0.7 * level(said)


@pytest.mark.parametrize("scale", [1.0, -1.0])
@pytest.mark.parametrize("delay_samples", [4, 16, 80, 320])
def test_what_comes_twice_at_different_times_is_heard_once(delay_samples, scale):
    said = voice()
    found = mixed(said, scale * late(said, delay_samples))
    window = slice(RATE_HZ, None)
    twice = (said, late(said, delay_samples))
    scores = [abs(np.corrcoef(found[window], channel[window])[0, 1]) for channel in twice]
    assert max(scores) > 0.95


@pytest.mark.parametrize("first", [1.0, -1.0])
def test_phase_that_changes_in_the_middle(first):
    said = voice(8)
    half = len(said) // 2
    other = first * np.concatenate([said[:half], -said[half:]])
    found = mixed(said, other)
    away = np.r_[0 : half - RATE_HZ // 2, half + RATE_HZ // 2 : len(said)]
    assert np.allclose(found[away], said[away], atol=1e-6)
    assert np.abs(np.diff(found)).max() <= 1.05 * np.abs(np.diff(said)).max()  # no click


def test_opposite_phase_under_noise_that_is_in_phase():
    """In the pauses the sum would be right, for the noise; the voice's turn stays."""
    said, noise = voice(), (0.003 * RNG.standard_normal(4 * RATE_HZ)).astype(np.float32)
    found = mixed(noise + said, noise - said)
    assert np.corrcoef(found, said)[0, 1] > 0.98


def test_unrelated_channels_count_alike_in_any_pieces():
    left, right = voice(), voice()
    for pieces in ((1.3,), (0.05, 0.3, 2.0), (9.0,)):
        assert np.allclose(mixed(left, right, pieces=pieces), (left + right) / 2, atol=1e-6)


ROLES = {
    "2.1": ("FL", "FR", "LFE"),
    "3.0": ("FL", "FR", "FC"),
    "quad": ("FL", "FR", "BL", "BR"),
    "5.0": ("FL", "FR", "FC", "BL", "BR"),
    "5.1": ("FL", "FR", "FC", "LFE", "BL", "BR"),
    "5.1(side)": ("FL", "FR", "FC", "LFE", "SL", "SR"),
    "6.1": ("FL", "FR", "FC", "LFE", "BC", "SL", "SR"),
    "7.1": ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
    "unknown": ("", "", "", "", "", ""),
}


@pytest.mark.parametrize("layout", ROLES)
def test_a_voice_in_any_channel_but_the_lfe_is_heard(layout):
    roles = () if layout == "unknown" else ROLES[layout]
    said = voice()
    for n, role in enumerate(ROLES[layout]):
        channels = [np.zeros_like(said) for _ in ROLES[layout]]
        channels[n] = said
        expected = 0.0 if role == "LFE" else 0.3
        assert level(mixed(*channels, roles=roles)) >= expected * level(said), role
        assert role != "LFE" or level(mixed(*channels, roles=roles)) == 0


def test_the_centre_stands_out_and_the_lfe_is_left_out():
    said, music, boom = voice(), voice(), 3 * voice()
    roles = ROLES["5.1"]
    found = mixed(music, music, said, boom, music, music, roles=roles)
    assert np.corrcoef(found, said)[0, 1] > 0.45  # in the mean of six: 0.2
    assert np.allclose(mixed(*[0 * said] * 2, said, *[0 * said] * 3, roles=roles), said, atol=1e-6)


def test_microphones_of_unknown_order_lose_none():
    """A recorder's six tracks are no 5.1: the fourth is a person, too."""
    assert (mix.weights((), 6) > 0).all()


def test_ambisonics_is_heard_from_everywhere():
    said = voice()
    roles = ("AMBI0", "AMBI1", "AMBI2", "AMBI3")
    assert np.allclose(mixed(said, -said, 0 * said, 0 * said, roles=roles), said, atol=1e-6)


def test_a_loud_sum_is_turned_down_and_not_clipped():
    tone = np.sin(np.arange(4 * RATE_HZ) * 0.05).astype(np.float32)
    found = mixed(*[tone] * 6, roles=ROLES["5.1"])
    assert np.abs(found).max() <= 1.0
    assert np.corrcoef(found, tone)[0, 1] > 0.999


def test_an_lfe_alone_is_heard_rather_than_nothing():
    said = voice()
    assert level(mixed(said, roles=("LFE",))) > 0


def test_a_form_that_changes_begins_anew():
    mixer, said = Mixer(), voice()
    mixed(said, -said, mixer=mixer)
    assert np.allclose(mixed(said, said, said, mixer=mixer, roles=ROLES["3.0"])[RATE_HZ:], 2 * said[RATE_HZ:])
    assert np.allclose(mixed(said, said, mixer=mixer), said, atol=1e-6)


@pytest.mark.parametrize("form", ["WAVEX", "FLAC"])
def test_roles_come_from_the_file(tmp_path, form):
    said = voice()
    channels = np.zeros((len(said), 6), np.float32)
    channels[:, 3] = 0.9 * np.sign(np.sin(np.arange(len(said)) * 0.02))
    channels[:, 2] = said
    samples = heard(tmp_path / "file", written(channels, RATE_HZ, form, "PCM_16"))
    assert np.allclose(samples, said, atol=1e-3)


def test_opposite_phase_in_a_compressed_file(tmp_path):
    said = voice()
    file = tmp_path / "file"
    samples = heard(file, written(np.stack([said, -said], 1), RATE_HZ, "FLAC"))
    assert np.allclose(samples, said, atol=1e-3)
    assert len(heard(file, encoded("ogg", "libopus", [voice()], layout="5.1")))
