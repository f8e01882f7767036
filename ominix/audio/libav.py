"""Everything but plain samples, through FFmpeg's libraries (PyAV). No ffmpeg program is needed.

FFmpeg is handed a file object, one demuxer and a list of decoders: it opens no file, no address
and no video codec by itself.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from io import FileIO
from typing import Any, NoReturn

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from ominix.audio import mp4_boxes, ogg_links, tracks
from ominix.audio.codecs import DECODERS
from ominix.audio.magic import Kind
from ominix.audio.piece import Gap, Piece, Samples
from ominix.audio.refusals import Ending, unreadable
from ominix.audio.timeline import Timeline
from ominix.errors import JobRefused
from ominix.wire.decoding import Opened

_MAX_PLANES = 7  # from the eighth on PyAV reads past the end of FFmpeg's list of planes
_MAX_FRAME_VALUES = 1 << 22  # samples times channels; FLAC may have 65,535 times 8
_FRAME_OPTIONS = {"max_samples": str(_MAX_FRAME_VALUES)}
_OPTIONS = {
    "codec_whitelist": ",".join(sorted(DECODERS)),
    "protocol_whitelist": "none",
    "max_streams": "64",
    "ignore_chapters": "1",
    **_FRAME_OPTIONS,
}
_FULL_SCALE = {np.dtype("u1"): 128, np.dtype("i2"): 32768, np.dtype("i4"): 1 << 31, np.dtype("i8"): 1 << 63}
_PIECE_VALUES = 1 << 17  # samples times channels: half a MiB
_BARREN_PACKETS = 1000  # more without sound than with it: that is no audio file any more
_MAX_CHANGES = 100  # of rate or channels: joined recordings, not another header at each frame
_STAMPED = frozenset({"asf", "avi", "flv", "matroska", "mov", "mpeg", "mpegts", "ogg"})  # with a clock
_NO_CHANGES = frozenset({"flac"})  # where they come, FFmpeg gives a second or two twice
_EARLY_PACKETS = 100  # of sound, before the first picture: two seconds
_READ_FACTOR, _READ_BYTES = 64, 1 << 30  # bytes to read in all: so often the file, and these


class _Source:
    """The file as FFmpeg sees it: nameless, from where the audio starts, not to be read forever."""

    def __init__(self, file: FileIO, start: int, end: int) -> None:
        self._descriptor, self._start, self._end = file.fileno(), start, end
        self._at = start
        self._left_bytes = _READ_FACTOR * (end - start) + _READ_BYTES

    def read(self, size: int) -> bytes:
        if self._left_bytes < 0:  # the refusal is on its way, through FFmpeg
            return b""
        self._left_bytes -= size
        if self._left_bytes < 0:
            raise unreadable("is damaged: it leads its reader round in circles")
        size = min(size, self._end - self._at)
        data = os.pread(self._descriptor, size, self._at) if size > 0 else b""
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Where it is now; as FFmpeg wants it, negative for a place that does not exist."""
        target = offset + (self._start, self._at, self._end)[whence]
        if target < self._start:
            return -1
        self._at = target
        return target - self._start

    def tell(self) -> int:
        return self._at - self._start


def pieces(
    file: FileIO,
    kind: Kind,
    language: str | None = None,
    on_opened: Callable[[Opened], None] = lambda opened: None,
) -> Iterator[Piece | Gap]:
    """Some seconds each. A frame that cannot be decoded is left out, as a player does.

    `language`: an English name; its track is preferred where there are several. `on_opened` is called before
    the first piece; of joined recordings for each.
    """
    starts_at_0 = kind.demuxer == "mov" and mp4_boxes.check(file, kind.start)
    spans = [(kind.start, file.seek(0, 2))]
    if kind.demuxer == "ogg":
        spans = ogg_links.links(file, kind.start)
    for start, end in spans:
        place = partial(_placed, kind=kind, starts_at_0=starts_at_0, on_opened=on_opened)
        yield from _pieces(partial(_opened, file, start, end, kind), kind, language, place)


