"""Which files of a repository a model needs. Pure: names in, names out; never code, never pickles."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from ominix.errors import DownloadFailed
from ominix.families import tasks

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
# All of a model that is not weights, where it is there.
SMALL = (
    CONFIG,
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.json",
    "chat_template.jinja",
)
# One of these rows has to be whole.
TOKENIZERS = ({"tokenizer.json"}, {"tokenizer.model"}, {"vocab.json", "merges.txt"})
WEIGHTS = re.compile(r"model[A-Za-z0-9_.-]*\.safetensors")
# Keys of config.json that name Python files beside it.
CODE_KEYS = ("auto_map", "model_file")


def small(there: Collection[str]) -> list[str]:
    """The files to fetch first. Raises DownloadFailed for a repository that holds no model."""
    if CONFIG not in there:
        raise DownloadFailed("not_a_model", "The repository has no config.json: it holds no model.")
    if not any(names <= set(there) for names in TOKENIZERS):
        raise DownloadFailed("not_a_model", "The repository has no tokenizer that could be used.")
    if not any(map(WEIGHTS.fullmatch, there)):
        raise DownloadFailed(
            "not_a_model", "The repository has no model*.safetensors; other kinds of weights are not fetched."
        )
    return [name for name in SMALL if name in there]


def weights(there: Collection[str], index: bytes | None) -> list[str]:
    """The weight files: what the index names; those there are if it is missing or names others."""
    named = _named(index) if index is not None else set()
    if named and named <= set(there):
        return sorted(named)
    if "model.safetensors" in there:
        return ["model.safetensors"]
    if named:
        lost = ", ".join(sorted(named - set(there))[:3])
        raise DownloadFailed("incomplete", f"The repository lacks weights that its index names: {lost}.")
    return sorted(name for name in there if WEIGHTS.fullmatch(name))


def _named(index: bytes) -> set[str]:
    try:
        names = set(json.loads(index)["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DownloadFailed("incomplete", "The repository's index of weights cannot be read.") from None
    if not all(isinstance(name, str) and WEIGHTS.fullmatch(name) for name in names):
        raise DownloadFailed("incomplete", "The index of weights names files that are not weights.")
    return names


def check_config(data: bytes) -> None:
    """Raises DownloadFailed for a config that is broken, or of use only with the repository's own code."""
    try:
        config = json.loads(data)
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise DownloadFailed("not_a_model", "The repository's config.json is not a JSON object.")
    if _needs_code(config):
        raise DownloadFailed(
            "remote_code",
            f"The model needs Python code from its repository ({_code_keys(config)}), which is never run; "
            f"its model_type {config.get('model_type')!r} is not one that ominix or mlx-lm knows.",
        )


def _needs_code(config: Mapping[str, Any]) -> bool:
    """`auto_map` alone does no harm where the model's kind is known: its code is neither fetched nor run."""
    return "model_file" in config or ("auto_map" in config and tasks.task_of(config) == "unknown")


def _code_keys(config: Mapping[str, Any]) -> str:
    return ", ".join(key for key in CODE_KEYS if key in config)
