"""Every format comes out as the same sound, in even blocks, at 16 kHz."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soxr
from sounds import SECONDS, blocks_of, chirp, encoded, heard, likeness, written

from ominix.audio import resample
from ominix.errors import JobRefused

OPEN_FILES = Path("/dev/fd")  # of this process
PLAIN = [
    *(("WAV", s) for s in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")),
    *(("WAVEX", s) for s in ("PCM_16", "PCM_24", "FLOAT")),
    *(("AIFF", s) for s in ("PCM_S8", "PCM_16", "PCM_24", "FLOAT")),
    *((f, "PCM_16") for f in ("RF64", "W64", "AU", "CAF", "FLAC")),
    *(("WAV", s) for s in ("ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM", "GSM610")),
]
COMPRESSED = [
    ("mp3", "libmp3lame"),
    ("mp2", "mp2"),
    ("adts", "aac"),
    ("ipod", "aac"),
    ("ipod", "alac"),
    ("3gp", "aac"),
    ("mov", "pcm_s16le"),
    ("mp4", "aac"),
    ("mp4", "libopus"),
    ("mp4", "libmp3lame"),
    ("webm", "libopus"),
    ("matroska", "aac"),
    ("ogg", "libopus"),
    ("flac", "flac"),
    ("caf", "alac"),
    ("mpegts", "aac"),
    ("mpeg", "mp2"),
    ("flv", "aac"),
    ("avi", "libmp3lame"),
    ("wav", "libmp3lame"),
]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "upload.txt"  # a name that says nothing right


@pytest.mark.parametrize(("form", "subtype"), PLAIN)
def test_plain_and_lossless_files(file, form, subtype):
    rate_hz = 8_000 if subtype == "GSM610" else 22_050
    data = written(chirp(rate_hz), rate_hz, form, subtype)

    samples = heard(file, data)

    score, shift = likeness(samples)
    assert score > 0.995
    assert abs(shift) < 0.001
    assert abs(len(samples) - SECONDS * 16_000) < 800  # ADPCM fills its last block


@pytest.mark.contract("audio.sniffing")
@pytest.mark.parametrize(("container", "codec"), COMPRESSED)
def test_compressed_files(file, container, codec):
    samples = heard(file, encoded(container, codec, [chirp(48_000)]))

    score, shift = likeness(samples)
    assert score > 0.99
    assert -0.001 < shift < 0.06  # encoders that do not tell their delay: 2048 samples at most
    assert abs(len(samples) - SECONDS * 16_000) < 0.1 * 16_000


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_by_another_writer(file, subtype):
    score, _ = likeness(heard(file, written(chirp(48_000), 48_000, "OGG", subtype)))
    assert score > 0.99


def test_amr_of_a_telephone(file):
    data = encoded("amr", "libopencore_amrnb", [chirp(8_000)], rate_hz=8_000)
    score, _ = likeness(heard(file, data))
    assert score > 0.9


def test_a_film_gives_its_sound(file):
    data = encoded("mp4", "aac", [chirp(48_000)], video=True)
    score, _ = likeness(heard(file, data))
    assert score > 0.99


@pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
def test_samples_are_exact_where_nothing_is_resampled(file, endian):
    wanted = chirp(16_000)
    samples = heard(file, written(wanted, 16_000, "WAV", "FLOAT", endian))
    assert np.array_equal(samples, wanted)
    assert samples.dtype == np.float32


def test_unsigned_and_integer_samples_have_full_scale_one(file):
    square = np.tile(np.float32([-1.0, 0.5]), 8_000)
    for codec in ("pcm_u8", "pcm_s16le", "pcm_s32le", "pcm_f64le"):
        samples = heard(file, encoded("matroska", codec, [square], rate_hz=16_000))
        assert np.allclose(samples, square, atol=0.01), codec


def test_channels_count_alike(file):
    left, right = chirp(16_000), np.roll(chirp(16_000), 99)
    samples = heard(file, written(np.stack([left, right], 1), 16_000, "WAV", "FLOAT"))
    assert np.allclose(samples, (left + right) / 2, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize(("container", "codec"), [("ipod", "aac"), ("flac", "flac"), ("ogg", "libopus")])
@pytest.mark.parametrize("layout", ["stereo", "5.1", "7.1"])
def test_many_channels(file, container, codec, layout):
    score, _ = likeness(heard(file, encoded(container, codec, [chirp(48_000)], layout=layout)))
    assert score > 0.99


def test_sixteen_channels(file):
    wanted = chirp(16_000)
    samples = heard(file, written(np.repeat(wanted[:, None], 16, 1), 16_000, "WAV", "FLOAT"))
    assert np.allclose(samples, wanted, atol=1e-6)


def test_a_frame_of_three_seconds_and_24_channels(file):
    data = encoded("matroska", "pcm_s16le", [chirp(48_000)], layout="22.2", frame_size=10**6)
    assert likeness(heard(file, data))[0] > 0.999


@pytest.mark.parametrize("rate_hz", [2_000, 8_000, 11_025, 44_100, 44_099, 96_000, 767_999])
def test_resampling_in_pieces_is_resampling_at_once(rate_hz):
    sound = chirp(rate_hz, 1.37)
    cuts = np.cumsum(np.resize([1, 4_999, 333, 20_000, 2], 400))
    pieces = [(piece, rate_hz) for piece in np.split(sound, cuts[cuts < len(sound)])]

    samples = np.concatenate(list(resample.resampled(pieces)))

    assert len(samples) == round(len(sound) * 16_000 / rate_hz)
    assert np.abs(samples - soxr.resample(sound, rate_hz, 16_000)).max() < 1e-5


def test_each_rate_is_a_signal_of_its_own():
    rates = [44_100, 16_000, 8_000, 44_100]
    pieces = [(chirp(rate_hz, 1.01), rate_hz) for rate_hz in rates]

    samples = np.concatenate(list(resample.resampled(pieces)))

    assert len(samples) == 4 * 16_160
    for part, rate_hz in zip(np.split(samples, 4), rates, strict=True):
        wanted = soxr.resample(chirp(rate_hz, 1.01), rate_hz, 16_000)
        assert np.abs(part - wanted).max() < 1e-5


def test_blocks_are_even_and_lose_nothing(file):
    file.write_bytes(written(chirp(44_100, 12.3), 44_100, "WAV", "FLOAT"))

    blocks = list(blocks_of(file))

    assert [len(b) for b in blocks] == [80_000, 80_000, round(2.3 * 16_000)]
    wanted = soxr.resample(chirp(44_100, 12.3), 44_100, 16_000)
    assert np.abs(np.concatenate(blocks) - wanted).max() < 1e-5


def test_the_descriptor_is_closed_whatever_becomes_of_it(file):
    file.write_bytes(written(chirp(16_000, 12.0), 16_000, "WAV", "FLOAT"))
    before = len(list(OPEN_FILES.iterdir()))
    blocks = blocks_of(file)
    next(blocks)
    blocks.close()
    del blocks  # of one that goes on, and of one that was never asked
    unasked = blocks_of(file)
    del unasked
    with pytest.raises(OSError, match="directory"):
        blocks_of(file.parent)
    assert len(list(OPEN_FILES.iterdir())) == before


@pytest.mark.slow
def test_an_hour_takes_no_more_memory_than_a_minute(file):
    header = written(np.zeros(1, np.int16), 16_000, "WAV")[:44]
    with file.open("wb") as out:  # sparse: zeros that take no disk
        out.write(header[:40] + struct.pack("<I", 0xFFFFFFFF))
        out.truncate(44 + 3600 * 32_000)
    tracemalloc.start()
    try:
        blocks = blocks_of(file)
        assert sum(len(b) for b in blocks) == 3600 * 16_000
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


@pytest.mark.contract("audio.stream-wav")
@pytest.mark.parametrize("claimed", [0, 0x7FFFFFFF, 0xFFFFFFFF])
@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_wav_of_a_stream_whose_length_was_not_known(file, claimed, rate_hz):
    data = bytearray(written(chirp(rate_hz), rate_hz, "WAV", "PCM_16"))
    data[4:8] = data[40:44] = struct.pack("<I", claimed)
    samples = heard(file, bytes(data))
    assert abs(len(samples) - SECONDS * 16_000) <= 1
    assert likeness(samples)[0] > 0.999


CUT = [
    ("wav", "pcm_s16le"),
    ("flac", "flac"),
    ("mp3", "libmp3lame"),
    ("adts", "aac"),
    ("ogg", "libopus"),
    ("webm", "libopus"),
    ("matroska", "aac"),
    ("mpegts", "aac"),
    ("flv", "aac"),
]


@pytest.mark.parametrize(("container", "codec"), CUT)
def test_a_file_that_ends_early_is_decoded_as_far_as_it_goes(file, container, codec):
    data = encoded(container, codec, [chirp(48_000)])
    samples = heard(file, data[: int(len(data) * 0.8)])
    assert 0.6 * SECONDS < len(samples) / 16_000 < 0.9 * SECONDS  # pages of Ogg hold a second
    assert likeness(samples)[0] > 0.98


def test_a_recording_in_fragments_that_ends_early(file):
    options = {"movflags": "frag_keyframe+empty_moov", "frag_duration": "500000"}
    data = encoded("mp4", "aac", [chirp(48_000)], options=options)
    samples = heard(file, data[: int(len(data) * 0.8)])
    assert 0.7 * SECONDS < len(samples) / 16_000 < 0.9 * SECONDS


def test_an_mp4_without_its_end_says_that_the_index_is_missing(file):
    data = encoded("ipod", "aac", [chirp(48_000)])
    with pytest.raises(JobRefused, match="no index"):
        heard(file, data[: len(data) // 2])


def test_joined_mp3_files_of_two_rates(file):
    parts = [encoded("mp3", "libmp3lame", [chirp(r)], rate_hz=r) for r in (48_000, 22_050)]
    samples = heard(file, b"".join(parts))
    assert len(samples) / 16_000 == pytest.approx(2 * SECONDS, abs=0.2)
    assert likeness(samples)[0] > 0.98
    assert likeness(samples[len(samples) // 2 - 800 :])[0] > 0.98


def test_joined_flac_files_are_whole_or_refused(file):
    one = written(chirp(48_000), 48_000, "FLAC")
    assert len(heard(file, one + one)) == 2 * SECONDS * 16_000
    with pytest.raises(JobRefused, match="changes its rate or channels"):
        heard(file, one + written(np.stack([chirp(22_050)] * 2, 1), 22_050, "FLAC"))


@pytest.mark.parametrize(
    ("rate_hz", "channels", "subtype", "quality"),
    [(48_000, 1, "VORBIS", 0.9), (22_050, 2, "VORBIS", 0.5), (24_000, 2, "OPUS", 0.5)],
)
def test_chained_ogg_files_of_other_kinds(file, rate_hz, channels, subtype, quality):
    sound = np.repeat(chirp(rate_hz)[:, None], channels, 1)
    parts = [
        written(chirp(48_000), 48_000, "OGG", "VORBIS", compression_level=0.1),
        written(sound, rate_hz, "OGG", subtype, compression_level=quality),
    ]
    samples = heard(file, b"".join(parts))
    assert len(samples) / 16_000 == pytest.approx(2 * SECONDS, abs=0.02)
    assert likeness(samples)[0] > 0.99
    assert likeness(samples[len(samples) // 2 - 800 :])[0] > 0.99


def test_a_wrong_length_in_an_mp3_header_loses_nothing(file):
    data = bytearray(encoded("mp3", "libmp3lame", [chirp(48_000)]))
    at = max(data.find(b"Xing"), data.find(b"Info")) + 8
    for frames in (1, 0xFFFFFFFF):
        data[at : at + 4] = struct.pack(">I", frames)
        assert len(heard(file, bytes(data))) / 16_000 == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.parametrize("total", [0, 1, (1 << 36) - 1])
def test_a_wrong_length_in_a_flac_header_loses_nothing(file, total):
    data = bytearray(written(chirp(48_000), 48_000, "FLAC"))
    fields = int.from_bytes(data[18:26], "big") >> 36 << 36 | total
    data[18:26] = fields.to_bytes(8, "big")
    assert len(heard(file, bytes(data))) == SECONDS * 16_000


@pytest.mark.parametrize(
    "data",
    [
        encoded("mp3", "libmp3lame", [chirp(48_000)]),
        encoded("adts", "aac", [chirp(48_000)]),
        written(chirp(48_000), 48_000, "FLAC"),
    ],
    ids=["mp3", "aac", "flac"],
)
def test_a_large_id3_tag_comes_before_the_audio(file, data):
    tag = b"ID3\x04\0\0" + bytes([0, 10, 0, 0]) + b"\xff\xfb\x90\x00" * 40_960
    assert likeness(heard(file, tag + data))[0] > 0.98


@pytest.mark.parametrize("torn", [101, 500, 3_000])
def test_an_mp3_that_starts_inside_a_frame(file, torn):
    data = encoded("mp3", "libmp3lame", [chirp(48_000)])[torn:]
    samples = heard(file, data)
    assert SECONDS - 0.5 < len(samples) / 16_000 < SECONDS + 0.1


def test_silence_is_audio(file):
    samples = heard(file, written(np.zeros(32_000, np.float32), 16_000, "FLAC"))
    assert len(samples) == 32_000
    assert not samples.any()


def test_nan_and_infinity_become_silence_and_loud_samples_stay(file):
    sound = chirp(48_000)
    sound[1000], sound[2000], sound[3000] = np.nan, np.inf, -np.inf
    samples = heard(file, written(sound, 48_000, "WAV", "FLOAT"))
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() < 0.5

    samples = heard(file, written(3 * chirp(16_000), 16_000, "WAV", "FLOAT"))
    assert np.array_equal(samples, 3 * chirp(16_000))
    samples = heard(file, written(np.full(800, 1e30), 16_000, "WAV", "DOUBLE"))
    assert np.isfinite(np.square(samples)).all()


def test_the_track_marked_as_default_is_heard(file):
    noise = np.random.default_rng(1).standard_normal(48_000 * SECONDS).astype(np.float32) / 9
    data = encoded("matroska", "aac", [noise, chirp(48_000)], default_track=1)
    assert likeness(heard(file, data))[0] > 0.99


@pytest.mark.contract("audio.caps")
@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG"])
def test_too_long(file, form):
    data = written(np.zeros(16_000 * 11, np.float32), 16_000, form)
    assert len(heard(file, data, max_seconds=11.01)) == 11 * 16_000
    with pytest.raises(JobRefused, match=r"more than the 10\.5 seconds") as refusal:
        heard(file, data, max_seconds=10.5)
    assert (refusal.value.param, refusal.value.code) == ("file", "audio_too_long")


@pytest.mark.contract("audio.caps")
def test_too_many_bytes(file):
    data = written(np.zeros((48_000, 8), np.float32), 48_000, "FLAC")
    assert len(data) < 2_000
    assert len(heard(file, data, max_bytes=48_000 * 8 * 4)) == 16_000
    with pytest.raises(JobRefused, match="unpacks to more") as refusal:
        heard(file, data, max_bytes=48_000 * 8 * 4 - 1)
    assert (refusal.value.param, refusal.value.code) == ("file", "audio_too_long")


@pytest.mark.contract("audio.caps")
def test_the_bounds_hold_while_the_file_is_read(file):
    """Half an hour of silence packs to 50 KB; the refusal comes after the first seconds of it."""
    data = written(np.zeros(16_000 * 1800, np.int16), 16_000, "FLAC")
    assert len(data) < 100_000
    file.write_bytes(data)
    blocks = blocks_of(file, max_seconds=12)
    assert len(next(blocks)) == 80_000
    with pytest.raises(JobRefused, match="more than the 12 seconds"):
        list(blocks)
