"""Trains the tiny model: `python -m training.tiny_asr.train --data FOLDER --run FOLDER`.

Several processes of one thread each average their gradients (faster than one process with several
threads). Interrupted, the same command goes on from the last checkpoint.
"""

import argparse
import math
import time
from pathlib import Path

import torch
from torch import Tensor, distributed, multiprocessing

from .data import Batches
from .export import export
from .model import Learner, build_config
from .quality import quick_check
from .tokens import build_processor

_STAGES = ((250, 2), (550, 4))  # until this step, clips of at most so many words
_JOIN_SHARE = 0.35  # of the clips, from the third stage on
_WARM_UP_STEPS = 200
_FLAT = 0.35  # share of the steps at the full learning rate
_CTC_FULL = 0.6  # share of the steps after which CTC counts for less
_CTC_LATE = 0.3


def main() -> None:
    options = _options()
    options.run.mkdir(parents=True, exist_ok=True)
    meeting = options.run / "meeting"
    meeting.unlink(missing_ok=True)
    multiprocessing.spawn(_process, (options, f"file://{meeting}"), options.processes)


def _process(rank: int, options: argparse.Namespace, meeting: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", meeting, rank=rank, world_size=options.processes)
    torch.manual_seed(options.seed)
    Training(options, rank).go()


class Training:
    """One process's share of the training."""

    def __init__(self, options: argparse.Namespace, rank: int) -> None:
        self._options, self._rank = options, rank
        self._processor = build_processor()
        self._learner = Learner(build_config(self._processor))
        self._parameters = list(self._learner.parameters())
        wide = [p for p in self._parameters if p.ndim > 1]
        narrow = [p for p in self._parameters if p.ndim <= 1]
        groups = [{"params": wide, "weight_decay": 0.02}, {"params": narrow, "weight_decay": 0.0}]
        self._optimizer = torch.optim.AdamW(groups, lr=options.rate, betas=(0.9, 0.98))
        self._spent = 0.0  # seconds, before this start
        self._step = self._resume()
        self._began = time.monotonic()
        self._progress = self._own_progress()
        seed = options.seed + 1000 * rank + self._step
        self._batches = Batches(options.data, self._processor, options.frames, seed)

    def go(self) -> None:
        batches = iter(self._batches)
        first = self._step
        while self._progress < 1:
            self._set_stage()
            loss, norm = self._learn(next(batches))
            self._step += 1
            if self._rank == 0 and self._step % 50 == 0:
                seconds = (time.monotonic() - self._began) / (self._step - first)
                done = f"step {self._step} ({self._progress:.0%}, {seconds:.2f} s each)"
                print(f"{done} loss {loss:.3f} norm {norm:.2f}", flush=True)
            if self._rank == 0 and self._step % 100 == 0:
                self._save()
            if self._rank == 0 and self._step % 1000 == 0:
                self._report()
        if self._rank == 0:
            self._save()
            self._report()

    def _learn(self, batch: object) -> tuple[float, float]:
        """One step; gives the answer's loss here and the norm of the averaged gradient."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._options.rate * _rate_share(self._step, self._progress)
        loss, answer = self._learner(batch, 1.0 if self._progress < _CTC_FULL else _CTC_LATE)
        loss.backward()
        self._average_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return float(answer), float(norm)

    def _average_gradients(self) -> None:
        for parameter in self._parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in self._parameters]
        progress = torch.tensor([self._own_progress()])  # averaged too: all end on one step
        flat = torch.cat([*(gradient.flatten() for gradient in gradients), progress])
        distributed.all_reduce(flat)
        flat /= self._options.processes
        self._progress = float(flat[-1])
        for gradient, piece in zip(gradients, _split_like(flat[:-1], gradients), strict=True):
            gradient.copy_(piece)

    def _own_progress(self) -> float:
        """Share of the training done, by steps or by time, whichever is further."""
        minutes = (self._spent + time.monotonic() - self._began) / 60
        return max(self._step / self._options.steps, minutes / self._options.minutes)

    def _set_stage(self) -> None:
        limits = [words for end, words in _STAGES if self._step < end]
        self._batches.max_words = limits[0] if limits else 99
        self._batches.join_share = 0.0 if limits else _JOIN_SHARE
        # Short clips make many prompts, and prompts cost as much as sound.
        self._batches.frames_per_batch = self._options.frames * (7 if limits else 10) // 10

    def _resume(self) -> int:
        path = self._options.run / "checkpoint.pt"
        if not path.exists():
            return 0
        saved = torch.load(path, weights_only=True)
        self._learner.load_state_dict(saved["learner"])
        self._optimizer.load_state_dict(saved["optimizer"])
        self._spent = float(saved["spent"])
        return int(saved["step"])

    def _save(self) -> None:
        state = {
            "learner": self._learner.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self._step,
            "spent": self._spent + time.monotonic() - self._began,
        }
        partial = self._options.run / "checkpoint.part"
        torch.save(state, partial)
        partial.rename(self._options.run / "checkpoint.pt")

    def _report(self) -> None:
        """Prints error rates on a few held-out clips and writes an export beside them."""
        self._learner.eval()
        rates = quick_check(self._learner.asr, self._processor, self._options.data)
        self._learner.train()
        print(f"step {self._step} " + " ".join(f"{k} {v:.2%}" for k, v in rates.items()), flush=True)
        export(self._learner.asr, self._processor, self._options.run / "export")


def _rate_share(step: int, progress: float) -> float:
    """Warm-up, flat, then a cosine to zero."""
    warm = min(1.0, (step + 1) / _WARM_UP_STEPS)
    late = max(0.0, (progress - _FLAT) / (1 - _FLAT))
    return warm * 0.5 * (1 + math.cos(math.pi * late))


def _split_like(flat: Tensor, shapes: list[Tensor]) -> list[Tensor]:
    pieces = torch.split(flat, [tensor.numel() for tensor in shapes])
    return [piece.view_as(tensor) for piece, tensor in zip(pieces, shapes, strict=True)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the clips")
    parser.add_argument("--run", type=Path, required=True, help="folder for checkpoints")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=240, help="ends then at the latest")
    parser.add_argument("--frames", type=int, default=1900, help="mel frames a process and step")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
