"""Our Qwen3-ASR against transformers', number by number, on random tiny checkpoints.

    python -m tools.reference.qwen3_asr                               compare; exit 1 beyond the tolerances
    python -m tools.reference.qwen3_asr --store tests/golden/qwen3_asr   and keep the reference's answers
    python -m tools.reference.qwen3_asr --model FOLDER CLIP.wav ...   compare on a real checkpoint and sound

Needs torch and transformers. The reference hears one clip at a time: its own batches differ from single clips
in how they pad.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import numpy as np
import soundfile
import torch
from mlx_lm.models.cache import make_prompt_cache
from transformers import (
    Qwen2Tokenizer,
    Qwen3ASRFeatureExtractor,
    Qwen3ASRForConditionalGeneration,
    Qwen3ASRProcessor,
    WhisperFeatureExtractor,
)

from ominix.models.qwen3_asr import features, weights
from ominix.models.qwen3_asr.model import Model
from ominix.models.qwen3_asr.prompt import Grammar
from ominix.models.qwen3_asr.rows import Newcomer, Rows
from ominix.models.qwen3_asr.tokenizer import load as load_tokenizer
from tools.reference.qwen3_asr_checkpoint import build, channels_last, write_layouts

# seconds: far below a chunk, one chunk, one frame more, one attention window, several
LENGTHS = (0.1, 1.0, 1.01, 8.0, 35.0)
NEW_TOKENS = 12
MOST_TOKENS = 256  # of a real answer
TOLERANCES = {"features": 1e-5, "features, torch": 1e-4, "encoder": 1e-4, "logits": 1e-4, "tokens": 0}


@dataclass(frozen=True)
class Answer:
    """What one implementation makes of one clip."""

    features: np.ndarray  # (T, 128)
    encoder: np.ndarray  # (L, D)
    logits: np.ndarray  # (prompt, V)
    tokens: list[int]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, help="folder for the checkpoint and the reference's answers")
    parser.add_argument("--model", type=Path, help="a checkpoint that transformers reads, with its processor")
    parser.add_argument("clips", nargs="*", help="for --model: 16 kHz, mono")
    options = parser.parse_args(argv)
    if options.model:
        return 1 if compare_real(options.model, options.clips) else 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.store or Path(scratch) / "hf"
        reference = build(folder)
        answers = {seconds: ask_reference(reference, folder, seconds) for seconds in LENGTHS}
        if options.store:
            store(options.store, answers)
        layouts = {"hf": folder, **write_layouts(folder, Path(scratch))}
        faults = sum(compare(name, path, answers) for name, path in layouts.items())
        faults += compare_quantized(folder, Path(scratch) / "quantized")
        faults += compare_tokenizers(folder, layouts["thinker"])
    print("equal" if not faults else f"{faults} differences beyond the tolerances")
    return 1 if faults else 0


# Both sides


def signal(seconds: float) -> np.ndarray:
    """A voice-like sound: gliding harmonics in syllables, and noise. Int16 values as float32."""
    n = round(35 * features.SAMPLE_RATE_HZ)
    t = np.arange(n) / features.SAMPLE_RATE_HZ
    phase = 2 * np.pi * np.cumsum(140 + 60 * np.sin(2 * np.pi * 0.31 * t)) / features.SAMPLE_RATE_HZ
    voice = sum(np.sin(k * phase) / k for k in range(1, 24))
    syllables = np.maximum(0, np.sin(2 * np.pi * 1.7 * t)) * (1 + np.sin(2 * np.pi * 0.11 * t)) / 2
    noise = np.random.RandomState(1).standard_normal(n)
    sound = 0.2 * voice * syllables + 0.01 * noise
    whole = (np.round(sound * 32767) / 32768).astype(np.float32)
    return whole[: round(seconds * features.SAMPLE_RATE_HZ)]


def ask_reference(model: Qwen3ASRForConditionalGeneration, folder: Path, seconds: float) -> Answer:
    heard = Qwen3ASRFeatureExtractor()(
        signal(seconds), sampling_rate=16_000, padding=True, return_attention_mask=True
    )
    mask, mel = heard["attention_mask"], heard["input_features"]
    with torch.no_grad():
        encoded = model.get_audio_features(mel, mask).pooler_output
        before, after = prompt(folder)
        ids = torch.tensor([[*before, *[model.config.audio_token_id] * len(encoded), *after]])
        inputs = {"input_ids": ids, "input_features": mel, "input_features_mask": mask}
        logits = model(**inputs).logits[0]
        answer = model.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
    tokens = answer[0, ids.shape[1] :].tolist()
    frames = int(mask.sum())
    return Answer(mel[0, :, :frames].T.numpy(), encoded.numpy(), logits.numpy(), tokens)


def ask_ours(model: Model, folder: Path, clips: list[np.ndarray]) -> Iterator[Answer]:
    """All clips through the encoder at once; then each through the decoder, alone and with the others."""
    before, after = prompt(folder)
    ends = Grammar(load_tokenizer(folder), weights.configs.read(folder).eos_token_ids).ends
    mels = [features.log_mel(clip) for clip in clips]
    audios = model.audio_tower(mels)
    for mel, audio, batched in zip(mels, audios, side_by_side(model, folder, audios), strict=True):
        logits, tokens = greedy(model, model.embed(before, audio, after), ends, NEW_TOKENS)
        same = batched[: len(tokens)] == tokens
        yield Answer(mel, np.array(audio), logits, tokens if same else batched)


def greedy(model: Model, prompt: mx.array, ends: set[int], most: int) -> tuple[np.ndarray, list[int]]:
    """The prompt's logits, and the tokens that follow."""
    cache = make_prompt_cache(model)
    logits = model.logits(model.states(prompt[None], cache))[0]
    tokens = [int(mx.argmax(logits[-1]))]
    while tokens[-1] not in ends and len(tokens) < most:
        tokens.append(int(mx.argmax(model(mx.array(tokens[-1:])[None], cache=cache)[0, -1])))
    return np.array(logits), tokens


