"""python -m ominix.convert.quantize SOURCE TARGET BITS [PACKAGE]: a quantized copy of a chat model's folder.

mlx-lm's own converter does it; ours is only that it knows our models too: PACKAGE, under ominix.models, has
an architecture that mlx-lm lacks.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mlx_lm import convert

from ominix.convert import draft
from ominix.errors import Conflict
from ominix.models import chat_model

GROUP_SIZE = 64  # weights that share a scale, as in the published checkpoints


def main(source: str, target: str, bits: int, package: str = "") -> int:
    """The exit status."""
    chat_model.register(package)
    try:
        with draft.folder(Path(target)) as folder:
            folder.rmdir()  # mlx-lm makes it itself
            convert(source, str(folder), quantize=True, q_bits=bits, q_group_size=GROUP_SIZE)
    except (ValueError, KeyError, TypeError, OSError, Conflict) as error:
        print(f"ominix: {Path(source).name} cannot be quantized: {draft.reason(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:]))
