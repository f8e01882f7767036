"""Would the golden vectors notice? Plausible slips, one at a time, in a copy of the model's source.

    python tools/mutate_sala.py [word ...]     only slips whose name holds one of the words

Every slip is a piece of text replaced by another. A golden case has to catch it: a value out of
tolerance. Prints a table; exits with 1 if a slip survives, breaks the code, or names text that is no
longer in the source once.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = Path("ominix") / "models" / "minicpm_sala"
CASES = ROOT / "tests" / "golden" / "minicpm_sala"

# file: name of the slip [golden cases to try, in order] / the text / what it becomes
SLIPS = """
lightning.py: slopes one head too early [ab]
    -8 * (h + 1) / P
    -8 * h / P
lightning.py: slopes of 6 heads from the wrong half [a]
    decay_slopes(2 * P)[0::2]
    decay_slopes(2 * P)[1::2]
lightning.py: decay weaker in later layers [ab]
    mx.array(decay_slopes(H))
    mx.array(decay_slopes(H)) * (1 - 1 / 3 + 1e-5)
lightning.py: the new token decayed too [c]
    S = gamma * S + k.swapaxes(-1, -2) * v
    S = gamma * (S + k.swapaxes(-1, -2) * v)
lightning.py: the state one token older than it is [bc]
    (at - before)[..., None]
    (at - before - 1)[..., None]
lightning.py: keys decayed once too often in the state [abc]
    (end - at)[..., None]
    (end - at + 1)[..., None]
lightning.py: a partial chunk decayed as a whole one [bc]
    (end - at)[..., None]
    (end + (-T) % CHUNK - at)[..., None]
lightning.py: keys after the query read [ab]
    mx.tril(_decay(slopes, at[..., :, None] - at[..., None, :]))
    _decay(slopes, at[..., :, None] - at[..., None, :])
lightning.py: no gate [ab]
    o = o * mx.sigmoid(self.z_proj(x))
    pass
lightning.py: silu for the gate [ab]
    o = o * mx.sigmoid(self.z_proj(x))
    o = o * nn.silu(self.z_proj(x))
lightning.py: o_norm per head [ab]
    o = self.o_norm(o)
    o = nn.RMSNorm(self.head_dim)(o.reshape(B, T, -1, self.head_dim)).reshape(B, T, -1) * self.o_norm.weight
lightning.py: o_norm after the gate [ab]
    o = self.o_norm(o)
    o = self.o_norm(o * mx.sigmoid(self.z_proj(x))) / mx.sigmoid(self.z_proj(x))
lightning.py: q and k not normed [ab]
    q, k = self.q_norm(q), self.k_norm(k)
    pass
lightning.py: q and k normed after the rotation [ab]
    q, k = self._rope(q, spans), self._rope(k, spans)
    q, k = self.q_norm(self._rope(q, spans)), self.k_norm(self._rope(k, spans))
lightning.py: rotation of neighbouring pairs [ab]
    traditional=False
    traditional=True
lightning.py: positions that restart in each call [c]
    offset=offset
    offset=0
lightning.py: values rotated too [ab]
    q, k = self._rope(q, spans), self._rope(k, spans)
    q, k, v = self._rope(q, spans), self._rope(k, spans), self._rope(v, spans)
lightning.py: KV heads tiled, not repeated [a]
    k, v = mx.repeat(k, repeats, axis=1), mx.repeat(v, repeats, axis=1)
    k, v = mx.tile(k, (1, repeats, 1, 1)), mx.tile(v, (1, repeats, 1, 1))
sparse.py: no gate [ab]
    o = o * mx.sigmoid(self.o_gate(x))
    pass
sparse.py: scale 1/d [ab]
    self.scale = D**-0.5
    self.scale = 1 / D
sparse.py: always dense [bc]
    self._config.dense_len > L
    L > 0
sparse.py: dense at dense_len itself [c]
    self._config.dense_len > L
    self._config.dense_len >= L
sparse.py: dense whenever a call begins dense [c]
    self._config.dense_len > L
    self._config.dense_len > first
sparse.py: scores for the selection not scaled [b]
    q.astype(mx.float32) * self.scale
    q.astype(mx.float32)
sparse.py: a token does not read itself [b]
    mx.arange(end) <= mx.arange(row, end)[:, None]
    mx.arange(end) < mx.arange(row, end)[:, None]
sparse.py: no causal mask within the last block [b]
    mx.arange(end) <= mx.arange(row, end)[:, None]
    mx.arange(end) <= end
sparse.py: own block one token short in decoding [c]
    block_size - 1 - row %
    block_size - row %
sparse.py: own block one token long in decoding [c]
    block_size - 1 - row %
    block_size - 2 - row %
config.py: topk without the local blocks [bc]
    return self.topk + self.local_blocks
    return max(self.topk, self.local_blocks + 2)
blocks.py: local window one block short [bc]
    own - config.local_blocks
    own - config.local_blocks + 1
blocks.py: local window one block long [bc]
    own - config.local_blocks
    own - config.local_blocks - 1