def _pieces(
    opened: Callable[[], InputContainer],
    kind: Kind,
    language: str | None,
    placed: Callable[[InputContainer, AudioStream], Iterator[Piece | Gap]],
) -> Iterator[Piece | Gap]:
    with opened() as container:
        streams = tracks.ranked(container.streams.audio, language)
        if not streams:
            raise _without_sound(container, kind)
        if len(streams) == 1:
            yield from placed(container, streams[0])
            return
        index = _sounding(container, streams)
    with opened() as container:
        stream = next(stream for stream in container.streams.audio if stream.index == index)
        yield from placed(container, stream)


def _sounding(container: InputContainer, streams: list[AudioStream]) -> int:
    """The index of the best track that sounds in its first minute."""
    packed = _Packer()
    for stream in streams:
        stream.codec_context.options = dict(_FRAME_OPTIONS)
    order = [stream.index for stream in streams]
    with contextlib.suppress(av.FFmpegError, IndexError):
        packets = container.demux(*streams)
        return tracks.sounding(packets, order, lambda p: [_piece(f) for f in _decoded(p, packed)])
    return order[0]


def _placed(
    container: InputContainer,
    stream: AudioStream,
    kind: Kind,
    starts_at_0: bool,
    on_opened: Callable[[Opened], None],
) -> Iterator[Piece | Gap]:
    on_opened(tracks.announced(container, stream))
    changes = 0 if kind.demuxer in _NO_CHANGES else _MAX_CHANGES
    stream.codec_context.options = dict(_FRAME_OPTIONS)
    ending = Ending()
    if kind.demuxer not in _STAMPED:
        yield from _joined(ending.before_refusal(_frames(container, stream)), changes)
    else:
        timeline = Timeline(0.0 if starts_at_0 else _origin(container))
        frames = ending.before_refusal(_frames(container, stream, timeline))
        yield from _joined(timeline.laid(frames), changes)
    ending.check()


def _without_sound(container: InputContainer, kind: Kind) -> JobRefused:
    if container.streams.audio:
        return unreadable(f"is {kind.name} whose audio is encoded in a way we do not decode")
    held = "only pictures" if container.streams.video else "nothing that sounds"
    return unreadable(f"has no audio stream: {kind.name} with {held}")


def _opened(file: FileIO, start: int, end: int, kind: Kind) -> InputContainer:
    try:
        return av.open(
            _Source(file, start, end),
            mode="r",
            format=kind.demuxer,
            options=_OPTIONS,
            metadata_errors="replace",
            io_open=_refuse_references,
        )
    except av.FFmpegError as error:
        raise unreadable(f"begins like {kind.name} but cannot be read: {error.strerror}") from error