def side_by_side(model: Model, folder: Path, audios: list[mx.array]) -> list[list[int]]:
    """Greedy tokens of all clips, drawn in one batch."""
    before, after = prompt(folder)
    rows = Rows(model, watched=0)
    prompts = [Newcomer(i, model.embed(before, audio, after), -1, 0.0) for i, audio in enumerate(audios)]
    found: list[list[int]] = [[] for _ in audios]
    for step in range(NEW_TOKENS):
        for draw in rows.step() if step else rows.join(prompts):
            found[draw.row].append(draw.token)
    return found


def prompt(folder: Path) -> tuple[list[int], list[int]]:
    return Grammar(load_tokenizer(folder)).prompt("one two", None)


# The comparison


def compare(layout: str, folder: Path, answers: dict[float, Answer]) -> int:
    """One line a clip; how many figures are beyond their tolerance."""
    model = weights.load(folder)
    ours = ask_ours(model, folder, [signal(seconds) for seconds in answers])
    return sum(
        report(f"{layout}, {seconds} s", differences(theirs, our, seconds))
        for (seconds, theirs), our in zip(answers.items(), ours, strict=True)
    )


def differences(theirs: Answer, ours: Answer, seconds: float) -> dict[str, float]:
    exact = numpy_features(signal(seconds))
    same = theirs.tokens == ours.tokens
    return {
        "features": float(np.abs(exact - ours.features[: len(exact)]).max()),
        "features, torch": float(np.abs(theirs.features - ours.features).max()),
        "encoder": float(np.abs(theirs.encoder - ours.encoder).max()),
        "logits": float(np.abs(theirs.logits - ours.logits).max()),
        "tokens": 0.0 if same else 1.0,
    }


def numpy_features(samples: np.ndarray) -> np.ndarray:
    """(T, 128) of transformers' float64 path, which is the exact one of its two."""
    samples = np.pad(samples, (0, max(0, 8_000 - len(samples))))
    extractor = WhisperFeatureExtractor(feature_size=128)
    return np.asarray(extractor._np_extract_fbank_features(samples[None], "cpu")[0].T)


def report(what: str, found: dict[str, float]) -> int:
    print(f"{what:16}", "  ".join(f"{name} {value:.1e}" for name, value in found.items()))
    return sum(value > TOLERANCES[name] for name, value in found.items())


