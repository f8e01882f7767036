"""The released 9B shape, with random 4-bit weights: loads and answers once."""

import json
import math
import resource
import sys
import time

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten
from mlx_lm.generate import generate_step
from mlx_lm.utils import load_model

from ominix.models.minicpm_sala import loader
from ominix.models.minicpm_sala.config import ModelArgs
from ominix.models.minicpm_sala.model import Model

BITS, GROUP = 4, 64
SPARSE_LAYERS = (0, 9, 16, 17, 22, 29, 30, 31)
CONFIG = {
    "architectures": ["MiniCPMSALAForCausalLM"],
    "model_type": "minicpm_sala",
    "vocab_size": 73448,
    "hidden_size": 4096,
    "intermediate_size": 16384,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 2,
    "head_dim": 128,
    "lightning_nh": 32,
    "lightning_nkv": 32,
    "lightning_head_dim": 128,
    "mixer_types": ["minicpm4" if i in SPARSE_LAYERS else "lightning-attn" for i in range(32)],
    "sparse_config": {
        "kernel_size": 32,
        "kernel_stride": 16,
        "init_blocks": 1,
        "block_size": 64,
        "window_size": 2048,
        "topk": 64,
        "dense_len": 8192,
        "use_nope": False,
    },
    "eos_token_id": [2, 73440],
    "quantization": {"group_size": GROUP, "bits": BITS},
}


def random_linear(name, shape):
    """Weights spread evenly over about +-2 / sqrt(inputs)."""
    rows, columns = shape
    scale = 0.25 / columns**0.5
    bits = mx.random.randint(-(2**31), 2**31 - 1, (rows, columns * BITS // 32))
    scales = mx.full((rows, columns // GROUP), scale, mx.bfloat16)
    return {f"{name}.weight": bits.view(mx.uint32), f"{name}.scales": scales, f"{name}.biases": -7.5 * scales}


def write_random_checkpoint(folder):
    """A shard per layer and one for the rest, embeddings and norms in bf16; returns parameters, bytes."""
    shapes = {name: a.shape for name, a in tree_flatten(Model(ModelArgs.from_dict(CONFIG)).parameters())}
    shards, parameters, size = {}, 0, 0
    for name in shapes:
        shards.setdefault(name.split(".")[2] if ".layers." in name else "rest", []).append(name)
    for shard, names in shards.items():
        arrays = {}
        for name in names:
            parameters += math.prod(shapes[name])
            if name.endswith("norm.weight"):
                arrays[name] = mx.ones(shapes[name], mx.bfloat16)
            elif "embed_tokens" in name:
                arrays[name] = (mx.random.normal(shapes[name]) * 0.1).astype(mx.bfloat16)
            else:
                arrays |= random_linear(name.removesuffix(".weight"), shapes[name])
        mx.save_safetensors(str(folder / f"model-{shard}.safetensors"), arrays)
        size += sum(a.nbytes for a in arrays.values())
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return parameters, size


@pytest.mark.big
@pytest.mark.timeout(3600)
def test_the_9b_model_loads_and_answers(tmp_path):
    parameters, size = write_random_checkpoint(tmp_path)
    assert parameters == 9_477_203_968  # the release's own number: the shapes are right
    loader.register()

    start = time.perf_counter()
    model, _ = load_model(tmp_path, lazy=True)
    if mx.default_device() == mx.cpu:  # bf16 products are several times slower there
        model.set_dtype(mx.float32)
    mx.eval(model.parameters())
    loaded = time.perf_counter()
    answer = [token for token, _ in generate_step(mx.array([1, 9, 77]), model, max_tokens=2)]
    done = time.perf_counter()

    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    print(f"\n{size / 1e9:.2f} GB on disk; loaded in {loaded - start:.0f} s")
    print(f"answered {answer} in {done - loaded:.0f} s")
    print(f"peak {mx.get_peak_memory() / 1e9:.2f} GB in mlx, {peak / 1e9:.2f} GB in all")
    assert len(answer) == 2 and all(0 <= token < 73448 for token in answer)
    assert mx.get_peak_memory() < 12e9
