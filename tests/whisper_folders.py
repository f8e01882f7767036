"""The golden checkpoint written in every published layout, and CTranslate2's file format."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten

from ominix.models.whisper import weights
from ominix.models.whisper.model import Model

GOLDEN = Path(__file__).parent / "golden" / "whisper"
MLX_NAMES = ("n_mels", "n_audio_ctx", "n_audio_state", "n_audio_head", "n_audio_layer", "n_vocab")
MLX_NAMES += ("n_text_ctx", "n_text_state", "n_text_head", "n_text_layer")


def original() -> dict[str, mx.array]:
    """As transformers wrote it."""
    loaded = mx.load(str(GOLDEN / "model.safetensors"))
    assert isinstance(loaded, dict)
    return loaded


def ours(model: Model) -> dict[str, mx.array]:
    return dict(tree_flatten(model.parameters()))


def mlx_config(model: Model, **more: object) -> dict[str, object]:
    return {name: getattr(model.config, name) for name in MLX_NAMES} | more


def write_config(folder: Path, config: dict[str, object]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def hugging_face(folder: Path, arrays: dict[str, mx.array] | None = None) -> Path:
    write_config(folder, json.loads((GOLDEN / "config.json").read_text()))
    mx.save_safetensors(str(folder / "model.safetensors"), original() if arrays is None else arrays)
    return folder


def sharded(folder: Path) -> Path:
    write_config(folder, json.loads((GOLDEN / "config.json").read_text()))
    names = sorted(original())
    for i in range(2):
        part = {name: original()[name] for name in names[i::2]}
        mx.save_safetensors(str(folder / f"model-0000{i + 1}-of-00002.safetensors"), part)
    return folder


def without_prefix(folder: Path) -> Path:
    return hugging_face(folder, {name.removeprefix("model."): array for name, array in original().items()})


def mlx_npz(folder: Path) -> Path:
    model = weights.load(GOLDEN)
    heads = {"alignment_heads": mx.array([[1, 0], [1, 1]])}
    mx.savez(str(write_config(folder, mlx_config(model)) / "weights.npz"), **ours(model), **heads)
    return folder


def mlx_safetensors(folder: Path) -> Path:
    model = weights.load(GOLDEN)
    write_config(folder, mlx_config(model, model_type="whisper"))
    mx.save_safetensors(str(folder / "weights.safetensors"), ours(model))
    return folder


def openai_names(folder: Path) -> Path:
    model = weights.load(GOLDEN)
    write_config(folder, mlx_config(model))
    arrays = {n.replace(".mlp1.", ".mlp.0.").replace(".mlp2.", ".mlp.2."): a for n, a in ours(model).items()}
    arrays = {n: a.swapaxes(1, 2) if "conv" in n and a.ndim == 3 else a for n, a in arrays.items()}
    arrays["encoder.positional_embedding"] = mx.zeros((60, 32))
    mx.save_safetensors(str(folder / "model.safetensors"), arrays)
    return folder


def quantized(folder: Path, bits: int = 8) -> Path:
    model = weights.load(GOLDEN)
    nn.quantize(model, group_size=32, bits=bits)
    write_config(folder, mlx_config(model, quantization={"group_size": 32, "bits": bits}))
    mx.save_safetensors(str(folder / "model.safetensors"), ours(model))
    return folder


# CTranslate2

TYPES = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}


def string(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def variable(name: str, array: np.ndarray) -> bytes:
    sizes = struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
    return string(name) + sizes + struct.pack("<BI", TYPES[array.dtype.name], array.nbytes) + array.tobytes()


def ct2_file(variables: dict[str, np.ndarray]) -> bytes:
    head = struct.pack("<I", 6) + string("WhisperSpec") + struct.pack("<II", 3, len(variables))
    alias = string("decoder/projection/weight") + string("decoder/embeddings/weight")
    return head + b"".join(variable(*v) for v in sorted(variables.items())) + struct.pack("<I", 1) + alias


def ct2_variables() -> dict[str, np.ndarray]:
    """The golden checkpoint under CTranslate2's names."""
    arrays = {name.removeprefix("model."): np.array(a) for name, a in original().items()}
    out: dict[str, np.ndarray] = {
        f"{side}/num_heads": np.array(2, np.int16) for side in ("encoder", "decoder")
    }
    out["decoder/alignment_layer"] = np.array(-1, np.int16)

    def put(name: str, theirs: str, leaves: tuple[str, str] = ("weight", "bias")) -> None:
        for leaf, theirs_leaf in zip(leaves, ("weight", "bias"), strict=True):
            out[f"{name}/{leaf}"] = arrays[f"{theirs}.{theirs_leaf}"]

    def fuse(name: str, theirs: str, parts: str) -> None:
        biases = [arrays.get(f"{theirs}.{p}_proj.bias", np.zeros(32, np.float32)) for p in parts]
        out[f"{name}/weight"] = np.concatenate([arrays[f"{theirs}.{p}_proj.weight"] for p in parts])
        out[f"{name}/bias"] = np.concatenate(biases)

    norm = ("gamma", "beta")
    put("encoder/conv1", "encoder.conv1")
    put("encoder/conv2", "encoder.conv2")
    out["encoder/position_encodings/encodings"] = arrays["encoder.embed_positions.weight"]
    out["decoder/position_encodings/encodings"] = arrays["decoder.embed_positions.weight"]
    out["decoder/embeddings/weight"] = arrays["decoder.embed_tokens.weight"]
    for side in ("encoder", "decoder"):
        put(f"{side}/layer_norm", f"{side}.layer_norm", norm)
        for i in range(2):
            here, there = f"{side}/layer_{i}", f"{side}.layers.{i}"
            put(f"{here}/self_attention/layer_norm", f"{there}.self_attn_layer_norm", norm)
            fuse(f"{here}/self_attention/linear_0", f"{there}.self_attn", "qkv")
            put(f"{here}/self_attention/linear_1", f"{there}.self_attn.out_proj")
            put(f"{here}/ffn/layer_norm", f"{there}.final_layer_norm", norm)
            put(f"{here}/ffn/linear_0", f"{there}.fc1")
            put(f"{here}/ffn/linear_1", f"{there}.fc2")
            if side == "decoder":
                put(f"{here}/attention/layer_norm", f"{there}.encoder_attn_layer_norm", norm)
                put(f"{here}/attention/linear_0", f"{there}.encoder_attn.q_proj")
                fuse(f"{here}/attention/linear_1", f"{there}.encoder_attn", "kv")
                put(f"{here}/attention/linear_2", f"{there}.encoder_attn.out_proj")
    return out


def as_float16(variables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {n: a.astype(np.float16) if a.dtype == np.float32 else a for n, a in variables.items()}


def as_int8(variables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Linear, embedding and convolution weights by rows, as CTranslate2's converter does."""
    out = dict(variables)
    for name, array in variables.items():
        if name.endswith("/weight"):
            scale = 127 / np.abs(array).reshape(len(array), -1).max(1)
            rows = scale.reshape(-1, *[1] * (array.ndim - 1))
            out[name], out[f"{name}_scale"] = np.round(array * rows).astype(np.int8), scale.astype(np.float32)
    return out


def ct2(folder: Path, change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]] = dict) -> Path:
    write_config(folder, {"alignment_heads": [[1, 0]], "lang_ids": [], "suppress_ids": []})
    (folder / "model.bin").write_bytes(ct2_file(change(ct2_variables())))
    return folder
