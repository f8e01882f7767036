"""Folders that claim what cannot be true, without mlx."""

from __future__ import annotations

import json
import struct
import tracemalloc
from pathlib import Path

import pytest

from ominix.models import claims

ARRAY = {"dtype": "F32", "shape": [8, 4], "data_offsets": [0, 128]}
CONFIG = {
    "model_type": "llama", "num_hidden_layers": 1, "hidden_size": 4, "vocab_size": 8,
    "num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 10**6, "rope_theta": 1e12,
}  # fmt: skip


def written(folder: Path, header: object = None, config: object = None, data: int = 128) -> Path:
    """`header`: bytes are taken as they are."""
    text = header if isinstance(header, bytes) else json.dumps(header or {"a": ARRAY}).encode()
    weights = struct.pack("<Q", len(text)) + text + bytes(data)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "config.json").write_text(json.dumps(CONFIG if config is None else config))
    return folder


def test_what_may_be_true_passes(tmp_path):
    second = {**ARRAY, "data_offsets": [128, 256]}
    empty = {"dtype": "I32", "shape": [0], "data_offsets": [0, 0]}
    unknown = {"dtype": "F4", "shape": [64], "data_offsets": [256, 288]}
    header = {"__metadata__": {"format": "mlx"}, "a": ARRAY, "b": second, "none": empty, "c": unknown}
    claims.check(written(tmp_path, header, {**CONFIG, "text_config": CONFIG, "x": [1, None]}, data=300))


@pytest.mark.parametrize(
    ("array", "why"),
    [
        ({"shape": [10**12, 10**6]}, "another size"),
        ({"shape": [-8, -4]}, "another size"),
        ({"shape": [1] * 100_000}, "100000 dimensions"),
        ({"data_offsets": [0, 10**12]}, "outside the file"),
        ({"data_offsets": [128, 0]}, "outside the file"),
        ({"data_offsets": [-128, 0]}, "cannot be read|outside the file"),
        ({"data_offsets": [64, 192]}, "lies on the array 'a'"),
        ({"shape": "8"}, "cannot be read"),
        ({"shape": [10**30]}, "cannot be read|another size"),
    ],
)
def test_a_header_that_lies_is_refused(tmp_path, array, why):
    with pytest.raises(ValueError, match=f"model.safetensors.*({why})"):
        claims.check(
            written(tmp_path, {"a": ARRAY, "b": {**ARRAY, "data_offsets": [128, 256], **array}}, data=256)
        )


@pytest.mark.parametrize("text", [b"[" * 200_000, b"{", b"\xff", b"[]", b'{"a": 1}'])
def test_a_header_that_is_none_is_refused(tmp_path, text):
    with pytest.raises(ValueError, match="its header cannot be read"):
        claims.check(written(tmp_path, text))


def test_no_memory_is_taken_for_a_header_that_is_not_there(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    tracemalloc.start()
    for size in (1 << 40, (1 << 64) - 1, 200 << 20):
        with (tmp_path / "model.safetensors").open("wb") as file:
            file.write(struct.pack("<Q", size))
            file.truncate(8 + (256 << 20))  # a hole
        with pytest.raises(ValueError, match=r"does not fit|larger than 32 MiB"):
            claims.check(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    (tmp_path / "model.safetensors").write_bytes(b"short")
    with pytest.raises(ValueError, match="does not fit"):
        claims.check(tmp_path)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"num_hidden_layers": 10**12}, "num_hidden_layers .* no model"),
        ({"num_hidden_layers": 10**400}, "num_hidden_layers .* no model"),
        ({"num_hidden_layers": 1e300}, "num_hidden_layers .* no model"),
        ({"num_hidden_layers": -(10**12)}, "no model"),
        ({"num_hidden_layers": 500}, "the weights are 1 arrays"),
        ({"encoder_layers": 500}, "the weights are 1 arrays"),
        ({"n_layer": 500}, "the weights are 1 arrays"),
        ({"num_attention_heads": 10**12}, "num_attention_heads"),
        ({"num_key_value_heads": 10**12}, "num_key_value_heads"),
        ({"head_dim": 10**12}, "head_dim"),
        ({"vocab_size": 10**12}, "vocab_size"),
        ({"vocab_size": 10**7}, "cannot hold"),
        ({"hidden_size": 10**7}, "cannot hold"),
        ({"intermediate_size": 10**9}, "intermediate_size"),
        ({"num_experts": 10**9}, "num_experts"),
    ],
)
@pytest.mark.parametrize("level", ["", "text_config"])
def test_a_config_that_no_file_can_hold_is_refused(tmp_path, config, why, level):
    told = {**CONFIG, **config}
    with pytest.raises(ValueError, match=why):
        claims.check(written(tmp_path, config={level: told} if level else told))


def test_layers_are_not_counted_where_weights_have_another_form(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "num_hidden_layers": 40}))
    (tmp_path / "weights.npz").write_bytes(bytes(1000))
    claims.check(tmp_path)


def test_a_tokenizer_beyond_all_bounds_is_refused(tmp_path):
    folder = written(tmp_path)
    with (folder / "tokenizer.json").open("wb") as file:
        file.truncate(claims.MAX_JSON_BYTES + 1)
    with pytest.raises(ValueError, match=r"tokenizer.json is larger"):
        claims.check(folder)
