"""Qwen3-ASR (speech to text) and Qwen3-ForcedAligner (times of words).

They share one model_type in most published folders: the aligner is told by its head over points in time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ominix.families.family import Family, model_type

# In `architectures` or the inner model_type.
_ALIGNER_MARKS = ("ForcedAligner", "forced_aligner", "ForTokenClassification")
_BUILT_IN_NOTE = "comes with ominix: sixty words, for trying things out; install a real model for real speech"


class _Recogniser(Family):
    def claims(self, config: Mapping[str, Any]) -> bool:
        return super().claims(config) and not _is_aligner(config)


class _Aligner(Family):
    def claims(self, config: Mapping[str, Any]) -> bool:
        return super().claims(config) and _is_aligner(config)


def _is_aligner(config: Mapping[str, Any]) -> bool:
    inner = config.get("thinker_config")
    inner = inner if isinstance(inner, dict) else config
    named = f"{config.get('architectures')} {model_type(config)} {model_type(inner)}"
    return "classify_num" in inner or any(mark in named for mark in _ALIGNER_MARKS)


RECOGNISER = _Recogniser(
    abilities=frozenset({"transcribe"}),
    model_types=frozenset({"qwen3_asr"}),
    engine="speech",
    package="qwen3_asr",
    aliases={
        "qwen3-asr": "mlx-community/Qwen3-ASR-0.6B-8bit",
        "qwen3-asr-0.6b": "mlx-community/Qwen3-ASR-0.6B-8bit",
        "qwen3-asr-1.7b": "mlx-community/Qwen3-ASR-1.7B-8bit",
    },
    download_gb={"qwen3-asr": 1.0, "qwen3-asr-0.6b": 1.0, "qwen3-asr-1.7b": 2.5},
    languages=frozenset(
        {
            "Arabic", "Cantonese", "Chinese", "Czech", "Danish", "Dutch", "English", "Filipino", "Finnish",
            "French", "German", "Greek", "Hindi", "Hungarian", "Indonesian", "Italian", "Japanese", "Korean",
            "Macedonian", "Malay", "Persian", "Polish", "Portuguese", "Romanian", "Russian", "Spanish",
            "Swedish", "Thai", "Turkish", "Vietnamese",
        }
    ),
    built_in={"tiny-asr": _BUILT_IN_NOTE},
)  # fmt: skip

ALIGNER = _Aligner(
    abilities=frozenset({"align"}),
    model_types=frozenset({"qwen3_asr", "qwen3_forced_aligner"}),
    package="qwen3_asr",
    aliases={"qwen3-forced-aligner": "mlx-community/Qwen3-ForcedAligner-0.6B-8bit"},
    download_gb={"qwen3-forced-aligner": 1.0},
    note="gives words their times; a speech model loads it when a request asks for words",
    built_in={"tiny-aligner": _BUILT_IN_NOTE},
)
