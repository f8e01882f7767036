"""Batches without end out of the training clips: drawn, joined, augmented, packed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import Qwen3ASRProcessor

from . import augment
from .features import Features
from .model import CHUNK, WINDOW, Batch
from .store import Clip, Store
from .tokens import AUDIO, TAG
from .words import ALL_WORDS, held_out, joined

_MAX_WORDS = 12  # of clips joined together
_MAX_SECONDS = 15.0
_WORD_IDS = {word: index for index, word in enumerate(ALL_WORDS, 1)}
_CONTEXTS = (
    "Numbers and colours.",
    "Commands for a player.",
    "Vocabulary: {}.",
    "The speaker may say {}.",
    "{}",
    "{} and {}",
    "Context: a short recording.",
    "Names: Ana, Bo, Chen.",
)


@dataclass(frozen=True)
class Example:
    """One recording to learn from; `frames` is (128, T)."""

    frames: Tensor
    words: list[str]
    language: str  # "None" where nobody speaks
    forced: bool  # the language is given, not asked for
    context: str


class Batches:
    """Iterates over batches of about `frames_per_batch` mel frames."""

    def __init__(self, folder: Path, processor: Qwen3ASRProcessor, frames_per_batch: int, seed: int) -> None:
        self._store = Store(folder, "train")
        self._by_language: dict[str, list[Clip]] = {}
        for clip in self._store:
            self._by_language.setdefault(clip.language, []).append(clip)
        self.frames_per_batch = frames_per_batch
        self._features = Features()
        self._packer = Packer(processor)
        self._rng = np.random.default_rng(seed)
        self._noises = augment.Noises(self._rng)
        self.max_words = 2
        self.join_share = 0.0

    def __iter__(self) -> Iterator[Batch]:
        while True:
            # Four batches at a time, sorted, so that clips of one length lie together.
            examples: list[Example] = []
            while sum(example.frames.shape[1] for example in examples) < 4 * self.frames_per_batch:
                examples.append(self._example())
            examples.sort(key=lambda example: example.frames.shape[1])
            groups = self._grouped(examples)
            for index in self._rng.permutation(len(groups)):
                yield self._packer(groups[index])

    def _grouped(self, examples: list[Example]) -> list[list[Example]]:
        groups: list[list[Example]] = [[]]
        frames = 0
        for example in examples:
            if frames >= self.frames_per_batch:
                groups.append([])
                frames = 0
            groups[-1].append(example)
            frames += example.frames.shape[1]
        return groups

    def _example(self) -> Example:
        rng = self._rng
        context = self._context() if rng.random() < 0.08 else ""
        if rng.random() < 0.03:
            frames = self._features(self._noises.without_speech(rng))
            return Example(frames, [], "None", bool(rng.random() < 0.4), context)
        words, language, samples = self._speech()
        before, after = (augment.silence(augment.padding_seconds(rng)) for _ in range(2))
        samples = self._noises.added(np.concatenate([before, samples, after]), rng)
        frames = self._features(samples, rng)
        return Example(frames, words, language, bool(rng.random() < 0.1), context)

    def _speech(self) -> tuple[list[str], str, np.ndarray]:
        """Words, language and samples of a clip, or of a few with pauses between them."""
        clip = self._draw(self._store.clips)
        words, samples = list(clip.words), [self._stretched(clip)]
        if self._rng.random() < self.join_share:
            for _ in range(self._rng.integers(1, 6)):
                more = self._draw(self._by_language[clip.language])
                seconds = sum(len(piece) for piece in samples) / augment.RATE
                if len(words) + len(more.words) > _MAX_WORDS or seconds > _MAX_SECONDS - 4:
                    break
                if held_out(words + more.words):
                    continue
                words += more.words
                samples += [augment.silence(self._rng.uniform(0.1, 1.1)), self._stretched(more)]
        return words, clip.language, np.concatenate(samples)

    def _draw(self, clips: list[Clip]) -> Clip:
        while True:
            clip = clips[self._rng.integers(len(clips))]
            if len(clip.words) <= self.max_words:
                return clip

    def _stretched(self, clip: Clip) -> np.ndarray:
        level = 10 ** self._rng.uniform(-0.15, 0.0)  # joined clips differ a little
        return augment.stretched(self._store.samples(clip) * np.float32(level), self._rng.uniform(0.88, 1.14))

    def _context(self) -> str:
        pattern = str(self._rng.choice(_CONTEXTS))
        while "{}" in pattern:
            pattern = pattern.replace("{}", str(self._rng.choice(ALL_WORDS)), 1)
        return pattern


class Packer:
    """Examples to one `Batch`, with the prompts of the processor's chat template."""

    def __init__(self, processor: Qwen3ASRProcessor) -> None:
        self._tokenizer = processor.tokenizer
        self._audio_id = self._tokenizer.convert_tokens_to_ids(AUDIO)
        self._pad_id = self._tokenizer.pad_token_id

    def __call__(self, examples: list[Example]) -> Batch:
        frames, masks, lengths, windows = [], [], [], [0]
        for example in examples:
            count = example.frames.shape[1]
            padded = -(-count // CHUNK) * CHUNK
            frames.append(torch.nn.functional.pad(example.frames, (0, padded - count)))
            masks.append((torch.arange(padded) < count).long())
            lengths.append(positions(count))
            full, rest = divmod(lengths[-1], WINDOW)
            windows += [WINDOW] * full + [rest] * bool(rest)
        ids, labels = zip(*(self._tokens(e, n) for e, n in zip(examples, lengths, strict=True)), strict=True)
        return Batch(
            features=torch.cat(frames, 1)[None],
            mask=torch.cat(masks)[None],
            windows=torch.tensor(windows).cumsum(0, dtype=torch.int32),
            audio_lengths=lengths,
            ids=pad_sequence(list(ids), batch_first=True, padding_value=self._pad_id),
            labels=pad_sequence(list(labels), batch_first=True, padding_value=-100),
            words=[[_WORD_IDS[word] for word in example.words] for example in examples],
        )

    def _tokens(self, example: Example, audio_positions: int) -> tuple[Tensor, Tensor]:
        """Token ids (L,) and labels (L,) of prompt and answer."""
        before = f"<|im_start|>system\n{example.context}<|im_end|>\n<|im_start|>user\n<|audio_start|>"
        after = "<|audio_end|><|im_end|>\n<|im_start|>assistant\n"
        # Nobody speaking: a forced language is any of them, and the text after it is empty.
        language = "English" if example.forced and not example.words else example.language
        prefix = f"language {language}{TAG}"
        text = joined(example.words, example.language) + "<|im_end|>"
        encode = self._tokenizer.encode
        prompt = encode(before) + [self._audio_id] * audio_positions + encode(after)
        given, answer = (encode(prefix), encode(text)) if example.forced else ([], encode(prefix + text))
        ids = prompt + given + answer
        labels = [-100] * (len(ids) - len(answer)) + answer
        return torch.tensor(ids), torch.tensor(labels)


def positions(frames: int) -> int:
    """Audio tokens of `frames` mel frames: 13 for each whole chunk, the rest halved three times."""
    chunks, rest = divmod(frames, CHUNK)
    for _ in range(3):
        rest = (rest + 1) // 2
    return 13 * chunks + rest
