"""Everything but plain samples, through FFmpeg's libraries (PyAV). No ffmpeg program is needed.

FFmpeg is handed a file object, one demuxer and a list of decoders: it opens no file, no address
and no video codec by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import FileIO
from typing import Any, NoReturn

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from ominix.audio import mp4_boxes
from ominix.audio.piece import Piece, Samples
from ominix.audio.refusals import unreadable
from ominix.audio.sniff import Kind

# fmt: off
_DECODERS = frozenset([
    "aac", "aac_latm", "alac", "flac", "opus", "vorbis", "speex", "ac3", "eac3",
    "mp1", "mp1float", "mp2", "mp2float", "mp3", "mp3float", "amrnb", "amrwb",
    "wmav1", "wmav2", "wmapro", "wmavoice", "gsm", "gsm_ms", "g722", "ilbc", "nellymoser",
    "adpcm_ima_qt", "adpcm_ima_wav", "adpcm_ms", "adpcm_swf", "adpcm_yamaha",
    "pcm_alaw", "pcm_mulaw", "pcm_u8", "pcm_s8", "pcm_s16be", "pcm_s16le",
    "pcm_s24be", "pcm_s24le", "pcm_s32be", "pcm_s32le", "pcm_f32be", "pcm_f32le",
    "pcm_f64be", "pcm_f64le", "pcm_bluray", "pcm_dvd",
])
# fmt: on
_MAX_FRAME_SAMPLES = 1 << 18  # the longest of real codecs are 65,536
_OPTIONS = {
    "codec_whitelist": ",".join(sorted(_DECODERS)),
    "protocol_whitelist": "none",
    "max_streams": "64",
    "ignore_chapters": "1",
    "max_samples": str(_MAX_FRAME_SAMPLES),
}
_FULL_SCALE = {np.dtype("u1"): 128, np.dtype("i2"): 32768, np.dtype("i4"): 2147483648}
_BARREN_PACKETS = 1000  # more without sound than with it: that is no audio file any more
_MAX_CHANGES = 100  # of rate or channels: joined recordings, not another header at each frame
_READ_FACTOR, _READ_BYTES = 64, 1 << 30  # bytes to read in all: so often the file, and these


class _Source:
    """The file as FFmpeg sees it: nameless, from where the audio starts, not to be read forever."""

    def __init__(self, file: FileIO, start: int) -> None:
        self._file, self._start, self._size = file, start, file.seek(0, 2)
        self._left_bytes = _READ_FACTOR * self._size + _READ_BYTES
        file.seek(start)

    def read(self, size: int) -> bytes:
        data: bytes = self._file.read(size)
        self._left_bytes -= size
        if self._left_bytes < 0:
            raise unreadable("is damaged: it leads its reader round in circles")
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Where it is now; as FFmpeg wants it, negative for a place that does not exist."""
        target = offset + (self._start, self._file.tell(), self._size)[whence]
        if not self._start <= target < 1 << 62:
            return -1
        return self._file.seek(target) - self._start

    def tell(self) -> int:
        return self._file.tell() - self._start


def pieces(file: FileIO, kind: Kind) -> Iterator[Piece]:
    """About a second each. A frame that cannot be decoded is left out, as a player does."""
    if kind.demuxer == "mov":
        mp4_boxes.check(file, kind.start)
    try:
        container = av.open(
            _Source(file, kind.start),
            mode="r",
            format=kind.demuxer,
            options=_OPTIONS,
            metadata_errors="replace",
            io_open=_refuse_references,
        )
    except av.FFmpegError as error:
        raise unreadable(f"begins like {kind.name} but cannot be read: {error.strerror}") from error
    with container:
        yield from _joined(_frames(container, _stream(container, kind)))


def _refuse_references(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise unreadable("refers to other files: send the audio itself")


def _stream(container: InputContainer, kind: Kind) -> AudioStream:
    """The track to transcribe: the one marked as default, not the commentary."""
    stream = container.streams.best("audio") or next(iter(container.streams.audio), None)
    if not isinstance(stream, AudioStream):
        held = "only pictures" if container.streams.video else "nothing that sounds"
        raise unreadable(f"has no audio stream: {kind.name} with {held}")
    codec = stream.codec_context
    if codec is None or codec.codec.name not in _DECODERS:
        raise unreadable(f"is {kind.name} whose audio is encoded in a way we do not decode")
    codec.options = {"max_samples": str(_MAX_FRAME_SAMPLES)}
    return stream


def _frames(container: InputContainer, stream: AudioStream) -> Iterator[Piece]:
    barren = 0  # packets without sound, less those with it
    seconds = 0.0
    try:
        for packet in container.demux(stream):
            frames = _decoded(packet)
            barren = max(barren - 1, -_BARREN_PACKETS) if frames else barren + 1
            if barren > _BARREN_PACKETS:
                raise unreadable(f"is damaged after {seconds:.1f} s: hardly anything there can be decoded")
            for frame in frames:
                yield (piece := _piece(frame))
                seconds += piece.seconds
    except av.FFmpegError as error:
        raise unreadable(f"is damaged after {seconds:.1f} s: {error.strerror}") from error


def _decoded(packet: Packet[AudioStream]) -> list[AudioFrame]:
    try:
        return [f for f in packet.decode() if f.samples and f.sample_rate]
    except av.FFmpegError:
        return []


def _piece(frame: AudioFrame) -> Piece:
    values = frame.to_ndarray()  # (channels, samples), or (1, samples * channels)
    samples = values.T if frame.format.is_planar else values.reshape(frame.samples, -1)
    return Piece(_floats(samples), frame.sample_rate)


def _floats(samples: npt.NDArray[Any]) -> Samples:
    """Any of FFmpeg's sample formats, hence the Any: unsigned bytes, integers or floats."""
    floats = samples.astype(np.float32)
    if samples.dtype.kind == "f":
        return floats
    middle = np.float32(128 if samples.dtype.kind == "u" else 0)
    return (floats - middle) / np.float32(_FULL_SCALE[samples.dtype])


def _joined(frames: Iterator[Piece]) -> Iterator[Piece]:
    """The same sound in pieces of a second: some codecs have frames of 2.5 ms."""
    held: list[Samples] = []
    shape, length, changes = (0, 0), 0, 0
    for samples, rate_hz in frames:
        if (rate_hz, samples.shape[1]) != shape or length >= rate_hz:
            if held:
                yield Piece(np.concatenate(held), shape[0])
            changes += (rate_hz, samples.shape[1]) != shape
            if changes > _MAX_CHANGES:
                raise unreadable(f"changes its rate or channels more than {_MAX_CHANGES} times")
            held, shape, length = [], (rate_hz, samples.shape[1]), 0
        held.append(samples)
        length += len(samples)
    if held:
        yield Piece(np.concatenate(held), shape[0])
