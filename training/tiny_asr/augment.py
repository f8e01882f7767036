"""Makes one recording sound like many: speed, pauses, level and noise.

Works on samples at 16 kHz, (n,) float32; what is done to the spectrum belongs to features.py.
"""

import numpy as np
from scipy import fft

RATE = 16_000  # samples per second
_SLOPES = (0.0, 0.25, 0.5, 1.0)  # amplitude over frequency: white, pinker, pink, brown


def stretched(samples: np.ndarray, speed: float) -> np.ndarray:
    """Faster (and higher) by the factor `speed`, by linear interpolation."""
    positions = np.arange(int((len(samples) - 1) / speed)) * speed
    low = positions.astype(np.int32)
    share = (positions - low).astype(np.float32)
    return samples[low] * (1 - share) + samples[low + 1] * share


def silence(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * RATE), dtype=np.float32)


def padding_seconds(rng: np.random.Generator) -> float:
    """Silence before or after the speech: mostly short, sometimes up to two seconds."""
    return float(rng.uniform(0.3, 2.1) if rng.random() < 0.15 else rng.uniform(0.0, 0.3))


class Noises:
    """Noises from white to brown, made once; cutting from them costs little."""

    def __init__(self, rng: np.random.Generator, seconds: float = 60.0) -> None:
        size = fft.next_fast_len(int(seconds * RATE), real=True)
        hertz = np.linspace(0, RATE / 2, size // 2 + 1)
        self._noises = []
        for slope in _SLOPES:
            white = fft.rfft(rng.standard_normal(size, dtype=np.float32))
            noise = fft.irfft(white * (hertz + 50) ** -slope, size)
            self._noises.append((noise / np.sqrt(np.mean(noise**2))).astype(np.float32))

    def cut(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """`count` samples with a mean square of about one."""
        noise = self._noises[rng.integers(len(self._noises))]
        start = rng.integers(len(noise) - count)
        return noise[start : start + count]

    def added(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The samples at a random level, mostly with a noise 12 to 50 dB below them."""
        if rng.random() < 0.75:
            power = float(np.sqrt(np.mean(np.square(samples)))) + 1e-8
            level = np.float32(power * 10 ** (-rng.uniform(12, 50) / 20))
            samples = samples + level * self.cut(len(samples), rng)
        return samples * np.float32(10 ** rng.uniform(-1.2, 0.2))

    def without_speech(self, rng: np.random.Generator) -> np.ndarray:
        """Silence, noise, hum or clicks of 0.1 to 8 seconds: nothing to transcribe."""
        count = int(rng.uniform(0.1, 8.0) * RATE)
        kind = rng.integers(5)
        level = 10 ** rng.uniform(-4, -0.7)
        if kind == 0:
            return np.zeros(count, dtype=np.float32)
        if kind == 1:
            sound = np.sin(2 * np.pi * rng.uniform(40, 3000) * np.arange(count) / RATE)
        elif kind == 2:
            sound = (rng.random(count) < rng.uniform(1, 8) / RATE) * 1.0
        else:
            sound = self.cut(count, rng) / 3
        return (level * sound).astype(np.float32)
