"""The decode child: `python -P -m ominix.audio.child FD MEMORY_BYTES CPU_SECONDS`.

In: over the Unix socket FD, the descriptor of an audio file with each Decode. Out: blocks of samples
(float32, mono, 16 kHz) and gaps, then how it ended. One file at a time.

Files come from strangers, and codecs are large C programs. What a file does to this process, a crash, a
loop, all the memory, costs one job: there is no model here, and nobody else's recording. When the socket is
full the child waits, so hours of audio never pile up.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import signal
import sys
from typing import NoReturn

from ominix import limits
from ominix.audio import decode, piece
from ominix.errors import JobRefused
from ominix.limits import Watch
from ominix.wire import transport
from ominix.wire.decoding import COMMANDS, Decode, Decoded, DecodeRefused, Gap, Opened, Ready, Samples
from ominix.wire.transport import Transport

# PyAV imports a module for each of these with the first file that has such a stream, when nothing can be
# opened any more. Which of them have one depends on its version.
_STREAMS = ("audio", "video", "subtitles", "data", "attachments")
_SOCKET = 3  # the first number behind the standard ones


def main() -> NoReturn:
    """Ends with end-of-file: the parent has gone or lets us go."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then ends us
    faulthandler.enable()
    inherited, memory_bytes, cpu_seconds = map(int, sys.argv[1:])
    os.dup2(inherited, _SOCKET)
    os.closerange(_SOCKET + 1, inherited + 1)
    _import_streams()
    end = transport.end_of(_SOCKET)
    parent = Transport(end, COMMANDS)
    watch = Watch(end, memory_bytes, cpu_seconds)
    watch.start()
    limits.confine(memory_bytes, _SOCKET)
    try:
        parent.send(Ready())
        while True:
            for received in parent.receive(None):
                _serve(parent, watch, received.message, received.descriptors.take())
    except (EOFError, ConnectionError):
        os._exit(0)


def _import_streams() -> None:
    for kind in _STREAMS:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(f"av.{kind}.stream")


def _serve(parent: Transport[Decode], watch: Watch, command: Decode, descriptor: int) -> None:
    try:
        _send_blocks(parent, watch, command, descriptor)
    except JobRefused as error:
        parent.send(DecodeRefused(error.message, error.param, error.code))
    except MemoryError:
        os._exit(limits.OUT_OF_MEMORY)  # what is left of the bound is not enough for another file
    except ConnectionError:
        raise
    except OSError as error:  # of a disk or a file system far away
        parent.send(DecodeRefused(f"the file cannot be read: {error.strerror}", "file", None))
    else:
        parent.send(Decoded())


def _send_blocks(parent: Transport[Decode], watch: Watch, command: Decode, descriptor: int) -> None:
    opened: list[Opened] = []
    blocks = decode.blocks(
        descriptor,
        max_seconds=command.max_seconds,
        max_bytes=command.max_bytes,
        channel=command.channel,
        language=command.language,
        on_opened=opened.append,
    )
    while True:
        with watch.computing():
            block = next(blocks, None)
        if block is None:
            return
        while opened:
            parent.send(opened.pop(0))
        parent.send(_sent(block))


def _sent(block: piece.Samples | piece.Gap) -> Samples | Gap:
    if isinstance(block, piece.Gap):
        return Gap(block.seconds)
    return Samples(block.tobytes(), block.shape[1] if block.ndim == 2 else None)


if __name__ == "__main__":
    main()
