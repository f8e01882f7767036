"""The stage that times words: a forced aligner, loaded when the first job wants it.

In: parts with their text. Out: each part's words, with times in seconds of the recording.

It runs in the speech model's worker, whose samples and features it shares. Knows nothing of events.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ominix import locks
from ominix.engines.speech.recording import Part
from ominix.errors import JobRefused
from ominix.models import aligner, claims
from ominix.models.aligner import Aligner, Utterance
from ominix.models.recogniser import Prepare
from ominix.wire.jobs import Helper, TranscriptionJob

log = logging.getLogger("ominix.speech")

_LOCK_SECONDS = 5.0  # others look at a folder's lock for an instant


class Words:
    def __init__(self, aligner: Aligner, features_kind: str) -> None:
        """`features_kind`: of the recogniser's features; those of another kind are no use to the aligner."""
        self._aligner = aligner
        self._shares_features = aligner.features_kind == features_kind
        self.needs = frozenset({"text", "features" if self._shares_features else "samples"})

    def check(self, job: TranscriptionJob) -> None:
        """A language that is not given is looked at when it has been heard."""
        if refusal := self._aligner.refusal(job.language):
            raise refusal

    def run(self, parts: Sequence[Part]) -> None:
        found = self._aligner.align([self._utterance(part) for part in parts])
        for part, words in zip(parts, found, strict=True):
            part.words = words
            part.refusal = self._aligner.refusal(part.answer.language)

    def _utterance(self, part: Part) -> Utterance:
        clip = part.clip
        features = part.features if self._shares_features else self._aligner.features(clip.samples)
        assert features is not None  # as `needs` says
        return Utterance(features, part.text, part.answer.language, clip.samples_start, clip.samples_end)


class WordsLoader:
    """The stage that is loaded, if any. It stays until another one is asked for, or the worker ends."""

    def __init__(
        self, prepare: Prepare, features_kind: str, loaded: Mapping[str, Aligner] | None = None
    ) -> None:
        """`loaded`: by their folders, aligners that are here anyway: the recogniser itself, if it can."""
        self._prepare = prepare
        self._features_kind = features_kind
        self._loaded = {path: Words(aligner, features_kind) for path, aligner in (loaded or {}).items()}
        self._helper: Helper | None = None
        self._words: Words | None = None
        self._lock: int | None = None  # the descriptor that keeps others from deleting the folder

    def open(self, helper: Helper) -> Words:
        """Raises JobRefused for a folder that holds no aligner, or a broken one."""
        if helper.path in self._loaded:
            return self._loaded[helper.path]
        if self._words is None or helper != self._helper:
            self._words = None  # its memory is free before the next one is read
            self._hold(Path(helper.path))
            self._words, self._helper = Words(self._load(helper), self._features_kind), helper
        return self._words

    def _load(self, helper: Helper) -> Aligner:
        folder = Path(helper.path)
        log.info("loading the aligner %s", folder.name)
        try:
            claims.check(folder)
            return aligner.load(helper.package, folder, self._prepare)
        except ValueError as error:
            reason = str(error).replace(f"{folder.parent}{os.sep}", "")
            raise JobRefused(
                f"The aligner {folder.name} cannot be loaded: {reason}",
                param="timestamp_granularities",
                code="model_not_servable",
            ) from error

    def _hold(self, folder: Path) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        try:
            self._lock = locks.acquire(folder, shared=True, seconds=_LOCK_SECONDS)
        except (OSError, locks.Held) as error:  # gone: the load will say so; or a disk without locks
            log.warning("the aligner's folder could not be locked: %s", type(error).__name__)
