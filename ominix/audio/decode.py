"""An open audio file -> float32 mono at 16 kHz, as a stream: hours take no more memory than a minute.

Knows nothing about models, jobs or HTTP. What kind of file it is the bytes say, never the name.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from io import FileIO

import numpy as np

from ominix.audio import channels, lengths, libav, pcm, resample, sniff
from ominix.audio.channels import Choice
from ominix.audio.piece import Gap, Piece, Samples
from ominix.audio.refusals import Ending, too_long, unreadable
from ominix.wire.decoding import Opened

_RATES_HZ = (2_000, 3_000_000)  # the highest: DSD512, as FFmpeg decodes it
_MAX_CHANNELS = 32
FLAG = "--max-audio-hours"  # of `ominix serve`
_LOUDEST = 1e6  # integers stored as floats exceed full scale; squares must stay finite


def blocks(
    descriptor: int,
    *,
    max_seconds: float,
    max_bytes: int,
    channel: str | None = None,
    language: str | None = None,
    on_opened: Callable[[Opened], None] = lambda opened: None,
) -> Iterator[Samples | Gap]:
    """The audio of an open file in blocks of (80000,) samples, five seconds each.

    Gaps stand between blocks for what was not recorded or is lost, and for the time before the sound begins;
    shorter blocks are before gaps and at the end.

    `on_opened` is called before the first block, of joined recordings for each.

    The descriptor belongs to this call: it is closed with the iterator, also with one that was never asked.

    `max_bytes` bounds the decoded samples of all channels, at their own rate, as float32. The
    channels count by their roles, unless `channel` chooses (see `channels`); of separate ones a block has
    (80000, channels) samples. NaN and infinity become 0; what exceeds full scale stays.

    A file that ends early is decoded as far as it goes, whatever its header says: streams have no
    end mark, and whether an upload is whole HTTP tells. Frames that cannot be decoded are left
    out. Where nothing can be read from some place on, the refusal comes after what is before it.

    Raises JobRefused (param "file") while it is iterated, after all that can be heard: code "audio_too_long"
    behind the bounds, else "invalid_audio_format"; with param "channel" for one that is
    not there. Raises OSError if the file cannot be read.
    """
    try:
        file = FileIO(descriptor)
    except OSError:
        os.close(descriptor)
        raise
    bounds = _Bounds(max_seconds, max_bytes)
    pieces = partial(_pieces, file, language, on_opened)
    return _blocks(file, bounds, channels.chosen(channel), pieces)


def _blocks(
    file: FileIO, bounds: _Bounds, choice: Choice, opened: Callable[[], Iterator[Piece | Gap]]
) -> Iterator[Samples | Gap]:
    with file:
        empty = True
        ending = Ending()
        pieces = ending.before_refusal(bounds.within(opened()))
        for block in resample.blocks(resample.resampled(_chosen(pieces, choice))):
            empty = empty and isinstance(block, Gap)
            yield block
        ending.check()
        if empty:
            raise unreadable("has 0 samples of audio")


def _pieces(file: FileIO, language: str | None, on_opened: Callable[[Opened], None]) -> Iterator[Piece | Gap]:
    kind = sniff.kind(file)
    sound = pcm.opened(file) if kind.demuxer in pcm.DEMUXERS else None
    if sound is None:
        return libav.pieces(file, kind, language, on_opened)
    on_opened(Opened(sound.frames / sound.samplerate))
    return pcm.pieces(sound)


class _Bounds:
    def __init__(self, max_seconds: float, max_bytes: int) -> None:
        self._max_seconds = max_seconds
        self._max_bytes = max_bytes

    def within(self, pieces: Iterable[Piece | Gap]) -> Iterator[Piece | Gap]:
        """Raises JobRefused after all that is within the bounds."""
        seconds, size = 0.0, 0
        for piece in pieces:
            seconds += piece.seconds
            if isinstance(piece, Piece):
                _check(piece)
                size += piece.samples.nbytes
            if seconds > self._max_seconds:
                left_seconds = piece.seconds - (seconds - self._max_seconds)
                if left_seconds > 0:
                    yield _beginning(piece, left_seconds)
                longest = lengths.spelled(self._max_seconds)
                raise too_long(f"has more than the {longest} of audio that are allowed ({FLAG})")
            if size > self._max_bytes:
                why = f"unpacks to more than the {self._max_bytes} bytes of samples that are allowed"
                raise too_long(why)
            yield piece


def _beginning(piece: Piece | Gap, seconds: float) -> Piece | Gap:
    if isinstance(piece, Gap):
        return Gap(seconds)
    return piece._replace(samples=piece.samples[: math.ceil(seconds * piece.sample_rate_hz)])


def _check(piece: Piece) -> None:
    low, high = _RATES_HZ
    if not low <= piece.sample_rate_hz <= high:
        raise unreadable(f"claims {piece.sample_rate_hz} samples a second: {low} to {high} are possible")
    channels = piece.samples.shape[1]
    if not 1 <= channels <= _MAX_CHANNELS:
        raise unreadable(f"claims {channels} channels: up to {_MAX_CHANNELS} are possible")


def _chosen(pieces: Iterable[Piece | Gap], choice: Choice) -> Iterator[tuple[Samples, int] | Gap]:
    for piece in pieces:
        if isinstance(piece, Gap):
            yield piece
            continue
        finite = np.nan_to_num(piece.samples, nan=0.0, posinf=0.0, neginf=0.0)
        bounded = np.clip(finite, -_LOUDEST, _LOUDEST)
        yield choice(piece._replace(samples=bounded)), piece.sample_rate_hz
