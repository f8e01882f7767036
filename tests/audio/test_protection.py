"""Files that lack something, the key or the beginning, are named as what they are."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from sounds import chirp, encoded, heard, likeness

from ominix.errors import JobRefused

CASES = Path(__file__).parents[1] / "data" / "cases"
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "500000"}
SOUND = chirp(48_000)
FRAGMENTED = encoded("mp4", "aac", [SOUND], options=FRAGMENTS)
OGG = encoded("ogg", "libopus", [SOUND])


@pytest.fixture
def file(tmp_path):
    return tmp_path / "upload.txt"


def refusal(file, data):
    with pytest.raises(JobRefused) as caught:
        heard(file, data)
    assert (caught.value.param, caught.value.code) == ("file", "invalid_audio_format")
    return caught.value.message


def element(number, *parts):
    body = b"".join(parts)
    return bytes.fromhex(number) + struct.pack(">Q", 1 << 56 | len(body)) + body


def encrypted_webm():
    """The header says that the packets are encrypted (as those of Widevine are)."""
    key = element("47e2", b"key")
    encryption = element("5035", element("47e1", b"\5"), key)
    encodings = element("6d80", element("6240", element("5033", b"\1"), encryption))
    sound = element("e1", element("b5", struct.pack(">d", 48_000)), element("9f", b"\1"))
    more = b"".join((element("d7", b"\1"), element("83", b"\2"), element("86", b"A_VORBIS"), sound))
    head = element("1a45dfa3", element("4282", b"webm"))
    return head + element("18538067", element("1654ae6b", element("ae", more, encodings)))


def protected_asf():
    data = bytearray(encoded("asf", "wmav2", [SOUND], bit_rate=96_000))
    scheme = bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e") + struct.pack("<Q", 40) + bytes(16)
    data[30:30] = scheme
    data[16:24] = struct.pack("<Q", int.from_bytes(data[16:24], "little") + len(scheme))
    data[24:28] = struct.pack("<I", int.from_bytes(data[24:28], "little") + 1)
    return bytes(data)


def scrambled_transport():
    data = bytearray(encoded("mpegts", "aac", [SOUND]))
    for at in range(0, len(data), 188):
        pid = (data[at + 1] & 0x1F) << 8 | data[at + 2]
        data[at + 3] |= 0x80 if pid >= 0x100 else 0  # tables are never scrambled
    return bytes(data)


PROTECTED = {
    "drms": (CASES / "protected.m4p").read_bytes(),
    "enca": encoded("ipod", "aac", [SOUND]).replace(b"mp4a", b"enca", 1),
    "enca in fragments": FRAGMENTED.replace(b"mp4a", b"enca", 1),
    "audible": encoded("ipod", "aac", [SOUND]).replace(b"mp4a", b"aavd", 1).replace(b"M4A ", b"aax "),
    "old audible": b"\0\0\1\0\x57\x90\x75\x36" + bytes(1000),
    "windows media": protected_asf(),
    "webm": encrypted_webm(),
    "television": scrambled_transport(),
    "sony": b"ea3\3\0\0\0\0\0\0EA3\2\0\x60\0\1" + bytes(90),
}


@pytest.mark.parametrize("kind", PROTECTED)
def test_protected_files_are_called_that(file, kind):
    message = refusal(file, PROTECTED[kind])
    assert "protected" in message
    assert "encrypted" in message


def test_a_track_that_is_not_protected_is_heard(file):
    noise = chirp(48_000)[::-1].copy()
    data = encoded("mp4", "aac", [SOUND, noise])
    at = data.rfind(b"mp4a")
    assert likeness(heard(file, data[:at] + b"enca" + data[at + 4 :]))[0] > 0.99


def second(data, mark, n=1):
    at = 0
    for _ in range(n):
        at = data.index(mark, at + 1)
    return data[at:]


CLUSTER = (CASES / "second-piece.webm").read_bytes()
PIECES = {
    "cluster": CLUSTER,
    "block": CLUSTER[9:],
    "inside a block": CLUSTER[99:] + CLUSTER,
    "fragment": second(FRAGMENTED, b"moof", 2).join((b"\0\0\0\x64", b"")),
    "fragment with its type": b"\0\0\0\x10stypmsdh\0\0\0\0" + FRAGMENTED[FRAGMENTED.index(b"moof") - 4 :],
    "inside a fragment": FRAGMENTED[FRAGMENTED.index(b"mdat") + 99 :],
    "ogg": second(OGG, b"OggS", 3),
    "inside a page of ogg": OGG[OGG.index(b"OggS", 900) + 100 :],
}


@pytest.mark.parametrize("kind", PIECES)
def test_a_later_piece_says_that_the_pieces_belong_together(file, kind):
    message = refusal(file, PIECES[kind])
    assert "beginning" in message
    assert "is missing" in message
    assert "belong together" in message


def test_an_ogg_recording_that_begins_in_the_middle_of_a_song_is_heard_from_the_next_one_on(file):
    samples = heard(file, OGG[OGG.index(b"OggS", 900) + 100 :] + encoded("ogg", "libopus", [SOUND]))
    assert likeness(samples)[0] > 0.99


def test_an_mp4_without_index_says_what_to_do(file):
    message = refusal(file, encoded("ipod", "aac", [SOUND])[:9_000])
    assert "no index" in message
    assert "repair" in message
