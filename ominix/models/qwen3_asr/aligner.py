"""Qwen3-ForcedAligner as the engine's aligner. In: clips and their texts. Out: words and times in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ominix.errors import JobRefused, PackageMissing
from ominix.models.aligner import Utterance
from ominix.models.qwen3_asr import alignment, config, features, tokenizer, weights, words
from ominix.models.qwen3_asr.alignment import Questions
from ominix.models.qwen3_asr.config import AlignerConfig
from ominix.models.qwen3_asr.model import ForcedAligner
from ominix.models.qwen3_asr.words import Place
from ominix.models.recogniser import Features, Prepare, Samples
from ominix.text.sentences import TimedWord


def load(folder: Path, prepare: Prepare) -> Qwen3Aligner:
    """Raises ValueError for a folder that holds no aligner, or a broken one."""
    settings = config.read_aligner(folder)
    questions = Questions(tokenizer.load(folder), settings)
    model = weights.load_aligner(folder)
    prepare(model)
    return Qwen3Aligner(model, questions, settings)


class Qwen3Aligner:
    features_kind = features.KIND

    def __init__(self, model: ForcedAligner, questions: Questions, settings: AlignerConfig) -> None:
        self._model = model
        self._questions = questions
        self._class_ms = settings.class_ms
        self._languages = settings.languages

    def features(self, samples: Samples) -> Features:
        return features.log_mel(samples)

    def refusal(self, language: str | None) -> JobRefused | None:
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

    def align(self, utterances: Sequence[Utterance]) -> list[list[TimedWord]]:
        """Texts of refused languages are split at spaces and ideographs."""
        places = [self._split(utterance) for utterance in utterances]
        asked = [i for i, found in enumerate(places) if found]
        classes = iter(self._classes([utterances[i] for i in asked], [places[i] for i in asked]))
        return [
            self._timed(utterance, found, next(classes)) if found else []
            for utterance, found in zip(utterances, places, strict=True)
        ]

    def _split(self, utterance: Utterance) -> list[Place]:
        language = None if self.refusal(utterance.language) else utterance.language
        return words.split(utterance.text, language)

    def _classes(self, utterances: list[Utterance], places: list[list[Place]]) -> list[list[int]]:
        if not utterances:
            return []
        questions = [self._questions.ask([place.read for place in found]) for found in places]
        encoded = self._model.audio_tower([utterance.features for utterance in utterances])
        pairs = list(zip(questions, encoded, strict=True))
        prompts = [self._model.embed(q.before, audio, q.after) for q, audio in pairs]
        return self._model.classes(prompts, [q.places(len(audio)) for q, audio in pairs])

    def _timed(self, utterance: Utterance, places: list[Place], classes: list[int]) -> list[TimedWord]:
        """Inside the clip; a word whose two classes are one lasts until the next, a class at most."""
        times = alignment.times(classes, self._class_ms)
        starts = [_within(utterance, start) for start, _ in times]
        timed = []
        for i, (place, start) in enumerate(zip(places, starts, strict=True)):
            end = _within(utterance, times[i][1])
            if end <= start:
                room = starts[i + 1] if i + 1 < len(starts) else utterance.end
                end = min(_within(utterance, times[i][0] + self._class_ms), room)
            text = utterance.text[place.first : place.last]
            timed.append(TimedWord(text, place.first, place.last, start, end))
        return timed


def _within(utterance: Utterance, milliseconds: float) -> float:
    """A time in the clip as one in the recording."""
    return min(round(utterance.start + milliseconds / 1000, 3), utterance.end)
