"""The two ways to say no to an upload. The sentence goes to the client, so it names no path."""

from __future__ import annotations

from ominix.errors import JobRefused


def unreadable(why: str) -> JobRefused:
    """`why` ends the sentence "the file ...", for the person who sent it."""
    return JobRefused(f"the file {why}", param="file", code="invalid_audio_format")


def too_long(why: str) -> JobRefused:
    """The audio may be sound, but there is more of it than the server takes."""
    return JobRefused(f"the file {why}", param="file", code="audio_too_long")
