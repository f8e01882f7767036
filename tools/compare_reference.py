"""Model ports against their references.

    python tools/compare_reference.py          Qwen3-ASR and its aligner: random tiny checkpoints in all
                                               published layouts through transformers and ours (needs the
                                               extra `reference`)
    python tools/compare_reference.py DIR...   MiniCPM-SALA: case folders of the golden format

Prints the largest difference of each thing compared; exits 1 if one is beyond its tolerance.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main(folders: list[str]) -> int:
    if {"-h", "--help"} & set(folders):
        print(__doc__)
        return 0
    if folders:
        from tools.reference import minicpm_sala

        fits = [minicpm_sala.compare(folder) for folder in folders]
        return 0 if all(fits) else 1
    from tools.reference import qwen3_aligner, qwen3_asr  # need torch

    return max(qwen3_asr.main([]), qwen3_aligner.main([]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
