"""The tiny Qwen3-ASR network, its first weights and its training loss.

The network is transformers' own `Qwen3ASRForConditionalGeneration`; only the two word-CTC heads
are ours, and they are thrown away after training.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import Qwen3ASRConfig, Qwen3ASRForConditionalGeneration, Qwen3ASRProcessor

from .tokens import AUDIO, END
from .words import ALL_WORDS

CHUNK = 100  # mel frames the convolutions see at once
WINDOW = 104  # audio positions an attention window spans: 8 chunks of 13
_CTC_LAYER = 2  # the second CTC head reads the states behind this many decoder layers
_CTC_WEIGHT = 0.3


@dataclass(frozen=True)
class Batch:
    """Some clips, packed. B clips, F mel frames in whole chunks, L prompt and answer tokens."""

    features: Tensor  # (1, 128, F)
    mask: Tensor  # (1, F), 1 where a frame is real
    windows: Tensor  # cumulative ends of the attention windows, from 0
    audio_lengths: list[int]  # audio positions of each clip
    ids: Tensor  # (B, L), padded on the right
    labels: Tensor  # (B, L), -100 where nothing is learnt
    words: list[list[int]]  # CTC targets from 1


def build_config(processor: Qwen3ASRProcessor) -> Qwen3ASRConfig:
    tokenizer = processor.tokenizer
    end, pad = tokenizer.convert_tokens_to_ids([END, "<|endoftext|>"])
    audio = {
        "d_model": 160,
        "encoder_layers": 4,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": 512,
        "downsample_hidden_size": 32,
        "num_mel_bins": 128,
        "output_dim": 160,
        "n_window": 50,
        "n_window_infer": 800,
    }
    text = {
        "vocab_size": 512,
        "hidden_size": 160,
        "num_hidden_layers": 3,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 32,
        "intermediate_size": 448,
        "max_position_embeddings": 8192,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": end,
        "pad_token_id": pad,
    }
    return Qwen3ASRConfig(
        audio_config=audio,
        text_config=text,
        audio_token_id=tokenizer.convert_tokens_to_ids(AUDIO),
        timestamp_token_id=tokenizer.convert_tokens_to_ids("<timestamp>"),
        pad_token_id=pad,
        eos_token_id=[pad, end],
        tie_word_embeddings=True,
    )


class Learner(nn.Module):
    """The network with its CTC heads; calling it gives the loss of a batch."""

    def __init__(self, config: Qwen3ASRConfig) -> None:
        super().__init__()
        self.asr = Qwen3ASRForConditionalGeneration(config)
        self.encoder_ctc = nn.Linear(config.audio_config.d_model, len(ALL_WORDS) + 1)
        self.decoder_ctc = nn.Linear(config.text_config.hidden_size, len(ALL_WORDS) + 1)
        self._audio_id = config.audio_token_id
        _initialise(self)
        tower = self.asr.model.audio_tower
        for convolution in (tower.conv2d1, tower.conv2d2, tower.conv2d3):
            convolution.to(memory_format=torch.channels_last)  # a fifth faster on CPUs

    def forward(self, batch: Batch, ctc_share: float) -> tuple[Tensor, Tensor]:
        """The whole loss, and the part of it that is the answer's cross-entropy (both scalars)."""
        parts = self.asr.model
        encoded = parts.audio_tower(
            input_features=batch.features,
            input_features_mask=batch.mask,
            cu_seqlens=batch.windows,
        ).last_hidden_state  # (positions, d_model)
        x = parts.language_model.embed_tokens(batch.ids)  # (B, L, hidden)
        is_audio = batch.ids == self._audio_id
        x = x.masked_scatter(is_audio[..., None], parts.multi_modal_projector(encoded))
        # Padding is on the right, so the causal mask alone keeps it out of every real position.
        out = parts.language_model(inputs_embeds=x, use_cache=False, output_hidden_states=True)
        learnt = batch.labels[:, 1:] != -100
        logits = self.asr.lm_head(out.last_hidden_state[:, :-1][learnt])
        answer = F.cross_entropy(logits, batch.labels[:, 1:][learnt])
        ctc = _ctc_loss(self.encoder_ctc(encoded), batch)
        states = out.hidden_states[_CTC_LAYER][is_audio]
        ctc = ctc + _ctc_loss(self.decoder_ctc(states), batch)
        return answer + ctc_share * _CTC_WEIGHT * ctc, answer.detach()


def _ctc_loss(scores: Tensor, batch: Batch) -> Tensor:
    """Word CTC; `scores` is (positions of all clips, words + 1)."""
    pieces = torch.split(scores.log_softmax(-1), batch.audio_lengths)
    targets = torch.tensor([word for words in batch.words for word in words])
    return F.ctc_loss(
        pad_sequence(list(pieces)),
        targets,
        torch.tensor(batch.audio_lengths),
        torch.tensor([len(words) for words in batch.words]),
        zero_infinity=True,
    )


def _initialise(learner: Learner) -> None:
    """Fan-in scaled weights: with a flat 0.02 the convolutions vanish beside the positions."""
    layers = {
        "audio_tower": learner.asr.config.audio_config.encoder_layers,
        "language_model": learner.asr.config.text_config.num_hidden_layers,
    }
    for name, module in learner.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            fan_in = module.weight[0].numel()
            gain = math.sqrt(2) if isinstance(module, nn.Conv2d) else 1.0
            if name.endswith(("o_proj", "out_proj", "down_proj", "fc2")):
                depth = next(count for part, count in layers.items() if part in name)
                gain /= math.sqrt(2 * depth)
            nn.init.normal_(module.weight, std=gain / math.sqrt(fan_in))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.normal_(learner.asr.model.language_model.embed_tokens.weight, std=0.08)
    learner.asr.tie_weights()
