"""Whisper window by window through our engine, against faster-whisper's: tokens, times, words, languages.

    python -m tools.reference.whisper_windows --samples WAVS RECORDINGS/*        our decoder's samples
    python tools/reference/faster_whisper_outputs.py CT2_FOLDER WAVS OUT.json    where faster-whisper is
    python -m tools.reference.whisper_windows MODEL OUT.json WAVS [--way WAY]

MODEL holds the same weights in any layout. Temperature 0 without fallback, float32. A window is equal if its
tokens and times are; one that does not begin where the reference's does is different. Exit 1 below 95 %.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from collections import defaultdict
from pathlib import Path

from ominix.cpu import backend

BACKEND = backend.prepare()  # before mlx is imported

import numpy as np  # noqa: E402
import soundfile  # noqa: E402

from ominix.audio import decode  # noqa: E402
from ominix.audio.piece import Gap  # noqa: E402
from ominix.cpu import door  # noqa: E402
from ominix.engines.speech.reader import ReadingThread  # noqa: E402
from ominix.engines.speech.scheduler import Scheduler  # noqa: E402
from ominix.engines.speech.stages.words import WordsLoader  # noqa: E402
from ominix.models.whisper import weights  # noqa: E402
from ominix.models.whisper.recogniser import WhisperRecogniser  # noqa: E402
from ominix.models.whisper.tokenizer import SpecialTokens, Vocabulary  # noqa: E402
from ominix.text import languages  # noqa: E402
from ominix.wire.events import Segment, TranscriptionDone  # noqa: E402
from ominix.wire.jobs import Helper, SearchOptions, TranscriptionJob  # noqa: E402

SECONDS = 0.011  # timestamps are 0.02 apart, and rounded
WAYS = {
    "greedy": {},
    "greedy, previous text": {"previous_text": True},
    "beam 5": {"search": SearchOptions(beam_size=5)},
    "beam 5, previous text": {"search": SearchOptions(beam_size=5), "previous_text": True},
    "words": {"helpers": {"words": Helper("whisper", "itself")}},
}
LEAST = 0.95


class Ours:
    def __init__(self, folder: Path) -> None:
        model = weights.load(folder)
        door.settle(model, BACKEND, lambda model: True)
        self.tokens = SpecialTokens(model.config.n_vocab)
        self.vocabulary = Vocabulary(self.tokens.multilingual)
        recogniser = WhisperRecogniser(model, self.vocabulary, self.tokens, temperatures=(0.0,))
        words = WordsLoader(lambda model: None, recogniser.features_kind, {"itself": recogniser.aligner})
        self._scheduler = Scheduler(recogniser, 4, {"words": words.open}, ReadingThread())

    def heard(self, file: Path, language: str | None, way: dict) -> tuple[list[Segment], TranscriptionDone]:
        name = languages.find(language) if language else None
        job = TranscriptionJob(os.open(file, os.O_RDONLY), language=name, sequential=True, **way)
        self._scheduler.admit(1, job)
        events = []
        while not self._scheduler.idle:
            events += [event for _, event in self._scheduler.step()]
        done = events[-1]
        assert isinstance(done, TranscriptionDone), done
        return [event for event in events if isinstance(event, Segment)], done


def windows(segments: list[dict]) -> dict[int, list[dict]]:
    """By where they begin, in frames."""
    return {seek: list(group) for seek, group in itertools.groupby(segments, lambda s: s["seek"])}


def as_dicts(segments: list[Segment]) -> list[dict]:
    return [
        {
            "seek": round((s.seek_seconds or 0.0) * 100),
            "start": s.start,
            "end": s.end,
            "tokens": list(s.tokens),
            "avg_logprob": s.avg_logprob,
            "no_speech_prob": s.no_speech_prob,
            "words": [[word.text, word.start, word.end] for word in s.words],
        }
        for s in segments
    ]


def equal(ours: list[dict], theirs: list[dict], seconds: float) -> bool:
    """Ours do not end past the recording."""
    return len(ours) == len(theirs) and all(
        a["tokens"] == b["tokens"]
        and abs(a["start"] - b["start"]) < SECONDS
        and abs(a["end"] - min(b["end"], seconds)) < SECONDS
        for a, b in zip(ours, theirs, strict=True)
    )


def compare(args: argparse.Namespace) -> int:
    ours, verdicts = Ours(args.model), defaultdict(list)
    distances: list[float] = []
    given = json.loads((args.wavs / "languages.json").read_text())
    reference = json.loads(args.reference.read_text())
    for name, way in itertools.product(reference, args.way or WAYS):
        entry, file = reference[name], args.wavs / f"{name}.wav"
        if way not in entry or (args.only and name not in args.only):
            continue
        segments, done = ours.heard(file, given[name] or entry["detected"][0], WAYS[way])
        mine, theirs = windows(as_dicts(segments)), windows(entry[way])
        distances += word_distances(mine, theirs) if way == "words" else []
        for seek, window in theirs.items() if way != "words" else ():  # its segments' borders follow words
            is_equal = equal(mine.get(seek, []), window, done.duration_seconds)
            verdicts[way].append(is_equal)
            if not is_equal:
                show(ours, f"{way}: {name} at {seek / 100}", mine.get(seek, []), window)
        for seek in mine.keys() - theirs.keys():
            print(f"{way}: {name} at {seek / 100}: a window of ours alone")
        print(f"# {way}: {name}, {sum(verdicts[way])} of {len(verdicts[way])} windows are equal", flush=True)
    if distances:
        off = np.abs(distances) * 1000
        median, most = np.median(off), np.percentile(off, 95)
        print(f"{len(off)} borders of words: median {median:.0f} ms, 95 % {most:.0f} ms")
    return int(any(np.mean(found) < LEAST for found in verdicts.values()))


def word_distances(mine: dict[int, list[dict]], theirs: dict[int, list[dict]]) -> list[float]:
    """Of windows with the same words, without punctuation."""
    found: list[float] = []
    for seek, window in theirs.items():
        pairs = [[w for s in part for w in s["words"]] for part in (mine.get(seek, []), window)]
        if [bare(w[0]) for w in pairs[0]] == [bare(w[0]) for w in pairs[1]]:
            found += [a[i] - b[i] for a, b in zip(*pairs, strict=True) for i in (1, 2)]
        else:
            print(f"other words: {[w[0] for w in pairs[0]]} {[w[0] for w in pairs[1]]}")
    return found


def bare(word: str) -> str:
    return "".join(c for c in word if c.isalnum())


def show(ours: Ours, title: str, mine: list[dict], theirs: list[dict]) -> None:
    for who, window in (("ours  ", mine), ("theirs", theirs)):
        tokens = [token for segment in window for token in segment["tokens"]]
        mean = window[0]["avg_logprob"] if window else 0.0
        times = [(segment["start"], segment["end"]) for segment in window]
        text = ours.vocabulary.decode([token for token in tokens if token < ours.tokens.end])
        print(f"{title} {who} {mean:.4f} {text!r} {times}")


def detect(args: argparse.Namespace) -> int:
    """The language that is heard where none is given."""
    ours, wrong = Ours(args.model), 0
    for name, entry in json.loads(args.reference.read_text()).items():
        _, done = ours.heard(args.wavs / f"{name}.wav", None, {})
        code, probability = entry["detected"]
        same = done.language in (None, languages.find(code))
        wrong += not same
        print(f"{name}: {done.language}, theirs {code} {probability:.2f}{'' if same else ' DIFFERS'}")
    return wrong


def write_samples(folder: Path, recordings: list[Path], manifest: Path) -> int:
    folder.mkdir(exist_ok=True)
    given = {Path(entry["file"]).stem: entry["language"] for entry in json.loads(manifest.read_text())}
    (folder / "languages.json").write_text(json.dumps(given))
    for file in recordings:
        blocks = decode.blocks(os.open(file, os.O_RDONLY), max_seconds=3600, max_bytes=1 << 30)
        pieces = [np.zeros(round(b.seconds * 16_000)) if isinstance(b, Gap) else b for b in blocks]
        soundfile.write(folder / f"{file.stem}.wav", np.concatenate(pieces), 16_000, subtype="FLOAT")
    return 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=Path, metavar="WAVS", help="decode recordings into this folder")
    parser.add_argument("--manifest", type=Path, help="with --samples: JSON with the language of each file")
    parser.add_argument("--detect", action="store_true", help="compare the languages that are heard")
    parser.add_argument("--way", action="append", choices=tuple(WAYS))
    parser.add_argument("--only", action="append", metavar="NAME")
    parser.add_argument("paths", nargs="+", type=Path, metavar="MODEL OUT.json WAVS, or RECORDING")
    args = parser.parse_args(argv)
    if args.samples:
        return write_samples(args.samples, args.paths, args.manifest)
    args.model, args.reference, args.wavs = args.paths
    return detect(args) if args.detect else compare(args)


if __name__ == "__main__":
    sys.exit(main())
