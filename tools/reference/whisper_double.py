"""How far float32 itself is from the truth: Whisper's encoder in float64, against ours and another one's.

    python -m tools.reference.whisper_double MODEL CLIP.wav [OTHER.npy]

OTHER.npy: what another implementation in float32 makes of the same features, (1500, n), which are written to
CLIP.mel.npy beside the clip. The largest distances are printed, by the largest number.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from ominix.cpu import backend

BACKEND = backend.prepare()  # before mlx is imported

import mlx.core as mx  # noqa: E402
import numpy as np  # noqa: E402
import soundfile  # noqa: E402
from mlx.utils import tree_flatten  # noqa: E402

from ominix.cpu import door  # noqa: E402
from ominix.models.whisper import features, weights  # noqa: E402

erf = np.vectorize(__import__("math").erf, otypes=[np.float64])


def main(folder: str, clip: str, *others: str) -> None:
    model = weights.load(Path(folder))
    model.set_dtype(mx.float32)
    samples, _ = soundfile.read(clip, dtype="float32")
    mel = features.window(features.features(samples, model.config.n_mels), model.config.frames)
    np.save(Path(clip).with_suffix(".mel.npy"), mel)
    named = {n: np.array(a).astype(np.float64) for n, a in tree_flatten(model.encoder.parameters())}
    positions = np.array(model.encoder._positions).astype(np.float64)
    truth = encode(named, positions, mel.astype(np.float64), model.config.n_audio_head)
    found = {"mlx's layers": np.array(model.encoder(mx.array(mel)[None])[0])}
    door.settle(model, BACKEND, lambda model: True)
    found["ours on this CPU"] = np.array(model.encoder(mx.array(mel)[None])[0])
    found |= {Path(other).stem: np.load(other) for other in others}
    print(f"numbers reach {np.abs(truth).max():.1f}")
    for name, numbers in found.items():
        off = np.abs(numbers - truth)
        print(f"{name}: largest distance from float64 {off.max():.1e}, mean {off.mean():.1e}")


def encode(w: dict[str, np.ndarray], positions: np.ndarray, mel: np.ndarray, heads: int) -> np.ndarray:
    """(3000, bands) -> (1500, n)."""
    x = gelu(convolved(mel, w["conv1.weight"], 1) + w["conv1.bias"])
    x = gelu(convolved(x, w["conv2.weight"], 2) + w["conv2.bias"]) + positions
    layer = 0
    while f"blocks.{layer}.attn_ln.weight" in w:
        part = part_of(w, f"blocks.{layer}.")
        x = x + attention(part, normed(x, part("attn_ln.weight"), part("attn_ln.bias")), heads)
        y = normed(x, part("mlp_ln.weight"), part("mlp_ln.bias"))
        y = gelu(y @ part("mlp1.weight").T + part("mlp1.bias"))
        x = x + y @ part("mlp2.weight").T + part("mlp2.bias")
        layer += 1
    return normed(x, w["ln_post.weight"], w["ln_post.bias"])


def part_of(w: dict[str, np.ndarray], prefix: str) -> Callable[[str], np.ndarray]:
    return lambda name: w[prefix + name]


def attention(part: Callable[[str], np.ndarray], x: np.ndarray, heads: int) -> np.ndarray:
    def split(y: np.ndarray) -> np.ndarray:
        return y.reshape(len(y), heads, -1).transpose(1, 0, 2)

    q = split(x @ part("attn.query.weight").T + part("attn.query.bias"))
    k = split(x @ part("attn.key.weight").T)
    v = split(x @ part("attn.value.weight").T + part("attn.value.bias"))
    scores = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
    chances = np.exp(scores - scores.max(-1, keepdims=True))
    seen = (chances / chances.sum(-1, keepdims=True)) @ v
    return seen.transpose(1, 0, 2).reshape(x.shape) @ part("attn.out.weight").T + part("attn.out.bias")


def convolved(x: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    """`weight`: (out, 3, in)."""
    padded = np.pad(x, ((1, 1), (0, 0)))
    return sum(padded[i : i + len(x)][::stride] @ weight[:, i].T for i in range(3))


def normed(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    off = x - x.mean(-1, keepdims=True)
    return off / np.sqrt((off**2).mean(-1, keepdims=True) + 1e-5) * weight + bias


def gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + erf(x / np.sqrt(2))) / 2


if __name__ == "__main__":
    main(*sys.argv[1:])
