"""The command line itself, started in a folder of hostile modules."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
# Without `site` (-S): an editable install's .pth file imports modules before any line of ours, from wherever
# a relative PYTHONPATH says.
PYTHON = [sys.executable, "-S"]
PACKAGES = ":".join([str(ROOT), *(entry for entry in sys.path if entry.endswith("site-packages"))])
HOSTILE = "import os\nopen(os.path.join(os.path.dirname(__file__), 'executed'), 'a').write(__name__ + ' ')\n"


@pytest.fixture
def folder(tmp_path) -> Path:
    made = tmp_path / "downloads"
    made.mkdir()
    for name in ("argparse", "queue", "numpy", "pathlib", "gettext", "shutil", "httpx2", "msgspec", "src"):
        (made / f"{name}.py").write_text(HOSTILE)
    return made


def script(tmp_path: Path) -> list[str]:
    """As an installer writes it."""
    file = tmp_path / "bin" / "ominix"
    file.parent.mkdir()
    file.write_text("import sys\nfrom ominix.console import main\nsys.exit(main())\n")
    return [*PYTHON, str(file)]


@pytest.mark.parametrize("given", [None, ":", f".:{ROOT}"])
@pytest.mark.parametrize("start", ["module", "script"])
def test_nothing_of_the_folder_is_imported(tmp_path, folder, start, given):
    command = [*PYTHON, "-m", "ominix"] if start == "module" else script(tmp_path)
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environ["PYTHONPATH"] = PACKAGES if given is None else f"{PACKAGES}:{given}"
    for arguments in (["--help"], ["transcribe", "--help"], ["--home", str(tmp_path), "list"]):
        done = subprocess.run(
            [*command, *arguments], cwd=folder, env=environ, capture_output=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
    assert not (folder / "executed").exists(), (folder / "executed").read_text()


def test_a_folder_that_the_user_has_named_stays(tmp_path):
    """An absolute entry of PYTHONPATH is meant, also where it is the current folder."""
    (tmp_path / "mine.py").write_text("")
    program = "from ominix import import_path; import_path.drop_current_folder(); import mine"
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}::{tmp_path}"}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environ, check=True, timeout=60)
