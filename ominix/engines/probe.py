"""`python -m ominix.engines.probe`: what mlx computes on here and how fast, as one line of JSON."""

from __future__ import annotations

import json
import time
from importlib import metadata

from ominix.cpu import backend

N = 1024  # rows and columns of the measured product


def main() -> None:
    found = backend.prepare()
    import mlx.core as mx  # only after the backend is ready

    a = mx.random.normal((N, N))
    mx.eval(a @ a)
    begun = time.perf_counter()
    rounds = 0
    while time.perf_counter() - begun < 0.5:
        mx.eval(a @ a)
        rounds += 1
    gigaflops = rounds * 2 * N**3 / (time.perf_counter() - begun) / 1e9
    facts = {"mlx": metadata.version("mlx"), "kind": found.kind, "blas": found.blas, "advice": found.advice}
    print(json.dumps({**facts, "gigaflops": round(gigaflops, 1)}))


if __name__ == "__main__":
    main()
