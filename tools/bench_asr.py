"""Our speech engine beside mlx-qwen3-asr and mlx-audio: the same random 0.6B weights, clips and token counts.

    python -m tools.bench_asr [--seconds 10] [--tokens 32] [--clips 8] [--venv FOLDER] [--skip-installed]

The others live in a virtual environment that the tool makes. They run as they are installed, and again with
float32 weights and the BLAS that we load, so that only the code differs. Figures are the best of the runs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("mlx-qwen3-asr", "mlx-audio", "soundfile", "scipy-openblas32")
SPECIAL = {  # as published, so that the others find theirs
    151643: "<|endoftext|>",
    151644: "<|im_start|>",
    151645: "<|im_end|>",
    151669: "<|audio_start|>",
    151670: "<|audio_end|>",
    151676: "<|audio_pad|>",
    151704: "<asr_text>",
}
AUDIO = {
    "num_mel_bins": 128,
    "d_model": 896,
    "encoder_layers": 18,
    "encoder_attention_heads": 14,
    "encoder_ffn_dim": 3584,
    "downsample_hidden_size": 480,
    "output_dim": 1024,
    "max_source_positions": 1500,
    "n_window": 50,
    "n_window_infer": 800,
    "conv_chunksize": 500,
}
TEXT = {
    "model_type": "qwen3",
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
    "max_position_embeddings": 65536,
    "rope_theta": 1_000_000.0,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
}

# One contender each: reads its orders from argv, prints its figures.
HEAD = """
import json, sys, time
orders = json.loads(sys.argv[1])
sys.path.insert(0, orders["root"])
if orders["blas"]:
    from ominix.cpu import backend
    backend.prepare()
import mlx.core as mx
from mlx.utils import tree_map
def as_float32(tree):
    cast = lambda a: a.astype(mx.float32) if mx.issubdtype(a.dtype, mx.floating) else a
    return tree_map(cast, tree)
def best(run):
    wall, cpu = [], []
    for _ in range(orders["runs"]):
        begun, used = time.perf_counter(), time.process_time()
        tokens = run()
        wall.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - used)
    print(json.dumps({"seconds": min(wall), "cpu": min(cpu), "tokens": tokens}))
"""
CONTENDERS = {
    "mlx-qwen3-asr": """
from mlx_qwen3_asr.session import Session
session = Session(orders["model"], **({"dtype": mx.float32} if orders["blas"] else {}))
if orders["blas"]:
    session.model.update(as_float32(session.model.parameters()))
    mx.eval(session.model.parameters())
def run():
    for path in orders["clips"]:
        session.transcribe(path, max_new_tokens=orders["tokens"])
    return orders["tokens"] * len(orders["clips"])
best(run)
""",
    "mlx-audio": """
from mlx_audio.stt.utils import load
model = load(orders["model"])
if orders["blas"]:
    inner = model._model
    inner.update(as_float32(inner.parameters()))
    mx.eval(inner.parameters())
def run():
    found = [model.generate(path, max_tokens=orders["tokens"]) for path in orders["clips"]]
    return sum(one.generation_tokens for one in found)
best(run)
""",
    "ominix": """
import os
from pathlib import Path
from ominix.cpu import backend
from ominix.engines.speech.scheduler import Scheduler
from ominix.wire.events import TranscriptionDone
from ominix.wire.jobs import TranscriptionJob
from ominix.cpu import dense
from ominix.models.qwen3_asr import config, prompt, recogniser, tokenizer, weights
folder = Path(orders["model"])
model = weights.load(folder)
dense.make(model)
mx.eval(model.parameters())
grammar = prompt.Grammar(tokenizer.load(folder), config.read(folder).eos_token_ids)
ours = recogniser.Qwen3Recogniser(model, grammar, limit=lambda seconds: orders["tokens"])
engine = Scheduler(ours, 8, {})
def run():
    for number, path in enumerate(orders["clips"]):
        engine.admit(number, TranscriptionJob(os.open(path, os.O_RDONLY)))
    tokens = 0
    while not engine.idle:
        for _, event in engine.step():
            tokens += event.completion_tokens if isinstance(event, TranscriptionDone) else 0
    return tokens
