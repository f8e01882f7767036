"""What a child of ominix may import, and that no child is started elsewhere."""

from __future__ import annotations

import ast
import json
import os
import subprocess
from pathlib import Path

import pytest

from ominix import python_child

PACKAGE = Path(__file__).parents[1] / "ominix"
# Ways to start a process, as they are written.
STARTING = {
    "sys.executable", "subprocess.Popen", "subprocess.run", "subprocess.call", "subprocess.check_call",
    "subprocess.check_output", "subprocess.getoutput", "os.system", "os.popen", "os.fork", "os.forkpty",
    "os.posix_spawn", "os.posix_spawnp", "pty.fork", "pty.spawn", "multiprocessing.Process",
}  # fmt: skip
TYPES = {"subprocess.Popen"}  # also written as the type of what was started


def uses(tree: ast.Module) -> set[str]:
    """Dotted names that are called, or handed on; names imported from a module count as used."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            if id(node) in called or name not in TYPES:
                found.add(name)
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {f"{alias.name}.Process" for alias in node.names if alias.name == "multiprocessing"}
    return found


def test_no_other_module_starts_a_process():
    starting = {}
    for file in PACKAGE.rglob("*.py"):
        found = uses(ast.parse(file.read_text("utf-8"))) & STARTING
        if found or any(name.startswith(("os.exec", "os.spawn")) for name in found):
            starting[file.name] = found
    assert starting == {"python_child.py": {"sys.executable", "subprocess.Popen"}}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Where the parent is; a module named queue lies in it."""
    (tmp_path / "queue.py").write_text("print('executed')")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def report(environ: dict[str, str] | None = None, **options) -> dict:
    """What a child tells of itself: the module `code` runs what its standard input says."""
    child = python_child.start(
        "code", environ=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, own_session=False, **options,
    )  # fmt: skip
    program = (
        "import sys, os, json, queue; sys.ps1 = sys.ps2 = ''; "
        "print(json.dumps([sys.path, os.getcwd(), dict(os.environ)]))\n"
    )
    out, err = child.communicate(program.encode(), timeout=30)
    line = next(line for line in out.decode().splitlines() if line.lstrip("> .").startswith("["))
    path, cwd, variables = json.loads(line[line.index("[") :])
    return {"path": path, "cwd": cwd, "environ": variables, "out": out, "err": err}


@pytest.mark.parametrize("given", [None, "", ":", ".:/nowhere:", "lib", "./:../x"])
def test_a_child_imports_nothing_of_the_current_folder(folder, given):
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    told = report(environ if given is None else {**environ, "PYTHONPATH": given})
    assert b"executed" not in told["out"]
    assert told["cwd"] == "/"
    assert told["path"][0] == str(PACKAGE.parent)
    assert str(folder) not in told["path"]
    assert "" not in told["path"]
    hook = "__editable__"  # what an editable install adds is no folder
    assert all(entry.startswith(("/", hook)) for entry in told["path"])


def test_absolute_folders_of_the_user_s_path_are_handed_on_behind_ours():
    told = python_child.environment({"PYTHONPATH": "/a::b:/c"})
    assert told == {"PYTHONPATH": f"{PACKAGE.parent}:/a:/c", "PYTHONSAFEPATH": "1"}


@pytest.mark.parametrize("name", ["PYTHONINSPECT", "PYTHONBREAKPOINT", "PYTHONSTARTUP", "PYTHONPLATLIBDIR"])
def test_a_variable_that_changes_what_a_child_runs_is_not_handed_on(name):
    assert name not in python_child.environment({name: "1"})


def test_relative_names_of_files_are_made_absolute(folder):
    told = python_child.environment({"HF_HOME": "hf", "TMPDIR": "/tmp", "SSL_CERT_FILE": "", "X": "y"})
    assert (told["HF_HOME"], told["TMPDIR"], told["SSL_CERT_FILE"], told["X"]) == (
        str(folder / "hf"), "/tmp", "", "y",
    )  # fmt: skip


def test_a_child_starts_where_the_current_folder_is_gone(folder):
    (folder / "queue.py").unlink()
    folder.rmdir()
    assert report()["cwd"] == "/"


def test_a_child_of_arguments_that_are_relative_keeps_the_folder_and_imports_nothing_of_it(folder):
    told = report(cwd=None)
    assert told["cwd"] == str(folder)
    assert b"executed" not in told["out"]
