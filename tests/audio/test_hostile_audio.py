"""Files that are no audio, lie, or want too much: a clear refusal, soon, in little memory."""

from __future__ import annotations

import random
import re
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from sounds import SECONDS, blocks_of, chirp, encoded, heard, written

from ominix.errors import JobRefused


@pytest.fixture
def file(tmp_path):
    return tmp_path / "secret-folder.wav"


def refusal(file, data, **bounds):
    """The message; checks the rest that every refusal has in common."""
    started = time.process_time()
    with pytest.raises(JobRefused) as caught:
        heard(file, data, **bounds)
    assert time.process_time() - started < 5
    assert caught.value.param == "file"
    assert caught.value.code == "invalid_audio_format"
    assert caught.value.message.startswith("the file ")
    assert "secret" not in caught.value.message
    assert "<none>" not in caught.value.message
    return caught.value.message


def four(*values):
    return struct.pack(f">{len(values)}I", *values)


def box(kind, *parts):
    body = b"".join(parts)
    return four(8 + len(body)) + kind + body


def full(kind, *parts):
    return box(kind, four(0), *parts)


def plain_wav(rate_hz=16_000, channels=1, bits=16, data=b"\1\2" * 1_000):
    frame = channels * bits // 8
    form = struct.pack("<HHIIHH", 1, channels, rate_hz, rate_hz * frame % (1 << 32), frame, bits)
    chunks = b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


NOT_AUDIO = {
    b"": "is empty",
    b"hello, this is a text": "is not audio or video in a format",
    bytes(100_000): "is not audio",
    random.Random(7).randbytes(100_000): "is not audio",
    b"\x89PNG\r\n\x1a\n" + bytes(99): "is a picture",
    b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(99): "is a picture",
    b"%PDF-1.7\n" + bytes(99): "is a PDF",
    b"PK\3\4" + bytes(99): "is a zip archive",
    b"<!doctype html><html>": "is a web page",
    b'{"error": "not found"}': "is JSON",
    b"RIFF\x24\0\0\0WAVE": "cannot be read",
    b"OggS": "cannot be read",
    b"fLaC": "cannot be read|0 samples",
    b"\x1aE\xdf\xa3": "cannot be read",
    b"ID3\4\0\0\0\0\0\5hello": "ends after its ID3 tag",
    b"ID3\4\0\0\x7f\x7f\x7f\x7f": "ends after its ID3 tag",
    b"\xff\xfe" + "UTF-16 text".encode("utf-16-le") * 99: "is not audio",
}


@pytest.mark.contract("audio.not-audio")
@pytest.mark.parametrize("data", NOT_AUDIO, ids=[repr(data[:12]) for data in NOT_AUDIO])
def test_not_audio(file, data):
    assert re.search(NOT_AUDIO[data], refusal(file, data))


@pytest.mark.contract("audio.playlists")
@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXTINF:5,\nfile:///etc/passwd\n",
        "\ufeff#EXTM3U\n/etc/passwd\n",
        "ffconcat version 1.0\nfile /etc/passwd\n",
        "[playlist]\nFile1=http://127.0.0.1/a.mp3\n",
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=audio 5004 RTP/AVP 0\r\n",
        '<?xml version="1.0"?><MPD><BaseURL>file:///etc/passwd</BaseURL></MPD>',
        "<ASX version='3.0'><entry><ref href='http://127.0.0.1/'/></entry></ASX>",
    ],
)
def test_playlists(file, text):
    assert "playlist that refers to other files" in refusal(file, text.encode())


def test_concat_script_without_its_mark(file):
    refusal(file, b"file '/etc/passwd'\nfile '/etc/hosts'\n")


@pytest.mark.contract("audio.not-audio")
def test_a_film_without_sound(file):
    message = refusal(file, encoded("mp4", "aac", [], video=True))
    assert message == "the file has no audio stream: an MP4 file with only pictures"


@pytest.mark.contract("audio.not-audio")
@pytest.mark.parametrize("form", ["WAV", "FLAC", "AIFF", "OGG"])
def test_zero_samples(file, form):
    refusal(file, written(np.zeros(0, np.float32), 16_000, form))


def test_a_codec_that_is_not_on_the_list(file):
    data = encoded("matroska", "aac", [chirp(48_000)]).replace(b"A_AAC", b"A_NEW")
    assert "encoded in a way we do not decode" in refusal(file, data)


def test_absurd_rates(file):
    assert "claims 1000000000 samples a second" in refusal(file, plain_wav(rate_hz=10**9))
    assert "claims 1 samples a second" in refusal(file, plain_wav(rate_hz=1))