best(run)
""",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a clip")
    parser.add_argument("--tokens", type=int, default=32, help="forced for every clip")
    parser.add_argument("--clips", type=int, default=8, help="at once, for our own throughput")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of the BLAS, for all; default: its own choice")
    parser.add_argument("--venv", type=Path, default=Path.home() / ".cache" / "ominix-bench-asr")
    parser.add_argument("--skip-installed", action="store_true", help="not the slow runs without a BLAS")
    options = parser.parse_args()
    python = others_python(options.venv)
    with tempfile.TemporaryDirectory() as scratch:
        model = write_checkpoint(Path(scratch) / "Qwen3-ASR-0.6B")
        clips = write_clips(Path(scratch), options.clips, options.seconds)
        env = {"OPENBLAS_NUM_THREADS": str(options.threads)} if options.threads else {}
        orders = {"root": str(ROOT), "model": str(model), "tokens": options.tokens, "runs": options.runs}
        orders["env"] = env
        ours = {"blas": True, **orders}
        rows = [("ominix, 1 clip", run(sys.executable, "ominix", {**ours, "clips": clips[:1]}))]
        rows += [(f"ominix, {len(clips)} clips", run(sys.executable, "ominix", {**ours, "clips": clips}))]
        for name in ("mlx-qwen3-asr", "mlx-audio"):
            rows += [(f"{name}, same BLAS", run(python, name, {**ours, "clips": clips[:1]}))]
        for name in () if options.skip_installed else ("mlx-qwen3-asr", "mlx-audio"):
            slow = {**orders, "blas": False, "runs": 1, "clips": clips[:1]}
            rows += [(f"{name}, as installed", run(python, name, slow))]
    report(rows, options.seconds)


def report(rows: list[tuple[str, dict[str, float]]], seconds: float) -> None:
    """By clip; ratios to our single one. CPU seconds, of all cores, are what a busy machine leaves fair."""
    ours = rows[0][1]
    print(f"{'a clip of ' + format(seconds, 'g') + ' s':30} tokens  seconds      cpu  of ours  cpu of ours")
    for name, found in rows:
        clips = found["tokens"] / ours["tokens"]
        wall, cpu = found["seconds"] / clips, found["cpu"] / clips
        ratios = f"{wall / ours['seconds']:8.2f} {cpu / ours['cpu']:12.2f}"
        print(f"{name:30} {found['tokens']:6.0f} {wall:8.2f} {cpu:8.2f} {ratios}", flush=True)


def run(python: str, name: str, orders: dict[str, Any]) -> dict[str, float]:
    print(f"running {name} ...", file=sys.stderr, flush=True)
    env = {**os.environ, "HF_HUB_OFFLINE": "1", **orders["env"]}
    command = [python, "-c", HEAD + CONTENDERS[name], json.dumps(orders)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=env)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(found, file=sys.stderr, flush=True)
    if not found["tokens"]:
        sys.exit(f"{name} wrote nothing: the figures would mean nothing")
    return found


def others_python(folder: Path) -> str:
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        extras = ("mlx[cpu]",) if sys.platform == "linux" else ()
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES, *extras], check=True)
    return str(python)


def write_clips(folder: Path, count: int, seconds: float) -> list[str]:
    """Hums that swell four times a second: heard from end to end, like speech without a pause."""
    paths = [str(folder / f"{i}.wav") for i in range(count)]
    t = np.arange(round(seconds * 16_000)) / 16_000
    for i, path in enumerate(paths):
        voice = sum(np.sin(2 * np.pi * (110 + 10 * i) * k * t) / k for k in range(1, 30))
        soundfile.write(path, 0.1 * voice * (0.55 - 0.45 * np.cos(8 * np.pi * t)), 16_000)
    return paths


def write_checkpoint(folder: Path) -> Path:
    """Random bfloat16 weights in the layout that all three read."""
    from ominix.cpu import backend

    backend.prepare()
    import mlx.core as mx
    from mlx.utils import tree_flatten

    from ominix.models.qwen3_asr import config
    from ominix.models.qwen3_asr.model import Model

    folder.mkdir()
    settings = {"model_type": "qwen3_asr", "thinker_config": {"audio_config": AUDIO, "text_config": TEXT}}
    (folder / "config.json").write_text(json.dumps({**settings, "support_languages": ["English"]}))
    write_tokenizer(folder)
    model = Model(config.read(folder))
    shapes = {name: array.shape for name, array in tree_flatten(model.parameters())}
    arrays = {n: (0.02 * mx.random.normal(shape)).astype(mx.bfloat16) for n, shape in shapes.items()}
    mx.save_safetensors(str(folder / "model.safetensors"), arrays, metadata={"format": "mlx"})
    return folder


def write_tokenizer(folder: Path) -> None:
    """Bytes, fillers and the special tokens, in as many files as the others want."""
    from tokenizers.pre_tokenizers import ByteLevel

    alphabet = sorted(ByteLevel.alphabet())
    words = [*alphabet, *(f"{a}{b}" for a in alphabet for b in alphabet), *(f"000{i}" for i in range(99_999))]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words[:151643])}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    flags = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False}
    names = {i: SPECIAL.get(i, f"<|{i}|>") for i in range(151643, 151705)}
    added = {str(i): {"content": n, "special": n != "<asr_text>", **flags} for i, n in names.items()}
    settings = {"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": added, "eos_token": "<|im_end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    extractor = {"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 128}
    (folder / "preprocessor_config.json").write_text(json.dumps(extractor))


if __name__ == "__main__":
    main()
