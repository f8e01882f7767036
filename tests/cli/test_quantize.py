"""Which targets are refused. A whole conversion: tests/e2e/test_commands.py."""

from __future__ import annotations

import json

import pytest

from ominix.__main__ import main


@pytest.fixture
def refusal(tmp_path, capsys):
    """What `ominix quantize mine TARGET` says, which makes nothing."""
    models = tmp_path / "models"
    (models / "mine").mkdir(parents=True)
    (models / "mine" / "config.json").write_text("{}")

    def said(target: str) -> str:
        assert main(["--home", str(tmp_path), "quantize", "mine", target], {}) == 1
        assert [p.name for p in models.iterdir()] == ["mine"]
        return capsys.readouterr().err

    return said


@pytest.mark.parametrize("target", ["download", "unload", "Load"])
def test_a_name_that_the_api_s_paths_use_is_refused(refusal, target):
    assert f"named '{target}' could not be asked for" in refusal(target)


def test_a_path_into_the_models_folder_is_a_name(refusal, tmp_path):
    assert "named 'downloads' could not" in refusal(str(tmp_path / "models" / "downloads"))
    assert "'.hidden' cannot be the name" in refusal(str(tmp_path / "models" / ".hidden"))


@pytest.mark.parametrize("target", ["a b", "ä", "x" * 97])
def test_a_name_that_no_request_could_mean_is_refused(refusal, target):
    assert refusal(target).endswith("the first a letter or a digit; choose another target\n")


def test_a_target_that_is_there_is_not_touched(refusal, tmp_path):
    assert "there already" in refusal("mine")
    (tmp_path / "elsewhere").mkdir()
    assert "elsewhere is there already; choose another target" in refusal(str(tmp_path / "elsewhere"))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "llama", "quantization": {"bits": 4, "group_size": 64}}, "already, to 4 bits"),
        ({"model_type": "llama", "quantization_config": {"quant_method": "gptq"}}, "is quantized already"),
        ({"model_type": "whisper", "d_model": 512}, "is no chat model (speech)"),
    ],
)
def test_what_cannot_become_smaller_is_said_before_work_is_done(refusal, tmp_path, config, reason):
    (tmp_path / "models" / "mine" / "config.json").write_text(json.dumps(config))
    assert reason in refusal("new")
