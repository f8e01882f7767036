"""Which of a container's sound tracks is transcribed. Knows tracks and packets, opens nothing.

The order of preference: the language that is asked for; the film's sound before commentary and descriptions;
what is marked as default; what comes first. Then the first minute is looked at, since a default track may be
silent or damaged: the first track that sounds is taken, else the first that can be decoded.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream

from ominix.audio.codecs import DECODERS
from ominix.audio.piece import Piece
from ominix.text import languages
from ominix.wire.decoding import MAX_TEXT, Opened
from ominix.wire.events import Track

_ASIDE = (
    Disposition.comment
    | Disposition.hearing_impaired
    | Disposition.visual_impaired
    | Disposition.descriptions
    | Disposition.clean_effects
    | Disposition.karaoke
)
_ASIDE_TITLES = re.compile(r"comment|kommentar|descri|director|impaired|karaoke", re.IGNORECASE)
_SILENCE = 1e-4  # of full scale: -80 dB, what a lossy codec makes of zeros
_LOOK_SECONDS = 60.0
_LOOK_PACKETS = 20_000  # of sound
_LOOK_BYTES = 64 << 20


def ranked(tracks: Iterable[AudioStream], language: str | None = None) -> list[AudioStream]:
    """Those that can be decoded, the best one first. `language`: an English name of the language table."""

    def rank(track: AudioStream) -> tuple[bool, bool, bool, int]:
        spoken = languages.find(track.metadata.get("language", ""))
        aside = track.disposition & _ASIDE or _ASIDE_TITLES.search(track.metadata.get("title", ""))
        is_default = track.disposition & Disposition.default
        return language is not None and spoken != language, bool(aside), not is_default, track.index

    return sorted((track for track in tracks if _is_decodable(track)), key=rank)


def announced(container: InputContainer, stream: AudioStream) -> Opened:
    """What the file says of itself and of the track that is taken."""
    ticks = container.duration  # None, or below 0: nobody knows
    seconds = ticks / av.time_base if ticks and ticks > 0 else None
    count = len(container.streams.audio)
    if count == 1:
        return Opened(seconds)
    texts = (stream.metadata.get(name, "")[:MAX_TEXT] for name in ("language", "title"))
    return Opened(seconds, Track(stream.index, count, stream.codec_context.name, *texts))


def _is_decodable(track: AudioStream) -> bool:
    codec = track.codec_context  # None: FFmpeg has no name for it, whatever PyAV's types say
    return codec is not None and codec.codec.name in DECODERS


def sounding(
    packets: Iterable[Packet[Stream]], ranked: list[int], decoded: Callable[[Packet[Stream]], list[Piece]]
) -> int:
    """The index of the best track that sounds in its first minute. `ranked`: indices, `packets`: theirs."""
    heard: set[int] = set()
    seconds: defaultdict[int, float] = defaultdict(float)
    size_bytes = 0
    for count, packet in enumerate(packets):
        index = packet.stream_index
        for piece in decoded(packet):
            seconds[index] += piece.seconds
            if np.abs(piece.samples).max() > _SILENCE:
                heard.add(index)
        size_bytes += packet.size
        is_enough = max(seconds.values(), default=0.0) > _LOOK_SECONDS
        if ranked[0] in heard or is_enough or count > _LOOK_PACKETS or size_bytes > _LOOK_BYTES:
            break
    return next((i for known in (heard, seconds) for i in ranked if i in known), ranked[0])
