"""MiniCPM-SALA against golden vectors: the largest difference of everything a case folder expects.

    python tools/reference/minicpm_sala.py tests/golden/minicpm_sala/case_a_dense_short ...

A case folder holds config.json, model.safetensors, inputs.json and expected*.safetensors; the
README.md beside the cases says what the names mean. Exits with 1 if anything is out of tolerance.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.utils import load_model

from ominix.models.minicpm_sala import loader

HIDDEN_ATOL, STATE_ATOL = 5e-4, 1e-3  # float32, from the golden vectors' README


@dataclass(frozen=True)
class Difference:
    run: str  # "" where a case has one run only
    name: str
    largest: float  # absolute; for selections and greedy tokens the number of wrong entries
    allowed: float

    @property
    def ok(self) -> bool:
        return self.largest <= self.allowed  # False for NaN


class Recorder(nn.Module):
    """Stands in a module's place, calls it, and keeps what went in and came out."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self._calls: list[tuple[mx.array, mx.array]] = []

    def __call__(self, x: mx.array, *rest: Any) -> mx.array:
        y = self.inner(x, *rest)
        self._calls.append((x, y))
        return y

    def inputs(self) -> mx.array:
        return mx.concatenate([x for x, _ in self._calls], axis=1)

    def outputs(self) -> mx.array:
        return mx.concatenate([y for _, y in self._calls], axis=1)


class Choices:
    """Keeps what `choose` of a sparse layer answers. Rows it was not asked for read everything."""

    def __init__(self, attention: Any) -> None:
        self._attention, self._choose = attention, attention.choose
        self._found: list[tuple[int, int, mx.array]] = []
        attention.choose = self._record

    def _record(self, q: mx.array, sequence: Any, row: int, end: int) -> mx.array:
        chosen = self._choose(q, sequence, row, end)
        self._found.append((row, end, chosen))
        return chosen

    def table(self, rows: int, blocks: int, block_size: int) -> mx.array:
        """(Hk, rows, blocks) of 0 and 1."""
        causal = mx.arange(blocks) <= mx.arange(rows)[:, None] // block_size
        table = mx.repeat(causal[None].astype(mx.uint8), self._attention.kv_heads, axis=0)
        for row, end, chosen in self._found:
            table[:, row : min(end, rows), : chosen.shape[-1]] = chosen[:, : max(0, rows - row)]
        return table


def differences(folder: Path) -> Iterator[Difference]:
    """Everything the case folder expects, run by run."""
    inputs = json.loads((folder / "inputs.json").read_text())
    runs = inputs.get("runs") or {"": inputs}
    for run, facts in runs.items():
        expected = mx.load(str(folder / (f"expected_{run}.safetensors" if run else "expected.safetensors")))
        found = Recording(folder, mx.array(inputs["input_ids"]), facts["calls"])
        atol = inputs["suggested_tolerance"]["float32_logits_atol"]
        prefill = facts.get("prefill_tokens", sum(facts["calls"]))
        yield from _compared(run, found, expected, prefill, atol)


class Recording:
    """A model with recorders in its layers' places, run over tokens in the given calls."""

    def __init__(self, folder: Path, tokens: mx.array, calls: list[int]) -> None:
        loader.register()
        self.model, _ = load_model(folder)
        self.mixers = [Recorder(layer.self_attn) for layer in self.model.layers]
        self.choices = {i: Choices(m.inner) for i, m in enumerate(self.mixers) if "o_gate" in m.inner}
        for layer, mixer in zip(self.model.layers, self.mixers, strict=True):
            layer.self_attn = mixer
        self.layers = self.model.model.layers = [Recorder(layer) for layer in self.model.layers]
        self.norm = self.model.model.norm = Recorder(self.model.model.norm)
        self.cache = self.model.make_cache()
        self.tokens_seen = sum(calls)
        logits = []
        for end, n in zip(itertools.accumulate(calls), calls, strict=True):
            logits.append(self.model(tokens[:, end - n : end], self.cache))
            mx.eval(logits, [c.state for c in self.cache])
        self.logits = mx.concatenate(logits, axis=1)

    def value(self, name: str, shape: tuple[int, ...]) -> mx.array:
        """All positions of what the golden vectors call `name`; shape: the expected value's."""
        kind, *path = name.split(".")
        if kind == "logits":
            return self.logits
        if name in ("hidden.embeddings", "hidden.final_norm"):
            return self.layers[0].inputs() if path == ["embeddings"] else self.norm.outputs()
        i = int(path[1])
        if kind == "selected_blocks":
            rows, blocks = max(shape[1], self.tokens_seen), shape[2]
            return self.choices[i].table(rows, blocks, self.model.args.sparse.block_size)
        if kind == "final":
            return self.cache[i].recurrent_state
        return {"output": self.layers[i], "attn_out": self.mixers[i]}[path[2]].outputs()


def _compared(
    run: str, found: Recording, expected: dict[str, mx.array], prefill: int, atol: float
) -> Iterator[Difference]:
    cuts = {"logits_prefill": slice(0, prefill), "logits_decode": slice(prefill, None)}
    positions = expected.pop("positions", None)
    for name, want in sorted(expected.items()):
        kind = name.split(".")[0].split("_")[0]
        have = found.value(kind if kind == "logits" else name, want.shape)
        if name in cuts:
            have = have[:, cuts[name]]
        elif positions is not None and kind != "final":
            have = have[:, positions]
        if kind == "selected":
            yield Difference(run, name, (have != want).sum().item(), 0)
            continue
        allowed = {"logits": atol, "hidden": HIDDEN_ATOL, "final": STATE_ATOL}[kind]
        yield Difference(run, name, mx.abs(have - want).max().item(), allowed)
        if kind == "logits":
            wrong = have.argmax(axis=-1) != want.argmax(axis=-1)
            yield Difference(run, f"greedy tokens of {name}", wrong.sum().item(), 0)


def compare(folder: str | Path) -> bool:
    """Prints a line per expected value; whether all are within tolerance."""
    ok = True
    print(f"{Path(folder).name}\n{'':4}{'value':42}{'largest difference':>20}{'allowed':>10}")
    for d in differences(Path(folder)):
        label = f"{d.run} {d.name}".strip()
        print(f"{'':4}{label:42}{d.largest:20.3g}{d.allowed:10.1g}{'' if d.ok else '  WRONG'}")
        ok = ok and d.ok
    return ok


if __name__ == "__main__":
    results = [compare(folder) for folder in sys.argv[1:]]
    sys.exit(not all(results))
