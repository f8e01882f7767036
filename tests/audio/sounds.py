"""Sounds made at test time, and files of them in any container FFmpeg or libsndfile writes."""

from __future__ import annotations

import io
import os

import av
import numpy as np
import soundfile
from av.stream import Disposition

from ominix.audio import decode

SECONDS = 3
HOURS = 3600.0 * 3
PLENTY = 1 << 34


def chirp(rate_hz, seconds=SECONDS):
    """A tone that glides between 100 and 500 Hz and swells and fades: no two moments alike."""
    t = np.arange(round(rate_hz * seconds)) / rate_hz
    phase = 2 * np.pi * (300 * t + 200 / (2 * np.pi * 0.7) * np.sin(2 * np.pi * 0.7 * t))
    return (0.4 * np.sin(phase) * (0.6 + 0.4 * np.sin(2 * np.pi * 1.1 * t))).astype(np.float32)


def written(samples, rate_hz, form, subtype=None, endian=None, **more):
    """The bytes of a file by libsndfile."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format=form, subtype=subtype, endian=endian, **more)
    return buffer.getvalue()


def encoded(
    container,
    codec,
    tracks,
    rate_hz=48_000,
    layout="mono",
    options=None,
    video=False,
    default_track=0,
    frame_size=1024,
    bit_rate=None,
    start_seconds=0.0,
    pause=(SECONDS, 0.0),
):
    """The bytes of a file by FFmpeg, with one track for each of the mono `tracks`.

    `frame_size` is for codecs that leave it open. The sound's stamps begin at `start_seconds`; from
    `pause[0]` seconds of sound on they are `pause[1]` later.
    """
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options=options or {}) as out:
        picture = _picture_track(out) if video else None
        streams = [out.add_stream(codec, rate=rate_hz, layout=layout) for _ in tracks]
        for n, stream in enumerate(streams):
            if bit_rate:
                stream.bit_rate = bit_rate
            stream.disposition = Disposition.default if n == default_track else Disposition.comment
        if picture is not None:
            _write_pictures(out, picture)
        for stream, samples in zip(streams, tracks, strict=True):
            _write_sound(out, stream, samples, frame_size, start_seconds, pause)
    return buffer.getvalue()


def _write_sound(out, stream, samples, frame_size, start_seconds, pause):
    form, layout = stream.format, stream.layout
    values = np.repeat(samples, layout.nb_channels).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(values, format="flt", layout=layout.name)
    frame.sample_rate = stream.rate
    size = stream.codec_context.frame_size or frame_size
    shape = av.AudioResampler(format=form, layout=layout, rate=stream.rate, frame_size=size)
    written = 0
    for piece in [*shape.resample(frame), *shape.resample(None), None]:
        if piece is not None:
            later = pause[1] if written >= pause[0] * stream.rate else 0.0
            piece.pts = written + round((start_seconds + later) * stream.rate)
            written += piece.samples
        out.mux(stream.encode(piece))


def _picture_track(out):
    stream = out.add_stream("mpeg4", rate=10)
    stream.width = stream.height = 32
    stream.pix_fmt = "yuv420p"
    return stream


def _write_pictures(out, stream):
    for n in range(10 * SECONDS):
        picture = np.full((32, 32, 3), 8 * n % 255, np.uint8)
        out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
    out.mux(stream.encode(None))


def blocks_of(path, *, max_seconds=HOURS, max_bytes=PLENTY):
    """`decode.blocks` of a file by its name."""
    return decode.blocks(os.open(path, os.O_RDONLY), max_seconds=max_seconds, max_bytes=max_bytes)


def heard(path, data, max_seconds=HOURS, max_bytes=PLENTY):
    """What decode makes of these bytes, in one piece."""
    path.write_bytes(data)
    return np.concatenate(list(blocks_of(path, max_seconds=max_seconds, max_bytes=max_bytes)))


def likeness(heard_samples, rate_hz=16_000):
    """The correlation with the chirp at its best shift up to 0.1 s, and that shift in seconds."""
    wanted = chirp(rate_hz)
    n, most = len(wanted) // 2, rate_hz // 10
    middle = wanted[most : most + n]
    window = heard_samples[: n + 2 * most]
    energy = np.cumsum(np.concatenate(([0], window.astype(np.float64) ** 2)))
    norms = np.sqrt((energy[n:] - energy[:-n]) * np.square(middle).sum()) + 1e-9
    scores = np.correlate(window, middle, "valid") / norms
    best = int(np.argmax(scores))
    return scores[best], (best - most) / rate_hz
