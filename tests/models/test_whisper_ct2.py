"""CTranslate2's files: read to the last byte, and broken ones refused."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import whisper_folders as folders

from ominix.models.whisper import ct2


def refusal(folder, content: bytes) -> str:
    folders.write_config(folder, {})
    (folder / "model.bin").write_bytes(content)
    with pytest.raises(ValueError) as error:
        ct2.load(folder)
    return str(error.value)


def test_a_file_that_ends_early_is_refused_wherever_it_ends(tmp_path):
    whole = folders.ct2_file(folders.ct2_variables())
    for length in [*range(80), *range(80, len(whole), len(whole) // 200)]:
        assert refusal(tmp_path, whole[:length])


def test_bytes_behind_the_end_are_refused(tmp_path):
    assert "follow" in refusal(tmp_path, folders.ct2_file(folders.ct2_variables()) + b"x")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (struct.pack("<I", 2), "known version: 2"),
        (struct.pack("<I", 6) + folders.string("TransformerSpec"), "'TransformerSpec'"),
        (struct.pack("<I", 6) + folders.string("WhisperSpec") + struct.pack("<II", 3, 2**31), "too many"),
        (
            struct.pack("<I", 6) + folders.string("WhisperSpec") + struct.pack("<II", 3, 0) * 1 + bytes(4),
            "whole",
        ),
    ],
)
def test_other_files_are_refused(tmp_path, content, said):
    assert said in refusal(tmp_path, content)


def one(name: str, shape: tuple[int, ...], kind: int, data: bytes) -> bytes:
    head = struct.pack("<I", 6) + folders.string("WhisperSpec") + struct.pack("<II", 3, 1)
    sizes = struct.pack(f"<B{len(shape)}I", len(shape), *shape)
    return head + folders.string(name) + sizes + struct.pack("<BI", kind, len(data)) + data + bytes(4)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (one("a", (4, 4, 4, 4), 0, bytes(1024)), "4 dimensions"),
        (one("a", (2,), 9, bytes(8)), "unknown type 9"),
        (one("a", (2**31, 2**31), 0, bytes(8)), "8 bytes"),
        (one("encoder/layer_0/ffn/linear_0/weight", (2, 2), 1, bytes(4)), "no scales"),
    ],
)
def test_variables_that_lie_are_refused(tmp_path, content, said):
    assert said in refusal(tmp_path, content)


def test_bfloat16_and_int16_are_read(tmp_path):
    (tmp_path / "model.bin").write_bytes(one("a", (2,), 5, np.array([0x3F80, 0xC000], "<u2").tobytes()))
    assert ct2.read(tmp_path / "model.bin")["a"].tolist() == [1.0, -2.0]
    values = folders.ct2_variables()
    name = "decoder/layer_0/ffn/linear_0/weight"
    expected, scale = values[name], np.float32(1024 / np.abs(values[name]).max())
    values[name], values[f"{name}_scale"] = np.round(expected * scale).astype(np.int16), scale
    _, weights = ct2.load(folders.ct2(tmp_path / "model", lambda _: values))
    found = np.array(weights["decoder.blocks.0.mlp1.weight"])
    assert np.abs(found - expected).max() < 0.001


def test_a_variable_that_nobody_knows_is_named(tmp_path):
    from ominix.models.whisper import weights

    values = folders.ct2_variables() | {"decoder/layer_0/moe/weight": np.zeros((2, 2), np.float32)}
    with pytest.raises(ValueError, match="surplus: decoder/layer_0/moe/weight"):
        weights.load(folders.ct2(tmp_path, lambda _: values))
