"""How ominix starts Python: every child, from here alone.

A child imports nothing of the folder where ominix was started: -P keeps that folder off its import path,
its own current folder is "/", and of PYTHONPATH only absolute entries are handed on, behind ominix's own. Of
the other PYTHON* variables a child has those that say where Python's files are, how it writes text or looks
for bugs; not those that could keep it from ending or change what it runs (PYTHONINSPECT, PYTHONBREAKPOINT).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from ominix import import_path

PACKAGE_ROOT = str(Path(__file__).absolute().parents[1])
HANDED_ON = frozenset({
    "PYTHONHOME", "PYTHONUSERBASE", "PYTHONNOUSERSITE", "PYTHONDONTWRITEBYTECODE",
    "PYTHONUTF8", "PYTHONCOERCECLOCALE", "PYTHONUNBUFFERED", "PYTHONHASHSEED",
    "PYTHONDEVMODE", "PYTHONFAULTHANDLER", "PYTHONMALLOC", "PYTHONTRACEMALLOC", "PYTHONWARNINGS",
})  # fmt: skip
# Files that children look for: relative names are made absolute, as a child's current folder is another.
FILES = ("HF_HOME", "HF_TOKEN_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR", "XDG_CACHE_HOME")


def start(
    module: str,
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    cwd: str | None = "/",
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
    stderr: int | None = None,
    pass_fds: Collection[int] = (),
    own_session: bool = True,
) -> subprocess.Popen[bytes]:
    """`python -m MODULE ARGUMENTS`. Raises OSError where the system lets us start no process.

    `environ`: what is handed on, all of this process's by default. `own_session`: the terminal's Ctrl-C is
    the parent's business. `cwd` None: ours, for a child whose arguments are relative to it.
    """
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=tuple(pass_fds),
        cwd=cwd,
        env=environment(os.environ if environ is None else environ),
        start_new_session=own_session,
    )


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a child has of it."""
    kept = {k: v for k, v in environ.items() if not k.startswith("PYTHON") or k in HANDED_ON}
    given = "" if sys.flags.ignore_environment else environ.get("PYTHONPATH", "")
    files = {name: str(Path(kept[name]).absolute()) for name in FILES if _is_relative(kept.get(name, ""))}
    path = os.pathsep.join([PACKAGE_ROOT, *import_path.absolute_entries(given)])
    return {**kept, **files, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def _is_relative(name: str) -> bool:
    return name != "" and not name.startswith(("/", "~"))
