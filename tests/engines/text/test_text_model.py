"""Folders that load, and what is said of those that do not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import mlx.core as mx
import pytest
import tiny_architectures
import tiny_chat

from ominix.engines import text
from ominix.engines.text import text_model
from ominix.errors import Unavailable
from ominix.wire.control import EngineSpec
from ominix.wire.events import ChatDone
from ominix.wire.jobs import ChatJob, Sampling


def change(path: Path, **facts):
    file = path / "config.json"
    config = json.loads(file.read_text()) | facts
    file.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def without_weights(path):
    (path / "model.safetensors").unlink()


def with_too_few_weights(path):
    weights = mx.load(str(path / "model.safetensors"))
    mx.eval(weights)
    weights.pop("model.norm.weight")
    mx.save_safetensors(str(path / "model.safetensors"), weights)


def cut_short(path):
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:500])


def wanting_code(path):
    facts = {"auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]}, "tokenizer_class": "EvilTokenizer"}
    (path / "tokenizer_config.json").write_text(json.dumps(facts))
    (path / "evil.py").write_text("raise SystemExit('remote code was run')")
    (path / "tokenizer.json").unlink()


BROKEN = {
    "config.json cannot be read": lambda path: (path / "config.json").unlink(),
    "config.json is no valid JSON": lambda path: (path / "config.json").write_text("{"),
    "does not say the model's type": lambda path: (path / "config.json").write_text("[]"),
    "has no weights": without_weights,
    "model type made_up": lambda path: change(path, model_type="made_up"),
    "does not load: .*norm": with_too_few_weights,
    "model type llama": cut_short,
    "hidden_size": lambda path: change(path, hidden_size=None),
    "code of its own": lambda path: change(path, model_file="evil.py"),
    "tokenizer of m": wanting_code,
}


@pytest.mark.parametrize("reason", BROKEN)
def test_a_folder_that_does_not_load_says_why(tmp_path, reason):
    path = tiny_chat.folder(tmp_path / "m")
    BROKEN[reason](path)

    with pytest.raises(Unavailable, match=reason):
        text_model.load(path, tiny_chat.found_backend())


def test_a_model_that_cannot_be_run_says_why(tmp_path):
    """The error came from the measurement of memory, past all sentences."""
    path = tiny_chat.folder(tmp_path / "m", config=tiny_chat.CONFIGS["llama"] | {"num_key_value_heads": 3})

    with pytest.raises(Unavailable, match=r"^m cannot be run: .*reshape"):
        tiny_chat.engine(path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["qwen2_moe", "qwen3_next", "gemma3n", "lfm2-vl", "qwen2_5_vl", "xverse"])
def test_architectures_that_did_not_load_answer(tmp_path, kind):
    engine = tiny_chat.engine(tiny_architectures.folder(tmp_path / "m", kind))
    job = ChatJob(tiny_chat.said("Hello"), Sampling(temperature=0, logit_bias={256: -100}), max_tokens=4)

    (events,) = tiny_chat.run(engine, job)

    assert events[-1].completion_tokens == 4


@pytest.mark.parametrize(("kind", "context"), [("gpt_bigcode", 512), ("lille-130m", 2048)])
def test_a_context_has_several_names(tmp_path, kind, context):
    """GPT-2's 64 places were read as 5,960,208."""
    assert tiny_chat.model(tiny_architectures.folder(tmp_path / "m", kind)).context == context


def test_code_that_a_config_names_is_ignored(tmp_path):
    path = tiny_chat.folder(tmp_path / "m")
    change(path, auto_map={"AutoModelForCausalLM": "evil.Model"})
    (path / "evil.py").write_text("raise SystemExit('remote code was run')")

    assert text_model.load(path, tiny_chat.found_backend()).context == 4096


def test_the_door_loads_what_a_spec_names(tmp_path):
    engine = text.load(EngineSpec("chat", str(tiny_chat.folder(tmp_path / "m")), slots=4))

    assert engine.idle


def test_stop_tokens_of_the_generation_config_count(tmp_path):
    path = tiny_chat.folder(tmp_path / "m")
    (path / "generation_config.json").write_text(json.dumps({"eos_token_id": [256, 65]}))

    assert {256, 65} <= text_model.load(path, tiny_chat.found_backend()).stop_ids


SMOLLM2 = Path(os.environ.get("OMINIX_HOME", Path.home() / ".ominix")) / "models/SmolLM2-135M-Instruct"


@pytest.mark.big
@pytest.mark.skipif(not SMOLLM2.exists(), reason="tools/fetch_smollm2 brings it")
def test_a_real_model_knows_paris():
    engine = tiny_chat.engine(SMOLLM2)
    question = tiny_chat.said("What is the capital of France?")

    events = tiny_chat.run(engine, ChatJob(question, Sampling(temperature=0), max_tokens=20))[0]

    assert tiny_chat.text(events) == "The capital of France is Paris."
    assert next(e for e in events if isinstance(e, ChatDone)).prompt_tokens == 37
