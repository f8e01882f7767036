"""MiniCPM-SALA: a chat model that mlx-lm lacks."""

from __future__ import annotations

import re

from ominix.families.family import Family

CHAT = Family(
    abilities=frozenset({"chat"}),
    model_types=frozenset({"minicpm_sala"}),
    engine="text",
    package="minicpm_sala",
    aliases={"minicpm-sala-9b": "moxin-org/MiniCPM4-SALA-9B-8bit-mlx"},
    download_gb={"minicpm-sala-9b": 9.6},
    names=re.compile(r"minicpm[\W_]*sala.*"),
)
