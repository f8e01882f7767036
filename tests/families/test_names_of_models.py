"""Who names a model: its family, its package under models, and a few with a reason."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import ominix
from ominix.families.table import FAMILIES

ROOT = Path(ominix.__file__).parent
PACKAGES = {family.package for family in FAMILIES} - {""}
# qwen3_asr is looked for as "qwen": a new family is guarded as soon as it stands in the table.
NAMES = re.compile("|".join(sorted(re.match("[a-z]+", name)[0] for name in PACKAGES)), re.IGNORECASE)
OWN = ("families/", *(f"models/{package}/" for package in PACKAGES))
REASONS = {
    "cpu/layers.py": "its kernels replace the layers of mlx-lm's modules, which are called so",
    "convert/ct2.py": "a format that this one model is published in",
    "cli/import_ct2.py": "the same",
    "__main__.py": "the help of that command",
}


def named(source: Path) -> Iterator[str]:
    """Names and texts of the code that hold a model's name; comments and docstrings may give a source."""
    tree = ast.parse(source.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, ast.Module):
            node.body = [part for part in node.body if not _are_examples(part)]
    for node in ast.walk(tree):
        for _, value in ast.iter_fields(node):
            if isinstance(value, str) and NAMES.search(value):
                yield f"{source.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}: {value[:60]}"


def _are_examples(node: ast.stmt) -> bool:
    """What a command's help shows: people copy it, so it names models that can be pulled."""
    targets = node.targets if isinstance(node, ast.Assign) else []
    return any(isinstance(target, ast.Name) and target.id == "EXAMPLES" for target in targets)


def test_a_model_is_named_where_it_belongs_alone():
    allowed = (*OWN, *REASONS)
    sources = [path for path in ROOT.rglob("*.py") if not str(path.relative_to(ROOT)).startswith(allowed)]
    assert len(sources) > 100
    assert not [found for source in sources for found in named(source)]


def test_a_name_is_found_where_there_is_one():
    assert list(named(ROOT / "families" / "qwen3_asr.py"))
