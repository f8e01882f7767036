"""Speech whose words have known times: the synthesisers' own marks.

espeak-ng tells when each phoneme begins, flite when each ends. Times in seconds from the first sample.
"""

import ctypes
import itertools
import random
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import soxr

from training.tiny_asr.voices import SAMPLE_RATE_HZ, Voice
from training.tiny_asr.words import PINYIN

Times = list[tuple[float, float]]

_WORD, _PHONEME = 1, 7  # kinds of espeak's events
_SYNCHRONOUS, _PHONEME_EVENTS, _UTF8 = 2, 1, 1
_RATE, _PITCH, _GAP = 1, 3, 7  # espeak's parameters
_FLITE = ("flite",)


class _Name(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("kind", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", _Name),
    ]


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


class Espeak:
    """The library; one a process."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libespeak-ng.so.1")
        self._rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS)
        self._samples: list[np.ndarray] = []
        self._marks: list[tuple[int, int, bytes]] = []  # kind, sample, phoneme
        self._callback = _CALLBACK(self._take)  # kept, or it would be collected
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(self, name: str, words: Sequence[str], rng: random.Random) -> tuple[np.ndarray, Times]:
        """Samples (n,) float32 and a start and end for each word. Raises RuntimeError if one has no mark."""
        library = self._library
        library.espeak_SetVoiceByName(name.encode())
        library.espeak_SetParameter(_RATE, rng.randint(115, 215), 0)
        library.espeak_SetParameter(_PITCH, rng.randint(25, 80), 0)
        library.espeak_SetParameter(_GAP, rng.choice([0, 0, 0, 5, 15, 30]), 0)
        self._samples.clear()
        self._marks.clear()
        text = _text(words, rng).encode()
        library.espeak_Synth(text, len(text) + 1, 0, 1, 0, _UTF8, None, None)
        library.espeak_Synchronize()
        times = self._times()
        if len(times) != len(words) or not self._samples:
            raise RuntimeError(f"{name} gave {len(times)} marks for {len(words)} words")
        samples = np.concatenate(self._samples).astype(np.float32) / 32768
        return np.asarray(soxr.resample(samples, self._rate, SAMPLE_RATE_HZ), np.float32), times

    def _take(self, samples: int | None, count: int, events: object) -> int:
        if samples and count:
            address = ctypes.cast(samples, ctypes.POINTER(ctypes.c_short))
            self._samples.append(np.ctypeslib.as_array(address, (count,)).copy())
        index = 0
        while events[index].kind:  # type: ignore[index]  # a C array
            event = events[index]  # type: ignore[index]
            self._marks.append((event.kind, event.sample, event.name.string))
            index += 1
        return 0

    def _times(self) -> Times:
        """A word lasts from its first phoneme to the next pause, or to the next word's first phoneme."""
        times: Times = []
        opening = open_word = False
        for kind, sample, phoneme in self._marks:
            second = sample / self._rate
            pause = phoneme.startswith(b"_")
            if kind == _WORD:
                opening = True
            elif kind == _PHONEME and pause and open_word:
                times[-1] = (times[-1][0], second)
                open_word = False
            elif kind == _PHONEME and not pause and opening:
                if open_word:
                    times[-1] = (times[-1][0], second)
                times.append((second, second))
                opening, open_word = False, True
        return times


def flite(name: str, words: Sequence[str], rng: random.Random) -> tuple[np.ndarray, Times]:
    """As Espeak.speak."""
    stretch, pitch = rng.uniform(0.8, 1.3), rng.uniform(80, 150) if name != "slt" else rng.uniform(150, 210)
    with tempfile.NamedTemporaryFile(suffix=".wav") as out:
        command = [*_FLITE, "-voice", name, "-t", _text(words, rng), "-o", out.name, "-psdur"]
        command += ["--setf", f"duration_stretch={stretch:.2f}", "--setf", f"int_f0_target_mean={pitch:.0f}"]
        shown = subprocess.run(command, check=True, capture_output=True, timeout=30).stdout.decode()
        samples, rate = soundfile.read(Path(out.name), dtype="float32")
    times = _flite_times(shown, words)
    return np.asarray(soxr.resample(samples, rate, SAMPLE_RATE_HZ), np.float32), times


def _flite_times(shown: str, words: Sequence[str]) -> Times:
    """From "pau:0.152 w:0.252 ah:0.299 ...": ends of phonemes, which words share in order."""
    ends = [(name, float(end)) for name, _, end in (part.rpartition(":") for part in shown.split())]
    spoken, before = [], 0.0
    for phoneme, end in ends:
        if phoneme != "pau":
            spoken.append((before, end))
        before = end
    counts = [_phonemes(word) for word in words]
    if sum(counts) != len(spoken):
        raise RuntimeError(f"flite says {len(spoken)} phonemes, the words alone have {sum(counts)}")
    firsts = np.cumsum([0, *counts])
    return [(spoken[a][0], spoken[b - 1][1]) for a, b in itertools.pairwise(firsts)]


@cache
def _phonemes(word: str) -> int:
    command = [*_FLITE, "-voice", "rms", "-t", word, "-o", "none", "-psdur"]
    shown = subprocess.run(command, check=True, capture_output=True, timeout=30).stdout.decode()
    return sum(not part.startswith("pau:") for part in shown.split())


def _text(words: Sequence[str], rng: random.Random) -> str:
    spoken = (PINYIN.get(word, word) + (", " if rng.random() < 0.3 else " ") for word in words)
    return "".join(spoken).rstrip(", ")


def speak(espeak: Espeak, voice: Voice, words: Sequence[str], rng: random.Random) -> tuple[np.ndarray, Times]:
    """The utterance of one of these two synthesisers, as spoken, with its words' times."""
    call = espeak.speak if voice.engine == "espeak" else flite
    return call(voice.name, words, rng)
