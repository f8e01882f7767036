"""The reference's values, case by case: logits, hidden states, recurrent state, selected blocks."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CASES = ROOT / "tests" / "golden" / "minicpm_sala"


def tool(path):
    """A module of tools/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"tool_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reference():
    return tool(ROOT / "tools" / "reference" / "minicpm_sala.py")


@pytest.mark.parametrize(
    "case",
    [
        "case_a_dense_short",
        "case_b_sparse_prefill",
        "case_c_decode_crossing",
        pytest.param("case_d_released_sparse_config", marks=pytest.mark.slow),
    ],
)
@pytest.mark.timeout(600)  # case D is 8408 tokens of softmax on the CPU
def test_everything_the_case_expects_is_within_tolerance(reference, case):
    found = list(reference.differences(CASES / case))

    assert len(found) >= 8
    assert [d for d in found if not d.ok] == []


def test_selections_are_compared_exactly(reference):
    found = {d.name: d for d in reference.differences(CASES / "case_b_sparse_prefill")}

    assert [found[f"selected_blocks.layers.{i}"].allowed for i in (0, 2, 4)] == [0, 0, 0]


def test_compare_says_which_value_is_wrong(reference, tmp_path, capsys):
    import mlx.core as mx

    source = CASES / "case_a_dense_short"
    for file in source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    expected = mx.load(str(source / "expected.safetensors"))
    expected["logits"] = expected["logits"] + 1e-3
    mx.save_safetensors(str(tmp_path / "expected.safetensors"), expected)

    assert not reference.compare(tmp_path)
    wrong = [line for line in capsys.readouterr().out.splitlines() if "WRONG" in line]
    assert [line.split()[0] for line in wrong] == ["logits"]


def test_every_slip_of_the_mutation_check_still_fits_the_source():
    check = tool(ROOT / "tools" / "mutate_sala.py")
    entries = check.ENTRY.findall(check.SLIPS)

    assert len(entries) == check.SLIPS.count(".py: ") > 40
    for file, name, _, old, new in entries:
        assert (ROOT / check.PACKAGE / file).read_text().count(old) == 1, (file, name)
        assert old != new
