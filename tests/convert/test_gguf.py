"""GGUF files written here, byte by byte, and what becomes of them."""

from __future__ import annotations

import json
import struct
import subprocess
import sys

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.models import llama as mlx_llama
from mlx_lm.utils import load

from ominix.convert.gguf import container, folder, weights
from ominix.errors import Conflict, InvalidRequest

KINDS = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 8, "BF16": 30}
HIDDEN, HEADS, KV_HEADS, LAYERS, INNER = 64, 4, 2, 2, 96
WORDS = ["<|im_start|>", "<|im_end|>", *map(chr, range(33, 127)), "Ġ", "Ċ", "th", "the", "Ġthe"]
MERGES = ["t h", "th e", "Ġ the"]


def string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(content) -> bytes:
    if isinstance(content, str):
        return struct.pack("<I", 8) + string(content)
    if isinstance(content, float):
        return struct.pack("<If", 6, content)
    if isinstance(content, int):
        return struct.pack("<Ii", 5, content)
    if isinstance(content[0], str):
        return struct.pack("<IIQ", 9, 8, len(content)) + b"".join(map(string, content))
    return struct.pack(f"<IIQ{len(content)}i", 9, 5, len(content), *content)


def quantized(kind: str, w: np.ndarray) -> tuple[bytes, np.ndarray]:
    """The bytes of a tensor, and its weights as a naive reader of ggml's format has them."""
    if kind in ("F32", "F16"):
        form = {"F32": "<f4", "F16": "<f2"}[kind]
        return w.astype(form).tobytes(), w.astype(form).astype(np.float32)
    if kind == "BF16":
        top = w.astype("<f4").view("<u4") >> 16
        return top.astype("<u2").tobytes(), (top << 16).astype("<u4").view("<f4")
    raw, out = b"", []
    for block in w.reshape(-1, 32):
        data, back = {"Q4_0": q4_0, "Q4_1": q4_1, "Q8_0": q8_0}[kind](block)
        raw, out = raw + data, [*out, *back]
    return raw, np.array(out, np.float32).reshape(w.shape)


def nibbles(q: np.ndarray) -> bytes:
    return (q[:16] | q[16:] << 4).astype(np.uint8).tobytes()


def q4_0(block):
    d = np.float16(np.abs(block).max() / 7)
    q = np.clip(np.round(block / np.float32(d)) + 8, 0, 15).astype(np.uint8)
    return d.tobytes() + nibbles(q), np.float32(d) * (q.astype(np.float32) - 8)


def q4_1(block):
    m = np.float16(block.min())
    d = np.float16((block.max() - block.min()) / 15)
    q = np.clip(np.round((block - np.float32(m)) / np.float32(d)), 0, 15).astype(np.uint8)
    return d.tobytes() + m.tobytes() + nibbles(q), np.float32(d) * q + np.float32(m)


def q8_0(block):
    d = np.float16(np.abs(block).max() / 127)
    q = np.round(block / np.float32(d)).astype(np.int8)
    return d.tobytes() + q.tobytes(), np.float32(d) * q


def gguf(metadata: dict, tensors: dict) -> bytes:
    """`tensors`: name -> (kind, row-major shape, bytes)."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head += b"".join(string(k) + value(v) for k, v in metadata.items())
    body = b""
    for name, (kind, shape, raw) in tensors.items():
        body += b"\0" * (-len(body) % 32)
        head += string(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape[::-1])
        head += struct.pack("<IQ", kind, len(body))
        body += raw
    return head + b"\0" * (-len(head) % 32) + body


def metadata(**changes) -> dict:
    content = {
        "general.architecture": "llama",
        "llama.embedding_length": HIDDEN,
        "llama.block_count": LAYERS,
        "llama.feed_forward_length": INNER,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.context_length": 128,
        "llama.rope.freq_base": 10000.0,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": WORDS,
        "tokenizer.ggml.token_type": [3, 3] + [1] * (len(WORDS) - 2),
        "tokenizer.ggml.merges": MERGES,
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.chat_template": "{{ messages[0].content }}",
    }
    return {k: v for k, v in (content | changes).items() if v is not None}


def twisted(w: np.ndarray, heads: int) -> np.ndarray:
    """A GGUF file's order of q and k rows: row 2i + j of a head is its row i + j * half."""
    half = w.shape[0] // heads // 2
    rows = [h * 2 * half + j * half + i for h in range(heads) for i in range(half) for j in (0, 1)]
    return w[rows]