def _refuse_references(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise unreadable("refers to other files: send the audio itself")


def _origin(container: InputContainer) -> float | None:
    """The start of the earliest stream that is seen or heard; None: nobody knows."""
    streams = [*container.streams.audio, *_pictures(container)]
    starts = [s.start_time * float(s.time_base) for s in streams if s.start_time is not None and s.time_base]
    return min(starts, default=None)


def _pictures(container: InputContainer) -> list[VideoStream]:
    """Moving ones, not the cover of an album."""
    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


def _frames(
    container: InputContainer, stream: AudioStream, timeline: Timeline | None = None
) -> Iterator[Piece]:
    """Without a timeline their stamps mean nothing and are left away."""
    packed = _Packer()
    barren = 0  # packets without sound, less those with it
    seconds = 0.0
    try:
        for packet in _packets(container, stream, timeline):
            frames = _decoded(packet, packed)
            barren = max(barren - 1, -_BARREN_PACKETS) if frames else barren + 1
            if barren > _BARREN_PACKETS:
                raise unreadable(f"is damaged after {seconds:.1f} s: hardly a frame is whole there")
            for frame in frames:
                yield (piece := _piece(frame, is_stamped=timeline is not None))
                seconds += piece.seconds
    except av.FFmpegError as error:
        raise unreadable(f"is damaged after {seconds:.1f} s: {error.strerror}") from error


def _packets(
    container: InputContainer, stream: AudioStream, timeline: Timeline | None
) -> Iterator[Packet[Stream]]:
    """Those of the stream. The timeline is told of pictures: of the first ones before anything sounds."""
    pictures = _pictures(container) if timeline else []
    unseen = {picture.index for picture in pictures}
    early: list[Packet[Stream]] = []
    # PyAV raises IndexError after the last packet, where a track has turned up in mid-file.
    with contextlib.suppress(IndexError):
        for packet in container.demux(stream, *pictures):
            if packet.stream_index == stream.index:
                early.append(packet)
            elif timeline:
                unseen.discard(packet.stream_index)
                _note_picture(packet, timeline)
            if len(early) > _EARLY_PACKETS:
                unseen.clear()
            if not unseen:
                yield from early
                early.clear()
    yield from early


def _note_picture(packet: Packet[Stream], timeline: Timeline) -> None:
    if packet.pts is not None:
        tick_seconds = float(packet.time_base)
        timeline.note_picture(packet.pts * tick_seconds, (packet.pts + (packet.duration or 0)) * tick_seconds)


def _decoded(packet: Packet[Stream], packed: _Packer) -> list[AudioFrame]:
    try:
        frames = [f for f in packet.decode() if isinstance(f, AudioFrame) and f.samples and f.sample_rate]
        return [whole for frame in frames for whole in packed(frame)]
    except MemoryError:  # FFmpeg's own, too: no damage, so speech would be lost without a word
        raise
    except av.FFmpegError:
        return []


class _Packer:
    """Frames of many planes as one, the channels interleaved; others pass as they are."""

    def __init__(self) -> None:
        self._form = ("", "", 0)
        self._resampler = av.AudioResampler(format="flt")

    def __call__(self, frame: AudioFrame) -> list[AudioFrame]:
        if not frame.format.is_planar or frame.layout.nb_channels <= _MAX_PLANES:
            return [frame]
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if form != self._form:
            self._form, self._resampler = form, av.AudioResampler(format="flt")
        return self._resampler.resample(frame)


def _piece(frame: AudioFrame, *, is_stamped: bool = False) -> Piece:
    values = frame.to_ndarray()  # (channels, samples), or (1, samples * channels)
    samples = values.T if frame.format.is_planar else values.reshape(frame.samples, -1)
    return Piece(_floats(samples), frame.sample_rate, _roles(frame), frame.time if is_stamped else None)


def _roles(frame: AudioFrame) -> tuple[str, ...]:
    """Of its channels; () if the file does not say."""
    names = tuple(channel.name for channel in frame.layout.channels)
    return names if len(set(names)) == len(names) > 1 else ()


def _floats(samples: npt.NDArray[Any]) -> Samples:
    """Any of FFmpeg's sample formats, hence the Any: unsigned bytes, integers or floats."""
    floats = samples.astype(np.float32)
    if samples.dtype.kind == "f":
        return floats
    middle = np.float32(128 if samples.dtype.kind == "u" else 0)
    return (floats - middle) / np.float32(_FULL_SCALE[samples.dtype])


def _joined(frames: Iterator[Piece | Gap], changes_left: int) -> Iterator[Piece | Gap]:
    """The same sound in pieces of some seconds: some codecs have frames of 2.5 ms."""
    held: list[Piece] = []
    values = 0
    for frame in frames:
        changed = isinstance(frame, Piece) and bool(held) and _form(frame) != _form(held[0])
        changes_left -= changed
        if held and (changed or isinstance(frame, Gap) or values >= _PIECE_VALUES):
            yield _whole(held)
            held, values = [], 0
        if changes_left < 0:
            raise unreadable("changes its rate or channels on the way: send its parts one by one")
        if isinstance(frame, Gap):
            yield frame
        else:
            held.append(frame)
            values += frame.samples.size
    if held:
        yield _whole(held)


def _form(piece: Piece) -> tuple[int, int, tuple[str, ...]]:
    return piece.sample_rate_hz, piece.samples.shape[1], piece.roles


def _whole(held: list[Piece]) -> Piece:
    return held[0]._replace(samples=np.concatenate([piece.samples for piece in held]))
