"""What a worker and its decode children say to each other. `transport` carries it.

Down goes one Decode at a time, with the file's descriptor. Back come Opened, then Samples and Gaps, as many
as it takes, then Decoded or DecodeRefused. Before all that a child says Ready, once. Its death reads as
end-of-file.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from ominix.wire.events import Track


class Decode(Struct, frozen=True, array_like=True, tag=True):
    """Decode the file whose descriptor comes along. The bounds are those of `decode.blocks`."""

    max_seconds: float
    max_bytes: int
    channel: str | None = None
    language: str | None = None  # an English name: its sound track is preferred


class Ready(Struct, frozen=True, array_like=True, tag=True):
    """Everything is imported and the limits are set."""


class Opened(Struct, frozen=True, array_like=True, tag=True):
    """What the file says of itself, before its first block; the seconds may be wrong."""

    seconds: float | None  # None: it does not say
    track: Track | None = None  # the one that is decoded, of several


class Samples(Struct, frozen=True, array_like=True, tag=True):
    """A block: float32 in the machine's byte order, 16 kHz; channels side by side if they are separate."""

    block: bytes
    channels: int | None = None


class Gap(Struct, frozen=True, array_like=True, tag=True):
    """Between two blocks nothing was recorded, or it is lost."""

    seconds: float


class Decoded(Struct, frozen=True, array_like=True, tag=True):
    """The file's end; the child can decode another one."""


class DecodeRefused(Struct, frozen=True, array_like=True, tag=True):
    """The file's end: it cannot be decoded, and the child knows why; it can decode another one."""

    message: str
    param: str | None
    code: str | None


Answer = Ready | Opened | Samples | Gap | Decoded | DecodeRefused
MAX_TEXT = 200  # characters of what a Track says
ANSWERS = msgspec.msgpack.Decoder(Answer)
COMMANDS = msgspec.msgpack.Decoder(Decode)
