"""Packaged speech synthesisers as one function: words in, 16 kHz samples out.

Needs espeak-ng, flite, festival with festvox-kdlpc16k (Debian packages of those names), and
py-nanotts (PyPI) for Pico. Knows nothing about data sets.
"""

import io
import random
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from .words import PINYIN

SAMPLE_RATE_HZ = 16_000
_DIALECT_NAMES = "en-gb en-us en-gb-scotland en-gb-x-gbclan en-gb-x-rp en-gb-x-gbcwmd en-029 en-us-nyc"
_VARIANT_NAMES = (
    "f1 f2 f3 f5 m1 m2 m3 m5 m6 m7 m8 Alex Alicia Andrea Andy Annie Denis Diogo Henrique Hugo "
    "Jacky Lee Marco Mario Michael Mike Nguyen adam anika antonio aunty belinda benjamin boris "
    "caleb david ed edward edward2 grandma grandpa gustave iven iven2 iven3 john kaukovalta klatt "
    "klatt2 klatt3 linda marcelo max michel miguel norbert pablo paul pedro quincy rob robert "
    "sandro steph steph2 travis victor zac"
)
_DIALECTS = _DIALECT_NAMES.split()
_VARIANTS = _VARIANT_NAMES.split()
_HELD_OUT_VARIANTS = ("m4", "f4", "Gene", "shelby")
_FESTIVAL_VOICE = Path("/usr/share/festival/voices/english/ked_diphone")
_PROGRAMS = ("espeak-ng", "flite", "festival")


@dataclass(frozen=True)
class Voice:
    """One speaker: `engine` is espeak, flite, pico or festival; `name` is the engine's own."""

    engine: str
    name: str

    @property
    def label(self) -> str:
        return f"{self.engine}:{self.name}"


def missing_packages() -> list[str]:
    """What has to be installed before speech can be made, one line for each."""
    absent = [name for name in _PROGRAMS if not shutil.which(name)]
    missing = [f"{name} (Debian: apt install {name})" for name in absent]
    if not _FESTIVAL_VOICE.exists():
        missing.append("the festival voice ked (Debian: apt install festvox-kdlpc16k)")
    try:
        import py_nanotts  # noqa: F401
    except ImportError:
        missing.append("py_nanotts (PyPI: pip install py-nanotts)")
    return missing


def draw_voice(language: str, rng: random.Random, unseen: bool) -> Voice:
    """A random speaker of `language`; `unseen` ones are never used for training."""
    if unseen:
        return _draw_unseen(language, rng)
    kind = rng.random()
    if language == "English" and kind < 0.3:
        return Voice("flite", rng.choice(["kal16", "awb", "rms"]))
    if language == "English" and kind < 0.5:
        return Voice("pico", rng.choice(["en-GB", "en-US"]))
    if language == "Spanish" and kind < 0.3:
        return Voice("pico", "es-ES")
    return Voice("espeak", f"{_dialect(language, rng)}+{rng.choice(_VARIANTS)}")


def _draw_unseen(language: str, rng: random.Random) -> Voice:
    kind = rng.random()
    if language == "English" and kind < 0.35:
        return Voice("flite", "slt")
    if language == "English" and kind < 0.5:
        return Voice("festival", "ked_diphone")
    return Voice("espeak", f"{_dialect(language, rng)}+{rng.choice(_HELD_OUT_VARIANTS)}")


def _dialect(language: str, rng: random.Random) -> str:
    if language == "English":
        return rng.choice(_DIALECTS)
    return rng.choice(["es", "es-419"]) if language == "Spanish" else "cmn-latn-pinyin"


def speak(voice: Voice, words: Sequence[str], rng: random.Random) -> np.ndarray:
    """Samples (n,) float32 in [-1, 1] of one utterance, trimmed of silence at both ends.

    Speed, pitch and the pauses between words are drawn from `rng`. Raises RuntimeError if the
    synthesiser gives no sound.
    """
    text = "".join(PINYIN.get(word, word) + (", " if rng.random() < 0.3 else " ") for word in words).rstrip(
        ", "
    )
    samples = _trimmed(_ENGINES[voice.engine](voice.name, text, rng))
    if len(samples) < SAMPLE_RATE_HZ // 20:
        raise RuntimeError(f"{voice.label} said nothing for {text!r}")
    return samples


def _espeak(name: str, text: str, rng: random.Random) -> np.ndarray:
    gap = rng.choice([0, 0, 0, 5, 15, 30])  # units of 10 ms at the default speed
    speed, pitch = rng.randint(115, 215), rng.randint(25, 80)
    command = ["espeak-ng", "-v", name, "-s", str(speed), "-p", str(pitch), "-g", str(gap)]
    return _from_wav(subprocess.run([*command, "--stdout", text], **_QUIET).stdout)


def _flite(name: str, text: str, rng: random.Random) -> np.ndarray:
    stretch, pitch = rng.uniform(0.8, 1.3), rng.uniform(80, 150)
    if name == "slt":
        pitch = rng.uniform(150, 210)
    with tempfile.NamedTemporaryFile(suffix=".wav") as out:
        command = ["flite", "-voice", name, "-t", text, "-o", out.name]
        command += ["--setf", f"duration_stretch={stretch:.2f}"]
        command += ["--setf", f"int_f0_target_mean={pitch:.0f}"]
        subprocess.run(command, **_QUIET)
        return _from_wav(Path(out.name).read_bytes())


def _festival(name: str, text: str, rng: random.Random) -> np.ndarray:
    stretch = rng.uniform(0.85, 1.2)
    with tempfile.NamedTemporaryFile(suffix=".wav") as out:
        script = [f"(voice_{name})", f"(Parameter.set 'Duration_Stretch {stretch:.2f})"]
        utterance = f'(utt.synth (Utterance Text "{text}"))'
        script += [f'(utt.save.wave {utterance} "{out.name}" \'riff)']
        subprocess.run(["festival", "-b", *script], **_QUIET)
        return _from_wav(Path(out.name).read_bytes())


def _pico(name: str, text: str, rng: random.Random) -> np.ndarray:
    from py_nanotts import NanoTTS

    speed, pitch = rng.uniform(0.75, 1.25), rng.uniform(0.75, 1.25)
    raw = NanoTTS().speak(text, voice=name, speed=speed, pitch=pitch)
    return np.frombuffer(raw, dtype="<i2").astype(np.float32) / 32768


_QUIET = {"check": True, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "timeout": 30}
_ENGINES = {"espeak": _espeak, "flite": _flite, "festival": _festival, "pico": _pico}


def _from_wav(raw: bytes) -> np.ndarray:
    samples, rate = soundfile.read(io.BytesIO(raw), dtype="float32")
    return np.asarray(soxr.resample(samples, rate, SAMPLE_RATE_HZ), dtype=np.float32)


def _trimmed(samples: np.ndarray) -> np.ndarray:
    """Without the quiet ends (1 % of the peak), 20 ms kept on each side."""
    peak = float(np.abs(samples).max(initial=0.0))
    loud = np.flatnonzero(np.abs(samples) > 0.01 * peak)
    if peak < 1e-3 or len(loud) == 0:
        return samples[:0]
    keep = SAMPLE_RATE_HZ // 50
    return samples[max(0, loud[0] - keep) : loud[-1] + keep]
