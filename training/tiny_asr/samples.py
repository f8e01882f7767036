"""Takes recordings out of the held-out splits: the samples users hear, the clips tests use.

`python -m training.tiny_asr.samples --data FOLDER --samples FOLDER --tests FOLDER`

Which clips are taken depends on their words and voices alone, never on what a model makes of them.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import soundfile

from .store import Clip, Store
from .words import joined

_RATE = 16_000
_SAMPLES: dict[str, tuple[str, Callable[[Clip], bool]]] = {
    "english": ("seen", lambda c: c.voice.startswith("pico:en") and len(c.words) == 5),
    "english-long": ("seen", lambda c: c.voice.startswith("flite:rms") and len(c.words) == 10),
    "spanish": ("seen", lambda c: c.voice == "pico:es-ES" and len(c.words) == 5),
    "chinese": ("seen", lambda c: c.language == "Chinese" and len(c.words) == 6),
    "unheard-voice": ("unseen", lambda c: c.voice.startswith("flite:slt") and len(c.words) == 4),
}


def main() -> None:
    options = _options()
    stores = {name: Store(options.data, name) for name in ("seen", "unseen")}
    entries = []
    for name, (split, fits) in _SAMPLES.items():
        clip = next(clip for clip in stores[split] if fits(clip))
        entries.append(_write(stores[split], clip, options.samples / f"{name}.flac"))
    _list(entries, options.samples / "samples.json")
    chosen = {"seen": _mixed(stores["seen"], 34, 6), "unseen": _mixed(stores["unseen"], 18, 2)}
    entries = []
    for split, clips in chosen.items():
        for number, clip in enumerate(clips):
            path = options.tests / f"{split}-{number:02}.ogg"
            entries.append(_write(stores[split], clip, path))
    _list(entries, options.tests / "clips.json")


def _mixed(store: Store, short: int, long: int) -> list[Clip]:
    """The first `short` clips of at most 6 words and the first `long` ones of 8 or more."""
    brief = [clip for clip in store if len(clip.words) <= 6]
    ample = [clip for clip in store if len(clip.words) >= 8]
    return brief[:short] + ample[:long]


def _write(store: Store, clip: Clip, path: Path) -> dict[str, object]:
    """Writes one clip (FLAC or Ogg Vorbis by its suffix) and gives its line for the list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, store.samples(clip), _RATE)
    return {
        "file": path.name,
        "text": joined(clip.words, clip.language),
        "language": clip.language,
        "voice": clip.voice.removesuffix(" (unseen)"),
        "heard_in_training": not clip.voice.endswith(" (unseen)"),
        "seconds": round(clip.length / _RATE, 2),
    }


def _list(entries: list[dict[str, object]], path: Path) -> None:
    path.write_text(json.dumps(entries, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--tests", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
