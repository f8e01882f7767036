"""A Whisper model out of a folder, in every published layout.

    mlx-community/whisper-*   weights.npz, weights.safetensors or model.safetensors; plain or quantized
    openai/whisper-*          model.safetensors or shards of it, with Hugging Face's names
    Systran/faster-whisper-*  model.bin, see `ct2.py`

Reads no pickles. The names inside are mlx-whisper's.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from ominix.models import weights as files
from ominix.models.claims import SHOWN
from ominix.models.weights import Weights
from ominix.models.whisper import config as configs
from ominix.models.whisper import ct2
from ominix.models.whisper.config import Config
from ominix.models.whisper.model import Model

# Hugging Face's and openai's names -> ours, one after the other
_NAMES = (
    (r"^model\.", ""),
    (r"\.layers\.", ".blocks."),
    (r"\.self_attn\.", ".attn."),
    (r"\.encoder_attn\.", ".cross_attn."),
    (r"\.q_proj\.", ".query."),
    (r"\.k_proj\.", ".key."),
    (r"\.v_proj\.", ".value."),
    (r"\.out_proj\.", ".out."),
    (r"\.self_attn_layer_norm\.", ".attn_ln."),
    (r"\.encoder_attn_layer_norm\.", ".cross_attn_ln."),
    (r"\.final_layer_norm\.", ".mlp_ln."),
    (r"\.(fc1|mlp\.0)\.", ".mlp1."),
    (r"\.(fc2|mlp\.2)\.", ".mlp2."),
    (r"\.embed_positions\.weight$", ".positional_embedding"),
    (r"\.embed_tokens\.", ".token_embedding."),
    (r"^encoder\.layer_norm\.", "encoder.ln_post."),
    (r"^decoder\.layer_norm\.", "decoder.ln."),
)
_RENAMINGS = tuple((re.compile(pattern), ours) for pattern, ours in _NAMES)
# The encoder's positions are a formula, the head is the embedding, the heads are no weight.
_DROPPED = {"encoder.positional_embedding", "proj_out.weight", "alignment_heads"}


def load(folder: Path) -> Model:
    """Raises ValueError naming what is missing or does not fit. The arrays stay lazy where they can."""
    found = _files(folder)
    if found[0].name == "model.bin":
        config, weights = ct2.load(folder)
    else:
        config = configs.read(folder)
        weights = {renamed(name): array for name, array in files.read(found).items()}
        config = _with_heads(config, weights)
        weights = _fitted(weights)
    model = Model(config)
    mode = (config.quantization or {}).get("mode", "affine")
    files.fill(folder, model, weights, {"": mode})
    return model


def renamed(name: str) -> str:
    for pattern, ours in _RENAMINGS:
        name = pattern.sub(ours, name)
    return name


def _files(folder: Path) -> list[Path]:
    for pattern in (SHOWN + ".safetensors", "weights.npz", "model.bin"):
        if found := sorted(folder.glob(pattern)):
            return found
    if pickles := [*folder.glob(SHOWN + ".pt"), *folder.glob("pytorch_model*.bin")]:
        raise ValueError(
            f"{pickles[0]} is a pickle, which can run any code when it is read; convert it "
            "where you trust it to model.safetensors (mlx-examples: whisper/convert.py) or to CTranslate2 "
            "(ct2-transformers-converter), or pull the same model in one of these forms"
        )
    raise ValueError(f"{folder} has no weights: *.safetensors, weights.npz or model.bin")


def _with_heads(config: Config, weights: Weights) -> Config:
    """mlx-whisper's converter writes the alignment heads among the weights: (n, 2)."""
    heads = weights.get("alignment_heads")
    if config.alignment_heads or heads is None or heads.ndim != 2 or heads.shape[1] != 2:
        return config
    pairs = np.array(heads).astype(int).tolist()
    return replace(config, alignment_heads=tuple((layer, head) for layer, head in pairs))


def _fitted(weights: Weights) -> Weights:
    """Without what is computed or tied; convolutions with channels last."""
    weights = {name: array for name, array in weights.items() if name not in _DROPPED}
    second = weights.get("encoder.conv2.weight")  # square in its channels: (D, D, 3) or (D, 3, D)
    if second is not None and second.ndim == 3 and second.shape[2] == 3 and second.shape[1] != 3:
        for name in ("encoder.conv1.weight", "encoder.conv2.weight"):
            if name in weights and weights[name].ndim == 3:
                weights[name] = weights[name].swapaxes(1, 2)
    return weights
