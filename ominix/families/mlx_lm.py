"""Every model that mlx-lm loads: a chat model.

mlx-lm replaces some model types by others (MODEL_REMAPPING in its utils.py) and imports
`mlx_lm.models.<model_type>` for its classes Model and ModelArgs. The server may not import it, for it brings
mlx. So its source is read instead, once: the names of those modules, and the table by `ast`, which runs
nothing. A child that imports mlx-lm would answer the same after a second or two, and its answer would have to
be kept somewhere and go stale. Should the table stop being a literal, the models in it are unknown, the log
says so, and tests/families/test_mlx_lm_family.py fails: it compares with what mlx-lm itself answers.
"""

from __future__ import annotations

import ast
import importlib.util
import logging
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ominix.families.family import Family, model_type

_TABLE = "MODEL_REMAPPING"
_MODEL_MARK = b"class ModelArgs"  # what tells a model's module from one of layers or caches

log = logging.getLogger("ominix.library")


class _MlxLm(Family):
    def claims(self, config: Mapping[str, Any]) -> bool:
        known = model_type(config) in supported()
        return known and (not self.model_types or model_type(config) in self.model_types)


CHAT = _MlxLm(
    abilities=frozenset({"chat"}),
    engine="text",
    aliases={
        "qwen3-0.6b": "mlx-community/Qwen3-0.6B-4bit",
        "qwen3-4b": "mlx-community/Qwen3-4B-Instruct-2507-4bit",
        "llama-3.2-1b": "mlx-community/Llama-3.2-1B-Instruct-4bit",
    },
    download_gb={"qwen3-0.6b": 0.34, "qwen3-4b": 2.26, "llama-3.2-1b": 0.7},
)


# Its attention chooses blocks of a cache's places, beginning with the row's padding: beside a longer prompt
# the blocks lie elsewhere. It shows only once a prompt has more blocks than are chosen. The rows of
# recurrent_gemma were wrong where prompts were read in small pieces beside each other (tools/test_models).
ONE_ROW = _MlxLm(
    abilities=CHAT.abilities,
    engine=CHAT.engine,
    one_row=True,
    model_types=frozenset({"minimax_m3_vl", "recurrent_gemma"}),
    note="answers one request at a time",
)


@cache
def supported() -> frozenset[str]:
    """The model types that the installed mlx-lm loads; none without it."""
    spec = importlib.util.find_spec("mlx_lm")  # finds the folder without importing it
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()] if spec else []
    return frozenset().union(*map(model_types, folders))


def model_types(folder: Path) -> frozenset[str]:
    """Those of the mlx-lm in `folder`."""
    sources = (folder / "models").glob("*.py")
    modules = {source.stem for source in sources if _MODEL_MARK in source.read_bytes()}
    remapped = {name for name, module in _remapping(folder / "utils.py").items() if module in modules}
    return frozenset(modules | remapped)


def _remapping(source: Path) -> Mapping[str, str]:
    try:
        for node in ast.parse(source.read_bytes()).body:
            if isinstance(node, ast.Assign) and any(_is_table(target) for target in node.targets):
                return dict(ast.literal_eval(node.value))
    except (OSError, SyntaxError, ValueError, TypeError) as error:
        log.warning("mlx-lm's %s cannot be read: %s", _TABLE, error)
        return {}
    log.warning("mlx-lm has no %s any more", _TABLE)
    return {}


def _is_table(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id == _TABLE
