"""Trains the tiny aligner.

    python -m training.tiny_aligner.train --data FOLDER --run FOLDER --asr FOLDER

Begins with the speech model's weights and a new head over points in time. Interrupted, the same command goes
on from the last checkpoint; `--minutes` bounds one call, `--total-minutes` the training.
"""

import argparse
import math
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Qwen2Tokenizer, Qwen3ASRConfig, Qwen3ASRForConditionalGeneration
from transformers import Qwen3ASRForTokenClassification as Classifier

from .data import STAMP, Batch, Batches

CLASSES = 400  # points 80 ms apart: 32 s
CLASS_SECONDS = 0.08
_SPREAD = 0.6  # classes: how far beside the true one a guess counts as nearly right
_COUNT_LAYER = 2  # the states behind so many decoder layers must know where in the clip they are
_COUNT_WEIGHT = 0.3
_MORE_LAYERS = (
    1  # of the decoder, on top of the speech model's: one finds a word, one looks at its neighbours
)
_WARM_UP_STEPS = 60
# Until this share, clips of at most so many seconds: long ones teach counting, most clips to come are short.
_STAGES = ((0.2, 5.0), (0.45, 10.0), (0.55, 20.0), (0.68, 29.0), (1.1, 12.0))


class Learner(nn.Module):
    """The aligner, and a second head that makes audio positions count; it is thrown away."""

    def __init__(self, asr: Path, tokenizer: Qwen2Tokenizer) -> None:
        super().__init__()
        config = Qwen3ASRConfig.from_pretrained(asr)
        config.num_labels = CLASSES
        taken = config.text_config.num_hidden_layers
        config.text_config.num_hidden_layers = taken + _MORE_LAYERS
        config.text_config.layer_types = ["full_attention"] * (taken + _MORE_LAYERS)
        config.timestamp_token_id = tokenizer.convert_tokens_to_ids(STAMP)
        self.aligner = Classifier(config).float()
        trained = Qwen3ASRForConditionalGeneration.from_pretrained(asr, dtype=torch.float32)
        self.aligner.model.load_state_dict(trained.model.state_dict(), strict=False)
        for layer in self.aligner.model.language_model.layers[taken:]:
            nn.init.zeros_(layer.self_attn.o_proj.weight)  # does nothing at first
            nn.init.zeros_(layer.mlp.down_proj.weight)
        self.count = nn.Linear(config.text_config.hidden_size, CLASSES)
        nn.init.normal_(self.aligner.score.weight, std=0.05)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The whole loss, that of counting, and the stamps' mean error in seconds."""
        parts, config = self.aligner.model, self.aligner.config
        encoded = parts.audio_tower(
            input_features=batch.features, input_features_mask=batch.mask, cu_seqlens=batch.windows
        ).last_hidden_state
        x = parts.language_model.embed_tokens(batch.ids)  # (B, L, hidden)
        is_audio = batch.ids == config.audio_token_id
        x = x.masked_scatter(is_audio[..., None], parts.multi_modal_projector(encoded))
        # Padding is on the right, so the causal mask alone keeps it out of every real position.
        out = parts.language_model(inputs_embeds=x, use_cache=False, output_hidden_states=True)
        scores = self.aligner.score(out.last_hidden_state[batch.ids == config.timestamp_token_id])
        counted = _loss(self.count(out.hidden_states[_COUNT_LAYER][is_audio]), batch.audio_seconds)
        error = (scores.argmax(-1) * CLASS_SECONDS - batch.seconds).abs().median()
        return _loss(scores, batch.seconds) + _COUNT_WEIGHT * counted, counted.detach(), error


def _loss(scores: Tensor, seconds: Tensor) -> Tensor:
    """Cross-entropy against a bell around the true time; scores (n, classes), seconds (n,)."""
    distance = torch.arange(CLASSES)[None] - seconds[:, None] / CLASS_SECONDS
    target = torch.softmax(-0.5 * (distance / _SPREAD) ** 2, -1)
    return F.cross_entropy(scores, target)


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    options.run.mkdir(parents=True, exist_ok=True)
    tokenizer = Qwen2Tokenizer.from_pretrained(options.asr)
    learner = Learner(options.asr, tokenizer)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=options.rate, betas=(0.9, 0.98), weight_decay=0.01)
    step, spent = _resume(options.run, learner, optimizer)
    batches = Batches(options.data, tokenizer, options.frames, seed=step)
    began, shown, errors, counts = time.monotonic(), time.monotonic(), [], []
    for batch in batches:
        minutes = (time.monotonic() - began) / 60
        progress = (spent + minutes) / options.total_minutes
        if progress >= 1 or minutes >= options.minutes:
            break
        batches.max_seconds = next(seconds for share, seconds in _STAGES if progress < share)
        for group in optimizer.param_groups:
            group["lr"] = options.rate * _rate_share(step, progress)
        loss, counted, error = learner(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        errors.append(float(error))
        counts.append(float(counted))
        if time.monotonic() - shown > 20:
            mean, count = sum(errors) / len(errors), sum(counts) / len(counts)
            print(
                f"step {step} {progress:.0%} loss {float(loss.detach()):.2f} counting {count:.2f} "
                f"median error {mean * 1000:.0f} ms",
                flush=True,
            )
            shown, errors, counts = time.monotonic(), [], []
    _save(options.run, learner, optimizer, step, spent + (time.monotonic() - began) / 60)


def _rate_share(step: int, progress: float) -> float:
    """Warm-up, flat, then a cosine to zero."""
    warm = min(1.0, (step + 1) / _WARM_UP_STEPS)
    late = max(0.0, (progress - 0.5) / 0.5)
    return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * late)))


def _resume(run: Path, learner: Learner, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
    path = run / "checkpoint.pt"
    if not path.exists():
        return 0, 0.0
    saved = torch.load(path, weights_only=True)
    learner.load_state_dict(saved["learner"])
    optimizer.load_state_dict(saved["optimizer"])
    return int(saved["step"]), float(saved["minutes"])


def _save(run: Path, learner: Learner, optimizer: torch.optim.Optimizer, step: int, minutes: float) -> None:
    state = {"learner": learner.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save({**state, "step": step, "minutes": minutes}, run / "checkpoint.part")
    (run / "checkpoint.part").rename(run / "checkpoint.pt")
    print(f"saved at step {step}, {minutes:.1f} minutes", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the clips of synth")
    parser.add_argument("--run", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--asr", type=Path, required=True, help="the speech model to begin with")
    parser.add_argument("--minutes", type=float, default=1000.0)
    parser.add_argument("--total-minutes", type=float, default=25.0)
    parser.add_argument("--frames", type=int, default=3000, help="mel frames a step")
    parser.add_argument("--rate", type=float, default=1.5e-3, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=1, help="more are slower beside other programs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