def test_absurd_rates_that_ffmpeg_believes(file):
    data = bytearray(encoded("caf", "pcm_s16le", [chirp(16_000)], rate_hz=16_000))
    data[20:28] = struct.pack(">d", 1e9)
    assert "claims 1000000000 samples a second" in refusal(file, bytes(data))


def test_absurd_channels(file):
    data = plain_wav(channels=1_000, data=bytes(2_000 * 50))
    assert "claims 1000 channels" in refusal(file, data)
    refusal(file, plain_wav(channels=32_000, data=bytes(64_000 * 4)))


def mp4_index(count, a_chunk, size, *, chunks=1, ticks=None, reference=None, entry=b"mp4a", more=b""):
    """A moov with one sound track that claims `count` samples of `size` bytes in one place."""
    matrix = struct.pack(">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    head = full(b"mvhd", four(0, 0, 1000, 1, 1 << 16), bytes(12), matrix, bytes(24), four(2))
    sound = bytes(7) + b"\1" + bytes(8) + struct.pack(">HHII", 1, 16, 0, 48_000 << 16)
    tables = box(
        b"stbl",
        full(b"stsd", four(1), box(entry, sound, more)),
        full(b"stts", ticks or four(1, count, 1)),
        full(b"stsc", four(1, 1, a_chunk, 1)),
        full(b"stsz", four(size, count)),
        full(b"stco", four(chunks, *[40] * chunks)),
    )
    data = box(b"dinf", full(b"dref", four(1), reference or box(b"url ", four(1))))
    media = box(
        b"mdia",
        full(b"mdhd", four(0, 0, 48_000, 1), b"\x55\xc4\0\0"),
        full(b"hdlr", four(0), b"soun", bytes(14)),
        box(b"minf", full(b"smhd", four(0)), data, tables),
    )
    track = box(b"tkhd", four(7, 0, 0, 1, 0, 1), bytes(16), matrix, four(0, 0))
    return box(b"moov", head, box(b"trak", track, media))


BRAND = box(b"ftyp", b"isom", four(0), b"isom")
SOUND = box(b"mdat", bytes(2_000))
MANY = 80_000_000


def test_an_mp4_of_plain_samples_is_heard(file):
    assert len(heard(file, BRAND + SOUND + mp4_index(960, 960, 2, entry=b"sowt"))) == 320


@pytest.mark.parametrize(
    "data",
    [
        mp4_index(MANY, MANY, 1, ticks=four(2, 1, 1, MANY - 1, 2)),
        mp4_index(MANY, MANY, 0, ticks=four(2, 1, 1, MANY - 1, 2)),
        mp4_index(0, 0, 0) + box(b"moof", box(b"traf", full(b"trun", four(MANY)))),
        box(b"wide") + mp4_index(MANY, 1, 0).replace(b"stts", b"nope"),
    ],
    ids=["sizes", "no sizes", "fragment", "no times"],
)
def test_an_mp4_that_claims_millions_of_samples(file, data):
    assert "claims more than 4000000 samples" in refusal(file, BRAND + SOUND + data)


def test_an_mp4_that_hides_its_claims(file):
    hidden = full(b"stsz", four(1, MANY))
    assert "damaged index" in refusal(file, BRAND + SOUND + mp4_index(9, 9, 1, more=hidden))


def test_an_mp4_with_a_compressed_header(file):
    packed = zlib.compress(bytes(50_000_000))
    header = box(b"cmov", box(b"dcom", b"zlib"), box(b"cmvd", four(50_000_000), packed))
    assert "compressed header" in refusal(file, BRAND + SOUND + box(b"moov", header))


def test_an_mp4_whose_samples_all_lie_in_the_same_place(file):
    data = BRAND + box(b"mdat", bytes(300_000)) + mp4_index(100_000, 1, 299_000, chunks=100_000)
    refusal(file, data)


@pytest.mark.contract("audio.playlists")
@pytest.mark.parametrize(
    "reference",
    [
        full(b"url ", b"file:///etc/passwd\0"),
        full(b"url ", b"http://127.0.0.1/a.mov\0"),
        full(b"alis", bytes(150), struct.pack(">HH", 2, 11), b"/etc/passwd\0\xff\xff\0\0"),
    ],
)
def test_a_movie_whose_media_lie_elsewhere(file, reference):
    data = BRAND + SOUND + mp4_index(900, 900, 2, entry=b"sowt", reference=reference)
    assert "refers to another file" in refusal(file, data)


@pytest.mark.slow
def test_endless_boxes(file):
    data = BRAND + SOUND + box(b"moov", box(b"free") * 300_001)
    assert "more than 300000 boxes" in refusal(file, data)


def test_endless_links(file):
    page = b"OggS\0\2" + bytes(20) + b"\1\0"
    data = (page + page.replace(b"\2", b"\0")) * 1_001
    assert "more than 1000 recordings" in refusal(file, data)


BARREN_FRAME = b"\xff\xf1\x4c\x40\x02\x1f\xfc" + b"\xff" * 9  # of AAC: a header, nothing that sounds


def test_damage_without_end(file):
    header = encoded("adts", "aac", [chirp(48_000)])[:400]
    assert "is damaged" in refusal(file, header + BARREN_FRAME * 20_000)


def test_all_that_comes_before_the_damage_is_heard_first(file):
    file.write_bytes(encoded("adts", "aac", [chirp(48_000)]) + BARREN_FRAME * 20_000)
    samples = 0
    with pytest.raises(JobRefused, match="is damaged"):
        for block in blocks_of(file):
            samples += len(block)
    assert samples / 16_000 == pytest.approx(SECONDS, abs=0.1)


def test_a_rate_that_changes_at_each_frame(file):
    one = encoded("adts", "aac", [chirp(48_000)], rate_hz=48_000)[:8_000]
    other = encoded("adts", "aac", [chirp(24_000)], rate_hz=24_000)[:8_000]
    assert "changes its rate" in refusal(file, (one + other) * 60)


FORMATS = Path(__file__).parents[1] / "data" / "formats"
SEEDS = {
    "wav": written(chirp(22_050, 1), 22_050, "WAV"),
    "aiff": written(chirp(22_050, 1), 22_050, "AIFF", "FLOAT"),
    "flac": written(chirp(22_050, 1), 22_050, "FLAC"),
    "vorbis": written(chirp(22_050, 1), 22_050, "OGG"),
    "mp3": encoded("mp3", "libmp3lame", [chirp(48_000, 1)]),
    "aac": encoded("adts", "aac", [chirp(48_000, 1)]),
    "m4a": encoded("ipod", "aac", [chirp(48_000, 1)]),
    "fragments": encoded("mp4", "aac", [chirp(48_000, 1)], options={"movflags": "frag_keyframe+empty_moov"}),
    "film": encoded("mp4", "aac", [chirp(48_000, 1)], video=True),
    "webm": encoded("webm", "libopus", [chirp(48_000, 1)]),
    "ogg": encoded("ogg", "libopus", [chirp(48_000, 1)]),
    "wavpack": encoded("wv", "wavpack", [chirp(48_000, 1)]),
    "ac3": encoded("ac3", "ac3", [chirp(48_000, 1)]),
    "dts": (FORMATS / "chirp.dts").read_bytes(),
    "mlp": (FORMATS / "chirp.mlp").read_bytes(),
    "voc": encoded("voc", "pcm_u8", [chirp(48_000, 1)]),
    "mxf": encoded("mxf_opatom", "pcm_s16le", [chirp(48_000, 1)]),
    "caf": encoded("caf", "alac", [chirp(48_000, 1)]),
    "ts": encoded("mpegts", "aac", [chirp(48_000, 1)]),
    "ps": encoded("mpeg", "mp2", [chirp(48_000, 1)]),
    "flv": encoded("flv", "aac", [chirp(48_000, 1)]),
    "avi": encoded("avi", "libmp3lame", [chirp(48_000, 1)]),
}
EDGES = [
    bytes(4),
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x80\0\0\0",
    b"\0\0\0\1",
]


def mutated(rng, data):
    """A few random edits: half of them near the start, where the headers are, some near the end."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20, 100))):
        reach = rng.choice((300, len(data)))
        at = rng.randrange(min(reach, len(data)) or 1)
        at = rng.choice((at, at, max(0, len(data) - at - 4)))
        edit = rng.randrange(5)
        if edit == 0:
            data[at : at + 1] = rng.randbytes(1)
        elif edit == 1:
            data[at : at + 4] = rng.choice(EDGES)
        elif edit == 2:
            del data[at : at + rng.choice((1, 4, 100, 5_000))]
        elif edit == 3:
            data[at:at] = rng.choice((bytes(9), rng.randbytes(30), bytes(data[:200])))
        elif rng.random() < 0.1:
            del data[at:]
    return bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SEEDS)
def test_damaged_files_are_decoded_or_refused(file, kind):
    rng = random.Random(f"damage to {kind}")
    decoded = 0
    for _ in range(40):
        started = time.process_time()
        try:
            samples = heard(file, mutated(rng, SEEDS[kind]), max_seconds=30, max_bytes=1 << 26)
        except JobRefused as error:
            assert error.param == "file"
            assert "secret" not in error.message
        else:
            decoded += 1
            assert np.isfinite(samples).all()
        assert time.process_time() - started < 5
    assert decoded > 0
