"""A chat model's own settings: what its generation_config.json says where a request says nothing.

Only those count for which the API names no default of its own: it does for temperature and top_p.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class GenerationSettings:
    top_k: int = 0  # 0: off
    min_p: float = 0.0
    repetition_penalty: float = 1.0  # 1: off
    max_tokens: int | None = None  # None: the model does not say


NO_SETTINGS = GenerationSettings()


def settings(config: Mapping[str, Any]) -> GenerationSettings:
    """`config`: what generation_config.json holds, whatever that is. What makes no sense is passed over."""
    top_k, longest = config.get("top_k"), config.get("max_new_tokens")
    min_p, penalty = _number(config.get("min_p")), _number(config.get("repetition_penalty"))
    return GenerationSettings(
        top_k=top_k if type(top_k) is int and 0 < top_k < 1 << 31 else 0,  # True is an int
        min_p=min_p if 0 <= min_p <= 1 else 0.0,
        repetition_penalty=penalty if 0 < penalty <= 10 else 1.0,
        max_tokens=longest if type(longest) is int and 0 < longest < 1 << 31 else None,
    )


def _number(value: Any) -> float:
    """-1 for what is none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < 1e9 else -1.0
