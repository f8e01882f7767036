"""A text model's folder, loaded: weights, tokenizer, and the facts an engine needs of them.

Code that a folder brings is never run. What cannot be loaded ends in a sentence for the person who
put the folder there. Knows nothing about jobs.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mlx.nn as nn
from mlx.utils import tree_reduce
from mlx_lm.tokenizer_utils import TokenizerWrapper
from mlx_lm.utils import load_model, load_tokenizer

from ominix.cpu import door
from ominix.cpu.backend import Backend
from ominix.engines import memory
from ominix.engines.text.batching import Batching
from ominix.engines.text.chat_tokenizer import ChatTokenizer
from ominix.engines.text.detokenizer import Detokenizer
from ominix.engines.text.grammar_table import GrammarTable
from ominix.engines.text.tool_prompt import ToolSupport
from ominix.errors import Unavailable
from ominix.models import answer_formats, call_formats, chat_model, claims
from ominix.models.answer_formats import AnswerFormat

log = logging.getLogger("ominix.chat")

# What architectures call the number of tokens that they were made for, in config.json.
CONTEXTS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "block_size")

# mlx-lm builds a model from whatever config.json says, so a bad folder fails in many ways, at load and when
# it first runs.
FAULTS = (ValueError, LookupError, TypeError, AttributeError, RuntimeError, OSError)

PromptTokens = Callable[..., list[int]]  # (chat tokenizer, messages, **template options)


@dataclass(frozen=True)
class TextModel:
    name: str
    model: nn.Module
    tokenizer: TokenizerWrapper
    chat_tokenizer: ChatTokenizer
    detokenizer: Detokenizer
    prompt_tokens: PromptTokens
    has_template: bool
    format: AnswerFormat  # what leads from its reasoning to its answer and its tool calls
    tool_support: ToolSupport  # how it is shown tools, and how it writes calls
    closing: tuple[int, ...]  # tokens between its thought and its answer; () for a model that only answers
    context: int  # tokens of prompt and answer together
    vocabulary: int  # logits of a position
    stop_ids: frozenset[int]
    grammars: GrammarTable
    weight_bytes: int
    batching: Batching = Batching.PADDED  # how its sequences may be computed together


def load(path: Path, backend: Backend, package: str = "", *, raw_prompts: bool = False) -> TextModel:
    """`package` (under ominix.models) has an architecture that mlx-lm lacks: see models/chat_model.py.
    `raw_prompts`: control tokens that clients write are tokens.

    Raises Unavailable for a folder that holds no model that can be served.
    """
    config = _config(path)
    chat_model.register(package)
    model = _model(path, config, backend)
    tokenizer = _tokenizer(path, config)
    chat = chat_model.chat_format(package)
    stops = set(tokenizer.eos_token_ids) | set(chat.stop_tokens(config) if chat else ())
    format = answer_formats.chosen(tokenizer, chat.TAGS if chat else None)
    context = _context(config, tokenizer)
    vocabulary = _fact(config, "vocab_size") or len(tokenizer)
    chat_tokenizer = ChatTokenizer(path.name, tokenizer, context, format.tags or (), raw=raw_prompts)
    prompt_tokens = chat.prompt_tokens if chat else _prompt_tokens

    def render(messages: list[dict[str, Any]], **options: Any) -> str:
        return str(tokenizer.decode(prompt_tokens(chat_tokenizer, messages, **options)))

    return TextModel(
        name=path.name,
        model=model,
        tokenizer=tokenizer,
        chat_tokenizer=chat_tokenizer,
        detokenizer=Detokenizer(tokenizer),
        prompt_tokens=prompt_tokens,
        has_template=bool(chat or tokenizer.has_chat_template),
        format=format,
        tool_support=ToolSupport(call_formats.chosen(tokenizer), render),
        closing=tuple(tokenizer.encode(format.closing, add_special_tokens=False)) if format.closing else (),
        context=context,
        vocabulary=vocabulary,
        stop_ids=frozenset(stops),
        grammars=GrammarTable(path.name, tokenizer, vocabulary, stops),
        weight_bytes=_weight_bytes(model),
    )


def _config(path: Path) -> dict[str, Any]:
    """config.json, with the stop tokens of generation_config.json."""
    config = _json(path / "config.json")
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise Unavailable(f"{path.name}/config.json does not say the model's type")
    if "model_file" in config:
        raise Unavailable(f"{path.name} wants to run code of its own (model_file), which is never done")
    if not any(path.glob("model*.safetensors")):
        raise Unavailable(f"{path.name} has no weights: model*.safetensors is missing")
    generation = path / "generation_config.json"
    stops = _json(generation).get("eos_token_id") if generation.exists() else None
    return config | ({"eos_token_id": stops} if stops else {})


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise Unavailable(f"{path.parent.name}/{path.name} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise Unavailable(f"{path.parent.name}/{path.name} is no valid JSON: {error}") from error


def _model(path: Path, config: dict[str, Any], backend: Backend) -> nn.Module:
    kind = config["model_type"]
    try:
        claims.check(path)
        model, _ = load_model(path, lazy=True)
        door.settle(model, backend, partial(memory.holds_float32, log=log))
    except FAULTS as error:
        raise Unavailable(f"{path.name} (model type {kind}) does not load: {reason(error)}") from error
    model.eval()
    return model


def reason(error: Exception) -> str:
    """In one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _weight_bytes(model: nn.Module) -> int:
    return int(tree_reduce(lambda total, array: total + array.nbytes, model.parameters(), 0))


def _tokenizer(path: Path, config: dict[str, Any]) -> TokenizerWrapper:
    stops = config.get("eos_token_id")
    try:
        # Said outright: without it transformers may ask at the terminal whether to run remote code.
        tokenizer: TokenizerWrapper = load_tokenizer(path, {"trust_remote_code": False}, eos_token_ids=stops)
    except Exception as error:  # checks of a config have errors of their own, as huggingface_hub's
        raise Unavailable(f"the tokenizer of {path.name} does not load: {reason(error)}") from error
    return tokenizer


def _prompt_tokens(tokenizer: ChatTokenizer, messages: list[dict[str, Any]], **options: Any) -> list[int]:
    """Special tokens are in the template's text: none are added."""
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, **options)
    return tokenizer.encode(text, add_special_tokens=False)


def _context(config: dict[str, Any], tokenizer: TokenizerWrapper) -> int:
    found = (_fact(config, name) for name in CONTEXTS)
    known = next(filter(None, found), tokenizer.model_max_length)
    return int(min(known, 1 << 24))  # transformers writes 1e30 where a tokenizer does not know


def _fact(config: dict[str, Any], name: str) -> int | None:
    """Multimodal models keep the language model's numbers one level down."""
    value = config.get(name) or config.get("text_config", {}).get(name)
    return value if isinstance(value, int) and value > 0 else None
