"""Words and their times for clips whose text is known: the forced aligner, loaded when it is first asked for.

Lives in the worker of the speech model, whose features it shares. Knows nothing of jobs and events.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ominix import locks
from ominix.cpu.backend import Backend
from ominix.engines.speech import loading
from ominix.errors import JobRefused, PackageMissing
from ominix.models.qwen3_asr import alignment, config, tokenizer, weights, words
from ominix.models.qwen3_asr.alignment import Questions
from ominix.models.qwen3_asr.config import AlignerConfig
from ominix.models.qwen3_asr.features import Mel
from ominix.models.qwen3_asr.model import Aligner as Model
from ominix.models.qwen3_asr.words import Place

log = logging.getLogger("ominix.speech")

_LOCK_SECONDS = 5.0  # others look at a folder's lock for an instant


@dataclass(frozen=True)
class Spoken:
    """A clip and what was said in it. `language`: an English name; None: not known. Times in seconds."""

    mel: Mel
    text: str
    language: str | None
    start: float
    end: float


@dataclass(frozen=True)
class TimedWord:
    """text[first:last] of its clip. Times in seconds of the recording."""

    text: str
    first: int
    last: int
    start: float
    end: float


class Aligner:
    def __init__(self, model: Model, questions: Questions, settings: AlignerConfig) -> None:
        self._model = model
        self._questions = questions
        self._class_ms = settings.class_ms
        self._languages = settings.languages

    def refusal(self, language: str | None) -> JobRefused | None:
        """Why words of this language cannot be timed as they should be."""
        if language is not None and language not in self._languages:
            return JobRefused(
                f"Words of {language} cannot be given times: the aligner knows "
                f"{', '.join(sorted(self._languages))}.",
                param="timestamp_granularities",
                code="unsupported_language",
            )
        try:
            words.check(language)
        except PackageMissing as error:
            error.param = "timestamp_granularities"
            return error
        return None

    def align(self, clips: Sequence[Spoken]) -> list[list[TimedWord]]:
        """Several clips in one batch. Texts of refused languages are split at spaces and ideographs."""
        places = [self._split(clip) for clip in clips]
        asked = [i for i, found in enumerate(places) if found]
        classes = iter(self._classes([clips[i] for i in asked], [places[i] for i in asked]))
        return [
            self._timed(clip, found, next(classes)) if found else []
            for clip, found in zip(clips, places, strict=True)
        ]

    def _split(self, clip: Spoken) -> list[Place]:
        language = None if self.refusal(clip.language) else clip.language
        return words.split(clip.text, language)

    def _classes(self, clips: list[Spoken], places: list[list[Place]]) -> list[list[int]]:
        if not clips:
            return []
        questions = [self._questions.ask([place.read for place in found]) for found in places]
        heard = self._model.audio_tower([clip.mel for clip in clips])
        pairs = list(zip(questions, heard, strict=True))
        prompts = [self._model.embed(q.before, audio, q.after) for q, audio in pairs]
        return self._model.classes(prompts, [q.places(len(audio)) for q, audio in pairs])

    def _timed(self, clip: Spoken, places: list[Place], classes: list[int]) -> list[TimedWord]:
        """Inside the clip; a word whose two classes are one lasts until the next, a class at most."""
        times = alignment.times(classes, self._class_ms)
        starts = [_within(clip, start) for start, _ in times]
        found = []
        for i, (place, start) in enumerate(zip(places, starts, strict=True)):
            end = _within(clip, times[i][1])
            if end <= start:
                room = starts[i + 1] if i + 1 < len(starts) else clip.end
                end = min(_within(clip, times[i][0] + self._class_ms), room)
            found.append(TimedWord(clip.text[place.first : place.last], place.first, place.last, start, end))
        return found


def _within(clip: Spoken, milliseconds: float) -> float:
    """A time in the clip as one in the recording."""
    return min(round(clip.start + milliseconds / 1000, 3), clip.end)


class Shelf:
    """The aligner that is loaded, if any. It stays until another one is asked for, or the worker ends."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._path = ""
        self._aligner: Aligner | None = None
        self._lock: int | None = None  # the descriptor that keeps others from deleting the folder

    def get(self, path: str) -> Aligner:
        """Raises JobRefused for a folder that holds no aligner, or a broken one."""
        if self._aligner is None or path != self._path:
            self._aligner = None  # its memory is free before the next one is read
            self._hold(Path(path))
            self._aligner, self._path = self._load(Path(path)), path
        return self._aligner

    def _load(self, folder: Path) -> Aligner:
        log.info("loading the aligner %s", folder.name)
        try:
            settings = config.read_aligner(folder)
            questions = Questions(tokenizer.load(folder), settings)
            model = weights.load_aligner(folder)
        except ValueError as error:
            reason = str(error).replace(f"{folder.parent}{os.sep}", "")
            raise JobRefused(
                f"The aligner {folder.name} cannot be loaded: {reason}",
                param="timestamp_granularities",
                code="model_not_servable",
            ) from error
        loading.settle(model, self._backend)
        return Aligner(model, questions, settings)

    def _hold(self, folder: Path) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        try:
            self._lock = locks.take(folder, shared=True, seconds=_LOCK_SECONDS)
        except (OSError, locks.Held) as error:  # gone: the load will say so; or a disk without locks
            log.warning("the aligner's folder could not be locked: %s", type(error).__name__)
