"""Of several sound tracks the one that a person means is heard, none that is silent or cannot be decoded."""

from __future__ import annotations

import io
import os
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from sounds import SECONDS, blocks_of, chirp, encoded, heard, likeness

from ominix.audio import decode, tracks
from ominix.wire.events import Track

CASES = Path(__file__).parents[1] / "data" / "cases"
NOISE = np.random.default_rng(1).standard_normal(48_000 * SECONDS).astype(np.float32) / 9
SILENCE = np.zeros(48_000 * SECONDS, np.float32)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "upload"


@pytest.mark.parametrize("container", ["matroska", "mp4", "mpegts"])
def test_a_silent_default_track_loses_to_one_that_sounds(file, container):
    assert likeness(heard(file, encoded(container, "aac", [SILENCE, chirp(48_000)])))[0] > 0.99


def test_of_silent_tracks_the_default_one_is_heard(file):
    samples = heard(file, encoded("matroska", "aac", [SILENCE, SILENCE], default_track=1))
    assert len(samples) / 16_000 == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.parametrize(
    ("container", "codec", "sounds", "track"),
    [
        ("matroska", "aac", [SILENCE, NOISE], Track(1, 2, "aac")),
        ("mp4", "aac", [NOISE, SILENCE], Track(0, 2, "aac", "und")),
        ("matroska", "aac", [NOISE], None),
        ("wav", "pcm_s16le", [NOISE], None),
        ("flac", "flac", [NOISE], None),
    ],
)
def test_what_a_file_says_of_itself_comes_before_its_sound(file, container, codec, sounds, track):
    file.write_bytes(encoded(container, codec, sounds))
    opened = []
    descriptor = os.open(file, os.O_RDONLY)
    blocks = decode.blocks(descriptor, max_seconds=60, max_bytes=1 << 30, on_opened=opened.append)
    next(blocks)
    assert [(o.seconds, o.track) for o in opened] == [(pytest.approx(SECONDS, abs=0.1), track)]


@pytest.mark.parametrize("name", ["unknown-codec-first.mkv", "silent-first.mkv"])
def test_cases(name):
    samples = np.concatenate([block for block in blocks_of(CASES / name) if isinstance(block, np.ndarray)])
    assert np.abs(samples).max() > 0.05
    assert len(samples) / 16_000 == pytest.approx(6.9, abs=0.1)


def test_a_track_that_decodes_to_nothing_loses(file):
    """Its packets hold what no decoder understands."""
    data = encoded("matroska", "aac", [NOISE, chirp(48_000)])
    with av.open(io.BytesIO(data)) as given:
        packets = [bytes(p) for p in given.demux() if p.stream_index == 0 and p.size]
    for packet in packets:
        data = data.replace(packet, b"\xff" * len(packet))
    assert likeness(heard(file, data))[0] > 0.99


def ranking(*marks, language=None):
    """The order of tracks with (disposition, language, title) each."""
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as made:
        streams = [made.add_stream("pcm_s16le", rate=48_000, layout="mono") for _ in marks]
        for stream, (disposition, tongue, title) in zip(streams, marks, strict=True):
            stream.disposition = disposition
            stream.metadata.update(language=tongue, title=title)
        for stream in streams:
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 4_800), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 48_000, 0
            made.mux(stream.encode(frame))
            made.mux(stream.encode(None))
    with av.open(io.BytesIO(out.getvalue())) as opened:
        return [stream.index for stream in tracks.ranked(opened.streams.audio, language)]


NONE, DEFAULT, COMMENT = Disposition(0), Disposition.default, Disposition.comment


def test_the_order_of_preference():
    assert ranking((NONE, "eng", ""), (DEFAULT, "ger", "")) == [1, 0]
    assert ranking((DEFAULT | COMMENT, "eng", ""), (NONE, "eng", "")) == [1, 0]
    assert ranking((DEFAULT, "eng", "Director's commentary"), (NONE, "eng", "")) == [1, 0]
    assert ranking((Disposition.visual_impaired, "eng", ""), (NONE, "eng", "")) == [1, 0]


def test_the_language_that_is_asked_for_comes_first():
    dubbed = (DEFAULT, "eng", ""), (NONE, "ger", ""), (NONE, "ger", "Kommentar")
    assert ranking(*dubbed) == [0, 1, 2]
    assert ranking(*dubbed, language="German") == [1, 2, 0]
    assert ranking(*dubbed, language="Norwegian") == [0, 1, 2]


def test_the_track_of_the_language_is_decoded(file):
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as made:
        streams = [made.add_stream("pcm_s16le", rate=16_000, layout="mono") for _ in range(2)]
        for stream, tongue in zip(streams, ("eng", "ger"), strict=True):
            stream.metadata["language"] = tongue
        for stream, level in zip(streams, (1_000, 9_000), strict=True):
            values = np.full((1, 16_000), level, np.int16)
            frame = av.AudioFrame.from_ndarray(values, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16_000, 0
            made.mux(stream.encode(frame))
            made.mux(stream.encode(None))
    file.write_bytes(out.getvalue())
    for language, level in ((None, 1_000), ("English", 1_000), ("German", 9_000)):
        given = os.open(file, os.O_RDONLY)
        found = decode.blocks(given, max_seconds=60, max_bytes=1 << 30, language=language)
        assert np.concatenate(list(found)).max() == pytest.approx(level / 32768, abs=0.001)
