"""Which files of a repository a model needs: the names of all its files and a family's rules in, names out.

Never code, never pickles. Pure: what is fetched, and how, is not its business.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from ominix.errors import DownloadFailed
from ominix.families.family import UNKNOWN, FileRules
from ominix.families.table import KNOWN

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
MOST_CONFIG_BYTES = 4 << 20
MOST_SETTINGS_BYTES = 64 << 20  # a tokenizer, an index
# Keys of config.json that name Python files beside it.
CODE_KEYS = ("auto_map", "model_file")


def most_bytes(name: str) -> int | None:
    """What a file of this name may have; None for weights, which the disk bounds."""
    if name.endswith((".safetensors", ".npz", ".bin")):
        return None
    return MOST_CONFIG_BYTES if name == CONFIG else MOST_SETTINGS_BYTES


def rules(config: bytes) -> FileRules:
    """By the config.json of a repository.

    Raises DownloadFailed for one that is broken, or of use only with the repository's own code.
    """
    parsed = _config(config)
    family = KNOWN.claiming(parsed)
    # `auto_map` alone does no harm where the kind of model is known: its code is neither fetched nor run.
    if "model_file" in parsed or ("auto_map" in parsed and family is UNKNOWN):
        raise DownloadFailed(
            "remote_code",
            f"The model needs Python code from its repository ({_code_keys(parsed)}), which is never run; "
            f"its model_type {parsed.get('model_type')!r:.40} is not one that ominix or mlx-lm knows.",
        )
    return family.files


def _config(data: bytes) -> dict[str, Any]:
    try:
        config = json.loads(data)
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise DownloadFailed("not_a_model", "The repository's config.json is not a JSON object.")
    return config


def _code_keys(config: Mapping[str, Any]) -> str:
    return ", ".join(key for key in CODE_KEYS if key in config)


def check_is_model(there: Collection[str]) -> None:
    """Raises DownloadFailed for a repository that holds no model of any family."""
    if CONFIG not in there:
        raise DownloadFailed("not_a_model", "The repository has no config.json: it holds no model.")


def settings(there: Collection[str], rules: FileRules) -> list[str]:
    """The files to fetch first. Raises DownloadFailed for a repository without tokenizer or weights."""
    if not any(names <= set(there) for names in rules.tokenizers):
        raise DownloadFailed("not_a_model", "The repository has no tokenizer that could be used.")
    if not any(map(rules.weights.fullmatch, there)):
        raise DownloadFailed(
            "not_a_model", "The repository has no model*.safetensors; other kinds of weights are not fetched."
        )
    return [name for name in rules.settings if name in there]


def weights(there: Collection[str], index: bytes | None, rules: FileRules) -> list[str]:
    """The weight files: what the index names; those there are if it is missing or names others."""
    named = _named(index, rules) if index is not None else set()
    if named and named <= set(there):
        return sorted(named)
    if "model.safetensors" in there:
        return ["model.safetensors"]
    if named:
        lost = ", ".join(sorted(named - set(there))[:3])
        raise DownloadFailed("incomplete", f"The repository lacks weights that its index names: {lost}.")
    return sorted(name for name in there if rules.weights.fullmatch(name))


def _named(index: bytes, rules: FileRules) -> set[str]:
    try:
        names = set(json.loads(index)["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DownloadFailed("incomplete", "The repository's index of weights cannot be read.") from None
    if not all(isinstance(name, str) and rules.weights.fullmatch(name) for name in names):
        raise DownloadFailed("incomplete", "The index of weights names files that are not weights.")
    return names
