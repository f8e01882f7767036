from __future__ import annotations

import json
import socket

import pytest

from ominix.cli import checks


def test_what_is_missing_is_said_with_what_fetches_it(tmp_path):
    lines = list(checks.models(tmp_path))
    assert "  missing: a model for speech: 'ominix pull qwen3-asr'" in lines
    assert "  missing: a model for chat: 'ominix pull qwen3-0.6b'" in lines
    assert any(line.startswith("memory: ") for line in lines) and "GB free" in lines[-1]


def test_a_speech_model_without_an_aligner_cannot_time_words(tmp_path):
    folder = tmp_path / "models" / "mine"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen3_asr"}))
    (folder / "model.safetensors").write_bytes(b"x")
    lines = list(checks.models(tmp_path))
    assert not any("a model for speech" in line for line in lines)
    assert any("missing for the times of words" in line and "ominix pull" in line for line in lines)


def test_the_hub_is_asked(hub):
    assert checks.hub(hub.url) == f"hub: answers at {hub.url}"
    assert "cannot be reached (ConnectError)" in checks.hub("http://127.0.0.1:9")


@pytest.mark.slow
def test_a_port_is_free_or_somebody_has_it():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = checks.server("127.0.0.1", port)
        assert said.startswith(f"server: none at http://127.0.0.1:{port}; the port cannot be had: ")
    assert checks.server("127.0.0.1", port).endswith("; the port is free")
