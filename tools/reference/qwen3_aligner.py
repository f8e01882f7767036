"""Our Qwen3-ForcedAligner against transformers', on random tiny checkpoints: words, classes and times.

    python -m tools.reference.qwen3_aligner                              compare; exit 1 if they differ
    python -m tools.reference.qwen3_aligner --store FOLDER               and keep the reference's answers
    python -m tools.reference.qwen3_aligner --model FOLDER CLIPS.json    compare on a real checkpoint

Needs torch and transformers; with nagisa and soynlp installed, Japanese and Korean are compared, too.
CLIPS.json: [{"file": a path from that file, "text": ..., "language": ...}, ...], 16 kHz, mono.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import mlx.core as mx
import numpy as np
import soundfile
import torch
from transformers import Qwen3ASRForTokenClassification, Qwen3ASRProcessor

from ominix.models.qwen3_asr import alignment, config, features, tokenizer, weights, words
from ominix.models.qwen3_asr.model import ForcedAligner
from tools.reference.qwen3_asr import signal
from tools.reference.qwen3_asr_checkpoint import build_aligner, channels_last, write_layouts

TOLERANCE = 1e-4  # of the scores


@dataclass(frozen=True)
class Case:
    samples: np.ndarray
    text: str
    language: str | None


@dataclass(frozen=True)
class Answer:
    words: list[str]
    classes: list[int]
    times: list[tuple[int, int]]  # ms
    scores: np.ndarray | None = None  # (stamps, classes)


# seconds of the test sound, text, language
CASES = (
    (0.1, "one", "English"),
    (1.01, "One, two -- three!", "English"),
    (2.5, "don't \u201cdon\u2019t\u201d go-go 3.5%", None),
    (8.0, "\u4f60\u597d\uff0cone two\u4e16\u754c\u3002", "Chinese"),
    (9.7, "Gr\u00fc\u00dfe aus K\u00f6ln, \u00e0 bient\u00f4t; ni\u00f1o!", "German"),
    (12.0, "\u041f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440", "Russian"),
    (35.0, " ".join(["one two three"] * 25), "English"),
)
JAPANESE = (5.0, "\u4eca\u65e5\u306f\u3001\u5b66\u6821\u3078\u884c\u304d\u307e\u3057\u305f\u3002", "Japanese")
KOREAN = (
    4.0,
    "\uc548\ub155\ud558\uc138\uc694, \uc624\ub298\uc740 \ub0a0\uc528\uac00 \uc88b\ub124\uc694!",
    "Korean",
)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, help="folder for the checkpoint and the reference's answers")
    parser.add_argument("--model", type=Path, help="a checkpoint that transformers reads, with its processor")
    parser.add_argument("clips", nargs="?", type=Path, help="for --model")
    options = parser.parse_args(argv)
    faults = compare_real(options.model, options.clips) if options.model else compare_random(options.store)
    print("equal" if not faults else f"{faults} answers differ")
    return 1 if faults else 0


def compare_random(kept: Path | None) -> int:
    with tempfile.TemporaryDirectory() as scratch:
        folder = kept or Path(scratch) / "hf"
        reference, processor = build_aligner(folder)
        chosen = [(f"{s} s, {language}", Case(signal(s), text, language)) for s, text, language in _cases()]
        cases = dict(chosen)
        answers = {name: ask_reference(reference, processor, case) for name, case in cases.items()}
        if kept:
            store(kept, answers)
        layouts = {"hf": folder, **write_layouts(folder, Path(scratch))}
        faults = sum(compare(name, path, cases, answers) for name, path in layouts.items())
        return faults + compare_quantized(folder, Path(scratch) / "quantized", processor, cases)


def _cases() -> list[tuple[float, str, str | None]]:
    more = [case for case, package in ((JAPANESE, "nagisa"), (KOREAN, "soynlp")) if _is_there(package)]
    return [*CASES, *more]


def _is_there(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def ask_reference(model: Qwen3ASRForTokenClassification, processor: Qwen3ASRProcessor, case: Case) -> Answer:
    inputs, lists = processor.prepare_forced_aligner_inputs(case.samples, case.text, case.language)
    with torch.no_grad():
        logits = model(**inputs).logits
    stamp = model.config.timestamp_token_id
    scores = logits[0, inputs["input_ids"][0] == stamp]
    (items,) = processor.decode_forced_alignment(logits, inputs["input_ids"], lists, stamp)
    times = [(round(i["start_time"] * 1000), round(i["end_time"] * 1000)) for i in items]
    return Answer([i["text"] for i in items], scores.argmax(-1).tolist(), times, scores.numpy())


def ask_ours(folder: Path, model: ForcedAligner, cases: list[Case]) -> list[Answer]:
    """All at once, as it is served."""
    settings = config.read_aligner(folder)
    questions = alignment.Questions(tokenizer.load(folder), settings)
    lists = [[place.read for place in words.split(case.text, case.language)] for case in cases]
    asked = [questions.ask(found) for found in lists]
    heard = model.audio_tower([features.log_mel(case.samples) for case in cases])
    prompts = [model.embed(q.before, a, q.after) for q, a in zip(asked, heard, strict=True)]
    places = [q.places(len(a)) for q, a in zip(asked, heard, strict=True)]
    classes = model.classes(prompts, places)
    scores = [
        np.array(model.score(model.states(prompt[None], None)[0, mx.array(at)]))
        for prompt, at in zip(prompts, places, strict=True)
    ]
    return [
        Answer(found, numbers, alignment.times(numbers, settings.class_ms), raw)
        for found, numbers, raw in zip(lists, classes, scores, strict=True)
    ]


def compare(layout: str, folder: Path, cases: dict[str, Case], answers: dict[str, Answer]) -> int:
    """One line a case; how many differ."""
    ours = ask_ours(folder, weights.load_aligner(folder), list(cases.values()))
    return sum(report(f"{layout}, {n}", answers[n], o) for n, o in zip(cases, ours, strict=True))


def report(what: str, theirs: Answer, ours: Answer) -> bool:
    assert theirs.scores is not None
    assert ours.scores is not None
    same = {"words": theirs.words == ours.words}
    same |= {"classes": theirs.classes == ours.classes, "times": theirs.times == ours.times}
    furthest = float(np.abs(theirs.scores - ours.scores).max())
    unequal = [name for name, equal in same.items() if not equal]
    print(f"{what:28} {len(ours.words):3} words  scores {furthest:.1e}  {', '.join(unequal) or 'equal'}")
    return bool(unequal) or furthest > TOLERANCE


def compare_quantized(
    folder: Path, target: Path, processor: Qwen3ASRProcessor, cases: dict[str, Case]
) -> int:
    """8-bit decoder and head, plain encoder; the reference gets the same numbers unpacked."""
    target.mkdir()
    hf = mx.load(str(folder / "model.safetensors"))
    assert isinstance(hf, dict)
    unpacked = dict(hf)
    packed = {n.replace("score.", "lm_head."): a for n, a in _renamed(channels_last(_renamed(hf))).items()}
    for name, array in hf.items():
        ours = weights.renamed(name).replace("score.", "lm_head.")
        if ours.startswith(("model.", "lm_head.")) and array.ndim == 2:
            parts = mx.quantize(array, group_size=32, bits=8)
            unpacked[name] = mx.dequantize(*parts, group_size=32, bits=8)
            stem = ours.removesuffix(".weight")
            packed |= dict(zip((ours, f"{stem}.scales", f"{stem}.biases"), parts, strict=True))
    settings = json.loads((folder / "config.json").read_text())
    settings["quantization"] = {"group_size": 32, "bits": 8}
    (target / "config.json").write_text(json.dumps(settings))
    (target / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    mx.save_safetensors(str(target / "model.safetensors"), packed)
    reference = Qwen3ASRForTokenClassification.from_pretrained(folder).eval()
    reference.load_state_dict({name: torch.from_numpy(np.array(a)) for name, a in unpacked.items()})
    answers = {name: ask_reference(reference, processor, case) for name, case in cases.items()}
    return compare("8 bits", target, cases, answers)


def _renamed(arrays: dict[str, mx.array]) -> dict[str, mx.array]:
    return {weights.renamed(name): array for name, array in arrays.items()}


def compare_real(folder: Path, listed: Path) -> int:
    reference = Qwen3ASRForTokenClassification.from_pretrained(folder, dtype=torch.float32).eval()
    processor = Qwen3ASRProcessor.from_pretrained(folder)
    model = weights.load_aligner(folder)
    model.set_dtype(mx.float32)
    faults = 0
    for clip in json.loads(listed.read_text("utf-8")):
        samples, _ = soundfile.read(listed.parent / clip["file"], dtype="float32")
        case = Case(samples, clip["text"], clip["language"])
        theirs = ask_reference(reference, processor, case)
        faults += report(clip["file"], theirs, ask_ours(folder, model, [case])[0])
    return faults


def store(folder: Path, answers: dict[str, Answer]) -> None:
    """Words, classes and times; the sound is tests/golden/qwen3_asr's. What only torch reads goes."""
    kept = [
        {
            "seconds": seconds,
            "text": text,
            "language": language,
            **_plain(answers[f"{seconds} s, {language}"]),
        }
        for seconds, text, language in CASES
    ]
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in kept)
    (folder / "answers.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    for name in ("tokenizer_config.json", "chat_template.jinja"):
        (folder / name).unlink(missing_ok=True)


def _plain(answer: Answer) -> dict[str, object]:
    return {name: value for name, value in asdict(answer).items() if name != "scores"}


if __name__ == "__main__":
    sys.exit(main())
