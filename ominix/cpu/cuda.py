"""`python -m ominix.cpu.cuda`: exits with 0 where the mlx that is installed computes on a CUDA device."""

from __future__ import annotations

import sys


def main() -> int:
    import mlx.core as mx

    return 0 if mx.cuda.is_available() else 1


if __name__ == "__main__":
    sys.exit(main())
