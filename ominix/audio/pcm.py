"""WAV, AIFF, AU and Wave64 with plain samples in them, through libsndfile.

Compressed audio goes through FFmpeg instead, whatever libsndfile could read of it: of joined MP3,
FLAC and Ogg files libsndfile decodes the first alone, and it believes a wrong length in a header,
so speech is lost without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import FileIO

import soundfile

from ominix.audio.piece import Piece
from ominix.audio.refusals import unreadable

DEMUXERS = frozenset({"wav", "w64", "aiff", "au"})
_SUBTYPES = frozenset({"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"})
_WITH_ROLES = range(3, 33)  # libsndfile does not say which channel is the centre
_READ_VALUES = 1 << 18  # samples times channels at once: 1 MiB of float32


def opened(file: FileIO) -> soundfile.SoundFile | None:
    """The file for `pieces`; None where FFmpeg has to try: other codecs, a size of 0, channels with roles."""
    file.seek(0)  # libsndfile takes the position of the descriptor as the file's start
    try:
        sound = soundfile.SoundFile(file.fileno(), closefd=False)
    except soundfile.LibsndfileError:
        return None
    if sound.subtype in _SUBTYPES and sound.frames > 0 and sound.channels not in _WITH_ROLES:
        return sound
    sound.close()
    return None


def pieces(sound: soundfile.SoundFile) -> Iterator[Piece]:
    """What the file holds, also where its header claims more."""
    frames = max(1, _READ_VALUES // sound.channels)
    with sound:
        while True:
            try:
                samples = sound.read(frames, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                raise unreadable(f"is damaged: {error.error_string}") from error
            if not len(samples):
                return
            yield Piece(samples, sound.samplerate)
