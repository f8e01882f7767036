"""tokenizer.json and tokenizer_config.json out of a GGUF file's metadata: byte-level BPE."""

from __future__ import annotations

from typing import Any

from ominix.convert.gguf.container import Container
from ominix.errors import InvalidRequest

_BYTE_LEVEL = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": True,
}
_SINGLE_DIGITS = {"type": "Digits", "individual_digits": True}
_SPLITS: dict[str, list[dict[str, Any]]] = {  # how text is cut before merging, by tokenizer.ggml.pre
    "smollm": [_SINGLE_DIGITS, _BYTE_LEVEL],
    "gpt-2": [_BYTE_LEVEL],
}
_CONTROL, _USER_DEFINED = 3, 4  # token types of the GGUF specification


def tokenizer(container: Container) -> dict[str, Any]:
    """tokenizer.json. Raises InvalidRequest for a tokenizer of another kind."""
    metadata = container.metadata
    model, split = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre")
    if model != "gpt2":
        raise InvalidRequest(f"the GGUF tokenizer is {model!r}; supported is 'gpt2' (byte-level BPE)")
    if split not in _SPLITS:
        known = ", ".join(_SPLITS)
        raise InvalidRequest(f"the GGUF file's text is split as {split!r}; supported are {known}")
    tokens, merges = _strings(metadata, "tokens"), _strings(metadata, "merges")
    return {
        "version": "1.0",
        "added_tokens": _added(tokens, metadata.get("tokenizer.ggml.token_type", [])),
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": _SPLITS[split]},
        "post_processor": None,
        "decoder": _BYTE_LEVEL,
        "model": {
            "type": "BPE",
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": [_pair(merge) for merge in merges],
        },
    }


def tokenizer_config(container: Container) -> dict[str, Any]:
    """tokenizer_config.json: the special tokens by name, the context's size, the chat template."""
    metadata, tokens = container.metadata, _strings(container.metadata, "tokens")
    names = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}
    special = {
        target: tokens[i]
        for name, target in names.items()
        if isinstance(i := metadata.get(f"tokenizer.ggml.{name}_token_id"), int) and i < len(tokens)
    }
    template = metadata.get("tokenizer.chat_template")
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": metadata.get("llama.context_length"),
        **special,
        **({"chat_template": template} if template else {}),
    }


def _strings(metadata: dict[str, Any], name: str) -> list[str]:
    value = metadata.get(f"tokenizer.ggml.{name}")
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidRequest(f"the GGUF file has no list tokenizer.ggml.{name}")
    return value


def _added(tokens: list[str], types: list[int]) -> list[dict[str, Any]]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return [
        {"id": i, "content": token, "special": kind == _CONTROL, **flags}
        for i, (token, kind) in enumerate(zip(tokens, types, strict=False))
        if kind in (_CONTROL, _USER_DEFINED)
    ]


def _pair(merge: str) -> list[str]:
    left, space, right = merge.partition(" ")
    if not (left and space and right):
        raise InvalidRequest(f"the GGUF file has a merge {merge!r} that is no pair")
    return [left, right]
