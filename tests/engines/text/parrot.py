"""Chat models that say what a test wants, any tokens in any order: the position alone decides the token.

A GPT-2 whose one layer adds nothing. The embedding of a position is the token that follows there, in a
conversation that says ASKED.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
from engines.text import tiny_chat
from mlx.utils import tree_flatten
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

ASKED = "go"
PLACES = 512
END = "<|end_of_answer|>"
NAME = re.compile(r"<\|?/?[\w:]+\|?>|\[/?[A-Z_]+\]|◁/?\w+▷")


def parrot(path: Path, says: str, **tokenizer_options: Any) -> Path:
    """`says`: its answer. The other options are the tokenizer's."""
    folder(path, says, **tokenizer_options)
    tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    facts = json.loads((path / "tokenizer_config.json").read_text())
    asked = tokenizer.encode(facts["asked"], add_special_tokens=False).ids
    end = tokenizer.token_to_id(END)
    answer = [*tokenizer.encode(says, add_special_tokens=False).ids, end]
    size = tokenizer.get_vocab_size()
    config = {
        "model_type": "gpt2", "n_ctx": PLACES, "n_embd": size, "n_head": 1, "n_layer": 1,
        "n_positions": PLACES, "layer_norm_epsilon": 1e-5, "vocab_size": size, "eos_token_id": end,
        "bos_token_id": None,
    }  # fmt: skip
    follows = mx.zeros((PLACES, size))
    for place, token in enumerate(answer, len(asked) - 1):
        follows[place, token] = 20.0
    fixed = {
        "model.wte.weight": mx.eye(size),
        "model.wpe.weight": follows,
        "model.ln_f.weight": mx.ones(size),
    }
    parameters = tree_flatten(tiny_chat.build(config).parameters())
    weights = {name: fixed.get(name, mx.zeros(w.shape)) for name, w in parameters}
    (path / "config.json").write_text(json.dumps(config))
    mx.save_safetensors(str(path / "model.safetensors"), weights, {"format": "mlx"})
    return path


def folder(
    path: Path,
    says: str,
    *,
    special: bool = True,
    ask: str = "U:%s\nA:",
    template: str = "",
    letters: Sequence[str] = (),
    tool: str = "",
) -> Path:
    """A tokenizer and a template. What looks like a mark in `says` and in `ask`, the prompt, is a token,
    `special` or plain, but for `letters`. `template`: a comment in it, for who looks for marks there.
    `tool`: the template shows tools, and the answer is for who brings the one of this name."""
    names = sorted({END, *NAME.findall(says), *NAME.findall(ask)} - set(letters))
    path.mkdir(parents=True, exist_ok=True)
    _tokenizer(names, special).save(str(path / "tokenizer.json"))
    before, after = (json.dumps(part) for part in ask.split("%s"))
    facts = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "chat_template": ("{{ tools[0].function.name if tools }}" if tool else "")
        + f"{{{{ {before} + messages[-1].content + {after} }}}}{{# {template} #}}",
        "asked": tool + ask % ASKED,
    }
    (path / "tokenizer_config.json").write_text(json.dumps(facts))
    return path


def _tokenizer(names: list[str], special: bool) -> Tokenizer:
    vocabulary = {tiny_chat.LETTERS[byte]: byte for byte in range(256)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens(
        [AddedToken(name, special=special or name == END, normalized=False) for name in names]
    )
    return tokenizer
