"""Batches without end: utterances with word times, joined with pauses, distorted, packed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import Qwen2Tokenizer

from training.tiny_asr import augment
from training.tiny_asr.data import positions
from training.tiny_asr.features import Features
from training.tiny_asr.model import CHUNK, WINDOW
from training.tiny_asr.words import WORDS

from .marks import Times

STAMP = "<timestamp>"
_WRONG = 0.05  # of the words are others than were said, as a recogniser errs


@dataclass(frozen=True)
class Utterance:
    words: list[str]
    language: str
    voice: str
    times: Times  # seconds
    start: int  # samples
    length: int


@dataclass(frozen=True)
class Batch:
    """Some clips, packed. B clips, F mel frames in whole chunks, L tokens."""

    features: Tensor  # (1, 128, F)
    mask: Tensor  # (1, F)
    windows: Tensor  # cumulative ends of the attention windows
    ids: Tensor  # (B, L), padded on the right
    seconds: Tensor  # all stamps' times, clip by clip
    audio_seconds: Tensor  # all audio positions' times, clip by clip


class Utterances:
    """The split `name` of `folder`, in memory."""

    def __init__(self, folder: Path, name: str) -> None:
        lines = (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        self.all = [Utterance(**json.loads(line)) for line in lines]
        self._samples = np.fromfile(folder / f"{name}.i16", dtype="<i2")

    def samples(self, utterance: Utterance) -> np.ndarray:
        """(n,) float32 in [-1, 1]."""
        found = self._samples[utterance.start : utterance.start + utterance.length]
        return found.astype(np.float32) / 32768


class Batches:
    """Iterates over batches of about `frames` mel frames, of clips of at most `max_seconds`."""

    def __init__(self, folder: Path, tokenizer: Qwen2Tokenizer, frames: int, seed: int) -> None:
        self._utterances = Utterances(folder, "train")
        self._by_language: dict[str, list[Utterance]] = {}
        for utterance in self._utterances.all:
            self._by_language.setdefault(utterance.language, []).append(utterance)
        self._frames = frames
        self._features = Features()
        self._rng = np.random.default_rng(seed)
        self._noises = augment.Noises(self._rng)
        self._packer = Packer(tokenizer)
        self.max_seconds = 4.0

    def __iter__(self) -> Iterator[Batch]:
        while True:
            clips: list[tuple[Tensor, list[str], Times]] = []
            while sum(frames.shape[1] for frames, _, _ in clips) < self._frames:
                clips.append(self._clip())
            yield self._packer(clips)

    def _clip(self) -> tuple[Tensor, list[str], Times]:
        rng = self._rng
        wanted = rng.uniform(0.5, self.max_seconds) if rng.random() < 0.7 else 0.0
        first = self._draw(self._utterances.all)
        pieces = [augment.silence(augment.padding_seconds(rng))]
        words: list[str] = []
        times: Times = []
        following: Utterance | None = first
        while following is not None:
            self._append(following, pieces, words, times)
            seconds = sum(map(len, pieces)) / augment.RATE
            following = self._draw(self._by_language[first.language]) if seconds < wanted else None
            if following is not None:
                pause = augment.silence(rng.uniform(0.05, 1.2))
                fits = seconds + len(pause) / augment.RATE + _seconds(following) < self.max_seconds + 1
                following = following if fits else None
                pieces.append(pause)
        pieces.append(augment.silence(augment.padding_seconds(rng)))
        sound = self._noises.added(np.concatenate(pieces), rng)
        heard = [self._misheard(word, first.language) for word in words]
        return self._features(sound, rng), heard, times

    def _append(self, utterance: Utterance, pieces: list[np.ndarray], words: list[str], times: Times) -> None:
        speed = float(self._rng.uniform(0.88, 1.14))
        offset = sum(map(len, pieces)) / augment.RATE
        pieces.append(augment.stretched(self._utterances.samples(utterance), speed))
        words += utterance.words
        times += [(offset + a / speed, offset + b / speed) for a, b in utterance.times]

    def _misheard(self, word: str, language: str) -> str:
        return str(self._rng.choice(WORDS[language])) if self._rng.random() < _WRONG else word

    def _draw(self, utterances: list[Utterance]) -> Utterance:
        while True:
            utterance = utterances[self._rng.integers(len(utterances))]
            if _seconds(utterance) < self.max_seconds:
                return utterance


def _seconds(utterance: Utterance) -> float:
    return utterance.length / augment.RATE


class Packer:
    """Clips to one `Batch`."""

    def __init__(self, tokenizer: Qwen2Tokenizer) -> None:
        self._tokenizer = tokenizer
        names = ["<|audio_start|>", "<|audio_pad|>", "<|audio_end|>", STAMP]
        self._start, self._audio, self._end, self._stamp = tokenizer.convert_tokens_to_ids(names)

    def __call__(self, clips: list[tuple[Tensor, list[str], Times]]) -> Batch:
        features, masks, windows, ids, audio = [], [], [0], [], []
        for frames, words, _ in clips:
            count = frames.shape[1]
            padded = -(-count // CHUNK) * CHUNK
            features.append(torch.nn.functional.pad(frames, (0, padded - count)))
            masks.append((torch.arange(padded) < count).long())
            length = positions(count)
            full, rest = divmod(length, WINDOW)
            windows += [WINDOW] * full + [rest] * bool(rest)
            place = torch.arange(length)
            audio.append(place // 13 + (place % 13) * 0.08)  # a second has 13 positions
            ids.append(self._tokens(length, words))
        seconds = [second for _, _, times in clips for pair in times for second in pair]
        return Batch(
            features=torch.cat(features, 1)[None],
            mask=torch.cat(masks)[None],
            windows=torch.tensor(windows).cumsum(0, dtype=torch.int32),
            ids=pad_sequence(ids, batch_first=True, padding_value=self._tokenizer.pad_token_id),
            seconds=torch.tensor(seconds),
            audio_seconds=torch.cat(audio),
        )

    def _tokens(self, audio: int, words: list[str]) -> Tensor:
        ids = [self._start, *[self._audio] * audio, self._end]
        for word in words:
            ids += [*self._tokenizer.encode(word), self._stamp, self._stamp]
        return torch.tensor(ids)
