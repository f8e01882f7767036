"""Our Whisper against transformers', number by number.

    python -m tools.reference.whisper              on a random tiny checkpoint; exit 1 beyond 1e-4
    python -m tools.reference.whisper --store tests/golden/whisper  and keep what the reference answers
    python -m tools.reference.whisper --model FOLDER CLIP.wav ...   on real weights (any layout) and sound

Needs torch and transformers. The reference's network reads our features: its own fill a short window in
another way (openai-whisper's is ours). Tokens are drawn here greedily and without rules, by the same loop
for both.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from ominix.cpu import backend

backend.prepare()  # before mlx is imported

import mlx.core as mx  # noqa: E402
import numpy as np  # noqa: E402
import soundfile  # noqa: E402
import torch  # noqa: E402
from mlx.utils import tree_flatten  # noqa: E402
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration  # noqa: E402

from ominix.models.whisper import features, weights  # noqa: E402
from ominix.models.whisper.model import Model  # noqa: E402
from ominix.models.whisper.tokenizer import SpecialTokens  # noqa: E402

PROMPT = (3, 5, 7, 11)  # of the tiny checkpoint, whose vocabulary is too small for Whisper's own ids
NEW_TOKENS = 16
TOLERANCE = 1e-4
SIZES = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128,
    "num_mel_bins": 80,
    "max_source_positions": 60,
    "max_target_positions": 40,
    "vocab_size": 240,
}
_INNER = (  # ours -> Hugging Face's
    ("blocks.", "layers."),
    ("cross_attn_ln.", "encoder_attn_layer_norm."),
    ("attn_ln.", "self_attn_layer_norm."),
    ("cross_attn.", "encoder_attn."),
    (".attn.", ".self_attn."),
    (".query.", ".q_proj."),
    (".key.", ".k_proj."),
    (".value.", ".v_proj."),
    (".out.", ".out_proj."),
    ("mlp_ln.", "final_layer_norm."),
    ("mlp1.", "fc1."),
    ("mlp2.", "fc2."),
    ("encoder.ln_post.", "encoder.layer_norm."),
    ("decoder.ln.", "decoder.layer_norm."),
    ("token_embedding.", "embed_tokens."),
    ("positional_embedding", "embed_positions.weight"),
)

Answer = dict[str, np.ndarray]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--store", type=Path, help="keep the tiny checkpoint and the reference's answers here"
    )
    parser.add_argument("--model", type=Path, help="a folder with real weights")
    parser.add_argument("clips", nargs="*", type=Path)
    args = parser.parse_args(argv)
    mx.set_default_device(mx.cpu)
    if args.model:
        return max(compare_real(args.model, clip) for clip in args.clips)
    with tempfile.TemporaryDirectory() as draft:
        folder = args.store or Path(draft)
        reference = tiny_checkpoint(folder)
        model = weights.load(folder)
        mels = np.random.default_rng(7).normal(0.2, 0.6, (2, 120, 80)).astype(np.float32)
        answers = [answer(reference_network(reference), mel, PROMPT) for mel in mels]
        worst = max(
            report("tiny", mine, theirs)
            for mine, theirs in zip(
                (answer(our_network(model), m, PROMPT) for m in mels), answers, strict=True
            )
        )
        if args.store:
            store(folder, mels, answers)
    return int(worst > TOLERANCE)


def tiny_checkpoint(folder: Path) -> WhisperForConditionalGeneration:
    """Random weights, large enough that attention and answers differ from place to place."""
    torch.manual_seed(16)
    specials = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 2)
    model = WhisperForConditionalGeneration(WhisperConfig(**SIZES, **specials)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "encoder.embed_positions" not in name:
                grown = torch.randn_like(parameter) * (0.18 if parameter.ndim > 1 else 0.1)
                parameter.copy_(grown + (1.0 if "layer_norm.weight" in name else 0.0))
    model.save_pretrained(folder)
    return model


def store(folder: Path, mels: np.ndarray, answers: list[Answer]) -> None:
    samples = sound()
    arrays = {"mels": mels, "samples": (samples * 32767).astype(np.int16)}
    for i, found in enumerate(answers):
        arrays |= {f"{i}/{name}": array for name, array in found.items()}
    heard = arrays["samples"].astype(np.float32) / 32768
    for bands in (80, 128):
        extract = WhisperFeatureExtractor(feature_size=bands)
        mel = extract(heard, sampling_rate=16_000, return_tensors="np").input_features[0].T
        arrays[f"features/{bands}"] = mel[: len(heard) // 160 : 4]
    np.savez_compressed(folder / "answers.npz", **arrays)
    (folder / "generation_config.json").unlink(missing_ok=True)


def sound() -> np.ndarray:
    """2.5 s: a rising tone, noise, and quiet."""
    t = np.arange(40_000) / 16_000
    noise = np.random.default_rng(3).normal(0, 0.05, len(t))
    return np.where(t < 2, 0.4 * np.sin(2 * np.pi * (200 + 300 * t) * t) + noise, noise * 0.01)


def answer(
    network: Callable[..., tuple[np.ndarray, Callable[[list[int]], np.ndarray]]], mel, prompt
) -> Answer:
    """Encoder output, logits at every place of the prompt and after each greedy token, and those tokens."""
    encoded, logits_of = network(mel)
    tokens = list(prompt)
    logits = logits_of(tokens)
    while len(tokens) < len(prompt) + NEW_TOKENS:
        tokens.append(int(logits[-1].argmax()))
        logits = logits_of(tokens)
    return {"encoder": encoded, "logits": logits, "tokens": np.array(tokens[len(prompt) :])}


def reference_network(model: WhisperForConditionalGeneration) -> Callable:
    def hear(mel: np.ndarray):
        with torch.no_grad():
            encoded = model.model.encoder(torch.tensor(mel.T[None])).last_hidden_state

        def logits(tokens: list[int]) -> np.ndarray:
            with torch.no_grad():
                out = model(encoder_outputs=(encoded,), decoder_input_ids=torch.tensor([tokens]))
            return out.logits[0].numpy()

        return encoded[0].numpy(), logits

    return hear


def our_network(model: Model) -> Callable:
    def hear(mel: np.ndarray):
        encoded = model.encoder(mx.array(mel)[None])

        def logits(tokens: list[int]) -> np.ndarray:
            states = model.decoder.prefill([tokens], model.decoder.listen(encoded))
            return np.array(model.decoder.logits(states)[0])

        return np.array(encoded[0]), logits

    return hear


def report(name: str, ours: Answer, theirs: Answer) -> float:
    distances = {n: float(np.abs(ours[n] - theirs[n]).max()) for n in ("encoder", "logits")}
    same = ours["tokens"].tolist() == theirs["tokens"].tolist()
    largest = float(np.abs(theirs["logits"]).max())
    print(f"{name}: " + ", ".join(f"{n} {d:.1e}" for n, d in distances.items()), end=" ")
    print(f"(logits reach {largest:.1f}), tokens {'equal' if same else 'DIFFER'}")
    return max(distances.values()) if same else float("inf")


def compare_real(folder: Path, clip: Path) -> int:
    """Judged by the size of the numbers: real encoders reach 25, real logits 70."""
    model = weights.load(folder)
    model.set_dtype(mx.float32)
    samples, rate = soundfile.read(clip, dtype="float32")
    assert rate == 16_000, f"{clip} has {rate} samples a second"
    tokens = SpecialTokens(model.config.n_vocab)
    multilingual = (tokens.first_language, tokens.transcribe) if tokens.multilingual else ()
    prompt = [tokens.start, *multilingual, tokens.no_timestamps]
    mel = features.window(features.features(samples, model.config.n_mels), model.config.frames)
    ours, theirs = (
        answer(net, mel, prompt) for net in (our_network(model), reference_network(as_reference(model)))
    )
    report(clip.name, ours, theirs)
    apart = max(np.abs(ours[n] - theirs[n]).max() / np.abs(theirs[n]).max() for n in ("encoder", "logits"))
    return int(apart > TOLERANCE or ours["tokens"].tolist() != theirs["tokens"].tolist())


def as_reference(model: Model) -> WhisperForConditionalGeneration:
    """transformers' model with the same weights."""
    c = model.config
    sizes = {
        "d_model": c.n_audio_state,
        "encoder_layers": c.n_audio_layer,
        "decoder_layers": c.n_text_layer,
        "encoder_attention_heads": c.n_audio_head,
        "decoder_attention_heads": c.n_text_head,
        "encoder_ffn_dim": 4 * c.n_audio_state,
        "decoder_ffn_dim": 4 * c.n_text_state,
        "num_mel_bins": c.n_mels,
        "vocab_size": c.n_vocab,
    }
    reference = WhisperForConditionalGeneration(WhisperConfig(**sizes)).eval()
    found = {hugging_face_name(n): torch.tensor(np.array(a)) for n, a in tree_flatten(model.parameters())}
    for name in ("model.encoder.conv1.weight", "model.encoder.conv2.weight"):
        found[name] = found[name].swapaxes(1, 2)
    found["model.encoder.embed_positions.weight"] = torch.tensor(np.array(model.encoder._positions))
    found["proj_out.weight"] = found["model.decoder.embed_tokens.weight"]
    reference.load_state_dict(found)
    return reference


def hugging_face_name(name: str) -> str:
    for ours, theirs in _INNER:
        name = name.replace(ours, theirs)
    return f"model.{name}"


if __name__ == "__main__":
    sys.exit(main())
