"""Qwen3-ASR as the engine's recogniser.

A clip waits until it is encoded, then until its prompt is prefilled, then it is a row of the decoder:

    begin -> [clips] -encode: 30 s-> [prompts] -prefill: 512 positions-> [rows] -decode: a token each-> draws

What is nearest to an answer goes first: a prefill before the next encoder batch, so that the first text comes
early, and both before a decode step, so that many rows share it.
"""

from __future__ import annotations

import itertools
import zlib
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx

from ominix.errors import JobRefused
from ominix.models.aligner import Aligner
from ominix.models.qwen3_asr import config, features, tokenizer, weights
from ominix.models.qwen3_asr.answer import Qwen3Answer
from ominix.models.qwen3_asr.model import Model
from ominix.models.qwen3_asr.prompt import Grammar
from ominix.models.qwen3_asr.rows import Newcomer, Rows
from ominix.models.recogniser import Draw, Features, Prepare, Prompt, Row, Samples
from ominix.wire.jobs import SearchOptions, TranscriptionJob

MAX_PROMPT_TOKENS = 2048  # around the audio
_ROW_TOKENS = 1200  # half a minute of audio, its prompt and its answer
_ENCODE_FRAMES = 30 * features.SAMPLE_RATE_HZ // features.HOP  # in one batch of the encoder
_PREFILL_POSITIONS = 512  # in one batch of the decoder, padding included


def token_limit(seconds: float) -> int:
    """Nobody speaks faster, even where every letter is a token."""
    return 32 + int(24 * seconds)


def load(folder: Path, prepare: Prepare) -> Qwen3Recogniser:
    """Raises ValueError for a folder that holds no Qwen3-ASR model, or a broken one."""
    vocabulary = tokenizer.load(folder)
    model = weights.load(folder)
    prepare(model)
    return Qwen3Recogniser(model, Grammar(vocabulary, config.read(folder).eos_token_ids))


@dataclass(frozen=True)
class _Clip:
    """A clip that is not encoded yet."""

    row: int
    mel: Features
    prompt: Prompt


class Qwen3Recogniser:
    clip_seconds = 30.0  # the training data's are hardly longer
    features_kind = features.KIND
    aligner: Aligner | None = None  # a model of its own

    def __init__(self, model: Model, grammar: Grammar, limit: Callable[[float], int] = token_limit) -> None:
        """`limit`: the tokens of an answer, by its clip's seconds."""
        self.token_limit = limit
        self._model = model
        self._grammar = grammar
        self._rows = Rows(model, watched=grammar.nothing)
        self._numbers = itertools.count(1)
        self._clips: deque[_Clip] = deque()  # they wait for the encoder
        self._prompts: deque[Newcomer] = deque()  # they wait to be prefilled

    @property
    def row_bytes(self) -> int:
        args = self._model.args
        width = args.num_key_value_heads * args.head_dim * self._model.model.norm.weight.dtype.size
        return int(2 * args.num_hidden_layers * width * _ROW_TOKENS)

    def features(self, samples: Samples) -> Features:
        return features.log_mel(samples)

    def survey(self) -> None:
        """Its answers hold no times."""

    def prompt(self, job: TranscriptionJob) -> Prompt:
        """Of a context that is too long the end counts, as with Whisper."""
        if job.search != SearchOptions():
            param = "beam_size" if job.search.beam_size > 1 else "best_of"
            raise JobRefused(
                f"Qwen3-ASR gives one answer, token by token: leave {param} out, or use a Whisper model.",
                param=param,
            )
        context = job.context
        before, after = self._grammar.prompt(context, job.language)
        while len(before) + len(after) > MAX_PROMPT_TOKENS and context:
            context = context[len(context) // 4 + 1 :]
            before, after = self._grammar.prompt(context, job.language)
        return Prompt(tuple(before), tuple(after), job.language, job.temperature)

    def answer(self, job: TranscriptionJob) -> Qwen3Answer:
        return Qwen3Answer(self._grammar, job.language)

    def bytes_of(self, token: int) -> bytes:
        return self._grammar.bytes_of(token)

    def begin(self, clip: Features, prompt: Prompt) -> Row:
        number = next(self._numbers)
        self._clips.append(_Clip(number, clip, prompt))
        return Row(number, len(prompt.before) + len(prompt.after), self._model.audio_tower.length(len(clip)))

    def step(self) -> list[Draw]:
        if self._prompts:
            return self._rows.join(self._next_prompts())
        if self._clips:
            self._encode(self._next_clips())
            return []
        return self._rows.step() if len(self._rows) else []

    def drop(self, rows: Collection[int]) -> None:
        self._clips = deque(clip for clip in self._clips if clip.row not in rows)
        self._prompts = deque(prompt for prompt in self._prompts if prompt.row not in rows)
        self._rows.leave(set(rows))

    def _next_clips(self) -> list[_Clip]:
        """As many as the encoder may take in one step."""
        chosen = [self._clips.popleft()]
        frames = len(chosen[0].mel)
        while self._clips and (frames := frames + len(self._clips[0].mel)) <= _ENCODE_FRAMES:
            chosen.append(self._clips.popleft())
        return chosen

    def _encode(self, clips: list[_Clip]) -> None:
        encoded = self._model.audio_tower([clip.mel for clip in clips])
        for clip, audio in zip(clips, encoded, strict=True):
            prompt = clip.prompt
            embeddings = self._model.embed(list(prompt.before), audio, list(prompt.after))
            probe = self._grammar.probe(prompt.language)
            seed = zlib.crc32(clip.mel.data)  # the same sound has the same answer, at any temperature
            self._prompts.append(Newcomer(clip.row, embeddings, probe, prompt.temperature, seed))
        mx.eval([newcomer.embeddings for newcomer in self._prompts])

    def _next_prompts(self) -> list[Newcomer]:
        """As many as the decoder may read in one step."""
        chosen = [self._prompts.popleft()]
        longest = len(chosen[0].embeddings)
        while self._prompts:
            longest = max(longest, len(self._prompts[0].embeddings))
            if longest * (len(chosen) + 1) > _PREFILL_POSITIONS:
                break
            chosen.append(self._prompts.popleft())
        return chosen
