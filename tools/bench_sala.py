"""Long context: a small random MiniCPM-SALA beside a qwen3 of the same size, both on mlx.

    nice python tools/bench_sala.py [--lengths 1024 8192 32768 131072]

Both have the same width, depth, heads and MLP. SALA keeps the release's proportions (its sparse_config
unchanged, three lightning layers to a sparse one, 16 query heads to a KV head), qwen3 those of
Qwen3-8B (4 query heads to a KV head). Weights and cached keys are random: neither speed nor size
depends on them.

decode   one-token calls at that many cached tokens; the caches are filled with random keys and values
         directly, because running the prompt through the dense model takes hours
prefill  one call of --chunk tokens that ends at that length, on a cache filled in the same way
whole    (lengths up to --whole) the whole prompt from an empty cache, in calls of 2048
cache    bytes the caches hold, spare room included

Exits with 1 unless SALA decodes at least 4 times as fast at the longest length, from a cache of at most
a quarter.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ominix.cpu import backend

BACKEND = backend.prepare()

import mlx.core as mx  # noqa: E402  # the backend comes first
from mlx_lm.models import cache as mlx_cache  # noqa: E402
from mlx_lm.models import qwen3  # noqa: E402

from ominix.models.minicpm_sala import model as sala  # noqa: E402
from ominix.models.minicpm_sala.cache import LightningCache, SparseCache  # noqa: E402

SHAPE = {
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 4,
    "num_attention_heads": 16,
    "head_dim": 32,
    "vocab_size": 4096,
    "rms_norm_eps": 1e-6,
}
SPARSE_CONFIG = {
    "kernel_size": 32,
    "kernel_stride": 16,
    "init_blocks": 1,
    "block_size": 64,
    "window_size": 2048,
    "topk": 64,
    "dense_len": 8192,
}
CALL = 2048  # tokens; mlx-lm's prefill_step_size
SPEEDUP, SHARE = 4.0, 0.25  # what is asked for at the longest length


@dataclass(frozen=True)
class Contender:
    name: str
    model: Any
    make_cache: Callable[[], list[Any]]
    fill: Callable[[Any, int], None]  # a layer's cache, with so many random tokens


@dataclass(frozen=True)
class Figures:
    decode: float  # tokens a second
    prefill: float
    whole: float | None
    cache_bytes: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[1024, 8192, 32768, 131072])
    parser.add_argument("--chunk", type=int, default=64)
    parser.add_argument("--whole", type=int, default=1024)
    options = parser.parse_args()
    print(f"mlx {mx.__version__} on {BACKEND.kind}, BLAS: {BACKEND.blas}; float32, {SHAPE}")
    print(f"caches filled directly; prefill: a call of {options.chunk} tokens at the end\n")
    print(f"{'tokens':>8} {'model':13}{'decode/s':>10}{'prefill/s':>11}{'whole/s':>9}{'cache MB':>10}")
    speedup, share = 0.0, 1.0
    contenders = [_sala(), _qwen3()]
    for length in options.lengths:
        ours, theirs = figures = [_measure(c, length, options.chunk, options.whole) for c in contenders]
        for contender, f in zip(contenders, figures, strict=True):
            whole = f"{f.whole:9.0f}" if f.whole else f"{'-':>9}"
            rates = f"{f.decode:10.1f}{f.prefill:11.1f}{whole}"
            print(f"{length:8} {contender.name:13}{rates}{f.cache_bytes / 1e6:10.1f}")
        speedup, share = ours.decode / theirs.decode, ours.cache_bytes / theirs.cache_bytes
        ratios = f"{speedup:10.2f}{ours.prefill / theirs.prefill:11.2f}{'':9}{share:10.3f}"
        print(f"{'':8} {'sala : qwen3':13}{ratios}", flush=True)
    met = speedup >= SPEEDUP and share <= SHARE
    print(f"\nasked for: decode x{SPEEDUP:g}, cache x{SHARE:g} or less: {'met' if met else 'NOT met'}")
    return 0 if met else 1


def _sala() -> Contender:
    mixers = ["minicpm4", "lightning-attn", "lightning-attn", "lightning-attn"]
    args = sala.ModelArgs(
        model_type="minicpm_sala",
        num_key_value_heads=SHAPE["num_attention_heads"] // 16,
        lightning_nkv=SHAPE["num_attention_heads"],
        mixer_types=mixers * (SHAPE["num_hidden_layers"] // 4),
        sparse_config=SPARSE_CONFIG,
        **SHAPE,
    )
    model = sala.Model(args)
    return Contender("minicpm_sala", model, model.make_cache, _fill_sala)


def _fill_sala(cache: LightningCache | SparseCache, n: int) -> None:
    H, D = SHAPE["num_attention_heads"], SHAPE["head_dim"]
    if isinstance(cache, LightningCache):
        cache.take(1, n)
        cache.recurrent_state = mx.random.normal((1, H, D, D))
    else:
        [(_, sequence)] = cache.take(1, n)
        sequence.append(mx.random.normal((H // 16, n, D)), mx.random.normal((H // 16, n, D)))
        sequence.compress()


def _qwen3() -> Contender:
    args = qwen3.ModelArgs(
        model_type="qwen3",
        num_key_value_heads=SHAPE["num_attention_heads"] // 4,
        max_position_embeddings=131072,
        tie_word_embeddings=False,
        rope_theta=1e6,
        **SHAPE,
    )
    model = qwen3.Model(args)
    return Contender("qwen3", model, lambda: mlx_cache.make_prompt_cache(model), _fill_qwen3)


def _fill_qwen3(cache: mlx_cache.KVCache, n: int) -> None:
    shape = (1, SHAPE["num_attention_heads"] // 4, n, SHAPE["head_dim"])
    cache.update_and_fetch(mx.random.normal(shape), mx.random.normal(shape))


def _measure(contender: Contender, length: int, chunk: int, whole_until: int) -> Figures:
    whole = _whole_prompt(contender, length) if length <= whole_until else None
    cache = contender.make_cache()
    for layer_cache in cache:
        contender.fill(layer_cache, length - chunk)
    mx.eval([c.state for c in cache])
    prefill = chunk / _seconds(contender, cache, chunk)
    seconds = [_seconds(contender, cache, 1) for _ in range(12)]
    mx.clear_cache()
    return Figures(1 / statistics.median(seconds[2:]), prefill, whole, sum(c.nbytes for c in cache))


def _whole_prompt(contender: Contender, length: int) -> float:
    cache = contender.make_cache()
    return length / sum(_seconds(contender, cache, min(CALL, length - i)) for i in range(0, length, CALL))


def _seconds(contender: Contender, cache: list[Any], n: int) -> float:
    """Of one call, with the logits of its last token."""
    tokens = mx.random.randint(0, SHAPE["vocab_size"], (1, n))
    mx.eval(tokens)
    start = time.perf_counter()
    mx.eval(contender.model(tokens, cache=cache)[:, -1], [c.state for c in cache])
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
