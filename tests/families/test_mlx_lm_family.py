from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ominix.families import mlx_lm
from ominix.families.table import KNOWN

# Asked of mlx-lm itself: which of these names it finds classes for, and which of its modules have them.
ASK = """
import importlib, json, pkgutil, sys
import mlx_lm.models
from mlx_lm import utils

def loads(name):
    try:
        return all(utils._get_classes({"model_type": name}))
    except (ValueError, AttributeError):
        return False
    except SystemExit:  # olmo: "install ai2-olmo"
        return True

names = {m.name for m in pkgutil.iter_modules(mlx_lm.models.__path__)} | set(utils.MODEL_REMAPPING)
names |= {name for name, _ in utils.MODEL_ARCHITECTURE_REMAPPING}
print(json.dumps(sorted(name for name in names if loads(name))))
"""


@pytest.mark.slow
def test_every_model_that_mlx_lm_loads_is_claimed_and_no_other():
    """Seven of twelve replaced names were known, and no module with a hyphen in its name."""
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    assert mlx_lm.supported() == frozenset(json.loads(done.stdout.splitlines()[-1]))


def test_the_server_does_not_import_it():
    code = (
        "import sys; from ominix.families import mlx_lm; assert len(mlx_lm.supported()) > 100;"
        "sys.exit(bool({'mlx_lm', 'mlx.core', 'mlx'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "name", ["llama", "mistral", "joyai_llm_flash", "qwen2_5_vl", "lfm2-vl", "nemotron-nas"]
)
def test_names_of_its_table_and_of_its_modules_are_claimed(name):
    assert mlx_lm.CHAT.claims({"model_type": name})


def test_what_is_never_batched_is_a_family_of_its_own():
    family = KNOWN.claiming({"model_type": "minimax_m3_vl"})
    assert family.one_row
    assert family.note == "answers one request at a time"
    assert not KNOWN.claiming({"model_type": "llama"}).one_row


@pytest.mark.parametrize(
    "name", ["cache", "base", "switch_layers", "../utils", "x" * 300, "llama\0", "", None, ["llama"], {}]
)
def test_no_other_names_are(name):
    """A model type of 300 letters was looked for on the disk, which cannot have such a name."""
    assert not mlx_lm.CHAT.claims({"model_type": name})


@pytest.mark.parametrize("table", ["", "MODEL_REMAPPING = dict(a='llama')", "MODEL_REMAPPING = 5", "("])
def test_modules_are_known_without_the_table(tmp_path, caplog, table):
    """A later mlx-lm may write it otherwise."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "llama.py").write_text("class ModelArgs: ...")
    (tmp_path / "models" / "cache.py").write_text("class KVCache: ...")
    (tmp_path / "utils.py").write_text(table)
    assert mlx_lm.model_types(tmp_path) == {"llama"}
    assert "MODEL_REMAPPING" in caplog.text


def test_a_replaced_name_needs_its_module(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "llama.py").write_text("class ModelArgs: ...")
    (tmp_path / "utils.py").write_text("MODEL_REMAPPING = {'mistral': 'llama', 'lost': 'gone'}")
    assert mlx_lm.model_types(tmp_path) == {"llama", "mistral"}


def test_the_source_that_is_read_is_the_one_that_would_be_imported():
    spec = importlib.util.find_spec("mlx_lm")
    (folder,) = spec.submodule_search_locations
    assert mlx_lm.model_types(Path(folder)) == mlx_lm.supported()
