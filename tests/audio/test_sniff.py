"""Which demuxer a file is given, and that what the bundled FFmpeg decodes is heard."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from sounds import chirp, encoded, heard, likeness, written

from ominix.audio import sniff
from ominix.audio.codecs import DECODERS
from ominix.errors import JobRefused

DATA = Path(__file__).parents[1] / "data"
CASES, FORMATS = DATA / "cases", DATA / "formats"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "upload.txt"


def kind_of(data):
    return sniff.kind(io.BytesIO(data))


MORE = [  # container, codec, rate
    ("matroska", "eac3", 48_000),
    ("matroska", "wavpack", 48_000),
    ("mp4", "eac3", 48_000),
    ("mpegts", "ac3", 48_000),
    ("vob", "ac3", 48_000),
    ("vob", "pcm_dvd", 48_000),
    ("avi", "ac3", 48_000),
    ("ac3", "ac3", 48_000),
    ("eac3", "eac3", 48_000),
    ("latm", "aac", 48_000),
    ("sbc", "sbc", 48_000),
    ("wv", "wavpack", 48_000),
    ("tta", "tta", 48_000),
    ("wav", "g726", 8_000),
    ("wav", "g722", 16_000),
    ("wav", "g723_1", 8_000),
    ("wav", "adpcm_yamaha", 16_000),
    ("asf", "wmav2", 48_000),
    ("asf", "wmav1", 48_000),
    ("voc", "pcm_u8", 10_000),
    ("caf", "pcm_s16be", 48_000),
    ("nut", "pcm_s16le", 48_000),
    ("rm", "ac3", 48_000),
    ("flv", "nellymoser", 16_000),
    ("swf", "libmp3lame", 44_100),
    ("sox", "pcm_s32le", 48_000),
    ("wtv", "mp2", 48_000),
    ("mxf_opatom", "pcm_s16le", 48_000),
    ("gxf", "pcm_s16le", 48_000),
]


@pytest.mark.contract("audio.sniffing")
@pytest.mark.parametrize(("container", "codec", "rate_hz"), MORE)
def test_films_telephones_archives(file, container, codec, rate_hz):
    more = {
        "g723_1": {"bit_rate": 6_300},
        "wmav1": {"bit_rate": 96_000},
        "wmav2": {"bit_rate": 96_000},
        "sbc": {"bit_rate": 128_000},
    }
    sound = encoded(container, codec, [chirp(rate_hz)], rate_hz=rate_hz, **more.get(codec, {}))

    samples = heard(file, sound)

    assert likeness(samples)[0] > 0.9
    assert 2.8 < len(samples) / 16_000 < 3.5  # GXF's last block is filled with silence


@pytest.mark.contract("audio.sniffing")
@pytest.mark.parametrize("name", sorted(path.name for path in FORMATS.iterdir()))
def test_what_the_bundled_ffmpeg_cannot_write(file, name):
    """Made by Debian's ffmpeg of the same sound."""
    samples = heard(file, (FORMATS / name).read_bytes())

    assert likeness(samples)[0] > 0.9
    assert 2.8 < len(samples) / 16_000 < 3.2


@pytest.mark.parametrize("form", ["NIST", "PVF", "AVR", "IRCAM", "VOC", "SVX"])
def test_files_of_laboratories_and_old_computers(file, form):
    assert likeness(heard(file, written(chirp(16_000), 16_000, form, "PCM_16")))[0] > 0.99


@pytest.mark.parametrize("subtype", ["G721_32", "G723_24", "G723_40"])
def test_telephone_exchanges_au(file, subtype):
    samples = heard(file, written(chirp(8_000), 8_000, "AU", subtype))
    assert likeness(samples)[0] > 0.9


@pytest.mark.parametrize("case", ["dts.mkv", "g726.wav", "bare.ac3", "short.wv"])
def test_cases_that_are_short(file, case):
    samples = heard(file, (CASES / case).read_bytes())
    assert 3.35 < len(samples) / 16_000 < 3.5


MP3 = encoded("mp3", "libmp3lame", [chirp(48_000)])
TRANSPORT = encoded("mpegts", "aac", [chirp(48_000)])
PROGRAM = encoded("mpeg", "mp2", [chirp(48_000)])


@pytest.mark.parametrize(
    "before",
    [
        bytes(100),
        bytes(300_000),
        b"ICY 200 OK\r\nicy-name: radio\r\n\r\n",
        b"\xaa\x55" * 50_000,
        b"ID3\x03\0\0\0\0\0\x05" + b"\x99" * 90_000,  # a tag that is longer than it says
        b"ID3\x03\0\0\x7f\x7f\x7f\x7f" + b"\x99" * 90_000,  # one that says more than there is
    ],
    ids=["zeros", "many zeros", "radio", "junk", "long tag", "wrong tag"],
)
def test_an_mp3_behind_something(file, before):
    assert likeness(heard(file, before + MP3))[0] > 0.98


@pytest.mark.parametrize("torn", [1, 50, 100, 187, 189, 1_000])
def test_a_transport_stream_that_begins_inside_a_packet(file, torn):
    """Its packets hold whole frames of AAC: a fraction of a second was heard of it."""
    assert kind_of(TRANSPORT[torn:]).demuxer == "mpegts"
    assert likeness(heard(file, TRANSPORT[torn:]))[0] > 0.9


@pytest.mark.parametrize("packet_bytes", [192, 204])
def test_transport_streams_of_other_packets(file, packet_bytes):
    more = packet_bytes - 188
    before, behind = (bytes(4), b"") if more == 4 else (b"", bytes(more))
    packets = [TRANSPORT[i : i + 188] for i in range(0, len(TRANSPORT), 188)]
    data = b"".join(before + packet + behind for packet in packets)
    for torn in (0, 77):
        assert likeness(heard(file, data[torn:]))[0] > 0.9


@pytest.mark.parametrize("torn", [1, 700, 2_100])
def test_a_program_stream_that_begins_inside_a_pack(torn):
    assert kind_of(PROGRAM[torn:]).demuxer == "mpeg"


@pytest.mark.parametrize("container", ["ac3", "eac3", "latm", "adts", "mp3", "sbc"])
def test_bare_streams_that_begin_inside_a_frame(container):
    codec = {"latm": "aac", "adts": "aac", "mp3": "libmp3lame"}.get(container, container)
    # Without a bit rate FFmpeg's SBC encoder fills frames with memory that nobody has written.
    data = encoded(container, codec, [chirp(48_000)], bit_rate=128_000)
    whole, torn = kind_of(data), kind_of(data[33:])
    assert torn.demuxer == whole.demuxer
    assert torn.start > 0


def test_every_decoder_on_the_list_is_one_that_decodes_sound():
    import av

    here = {name for name in DECODERS if name in av.codecs_available}
    assert all(av.Codec(name, "r").type == "audio" for name in here)
    assert len(here) > 0.9 * len(DECODERS)


def test_what_keeps_us_busy_is_given_up(file):
    with pytest.raises(JobRefused, match="not audio or video"):
        heard(file, b"x" + b"\xff\xfb\x90\x00" * 1_500_000)
