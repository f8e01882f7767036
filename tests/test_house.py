"""The house as a whole: sizes of functions and modules, and that a test holds each module."""

from __future__ import annotations

import ast
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_FUNCTION_LINES, MOST_MODULE_LINES = 40, 400


def test_no_function_and_no_module_is_too_long():
    too_long = []
    for file in sorted((ROOT / "ominix").rglob("*.py")):
        text = file.read_text("utf-8")
        name = str(file.relative_to(ROOT))
        if text.count("\n") > MOST_MODULE_LINES:
            too_long.append(f"{name}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > MOST_FUNCTION_LINES:
                    too_long.append(f"{name}: {node.name} has {lines} lines")
    assert not too_long


def test_every_module_is_held_by_a_test():
    modules = {_dotted(file) for file in (ROOT / "ominix").rglob("*.py") if file.name != "__init__.py"}
    imported = set()
    for folder in ("tests", "contract_tests"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module:
                    imported |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    mirror = tomllib.loads((ROOT / "tests" / "mirror.toml").read_text("utf-8"))
    assert mirror.keys() == modules - imported
    assert [test for test in mirror.values() if not (ROOT / test).is_file()] == []


def _dotted(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def test_no_two_test_files_have_one_name():
    """pytest imports them by that name alone: of two it would take one, or none."""
    names = Counter(
        file.name for folder in ("tests", "contract_tests") for file in (ROOT / folder).rglob("test_*.py")
    )
    assert [name for name, count in names.items() if count > 1] == []
