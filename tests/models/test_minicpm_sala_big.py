"""The released 9B shape, with random 4-bit weights: loads and answers once through HTTP."""

import json
import math
import shutil
import time
from pathlib import Path

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten
from serving import RunningServer

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
def test_the_9b_model_loads_and_answers_through_http(tmp_path):
    folder = tmp_path / "models" / "MiniCPM-SALA-9B-4bit"
    folder.mkdir(parents=True)
    parameters, size = write_random_checkpoint(folder)
    assert parameters == 9_477_203_968  # the release's own number: the shapes are right
    shutil.copy(Path(__file__).parents[1] / "golden" / "qwen3_asr" / "tokenizer.json", folder)
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    server = RunningServer(tmp_path, "--strict", "--stall-seconds", "1800")
    try:
        begun = time.monotonic()
        status, _, body = server.chat("hello", model="minicpm-sala-9b", timeout=3000, max_tokens=2)
        seconds = time.monotonic() - begun
        assert status == 200, body
        worker, *_ = server.workers()
        resident = worker.memory_info().rss
    finally:
        server.stop()
    print(f"\n{size / 1e9:.2f} GB on disk; loaded and answered {body['usage']} in {seconds:.0f} s")
    print(f"worker's memory {resident / 1e9:.2f} GB")
    assert body["usage"]["completion_tokens"] == 2
    assert resident < 16e9
