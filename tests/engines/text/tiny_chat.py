"""Chat models of a few kilobytes, made on the spot: random ones, and one that recites a text."""

from __future__ import annotations

import copy
import importlib
import itertools
import json
import os
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.utils import MODEL_REMAPPING
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from ominix.cpu import backend
from ominix.engines.text import text_engine, text_model
from ominix.engines.text.detokenizer import _byte_letters
from ominix.engines.text.text_engine import TextEngine
from ominix.engines.text.text_model import TextModel
from ominix.families.family import Family
from ominix.families.table import KNOWN
from ominix.models import chat_model
from ominix.wire.events import Delta, Event
from ominix.wire.jobs import ChatJob, Message

LETTERS = {byte: letter for letter, byte in _byte_letters().items()}
END, START, THINK, UNTHINK = 256, 257, 258, 259
SPECIAL = {"<|im_end|>": END, "<|im_start|>": START, "<think>": THINK, "</think>": UNTHINK}
VOCABULARY = 288
TEMPLATE = (
    "{% for m in messages %}"
    "{% if m.role == 'odd' %}{{ raise_exception('no such role: odd') }}{% endif %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and opened is defined %}<think>\n{% endif %}{% endif %}"
)
CONFIGS = {
    "llama": {"intermediate_size": 96, "rms_norm_eps": 1e-5},
    "qwen3": {
        "intermediate_size": 96, "rms_norm_eps": 1e-6, "head_dim": 16, "rope_theta": 10000.0,
        "tie_word_embeddings": True,
    },
    "sliding": {
        "intermediate_size": 96, "rms_norm_eps": 1e-5, "sliding_window": 32,
        "layer_types": ["sliding_attention", "full_attention"], "model_type": "llama",
    },
    "lfm2": {
        "intermediate_size": 96, "norm_eps": 1e-5, "conv_bias": False, "conv_L_cache": 3,
        "block_dim": 64, "block_multiple_of": 16, "block_ffn_dim_multiplier": 1.0,
        "block_auto_adjust_ff_dim": False, "layer_types": ["conv", "full_attention"],
    },
    "minicpm_sala": {
        "intermediate_size": 96, "head_dim": 16, "mixer_types": ["minicpm4", "lightning-attn"],
        "lightning_nh": 4, "lightning_nkv": 4, "lightning_head_dim": 16, "dim_model_base": 16,
        "sparse_config": {
            "block_size": 16, "dense_len": 64, "init_blocks": 1, "kernel_size": 8,
            "kernel_stride": 4, "topk": 4, "use_nope": False, "window_size": 32,
        },
    },
}  # fmt: skip


def folder(
    path: Path,
    kind: str = "llama",
    *,
    seed: int = 0,
    context: int = 4096,
    tags: bool = True,
    config: dict | None = None,
) -> Path:
    """A random model that says something else after every token. `config`: of a kind that CONFIGS lacks;
    None takes a number away."""
    config = {
        "model_type": kind, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": VOCABULARY, "max_position_embeddings": context,
    } | (config or CONFIGS[kind])  # fmt: skip
    config = {name: value for name, value in config.items() if value is not None}
    mx.random.seed(seed)
    model = build(config)
    weights = [
        (name, mx.random.normal(w.shape) * (0.15 if w.ndim > 1 else 0) + (w.ndim < 2))
        for name, w in tree_flatten(model.parameters())
    ]
    return write(path, config, weights, tags=tags)


def reciter(path: Path, text: list[int], *, context: int = 4096) -> Path:
    """After a prompt that ends in a line break it says these tokens, all different, then END.

    Its layers add nothing: every token is a direction of its own, and the head turns it into the next.
    """
    config = {
        "model_type": "llama", "hidden_size": VOCABULARY, "num_hidden_layers": 1,
        "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": VOCABULARY,
        "max_position_embeddings": context, "tie_word_embeddings": False,
    } | CONFIGS["llama"]  # fmt: skip
    assert len({10, *text}) == len(text) + 1, "a token can have only one successor"
    chain = [10, *text, END]
    turns = mx.zeros((VOCABULARY, VOCABULARY))
    for token, successor in itertools.pairwise(chain):
        turns[successor, token] = 2.0
    weights = []
    for name, w in tree_flatten(build(config).parameters()):
        silent = "o_proj" in name or "down_proj" in name
        fixed = {"lm_head.weight": turns, "model.embed_tokens.weight": mx.eye(VOCABULARY)}
        weights.append((name, fixed.get(name, mx.zeros(w.shape) if silent else w)))
    return write(path, config, weights)


def build(config: dict):
    chat_model.register(KNOWN.claiming(config).package)
    kind = MODEL_REMAPPING.get(config["model_type"], config["model_type"])
    module = importlib.import_module(f"mlx_lm.models.{kind}")
    return module.Model(module.ModelArgs.from_dict(copy.deepcopy(config)))


def write(path: Path, config: dict, weights: list, *, tags: bool = True) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(config | {"eos_token_id": END}))
    mx.save_safetensors(str(path / "model.safetensors"), dict(weights), {"format": "mlx"})
    vocabulary = {LETTERS[byte]: byte for byte in range(256)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    for name in list(SPECIAL) if tags else list(SPECIAL)[:2]:
        tokenizer.add_tokens([AddedToken(name, special="think" not in name)])
    tokenizer.save(str(path / "tokenizer.json"))
    facts = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "chat_template": TEMPLATE,
    }
    (path / "tokenizer_config.json").write_text(json.dumps(facts))
    return path


def engine(path: Path, cache_bytes: int | None = None) -> TextEngine:
    one_row = family(path).one_row
    return text_engine.load(path, found_backend(), cache_bytes, package(path), one_row=one_row)


def model(path: Path) -> TextModel:
    return text_model.load(path, found_backend(), package(path))


def found_backend() -> backend.Backend:
    return backend.prepare(os.environ.get("OMINIX_CPU", backend.FAST))


def package(path: Path) -> str:
    return family(path).package


def family(path: Path) -> Family:
    return KNOWN.claiming(json.loads((path / "config.json").read_text()))


def said(text: str, *turns: str) -> tuple[Message, ...]:
    """A conversation that begins with the user; turns alternate."""
    roles = ["user", "assistant"] * len(turns) + ["user"]
    return tuple(Message(role, content) for role, content in zip(roles, (text, *turns), strict=False))


def run(chat: TextEngine, *jobs: ChatJob) -> list[list[Event]]:
    """All events of jobs that are aboard at the same time."""
    events: dict[int, list[Event]] = {i: [] for i in range(len(jobs))}
    for i, job in enumerate(jobs):
        chat.admit(i, job)
    while not chat.idle:
        for job_id, event in chat.step():
            events[job_id].append(event)
    return list(events.values())


def text(events: list[Event], index: int = 0, *, reasoning: bool = False) -> str:
    deltas = [e for e in events if isinstance(e, Delta) and e.index == index and e.reasoning == reasoning]
    return "".join(delta.text for delta in deltas)


def tokens(events: list[Event], index: int = 0) -> list[tuple[int, ...]]:
    """The answer token by token, as bytes; of jobs with top_logprobs=0."""
    deltas = [e for e in events if isinstance(e, Delta) and e.index == index]
    return [entry.token_bytes for delta in deltas for entry in delta.logprobs]
