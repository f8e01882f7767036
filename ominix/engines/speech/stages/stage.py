"""The seam for what is done beside the text: a stage. In: parts of recordings. Out: results in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ominix.engines.speech.recording import Part
from ominix.wire.jobs import Helper, TranscriptionJob


class Stage(Protocol):
    """One object for all jobs that name the same helper, so that their parts are worked on together."""

    needs: frozenset[str]
    """What a part must have: "samples" of its clip, the recogniser's "features", its whole "text".

    A stage that needs the text runs on parts that have one, when they are finished; any other runs on every
    part in which somebody speaks, as soon as its clip is there.
    """

    def check(self, job: TranscriptionJob) -> None:
        """Raises JobRefused for a job that cannot be done, before its recording is read."""
        ...

    def run(self, parts: Sequence[Part]) -> None:
        """Work on these parts, of any jobs: at most half a minute of audio, unless one part is longer."""
        ...


# Raises JobRefused for a helper that cannot be loaded.
OpenStage = Callable[[Helper], Stage]
