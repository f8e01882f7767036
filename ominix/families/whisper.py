"""Whisper and what is distilled from it (speech to text, the words' times too), in every published layout.

Models with as many decoder layers as encoder layers also translate into English; turbo, distil and the
English-only ones do not: asked to, they answer in the language of the recording.
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


class _Whisper(Family):
    def claims(self, config: Mapping[str, Any]) -> bool:
        if model_type(config):
            return super().claims(config)
        return config.keys() >= _MLX_SIZES or config.keys() >= _CT2_LISTS


class _Translator(_Whisper):
    def claims(self, config: Mapping[str, Any]) -> bool:
        return super().claims(config) and _translates(config)


def _translates(config: Mapping[str, Any]) -> bool:
    """CTranslate2's file tells no sizes: after `ominix import-ct2` they are known."""
    pairs = (("n_audio_layer", "n_text_layer"), ("encoder_layers", "decoder_layers"))
    is_whole = any(name in config and config[name] == config.get(other) for name, other in pairs)
    vocabulary = config.get("n_vocab", config.get("vocab_size"))
    return is_whole and isinstance(vocabulary, int) and vocabulary >= _MULTILINGUAL


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
        "whisper-tiny.en": "openai/whisper-tiny.en",
        "whisper-base.en": "openai/whisper-base.en",
        "whisper-small.en": "openai/whisper-small.en",
        "whisper-medium.en": "openai/whisper-medium.en",
    },
    files=_FILES,
)
