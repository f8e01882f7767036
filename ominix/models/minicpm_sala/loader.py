"""How mlx-lm finds this model.

mlx-lm imports `mlx_lm.models.<model_type>`; `register` puts our module under that name. Of the ways
in, this is the one that reaches all of mlx-lm unchanged: `load`, `load_model` and `convert`. The
argument `get_model_classes` reaches `load_model` alone, MODEL_REMAPPING only names modules inside
mlx_lm, and a `model_file` would run code from the model's folder, which never happens here. Should
mlx-lm bring its own minicpm_sala one day, ours is still the one used.
"""

from __future__ import annotations

import sys

from ominix.models.minicpm_sala import model


def register() -> None:
    """Call before mlx-lm loads a folder whose config.json says minicpm_sala. May be repeated."""
    sys.modules["mlx_lm.models.minicpm_sala"] = model
