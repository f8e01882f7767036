"""The seam between word times and a model that finds them: a forced aligner.

In: clips with the texts that were heard in them. Out: the words of each text with start and end.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ominix.errors import JobRefused
from ominix.models.recogniser import Features, Prepare, Samples
from ominix.text.sentences import TimedWord


@dataclass(frozen=True)
class Utterance:
    """A clip and what is said in it. Times in seconds of the recording."""

    features: Features
    text: str
    language: str | None  # an English name; None: not known
    start: float  # of the first sample
    end: float  # of the last


class Aligner(Protocol):
    features_kind: str  # as a recogniser's: what both read is computed once

    def features(self, samples: Samples) -> Features:
        """What the model wants to know of a clip's samples."""
        ...

    def refusal(self, language: str | None) -> JobRefused | None:
        """Why words of this language cannot be timed as they should be; None: they can."""
        ...

    def align(self, utterances: Sequence[Utterance]) -> list[list[TimedWord]]:
        """The words of each, in order, with times of the recording. All in one batch."""
        ...


def load(package: str, folder: Path, prepare: Prepare) -> Aligner:
    """`package`: under ominix.models. Raises ValueError for a folder without its model, or a broken one."""
    aligner: Aligner = importlib.import_module(f"ominix.models.{package}.aligner").load(folder, prepare)
    return aligner
