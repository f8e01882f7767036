"""The ways to say no to an upload. The sentence goes to the client, so it names no path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from ominix.errors import JobRefused

T = TypeVar("T")


class Ending:
    """Puts a refusal off, until the generators behind have handed on what they hold: it was heard."""

    def __init__(self) -> None:
        self._refusal: JobRefused | None = None

    def before_refusal(self, items: Iterable[T]) -> Iterator[T]:
        """End where they are refused; `check` raises it."""
        try:
            yield from items
        except JobRefused as error:
            self._refusal = error

    def check(self) -> None:
        if self._refusal:
            raise self._refusal


def unreadable(why: str) -> JobRefused:
    """`why` ends the sentence "the file ...", for the person who sent it."""
    return JobRefused(f"the file {why}", param="file", code="invalid_audio_format")


def too_long(why: str) -> JobRefused:
    """The audio may be sound, but there is more of it than the server takes."""
    return JobRefused(f"the file {why}", param="file", code="audio_too_long")


def protected() -> JobRefused:
    return unreadable(
        "is protected: it is encrypted (DRM), and only the shop's or service's own player has the key. "
        "Send a recording without protection"
    )


def later_piece(what: str) -> JobRefused:
    """`what`: "a WebM recording"."""
    return unreadable(
        f"is a later piece of {what}: the beginning, which says how to decode it, is missing. "
        "The pieces belong together: join them in their order, from the first on, and send them as one file"
    )
