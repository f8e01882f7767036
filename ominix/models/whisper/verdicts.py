"""What counts of a window's attempts. In: what was sampled. Out: the engine's draws, with the verdict.

Nothing of a silent window counts; of a window in a sequence its finished segments do.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ominix.models.recogniser import Draw, Span, Verdict
from ominix.models.whisper import features, quality, segments
from ominix.models.whisper.quality import Quality
from ominix.models.whisper.segments import Segment
from ominix.models.whisper.tokenizer import SECONDS_PER_TIMESTAMP, SpecialTokens, Vocabulary
from ominix.models.whisper.window import Attempt, Window

Pairs = list[tuple[int, float]]  # tokens with their log-probabilities


class Verdicts:
    def __init__(self, vocabulary: Vocabulary, tokens: SpecialTokens) -> None:
        self._vocabulary = vocabulary
        self._tokens = tokens

    def quality(self, attempt: Attempt) -> Quality:
        text = self._vocabulary.decode(attempt.tokens).strip()
        ended = attempt.tokens[-1] == self._tokens.end
        total, count = sum(attempt.logprobs), len(attempt.tokens) + (not ended)
        return Quality(total / count, quality.compression_ratio(text), attempt.no_speech_prob)

    def draws(self, window: Window, attempt: Attempt) -> list[Draw]:
        """The accepted attempt's. Of a sequence the next windows get to know it."""
        assert attempt.quality is not None
        pairs = list(zip(attempt.tokens, attempt.logprobs, strict=True))
        verdict = Verdict(attempt.temperature, attempt.quality.avg_logprob, attempt.quality.compression_ratio)
        if window.prompt.previous:
            pairs, verdict = self._finished(window, attempt, pairs, verdict)
        no_speech = math.log(max(attempt.no_speech_prob, 1e-30))
        if attempt.quality.is_silence:
            return [Draw(window.row, self._tokens.end, 0.0, no_speech, verdict)]
        if window.prompt.code is None:
            pairs.insert(0, (self._tokens.language(window.code or ""), window.language_logprob))
        if not pairs or pairs[-1][0] != self._tokens.end:  # cut off
            pairs.append((self._tokens.end, 0.0))
        return [Draw(window.row, token, logprob, no_speech, verdict) for token, logprob in pairs]

    def _finished(
        self, window: Window, attempt: Attempt, pairs: Pairs, verdict: Verdict
    ) -> tuple[Pairs, Verdict]:
        assert attempt.quality and window.prompt.previous
        seconds = len(window.mel) / features.FRAMES_PER_SECOND
        if attempt.quality.is_silence:
            return [], replace(verdict, heard_seconds=seconds)
        ends = attempt.tokens[-1] == self._tokens.end
        cut = segments.cut(attempt.tokens[:-1] if ends else attempt.tokens, self._tokens, seconds)
        parts = [part for part in cut.segments if self._text(part).strip()]
        kept = [pair for part in parts for pair in pairs[part.first : part.first + len(part.tokens)]]
        window.prompt.previous.add([token for token, _ in kept], window.attempts[-1].temperature)
        spans = tuple(
            Span(part.start, part.end, part.tokens, sum(t < self._tokens.end for t in part.tokens))
            for part in parts
        )
        heard = max(cut.seek_seconds, SECONDS_PER_TIMESTAMP)  # a sequence goes on
        return [*kept, *(pairs[-1:] if ends else [])], replace(verdict, spans=spans, heard_seconds=heard)

    def _text(self, segment: Segment) -> str:
        return self._vocabulary.decode([t for t in segment.tokens if t < self._tokens.end])
