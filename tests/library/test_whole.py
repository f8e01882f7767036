from __future__ import annotations

import pytest
from hub import safetensors

from ominix.library.fetch.whole import is_whole

MODEL = safetensors(1000)


@pytest.mark.parametrize(
    ("name", "data", "whole"),
    [
        ("model.safetensors", MODEL, True),
        ("model.safetensors", MODEL[:-1], False),
        ("model.safetensors", MODEL + b"x", False),
        ("model.safetensors", MODEL[:20], False),
        ("model.safetensors", b"", False),
        ("model.safetensors", b"\xff" * 100, False),
        ("model.safetensors", b"\x02" + bytes(7) + b"[]", False),
        ("config.json", b"{}", True),
        ("model.safetensors.index.json", b'{"weight_map": {', False),
        ("tokenizer.json", b"[" * 100_000, False),
        ("merges.txt", b"a b", True),
    ],
)
def test_a_torn_file_is_told_from_a_whole_one(tmp_path, name, data, whole):
    path = tmp_path / f"{name}..partial"
    path.write_bytes(data)
    assert is_whole(name, path) is whole
