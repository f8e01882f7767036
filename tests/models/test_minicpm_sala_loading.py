"""mlx-lm's own loader, converter and generator on the layouts in which the model is published."""

import json
import shutil
from pathlib import Path

import mlx.core as mx
import mlx_lm
import numpy as np
import pytest
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.utils import load_model, quantize_model
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from ominix.models.minicpm_sala import loader
from ominix.models.minicpm_sala.config import ModelArgs
from ominix.models.minicpm_sala.model import Model

CASE = Path(__file__).parents[1] / "golden" / "minicpm_sala" / "case_b_sparse_prefill"  # 64 wide
IDS = mx.array([[1, 57, 104, 43, 20, 113, 90, 99, 42]])


@pytest.fixture(autouse=True)
def registered():
    loader.register()


@pytest.fixture
def checkpoint(tmp_path):
    """A writable copy with a tokenizer, as downloads have one."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(CASE / name, folder / name)
    characters = [chr(c) for c in range(32, 127)]
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2, **{c: i for i, c in enumerate(characters, 3)}}
    tokenizer = Tokenizer(BPE(vocab, [], unk_token="<unk>"))
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    return folder


def rewrite(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def logits(model, ids=IDS):
    return np.array(model(ids)[0])


def test_mlx_lm_loads_the_folder_and_generates(checkpoint):
    rewrite(checkpoint, eos_token_id=[2, 73440])

    model, tokenizer = mlx_lm.load(str(checkpoint))

    assert type(model) is Model
    assert tokenizer.eos_token_ids >= {2, 73440}
    want = logits(model, mx.array([tokenizer.encode("abc")]))[-1].argmax()
    assert mlx_lm.generate(model, tokenizer, "abc", max_tokens=1) == tokenizer.decode([int(want)])


@pytest.mark.parametrize("bits", [8, 4])
def test_what_mlx_lms_converter_quantizes_loads_again(checkpoint, tmp_path, bits):
    mlx_lm.convert(str(checkpoint), str(tmp_path / "mlx"), quantize=True, q_bits=bits, q_group_size=32)

    model, tokenizer = mlx_lm.load(str(tmp_path / "mlx"))

    float32, config = load_model(CASE)
    in_memory, _ = quantize_model(float32, config, 32, bits)
    np.testing.assert_allclose(logits(model), logits(in_memory), atol=1e-4)
    assert isinstance(model.model.embed_tokens, nn.QuantizedEmbedding)
    assert model.layers[1].self_attn.z_proj.bits == bits
    assert len(mlx_lm.generate(model, tokenizer, "abc", max_tokens=5)) > 0
    error = np.abs(logits(model) - logits(load_model(CASE)[0])).max()
    assert error < {8: 0.8, 4: 3.0}[bits]


def test_each_module_may_have_its_own_quantization(checkpoint, tmp_path):
    def predicate(path, module):
        if path.endswith(("o_gate", "z_proj", "embed_tokens")):
            return False
        return {"bits": 8, "group_size": 32} if "lm_head" in path else True

    target = tmp_path / "mlx"
    mlx_lm.convert(
        str(checkpoint), str(target), quantize=True, q_bits=4, q_group_size=64, quant_predicate=predicate
    )

    model, _ = load_model(target)

    attention = model.layers[0].self_attn
    assert (model.lm_head.bits, model.lm_head.group_size) == (8, 32)
    assert (attention.q_proj.bits, attention.q_proj.group_size) == (4, 64)
    assert type(attention.o_gate) is nn.Linear and type(model.model.embed_tokens) is nn.Embedding


def test_the_bf16_release_loads_from_shards_whatever_else_is_in_them(checkpoint):
    weights = {k: w.astype(mx.bfloat16) for k, w in mx.load(str(CASE / "model.safetensors")).items()}
    (checkpoint / "model.safetensors").unlink()
    for shard in range(3):
        part = {k: w for i, (k, w) in enumerate(weights.items()) if i % 3 == shard}
        part[f"model.layers.{shard}.self_attn.rotary_emb.inv_freq"] = mx.ones((4,))
        mx.save_safetensors(str(checkpoint / f"model-0000{shard + 1}-of-00003.safetensors"), part)
    rewrite(checkpoint, torch_dtype="bfloat16", mup_denominator=32, some_new_key={"a": 1})

    model, _ = load_model(checkpoint)

    assert {a.dtype for _, a in tree_flatten(model.parameters())} == {mx.bfloat16}
    found = model(mx.array(IDS))
    assert found.dtype == mx.float32
    assert np.abs(np.array(found[0]) - logits(load_model(CASE)[0])).max() < 0.5


def test_the_8_bit_conversion_with_plain_embeddings_loads(checkpoint):
    """moxin-org's layout: every linear layer and lm_head in 8 bits, groups of 64, bf16 scales."""
    weights, packed = mx.load(str(CASE / "model.safetensors")), {}
    for name, w in weights.items():
        w = w.astype(mx.bfloat16)
        if w.ndim == 2 and "embed_tokens" not in name:
            parts = zip(("weight", "scales", "biases"), mx.quantize(w, group_size=64, bits=8), strict=True)
            packed |= {name.replace("weight", part): array for part, array in parts}
        else:
            packed[name] = w
    mx.save_safetensors(str(checkpoint / "model.safetensors"), packed)
    rewrite(checkpoint, quantization={"group_size": 64, "bits": 8})

    model, _ = load_model(checkpoint)

    linears = [m for _, m in model.named_modules() if isinstance(m, nn.QuantizedLinear)]
    assert len(linears) == 5 * (4 + 1 + 3) + 1 and {m.bits for m in linears} == {8}
    assert type(model.model.embed_tokens) is nn.Embedding
    assert np.abs(logits(model) - logits(load_model(CASE)[0])).max() < 0.5