def compare_quantized(folder: Path, target: Path) -> int:
    """4-bit decoder, one layer of 8 bits, plain encoder; the reference gets the same numbers unpacked."""
    target.mkdir()
    hf = mx.load(str(folder / "model.safetensors"))
    assert isinstance(hf, dict)
    unpacked, packed = dict(hf), channels_last({weights.renamed(n): a for n, a in hf.items()})
    special = "model.layers.0.mlp.down_proj"
    for name, array in hf.items():
        ours = weights.renamed(name)
        if ours.startswith("model.") and array.ndim == 2:
            bits = 8 if ours.startswith(special) else 4
            parts = mx.quantize(array, group_size=32, bits=bits)
            unpacked[name] = mx.dequantize(*parts, group_size=32, bits=bits)
            stem = ours.removesuffix(".weight")
            packed |= dict(zip((ours, f"{stem}.scales", f"{stem}.biases"), parts, strict=True))
    config = json.loads((folder / "config.json").read_text())
    exception = {special: {"group_size": 32, "bits": 8}}
    config["quantization"] = {"group_size": 32, "bits": 4, **exception}
    (target / "config.json").write_text(json.dumps(config))
    (target / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    (target / "generation_config.json").write_bytes((folder / "generation_config.json").read_bytes())
    mx.save_safetensors(str(target / "model.safetensors"), packed)
    reference = Qwen3ASRForConditionalGeneration.from_pretrained(folder).eval()
    state = {name: torch.from_numpy(np.array(array)) for name, array in unpacked.items()}
    reference.load_state_dict(state, strict=False)
    answers = {seconds: ask_reference(reference, folder, seconds) for seconds in LENGTHS[:3]}
    return compare("quantized", target, answers)


def compare_real(folder: Path, clips: list[str]) -> int:
    """Prompts, logits and greedy tokens, with the language guessed and given."""
    reference = Qwen3ASRForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    processor = Qwen3ASRProcessor.from_pretrained(folder)
    model = weights.load(folder)
    model.set_dtype(mx.float32)
    grammar = Grammar(load_tokenizer(folder), weights.configs.read(folder).eos_token_ids)
    faults = 0
    for path, language in itertools.product(clips, (None, "English")):
        samples, _ = soundfile.read(path, dtype="float32")
        inputs = processor.apply_transcription_request(audio=samples, language=language)
        with torch.no_grad():
            theirs = reference(**inputs).logits[0].numpy()
            answer = reference.generate(**inputs, max_new_tokens=MOST_TOKENS, do_sample=False)[0]
        before, after = grammar.prompt("", language)
        audio = model.audio_tower([features.log_mel(samples)])[0]
        prompt = [*before, *[reference.config.audio_token_id] * len(audio), *after]
        ours, tokens = greedy(model, model.embed(before, audio, after), grammar.ends, MOST_TOKENS)
        same = answer.tolist() == [*prompt, *tokens]
        found = {"logits": float(np.abs(theirs - ours).max()), "tokens": float(not same)}
        faults += report(f"{Path(path).name}, {language}", found)
    return faults


def compare_tokenizers(folder: Path, assembled: Path) -> int:
    """Both forms of the tokenizer against transformers', over text of many scripts."""
    texts = [
        "one two three",
        "  Don't  go\n\n now 123! ",
        "你好。世界 ภาษาไทย हिन्दी é e\u0301 🙂",
        "a<asr_text>b<|im_end|>c",
    ]
    theirs = Qwen2Tokenizer.from_pretrained(folder)
    faults = 0
    for path in (folder, assembled):
        ours = load_tokenizer(path)
        for text in texts:
            ids = theirs.encode(text)
            back = b"".join(map(ours.bytes_of, ids)).decode()
            faults += ours.encode(text) != ids
            faults += back != theirs.decode(ids, skip_special_tokens=True)
    print(f"tokenizers: {faults} of {4 * len(texts)} differ")
    return faults


def store(folder: Path, answers: dict[float, Answer]) -> None:
    """Every 16th frame of the features, every 8th position of the logits: small, and a fault shows."""
    arrays: dict[str, np.ndarray] = {"samples": np.round(signal(35) * 32768).astype(np.int16)}
    for seconds, answer in answers.items():
        arrays |= {
            f"{seconds}/features": numpy_features(signal(seconds))[::16],
            f"{seconds}/encoder": answer.encoder,
            f"{seconds}/logits": answer.logits[::-1][::8],
            f"{seconds}/tokens": np.array(answer.tokens),
        }
    np.savez_compressed(folder / "answers.npz", **arrays)
    for name in ("tokenizer_config.json", "chat_template.jinja"):
        (folder / name).unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
