"""Whisper as the engine's recogniser: each clip is one window of 30 seconds.

A clip waits until it is encoded and its language is known, then until its prompt is read, then it is a row of
the decoder. An answer that is no good goes back and is decoded again, warmer; nothing of it has been seen by
the engine, which gets all draws of a row at once:

    begin -> [clips] -encode-> [encoded] -prefill-> [rows] -decode-> ended -> good -> draws
                                   ^------ no good: the next temperature ------|

A step is one layer of the encoder (and behind the last the language is found), one prefill, or one token
for every row. What is nearest to an answer goes first. The language of a job that does not give one is that
which most of its sound so far speaks for, or in a multilingual job each clip's own.

In a sequence (a job that is heard window by window) answers hold times, from which the verdict says what of
the window was finished; the engine begins the next one there. The first window decides the language then,
as openai-whisper has it.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from ominix.errors import JobRefused
from ominix.models.recogniser import Draw, Features, Prepare, Prompt, Row, Samples
from ominix.models.whisper import features, quality, weights
from ominix.models.whisper.aligner import WhisperAligner
from ominix.models.whisper.answer import WhisperAnswer
from ominix.models.whisper.encodings import Encodings
from ominix.models.whisper.features import Survey
from ominix.models.whisper.model import Model
from ominix.models.whisper.prompts import Prompts
from ominix.models.whisper.rows import Answered, Newcomer, Rows
from ominix.models.whisper.rules import Rules
from ominix.models.whisper.search import Beam, Bounds, Sampling, Search
from ominix.models.whisper.tokenizer import LANGUAGES, SpecialTokens, Vocabulary
from ominix.models.whisper.verdicts import Verdicts
from ominix.models.whisper.window import Attempt, Previous, WhisperPrompt, Window, best
from ominix.wire.jobs import SearchOptions, TranscriptionJob

_PREFILL_POSITIONS = 512  # in one batch of the decoder, padding included


def load(folder: Path, prepare: Prepare) -> WhisperRecogniser:
    """Raises ValueError for a folder that holds no Whisper model, or a broken one."""
    model = weights.load(folder)
    tokens = SpecialTokens(model.config.n_vocab)
    prepare(model)
    return WhisperRecogniser(model, Vocabulary(tokens.multilingual), tokens)


class WhisperRecogniser:
    clip_seconds = 28.0  # a window of 30 less the margins around the speech

    def __init__(
        self,
        model: Model,
        vocabulary: Vocabulary,
        tokens: SpecialTokens,
        temperatures: Sequence[float] = quality.TEMPERATURES,
    ) -> None:
        """`temperatures`: tried one after the other where the job names none above 0."""
        config = model.config
        self.features_kind = features.kind(config.n_mels)
        self._model = model
        self._temperatures = temperatures
        self._vocabulary = vocabulary
        self._tokens = tokens
        self._prompts = Prompts(vocabulary, tokens, config.n_text_ctx)
        self._encodings = Encodings(model)
        self.aligner = WhisperAligner(model, vocabulary, tokens, self._encodings)
        self._rules = Rules(vocabulary, tokens, timestamps=False)
        self._timed_rules = Rules(vocabulary, tokens, timestamps=True)
        self._verdicts = Verdicts(vocabulary, tokens)
        self._bounds = Bounds(tokens.end, config.n_text_ctx // 2)  # openai's
        self._rows = Rows(model, tokens.no_speech)
        self._numbers = itertools.count(1)
        self._windows: dict[int, Window] = {}
        self._clips: deque[Window] = deque()  # they wait for the encoder
        self._encoded: deque[Window] = deque()  # they wait to be prefilled

    @property
    def row_bytes(self) -> int:
        """Mostly the keys and values of the encoded sound."""
        config = self._model.config
        width = config.n_text_state * self._model.decoder.ln.weight.dtype.size
        return int(2 * config.n_text_layer * width * (config.n_audio_ctx + config.n_text_ctx))

    def features(self, samples: Samples) -> Features:
        return features.features(samples, self._model.config.n_mels)

    def survey(self) -> Survey:
        config = self._model.config
        return Survey(config.n_mels, config.frames / features.FRAMES_PER_SECOND)

    def prompt(self, job: TranscriptionJob) -> WhisperPrompt:
        code = self._code(job.language)
        given = self._prompts.previous(job.context)
        previous = Previous(self._tokens.start_of_prev, given, self._prompts.longest, keeps=job.previous_text)
        before = tuple(previous.prompt)
        evidence = np.zeros(self._tokens.languages)
        sequence = previous if job.sequential else None
        return WhisperPrompt(
            before, (), job.language, job.temperature, code, job.translate, evidence, job.search,
            job.multilingual, sequence, rows=self._rows_for(job.search),
        )  # fmt: skip

    def _rows_for(self, search: SearchOptions) -> int:
        """Answers to the same clip share its sound; each has a text of its own."""
        config = self._model.config
        texts = max(search.beam_size, search.best_of)
        positions = config.n_audio_ctx + texts * config.n_text_ctx
        return math.ceil(positions / (config.n_audio_ctx + config.n_text_ctx))

    def answer(self, job: TranscriptionJob) -> WhisperAnswer:
        language = job.language if self._tokens.multilingual else "English"
        return WhisperAnswer(self._vocabulary, self._tokens, language)

    def token_limit(self, seconds: float) -> int:
        """Answers are cut off here, not in the engine: two more for the language and the end."""
        return self._bounds.limit + 2

    def bytes_of(self, token: int) -> bytes:
        return self._vocabulary.bytes_of(token)

    def begin(self, clip: Features, prompt: Prompt) -> Row:
        assert isinstance(prompt, WhisperPrompt)  # this recogniser made it
        warm = prompt.temperature > 0
        temperatures = deque((prompt.temperature,) if warm else self._temperatures)
        before = prompt.previous.prompt if prompt.previous else prompt.before
        window = Window(next(self._numbers), clip, prompt, before, temperatures, code=prompt.code)
        self._windows[window.row] = window
        self._clips.append(window)
        return Row(
            window.row,
            len(before) + len(self._start(window)),
            math.ceil(len(clip) / 2),
        )

    def step(self) -> list[Draw]:
        if self._encoded:
            return self._after(self._rows.join(self._next_encoded()))
        if self._clips:
            self._encode(self._clips[0])
            return []
        return self._after(self._rows.step()) if len(self._rows) else []

    def drop(self, rows: Collection[int]) -> None:
        self._clips = deque(window for window in self._clips if window.row not in rows)
        self._encoded = deque(window for window in self._encoded if window.row not in rows)
        for row in rows:
            self._windows.pop(row, None)
        self._rows.leave(set(rows))

    # Prompts

    def _code(self, language: str | None) -> str | None:
        if language is None:
            return None if self._tokens.multilingual else "en"
        if language not in self._prompts.codes:
            known = ", ".join(sorted(self._prompts.codes))
            raise JobRefused(f"This model does not know {language}. It knows: {known}.", param="language")
        return self._prompts.codes[language]

    def _start(self, window: Window) -> list[int]:
        """A language that is not known yet takes a token, too."""
        prompt = window.prompt
        timestamps = prompt.previous is not None
        return self._prompts.start(window.code or "en", translate=prompt.translate, timestamps=timestamps)

    # Encoder

    def _encode(self, window: Window) -> None:
        """A layer's work: the encoder reads 30 seconds whatever the clip's length."""
        window.audio = self._encodings.advance(window.mel)
        if window.audio is None:
            return
        self._clips.popleft()
        if window.code is None:
            self._find_language(window, window.audio)
        if not window.prompt.previous and not window.prompt.translate:
            window.before = window.before or self._prompts.script_hint(window.code or "")
        self._encoded.append(window)

    def _find_language(self, window: Window, audio: mx.array) -> None:
        evidence = window.prompt.evidence
        multilingual = window.prompt.multilingual
        if window.prompt.previous and evidence.any() and not multilingual:
            window.code = LANGUAGES[int(evidence.argmax())]
            window.language_logprob = float(np.log(evidence.max() / evidence.sum()))
            return
        logits = self._language_logits(audio)
        chances = np.exp(logits - logits.max())
        chances /= chances.sum()
        evidence += chances * len(window.mel) / features.FRAMES_PER_SECOND
        likeliest = int((chances if multilingual else evidence).argmax())
        window.code = LANGUAGES[likeliest]
        window.language_logprob = float(np.log(max(chances[likeliest], 1e-30)))

    def _language_logits(self, audio: mx.array) -> npt.NDArray[np.float64]:
        """(1, n_audio_ctx, n_audio_state) -> (languages,)."""
        decoder, first = self._model.decoder, self._tokens.first_language
        states = decoder([[self._tokens.start]], decoder.listen(audio))
        logits = decoder.logits(states)[0, 0, first : first + self._tokens.languages]
        return np.array(logits.astype(mx.float32)).astype(np.float64)

    # Decoder

    def _next_encoded(self) -> list[Newcomer]:
        """As many as the decoder may read in one step."""
        chosen: list[Newcomer] = []
        longest = 0
        while self._encoded:
            newcomer = self._newcomer(self._encoded[0])
            longest = max(longest, len(newcomer.prompt))
            if chosen and longest * (len(chosen) + 1) > _PREFILL_POSITIONS:
                break
            chosen.append(newcomer)
            window = self._encoded.popleft()
            window.attempts.append(Attempt(window.temperatures.popleft()))
        return chosen

    def _newcomer(self, window: Window) -> Newcomer:
        assert window.audio is not None and window.code is not None  # `_encode` saw to it
        prompt = [*window.before, *self._start(window)]
        return Newcomer(window.row, window.audio, prompt, len(window.before), self._search(window))

    def _search(self, window: Window) -> Search:
        rules = self._timed_rules if window.prompt.previous else self._rules
        temperature, wanted = window.temperatures[0], window.prompt.search
        if temperature == 0 and wanted.beam_size > 1:
            return Beam(rules, self._bounds, wanted.beam_size)
        seed = zlib.crc32(window.mel.data)  # the same sound has the same answer, at any temperature
        return Sampling(rules, self._bounds, temperature, seed, wanted.best_of)

    def _after(self, answers: Iterable[Answered]) -> list[Draw]:
        draws: list[Draw] = []
        for answer in answers:
            window = self._windows[answer.number]
            attempt = window.attempts[-1]
            attempt.tokens = list(answer.hypothesis.tokens)
            attempt.logprobs = list(answer.hypothesis.logprobs)
            attempt.no_speech_prob = math.exp(answer.no_speech_logprob)
            draws += self._judge(window)
        return draws

    def _judge(self, window: Window) -> list[Draw]:
        """The answer's draws, or none if it is to be decoded again."""
        attempt = window.attempts[-1]
        attempt.quality = self._verdicts.quality(attempt)
        if not attempt.quality.is_good and window.temperatures:
            self._encoded.append(window)
            return []
        return self._verdicts.draws(window, attempt if attempt.quality.is_good else best(window.attempts))