def tiny_llama(kind: str) -> tuple[dict, mlx_llama.Model]:
    """Tensors for a file, and mlx-lm's model with the same weights."""
    mx.random.seed(3)
    arguments = mlx_llama.ModelArgs(
        model_type="llama", hidden_size=HIDDEN, num_hidden_layers=LAYERS, intermediate_size=INNER,
        num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, rms_norm_eps=1e-5,
        vocab_size=len(WORDS), rope_theta=10000.0,
    )  # fmt: skip
    model = mlx_llama.Model(arguments)
    names = {"self_attn": "attn", "q_proj": "q", "k_proj": "k", "v_proj": "v", "o_proj": "output"}
    tensors, weights = {}, []
    for name, w in tree_flatten(model.parameters()):
        array = np.array(w)
        raw, exact = quantized(kind if array.ndim == 2 else "F32", array)
        weights.append((name, mx.array(exact)))
        if ".q_proj" in name or ".k_proj" in name:
            array = twisted(array, HEADS if ".q_proj" in name else KV_HEADS)
            raw, _ = quantized(kind, array)
        number = KINDS[kind if array.ndim == 2 else "F32"]
        tensors[gguf_name(name, names)] = (number, array.shape, raw)
    model.load_weights(weights)
    return tensors, model


def gguf_name(name: str, names: dict) -> str:
    fixed = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
    }
    if name in fixed:
        return fixed[name]
    _, _, layer, *rest, suffix = name.split(".")
    part = {
        "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    }.get(".".join(rest)) or "_".join(names[word] for word in rest)  # fmt: skip
    return f"blk.{layer}.{part}.{suffix}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_converted_model_computes_what_the_file_says(tmp_path, kind):
    tensors, expected = tiny_llama(kind)
    source = tmp_path / "tiny.gguf"
    source.write_bytes(gguf(metadata(), tensors))

    folder.convert(source, tmp_path / "tiny")
    model, _ = load(str(tmp_path / "tiny"))

    tokens = mx.array([[5, 17, 80, 3, 9]])
    model.set_dtype(mx.float32)  # scales and biases as well, so that only the weights count
    assert mx.allclose(model(tokens), expected(tokens), atol=1e-4)


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0"])
def test_quantized_weights_are_kept_as_they_are(tmp_path, kind):
    w = np.random.default_rng(1).normal(size=(6, 64)).astype(np.float32)
    raw, exact = quantized(kind, w)
    (tmp_path / "x.gguf").write_bytes(gguf({}, {"x.weight": (KINDS[kind], w.shape, raw)}))

    head = container.read(tmp_path / "x.gguf")
    parts = weights.read(tmp_path / "x.gguf", head)

    form = {"group_size": 32, "bits": head.tensors["x.weight"].type.bits}
    scales, biases = (parts[f"x.{n}"].astype(mx.float32) for n in ("scales", "biases"))
    back = mx.dequantize(parts["x.weight"], scales, biases, **form)
    assert np.allclose(np.array(back), exact, atol=1e-6)


def test_bfloat16_keeps_its_range(tmp_path):
    values = np.array([[1e30, -3e-30, 0, 1.5]], "<f4").view("<u4") >> 16
    raw = values.astype("<u2").tobytes()
    (tmp_path / "x").write_bytes(gguf({}, {"x.weight": (KINDS["BF16"], values.shape, raw)}))

    array = weights.read(tmp_path / "x", container.read(tmp_path / "x"))["x.weight"]

    assert array.dtype == mx.bfloat16
    assert np.array(array.astype(mx.float32)).tobytes() == (values << 16).astype("<u4").tobytes()


def test_the_tokenizer_merges_splits_digits_and_knows_special_tokens(tmp_path):
    tensors, _ = tiny_llama("F32")
    (tmp_path / "tiny.gguf").write_bytes(gguf(metadata(), tensors))
    folder.convert(tmp_path / "tiny.gguf", tmp_path / "tiny")

    _, tokenizer = load(str(tmp_path / "tiny"))

    ids = tokenizer.encode("the the 12<|im_end|>", add_special_tokens=False)
    assert [WORDS[i] for i in ids] == ["the", "Ġthe", "Ġ", "1", "2", "<|im_end|>"]
    assert tokenizer.decode(ids[:-1]) == "the the 12"
    assert tokenizer.eos_token_ids == {1}
    assert tokenizer.has_chat_template


REFUSED = {
    "architecture is 'gpt2'": metadata(**{"general.architecture": "gpt2"}),
    "mixture of experts": metadata(**{"llama.expert_count": 8}),
    "tokenizer is 'llama'": metadata(**{"tokenizer.ggml.model": "llama"}),
    "split as 'made-up'": metadata(**{"tokenizer.ggml.pre": "made-up"}),
    "llama.block_count": metadata(**{"llama.block_count": None}),
    "5 attention heads": metadata(**{"llama.attention.head_count": 5}),
    "rotary": metadata(**{"llama.rope.scaling.type": "yarn"}),
    "merges": metadata(**{"tokenizer.ggml.merges": None}),
    "is no pair": metadata(**{"tokenizer.ggml.merges": ["th"]}),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_not_supported_is_named(tmp_path, reason):
    tensors, _ = tiny_llama("F32")
    (tmp_path / "tiny.gguf").write_bytes(gguf(REFUSED[reason], tensors))

    with pytest.raises(InvalidRequest, match=reason):
        folder.convert(tmp_path / "tiny.gguf", tmp_path / "tiny")

    assert [p.name for p in tmp_path.iterdir()] == ["tiny.gguf"]


ONE_ENTRY = b"GGUF" + struct.pack("<IQQ", 3, 0, 1)
TWICE = string("output.weight") + struct.pack("<IQIQ", 1, 1, 0, 0)
HOSTILE = {
    "two of its tensors": b"GGUF" + struct.pack("<IQQ", 3, 2, 0) + TWICE + TWICE + b"\0" * 64,
    "Q6_K": gguf(metadata(), {"token_embd.weight": (14, (4, 256), b"x" * 840)}),
    "number 999": gguf(metadata(), {"token_embd.weight": (999, (4, 256), b"")}),
    "beyond the end": gguf(metadata(), {"token_embd.weight": (0, (1 << 40, 1 << 20), b"")}),
    "has the shape": gguf(metadata(), {"token_embd.weight": (3, (4, 33), b"x" * 99)}),
    "0 dimensions": gguf(metadata(), {"token_embd.weight": (0, (), b"")}),
    "no supported model": gguf(metadata(), {"evil.weight": (0, (1,), b"1234")}),
    "'output.scales'": gguf(metadata(), {"output.scales": (0, (1,), b"1234")}),
    "letters GGUF": b"PK" + b"\0" * 40,
    "fewer than 24": b"GGUF",
    "version 1": b"GGUF" + struct.pack("<IQQ", 1, 0, 0),
    "claims 18446744073709551615": b"GGUF" + struct.pack("<IQQ", 3, 2**64 - 1, 0),
    "in the middle": ONE_ENTRY + struct.pack("<Q", 2**63),
    "strings": ONE_ENTRY + string("a") + struct.pack("<IIQ", 9, 8, 2**60),
    "array of type 9": ONE_ENTRY + string("a") + struct.pack("<IIQ", 9, 9, 1),
    "UTF-8": ONE_ENTRY + struct.pack("<Q", 2) + b"\xff\xff",
    "alignment is 64": gguf(metadata(**{"general.alignment": 64}), {}),
    "alignment is 0": gguf(metadata(**{"general.alignment": 0}), {}),
}  # fmt: skip


@pytest.mark.parametrize("reason", HOSTILE)
def test_a_hostile_file_ends_in_a_sentence(tmp_path, reason):
    (tmp_path / "x.gguf").write_bytes(HOSTILE[reason])

    with pytest.raises(InvalidRequest, match=reason):
        folder.convert(tmp_path / "x.gguf", tmp_path / "x")


def test_what_mlx_cannot_read_is_refused_too(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"no GGUF file, whatever its head was when it was read")

    with pytest.raises(InvalidRequest, match=r"x\.gguf cannot be read as GGUF: \[load_gguf\]"):
        weights.read(tmp_path / "x.gguf", container.Container({}, {}))


def test_a_file_cut_anywhere_is_refused(tmp_path):
    tensors, _ = tiny_llama("Q4_1")
    whole = gguf(metadata(), tensors)

    for size in range(0, len(whole), len(whole) // 60):
        (tmp_path / "cut.gguf").write_bytes(whole[:size])
        with pytest.raises(InvalidRequest):
            folder.convert(tmp_path / "cut.gguf", tmp_path / "cut")


def test_a_folder_that_is_there_is_not_touched(tmp_path):
    (tmp_path / "mine").mkdir()

    with pytest.raises(Conflict):
        folder.convert(tmp_path / "none.gguf", tmp_path / "mine")


def test_the_command_says_what_it_did_and_why_it_did_not(tmp_path):
    tensors, _ = tiny_llama("F32")
    (tmp_path / "tiny.gguf").write_bytes(gguf(metadata(), tensors))
    command = [
        sys.executable,
        "-m",
        "ominix.convert.gguf",
        tmp_path / "tiny.gguf",
        tmp_path / "tiny",
    ]

    first, second = (subprocess.run(command, capture_output=True, text=True) for _ in range(2))

    assert first.returncode == 0
    assert json.loads((tmp_path / "tiny" / "config.json").read_text())["vocab_size"] == len(WORDS)
    assert (second.returncode, "there already" in second.stderr) == (1, True)
