"""Whisper and what is distilled from it (speech to text, the words' times too), in every published layout.

Models with as many decoder layers as encoder layers also translate into English; turbo, distil and the
English-only ones do not: asked to, they answer in the language of the recording.

Clients and guides write its names in many ways (whisper-1, large-v3, Systran/faster-whisper-small): each
means a model of that size if one is here, or else any speech model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ominix.families.family import SAFETENSORS, Family, FileRules, model_type

_FILES = FileRules(
    settings=SAFETENSORS.settings,
    tokenizers=(frozenset(),),  # the tokenizer comes with ominix
    weights=re.compile(r"(model|weights)[A-Za-z0-9_.-]*\.safetensors|weights\.npz|model\.bin"),
)
# Sizes that mlx-whisper's config.json has, and lists that CTranslate2's has; neither need name a model_type.
_MLX_SIZES = frozenset({"n_mels", "n_audio_layer", "n_text_layer", "n_vocab"})
_CT2_LISTS = frozenset({"suppress_ids", "suppress_ids_begin", "lang_ids"})
_MULTILINGUAL = 51865  # tokens at least
_SIZE = r"tiny|base|small|medium|large|turbo"
# The last part of a repository's name: whisper-1, faster-whisper-large-v3, distil-small.en, ggml-base, turbo.
_NAMES = re.compile(
    rf"(?:faster-|distil-|ggml-|mlx-)*(?:whisper.*|(?:{_SIZE})(?:[._-](?:v\d|turbo|en|fp16|q\d\w*|\dbit))*)"
)
_SIZES = re.compile(rf"(?<![a-z])(?:(large)[._-]?v(\d)|({_SIZE}))(?![a-z])")
_LARGE = "large-v3"  # what is meant by "large" alone


class _Whisper(Family):
    def claims(self, config: Mapping[str, Any]) -> bool:
        if model_type(config):
            return super().claims(config)
        return config.keys() >= _MLX_SIZES or config.keys() >= _CT2_LISTS

    def size(self, name: str) -> str:
        """large-v3 and its turbo are two sizes; so is what is distilled from either."""
        name = name.lower()
        found = _SIZES.search(name)
        if found is None:
            return ""
        number, size = found[2], found[3]
        if "turbo" in name:
            size = "turbo"
        elif number or size == "large":
            size = f"large-v{number}" if number else _LARGE
        return f"distil-{size}" if "distil" in name else size


class _Translator(_Whisper):
    def claims(self, config: Mapping[str, Any]) -> bool:
        pairs = (("n_audio_layer", "n_text_layer"), ("encoder_layers", "decoder_layers"))
        is_whole = any(name in config and config[name] == config.get(other) for name, other in pairs)
        return super().claims(config) and is_whole and _vocabulary(config) >= _MULTILINGUAL


class _English(_Whisper):
    def claims(self, config: Mapping[str, Any]) -> bool:
        return super().claims(config) and 0 < _vocabulary(config) < _MULTILINGUAL


def _vocabulary(config: Mapping[str, Any]) -> int:
    """Tokens; 0: not told, as in CTranslate2's file before `ominix import-ct2`."""
    found = config.get("n_vocab", config.get("vocab_size"))
    return found if isinstance(found, int) else 0


TRANSLATOR = _Translator(
    abilities=frozenset({"transcribe", "translate", "align"}),
    model_types=frozenset({"whisper"}),
    engine="speech",
    package="whisper",
    aliases={
        "whisper-base": "openai/whisper-base",
        "whisper-tiny": "openai/whisper-tiny",
        "whisper-small": "openai/whisper-small",
        "whisper-medium": "openai/whisper-medium",
        "whisper-large-v2": "openai/whisper-large-v2",
        "whisper-large-v3": "openai/whisper-large-v3",
    },
    download_gb={
        "whisper-base": 0.29,
        "whisper-tiny": 0.15,
        "whisper-small": 0.97,
        "whisper-medium": 3.06,
        "whisper-large-v2": 6.17,
        "whisper-large-v3": 3.09,
    },
    names=_NAMES,
    stands_in="transcribe",
    files=_FILES,
)

TRANSCRIBER = _Whisper(
    abilities=frozenset({"transcribe", "align"}),
    model_types=frozenset({"whisper"}),
    engine="speech",
    package="whisper",
    aliases={
        "whisper-large-v3-turbo": "mlx-community/whisper-large-v3-turbo",
        "whisper-turbo": "mlx-community/whisper-large-v3-turbo",
        "distil-large-v3": "distil-whisper/distil-large-v3",
    },
    download_gb={"whisper-large-v3-turbo": 1.61, "whisper-turbo": 1.61, "distil-large-v3": 1.51},
    names=_NAMES,
    stands_in="transcribe",
    files=_FILES,
)

ENGLISH = _English(
    abilities=frozenset({"transcribe", "align"}),
    model_types=frozenset({"whisper"}),
    engine="speech",
    package="whisper",
    aliases={
        "whisper-tiny.en": "openai/whisper-tiny.en",
        "whisper-base.en": "openai/whisper-base.en",
        "whisper-small.en": "openai/whisper-small.en",
        "whisper-medium.en": "openai/whisper-medium.en",
    },
    download_gb={
        "whisper-tiny.en": 0.15,
        "whisper-base.en": 0.29,
        "whisper-small.en": 0.97,
        "whisper-medium.en": 3.06,
    },
    names=_NAMES,
    stands_in="transcribe",
    languages=frozenset({"English"}),
    files=_FILES,
)
