"""Samples at any rate, mono or channels side by side -> blocks at 16 kHz, as a stream. Knows no files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import soxr

from ominix.audio.piece import Gap, Samples

SAMPLE_RATE_HZ = 16_000
BLOCK_SAMPLES = 5 * SAMPLE_RATE_HZ

_NOTHING = np.zeros(0, np.float32)


def resampled(stretches: Iterable[tuple[Samples, int] | Gap]) -> Iterator[Samples | Gap]:
    """Samples with their rate in Hz -> 16 kHz: round(n * 16000 / rate) in sum, no seams.

    Where the rate changes, and at a gap, the one signal ends and another begins.
    """
    stream, current_hz, nothing = None, SAMPLE_RATE_HZ, _NOTHING
    for stretch in stretches:
        rate_hz = SAMPLE_RATE_HZ if isinstance(stretch, Gap) else stretch[1]
        if isinstance(stretch, Gap) or rate_hz != current_hz:
            if stream is not None:
                yield stream.resample_chunk(nothing, last=True)
            stream, current_hz = None, rate_hz
        if isinstance(stretch, Gap):
            yield stretch
            continue
        samples = stretch[0]
        if stream is None and rate_hz != SAMPLE_RATE_HZ:
            nothing = samples[:0]
            stream = _stream(rate_hz, samples.size // max(1, len(samples)))
        yield samples if stream is None else stream.resample_chunk(samples)
    if stream is not None:
        yield stream.resample_chunk(nothing, last=True)


def _stream(rate_hz: int, channels: int) -> soxr.ResampleStream:
    return soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, channels, dtype="float32", quality="HQ")


def blocks(stretches: Iterable[Samples | Gap]) -> Iterator[Samples | Gap]:
    """The same samples in blocks of BLOCK_SAMPLES; those before a gap and at the end are shorter."""
    held = _NOTHING
    for stretch in stretches:
        if isinstance(stretch, Gap):
            if len(held):
                yield held
            yield stretch
            held = _NOTHING
            continue
        held = np.concatenate((held, stretch)) if len(held) else stretch
        while len(held) >= BLOCK_SAMPLES:
            yield held[:BLOCK_SAMPLES].copy()
            held = held[BLOCK_SAMPLES:]
    if len(held):
        yield held
