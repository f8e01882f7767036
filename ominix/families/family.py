"""What is known of a kind of model before one of its weights is read.

In: config.json of a model's folder. Out: who serves it, what it is able to do, what it is called, which files
a download needs. Facts only: the server, the download child and the command line read them, so nothing in
this package imports mlx, a codec or the hub.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Ability -> the word for it in messages and in the field `task` of /v1/models. The first that fits counts.
TASKS = {"chat": "chat", "transcribe": "speech", "align": "aligner"}
NO_TASK = "unknown"


@dataclass(frozen=True)
class FileRules:
    """Names of the files in a repository that a download needs; never code, never pickles."""

    settings: tuple[str, ...]  # fetched where they are there
    tokenizers: tuple[frozenset[str], ...]  # one of these has to be there whole
    weights: re.Pattern[str]


SAFETENSORS = FileRules(
    settings=(
        "config.json",
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
    ),
    tokenizers=(
        frozenset({"tokenizer.json"}),
        frozenset({"tokenizer.model"}),
        frozenset({"vocab.json", "merges.txt"}),
    ),
    weights=re.compile(r"model[A-Za-z0-9_.-]*\.safetensors"),
)


@dataclass(frozen=True)
class Family:
    """Facts of one kind of model."""

    abilities: frozenset[str]
    model_types: frozenset[str] = frozenset()
    engine: str = ""  # module of ominix.engines; "": never loaded by itself, it helps other models' jobs
    package: str = ""  # under ominix.models, with the architecture; "": mlx-lm has it
    one_row: bool = False  # its sequences cannot be computed together, and no check at load finds that out
    aliases: Mapping[str, str] = field(default_factory=dict)  # short name -> the repository it pulls
    download_gb: Mapping[str, float] = field(default_factory=dict)  # by short name, about
    names: re.Pattern[str] | None = None  # such a name, in small letters, means any model of this family
    stands_in: str = ""  # for a model of such a name any with this ability may be taken; "": none
    languages: frozenset[str] = frozenset()  # English names; empty: any
    files: FileRules = SAFETENSORS
    note: str | None = None  # what people should know before they rely on it
    built_in: Mapping[str, str] = field(default_factory=dict)  # folder in ominix/embedded -> its note

    def claims(self, config: Mapping[str, Any]) -> bool:
        """Whether a model with this config.json, whatever stands in it, is of this family."""
        return model_type(config) in self.model_types

    def size(self, name: str) -> str:
        """Which of the family's sizes a model's name tells; "": none."""
        return ""

    @property
    def task(self) -> str:
        return next((word for ability, word in TASKS.items() if ability in self.abilities), NO_TASK)


UNKNOWN = Family(frozenset())  # of a model that no family claims


def model_type(config: Mapping[str, Any]) -> str:
    """ "" for a config that does not say it."""
    found = config.get("model_type")
    return found if isinstance(found, str) else ""