def test_code_in_the_models_folder_is_never_run(checkpoint, tmp_path):
    marker = tmp_path / "was_run"
    poison = f"open({str(marker)!r}, 'w').close()\nraise SystemExit('code from the folder ran')\n"
    for name in ("modeling", "configuration", "tokenization"):
        (checkpoint / f"{name}_minicpm_sala.py").write_text(poison)
    rewrite(
        checkpoint,
        auto_map={
            "AutoConfig": "configuration_minicpm_sala.MiniCPMSALAConfig",
            "AutoModelForCausalLM": "modeling_minicpm_sala.MiniCPMSALAForCausalLM",
        },
    )

    mlx_lm.load(str(checkpoint))

    assert not marker.exists()

    rewrite(checkpoint, model_file="modeling_minicpm_sala.py")
    with pytest.raises(ValueError, match="custom module"):
        mlx_lm.load(str(checkpoint))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"attn_use_rope": True}, "attn_use_rope"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings"),
        ({"rope_scaling": {"type": "yarn"}}, "rope_scaling"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope_scaling"),
        ({"mixer_types": ["minicpm4", "mamba", "minicpm4", "mamba", "minicpm4"]}, "mamba"),
        ({"mixer_types": ["minicpm4"]}, "num_hidden_layers"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"sparse_config": {"kernel_size": 32, "kernel_stride": 32}}, "kernel_stride"),
        ({"sparse_config": {"block_size": 40}}, "block_size"),
        ({"sparse_config": {"topk": 1}}, "topk"),
    ],
)
def test_a_configuration_that_is_not_computed_is_refused_by_name(changes, named):
    config = json.loads((CASE / "config.json").read_text())

    with pytest.raises(ValueError, match=named):
        ModelArgs.from_dict({**config, **changes})


def test_rope_theta_may_be_where_transformers_5_puts_it():
    config = json.loads((CASE / "config.json").read_text())
    del config["rope_theta"]

    args = ModelArgs.from_dict({**config, "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}})

    assert args.rope_theta == 5e5


@pytest.mark.parametrize("spelling", ["lightning", "lightning_attn", "lightning-attn"])
def test_lightning_may_be_spelt_three_ways(spelling):
    config = json.loads((CASE / "config.json").read_text())
    mixers = [m if m == "minicpm4" else spelling for m in config["mixer_types"]]

    model = Model(ModelArgs.from_dict({**config, "mixer_types": mixers}))

    assert "z_proj" in model.layers[1].self_attn
