"""The tokenizer: byte-level BPE in which every known word is one token, and the chat prompts.

Any other text still has tokens (its bytes), so that contexts may say what they like.
"""

import json

from tokenizers import Tokenizer, models, trainers
from tokenizers.pre_tokenizers import ByteLevel
from transformers import Qwen2Tokenizer, Qwen3ASRFeatureExtractor, Qwen3ASRProcessor

from .words import ALL_WORDS, WORDS

AUDIO = "<|audio_pad|>"
TAG = "<asr_text>"
END = "<|im_end|>"
_SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    END,
    "<|audio_start|>",
    "<|audio_end|>",
    AUDIO,
    "<timestamp>",
]
# A system turn (all system text), a user turn (one placeholder for each audio), then the assistant
# turns: the prompt of the published Qwen3-ASR checkpoints.
CHAT_TEMPLATE = """\
{%- set found = namespace(context='', audio='') -%}
{%- for message in messages -%}
  {%- set parts = [{'type': 'text', 'text': message.content}] if message.content is string \
else message.content -%}
  {%- for part in parts -%}
    {%- if message.role == 'system' and part.type == 'text' -%}
      {%- set found.context = found.context + part.text -%}
    {%- elif part.type == 'audio' or 'audio' in part or 'audio_url' in part -%}
      {%- set found.audio = found.audio + '<|audio_start|><|audio_pad|><|audio_end|>' -%}
    {%- endif -%}
  {%- endfor -%}
{%- endfor -%}
{{- '<|im_start|>system\\n' + found.context + '<|im_end|>\\n' -}}
{{- '<|im_start|>user\\n' + found.audio + '<|im_end|>\\n' -}}
{%- for message in messages if message.role == 'assistant' -%}
  {{- '<|im_start|>assistant\\n' -}}
  {%- if message.content is string -%}
    {{- message.content -}}
  {%- else -%}
    {%- for part in message.content if part.type == 'text' -%}
      {{- part.text -}}
    {%- endfor -%}
  {%- endif -%}
  {{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""


def build_tokenizer() -> Qwen2Tokenizer:
    """Merges are learned from the word list alone, until every word is one token."""
    plain = ["system", "user", "assistant", "language", *WORDS, "None", *ALL_WORDS]
    corpus = [*plain, *(f" {word}" for word in plain)]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = ByteLevel(add_prefix_space=False)
    alphabet = sorted(ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=2000, min_frequency=1, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(corpus, trainer)
    merges = [tuple(pair) for pair in _merges(bpe)]
    tokenizer = Qwen2Tokenizer(
        vocab=dict(sorted(bpe.get_vocab().items(), key=lambda item: item[1])),
        merges=merges,
        pad_token="<|endoftext|>",
        eos_token=END,
        unk_token=None,
        model_max_length=8192,
        extra_special_tokens={
            "audio_bos_token": "<|audio_start|>",
            "audio_eos_token": "<|audio_end|>",
            "audio_token": AUDIO,
        },
    )
    tokenizer.add_special_tokens({"additional_special_tokens": _SPECIAL}, False)
    tokenizer.add_tokens([TAG])  # not special: it must survive decoding
    return tokenizer


def _merges(bpe: Tokenizer) -> list[list[str]]:
    return [
        pair.split(" ") if isinstance(pair, str) else pair
        for pair in json.loads(bpe.to_str())["model"]["merges"]
    ]


def build_processor() -> Qwen3ASRProcessor:
    return Qwen3ASRProcessor(
        feature_extractor=Qwen3ASRFeatureExtractor(),
        tokenizer=build_tokenizer(),
        chat_template=CHAT_TEMPLATE,
    )