blocks.py: first block not kept [bc]
    block < config.init_blocks
    block < 0
blocks.py: two first blocks kept [bc]
    block < config.init_blocks
    block <= config.init_blocks
blocks.py: scores normalised by tier 1 [bc]
    lse = mx.logsumexp(s2,
    lse = mx.logsumexp(mx.where(_ended(fine.shape[1], stride, rows), s1, -math.inf),
blocks.py: scores not normalised [bc]
    mx.exp(s1 - lse)
    mx.exp(s1)
blocks.py: the first head of a group decides [bc]
    .sum(axis=1)
    [:, 0]
blocks.py: windows over a boundary count for one block [bc]
    mx.maximum(p.max(axis=-1), crossing)
    p.max(axis=-1)
blocks.py: the mean of a block's windows, not the best [bc]
    mx.maximum(p.max(axis=-1), crossing)
    p.mean(axis=-1) + crossing
blocks.py: windows not yet complete read [b]
    (2 * stride - 1) <= rows[:, None]
    0 <= rows[:, None]
blocks.py: a window complete one token late [bc]
    (2 * stride - 1) <= rows[:, None]
    2 * stride <= rows[:, None]
blocks.py: ties to the higher index [bc]
    mx.cumsum(level, axis=-1)
    mx.cumsum(level, axis=-1, reverse=True)
storage.py: coarse windows of half the size [bc]
    self.config.kernel_stride, 4 * self.config.kernel_stride
    self.config.kernel_stride, 2 * self.config.kernel_stride
storage.py: compressed keys of one window width, not two [bc]
    return (halves[:, :-1] + halves[:, 1:]) / 2
    return halves[:, :-1]
storage.py: compressed keys not continued in decoding [c]
    if n > tier.length:
    if n > tier.length == 0:
model.py: embeddings not scaled [ab]
    self.embed_tokens(tokens) * self.scale_emb
    self.embed_tokens(tokens)
model.py: residual scaled by mup_denominator [ab]
    math.sqrt(args.num_hidden_layers)
    math.sqrt(32)
model.py: the MLP's residual not scaled [ab]
    return h + self.residual_scale * self.mlp(
    return h + self.mlp(
model.py: logits not divided [ab]
    self.lm_head(h / self.logit_divisor)
    self.lm_head(h)
"""
ENTRY = re.compile(r"^(\w+\.py): (.+) \[(\w+)\]\n    (.+)\n    (.+)$", re.MULTILINE)

# Prints the worst value that is out of tolerance, of the first case that has one.
JUDGE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from reference import minicpm_sala
for case in sys.argv[2:]:
    wrong = [d for d in minicpm_sala.differences(Path(case)) if not d.ok]
    if wrong:
        worst = max(wrong, key=lambda d: (d.name.startswith("logits"), d.largest))
        print(Path(case).name.split("_")[1].upper(), worst.run, worst.name, f"{worst.largest:.2g}")
        break
"""


@dataclass(frozen=True)
class Slip:
    file: str
    name: str
    cases: str
    old: str
    new: str


UNCHANGED = Slip("model.py", "none", "abc", "class Model(", "class Model(")


def listed() -> dict[str, tuple[Path, str]]:
    """Each slip's name: the file and the text in it that is replaced."""
    slips = [Slip(*entry) for entry in ENTRY.findall(SLIPS)]
    return {f"{s.file}: {s.name}": (ROOT / PACKAGE / s.file, s.old) for s in slips}


def main(words: list[str]) -> int:
    slips = [Slip(*entry) for entry in ENTRY.findall(SLIPS)]
    slips = [s for s in slips if not words or any(word in s.name for word in words)]
    if (verdict := _verdict(UNCHANGED)) != "NOT caught":
        print(f"Without any slip the golden cases say: {verdict}")
        return 1
    survivors = 0
    print(f"{'slip':66}  caught by (case, run, value, largest difference)")
    for slip in slips:
        verdict = _verdict(slip)
        survivors += verdict.startswith("NOT")
        print(f"{slip.file + ': ' + slip.name:66}  {verdict}", flush=True)
    print(f"\n{len(slips)} slips, {survivors} not caught")
    return 1 if survivors or not slips else 0


def _verdict(slip: Slip) -> str:
    source = (ROOT / PACKAGE / slip.file).read_text()
    if source.count(slip.old) != 1:
        return f"NOT tried: its text occurs {source.count(slip.old)} times"
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        shutil.copytree(ROOT / "ominix", copy / "ominix", ignore=shutil.ignore_patterns("__pycache__"))
        (copy / PACKAGE / slip.file).write_text(source.replace(slip.old, slip.new))
        cases = [str(next(CASES.glob(f"case_{letter}_*"))) for letter in slip.cases]
        judge = [sys.executable, "-c", JUDGE, str(ROOT / "tools"), *cases]
        done = subprocess.run(judge, cwd=copy, capture_output=True, text=True, timeout=600)
    if done.returncode:
        return f"NOT tried: {done.stderr.strip().splitlines()[-1]}"
    return done.stdout.strip() or "NOT caught"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
