"""MiniCPM-SALA against golden vectors: the largest difference of everything a case folder expects.

    python tools/reference/minicpm_sala.py tests/golden/minicpm_sala/case_a_dense_short ...

A case folder holds config.json, model.safetensors, inputs.json and expected*.safetensors; the
README.md beside the cases says what the names mean. Exits with 1 if anything is out of tolerance.
"""

from __future__ import annotations

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
        found = _trace(folder, mx.array(inputs["input_ids"]), facts["calls"], expected)
        atol = inputs["suggested_tolerance"]["float32_logits_atol"]
        prefill = facts.get("prefill_tokens", sum(facts["calls"]))
        yield from _compared(run, found, expected, prefill, atol)


def _trace(
    folder: Path, tokens: mx.array, calls: list[int], expected: dict[str, mx.array]
) -> dict[str, mx.array]:
    """All values of one run by their golden names, for all positions."""
    loader.register()
    model, _ = load_model(folder)
    layers = [Recorder(layer) for layer in model.layers]
    mixers = [Recorder(layer.self_attn) for layer in model.layers]
    choices = {i: Choices(m.inner) for i, m in enumerate(mixers) if "o_gate" in m.inner}
    for layer, mixer in zip(model.layers, mixers, strict=True):
        layer.self_attn = mixer
    model.model.layers = layers
    model.model.norm = norm = Recorder(model.model.norm)
    cache, logits, start = model.make_cache(), [], 0
    for n in calls:
        logits.append(model(tokens[:, start : start + n], cache))
        mx.eval(logits, [c.state for c in cache])
        start += n
    found = {"logits": mx.concatenate(logits, axis=1), "hidden.final_norm": norm.outputs()}
    found["hidden.embeddings"] = layers[0].inputs()
    for i, (layer, mixer) in enumerate(zip(layers, mixers, strict=True)):
        found[f"hidden.layers.{i}.output"] = layer.outputs()
        found[f"hidden.layers.{i}.attn_out"] = mixer.outputs()
    for name in expected:
        i = int(name.split(".")[2]) if ".layers." in name else -1
        if name.endswith("recurrent_state"):
            found[name] = cache[i].recurrent_state
        elif name.startswith("selected_blocks"):
            _, rows, blocks = expected[name].shape
            rows = max(rows, start) if "positions" in expected else rows
            found[name] = choices[i].table(rows, blocks, model.args.sparse.block_size)
    return found


def _compared(
    run: str, found: dict[str, mx.array], expected: dict[str, mx.array], prefill: int, atol: float
) -> Iterator[Difference]:
    positions = expected.get("positions")
    for name, want in sorted(expected.items()):
        if name == "positions":
            continue
        if name.startswith("logits_"):
            cut = slice(0, prefill) if name == "logits_prefill" else slice(prefill, None)
            have = found["logits"][:, cut]
        else:
            have = found[name]
            if positions is not None and have.ndim > 2:
                have = have[:, positions]
        if name.startswith("selected_blocks"):
            yield Difference(run, name, (have != want).sum().item(), 0)
            continue
        allowed = {"logits": atol, "hidden": HIDDEN_ATOL, "final": STATE_ATOL}
        kind = name.split(".")[0].split("_")[0]
        yield Difference(run, name, mx.abs(have - want).max().item(), allowed[kind])
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
