"""What is used of other packages' internals is as docs/architecture.md lists it, and nothing else is used.

Those packages may change what they never promised. Then this test says what, before a user finds out.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WATCHED = ("waitress", "mlx_lm", "huggingface_hub")
BLOCK = re.compile(r"## What is used of other packages.*?```\n(.*?)```", re.DOTALL)
# A name, then its parameters in parentheses or attributes that its class sets, each behind a dot.
LINE = re.compile(r"(?P<name>[\w.]+)(?:\((?P<parameters>[\w, ]*)\))?(?P<attributes>(?: \.\w+)*)")


def _listed() -> list[re.Match[str]]:
    (block,) = BLOCK.findall((ROOT / "docs" / "architecture.md").read_text("utf-8"))
    found = [LINE.fullmatch(line) for line in block.strip().splitlines()]
    assert all(found)
    return [line for line in found if line]


def _resolved(name: str) -> object:
    parts = name.split(".")
    for size in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:size]))
        except ImportError:
            continue
        for part in parts[size:]:
            found = getattr(found, part)
        return found
    raise ImportError(name)


@pytest.fixture(scope="module", autouse=True)
def _backend() -> None:
    from ominix.cpu import backend

    backend.prepare()  # before anything imports mlx


@pytest.mark.parametrize("line", _listed(), ids=lambda line: line["name"])
def test_what_is_listed_is_there_and_takes_what_it_took(line):
    found = _resolved(line["name"])
    if line["parameters"] is not None:
        expected = [name for name in line["parameters"].split(", ") if name]
        given = [name for name in inspect.signature(found).parameters if name != "self"]
        assert given == expected
    source = inspect.getsource(found) if line["attributes"] else ""
    for attribute in line["attributes"].split():
        assert re.search(rf"\b{attribute[1:]}\b", source), f"{line['name']} has no {attribute}"


def test_everything_that_is_imported_from_these_packages_is_listed():
    listed = {line["name"] for line in _listed()}
    missing = set()
    for file in (ROOT / "ominix").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in WATCHED:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                missing |= {n for n in names if not any(x == n or x.startswith(f"{n}.") for x in listed)}
    assert not missing


def test_every_package_that_is_imported_is_declared_and_those_with_internals_have_an_upper_bound():
    import configparser

    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["install_requires"].strip().splitlines()
    declared = {re.split(r"[\[<>=;]", line)[0].strip(): line for line in lines if not line.startswith("#")}
    for package in ("mlx-lm", "waitress", "huggingface_hub", "falcon", "mlx"):
        assert "<" in declared[package], f"{package} has no upper bound"
    modules = {"mlx_lm": "mlx-lm", "scipy_openblas32": "scipy-openblas32"}
    builtin = set(__import__("sys").stdlib_module_names) | {"ominix", "_typeshed"}
    optional = {"nagisa"}
    for file in (ROOT / "ominix").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = (
                [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level
                else [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            )  # fmt: skip
            for name in {name.split(".")[0] for name in names} - builtin - optional:
                assert modules.get(name, name) in declared, f"{file.name} imports {name}"
