"""What faster-whisper makes of recordings, window by window: for tools.reference.whisper_windows.

    python tools/reference/faster_whisper_outputs.py MODEL RECORDINGS OUT.json [NAME ...]

Runs where faster-whisper is installed; needs nothing of ominix. MODEL is a CTranslate2 folder; RECORDINGS
holds WAV files at 16 kHz, mono, as whisper_windows --samples writes them, and languages.json. float32, one
thread, temperature 0 without fallback, no voice activity detection.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import soundfile
from faster_whisper import WhisperModel

WAYS = {
    "greedy": {"beam_size": 1, "condition_on_previous_text": False},
    "greedy, previous text": {"beam_size": 1, "condition_on_previous_text": True},
    "beam 5": {"beam_size": 5, "condition_on_previous_text": False},
    "beam 5, previous text": {"beam_size": 5, "condition_on_previous_text": True},
    "words": {"beam_size": 1, "condition_on_previous_text": False, "word_timestamps": True},
}


def main(model_folder: str, recordings: str, out: str, *names: str) -> None:
    model = WhisperModel(model_folder, device="cpu", compute_type="float32", cpu_threads=1)
    languages = json.loads((Path(recordings) / "languages.json").read_text())
    found = json.loads(Path(out).read_text()) if Path(out).exists() else {}
    for file in sorted(Path(recordings).glob("*.wav")):
        if names and file.stem not in names:
            continue
        samples, _ = soundfile.read(file, dtype="float32")
        entry = found.setdefault(file.stem, {})
        if "detected" not in entry:
            code, probability, _ = model.detect_language(samples)
            entry["detected"] = [code, probability]
        language = languages[file.stem] or entry["detected"][0]
        for name, way in WAYS.items():
            if name in entry or (name == "words" and len(samples) > 30 * 16_000):
                continue
            segments, _ = model.transcribe(samples, language=language, temperature=0.0, **way)
            entry[name] = [as_json(segment) for segment in segments]
            Path(out).write_text(json.dumps(found, ensure_ascii=False))
        print(file.stem, flush=True)


def as_json(segment) -> dict:
    names = ("seek", "start", "end", "tokens", "avg_logprob", "no_speech_prob", "compression_ratio")
    words = [[word.word, word.start, word.end] for word in segment.words or ()]
    return {**{name: getattr(segment, name) for name in names}, "words": words}


if __name__ == "__main__":
    main(*sys.argv[1:])
