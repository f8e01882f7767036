"""Answers of three families through a real server: thoughts apart from the answer, plain and streamed."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow

SAYS = {
    "gpt-oss": (
        "<|channel|>analysis<|message|>Hm é.<|end|><|start|>assistant<|channel|>final<|message|>Yes 😀",
        {"ask": "<|start|>user<|message|>%s<|end|><|start|>assistant"},
    ),
    "gemma-4": ("<|channel>thought\nHm é.<channel|>Yes 😀", {}),
    "magistral": ("[THINK]Hm é.[/THINK]Yes 😀", {"special": False}),
}


@pytest.fixture
def home(tmp_path):
    from engines.text import parrot  # brings mlx

    for name, (says, options) in SAYS.items():
        parrot.parrot(tmp_path / "home" / "models" / name, says, **options)
    return tmp_path / "home"


@pytest.mark.contract("chat.stream.reasoning")
def test_thoughts_come_apart_from_the_answer(home, serve):
    server = serve("--strict", home=home)
    for model in SAYS:
        asked = {"model": model, "temperature": 0, "logprobs": True}
        status, _, answer = server.chat("go", timeout=60, **asked)
        assert status == 200, answer
        (choice,) = answer["choices"]
        message, usage = choice["message"], answer["usage"]
        assert (message["reasoning_content"], message["content"]) == ("Hm é.", "Yes 😀"), model
        assert len(choice["logprobs"]["content"]) == usage["completion_tokens"]
        thought = usage["completion_tokens_details"]["reasoning_tokens"]
        assert 6 < thought < usage["completion_tokens"] - 7

        _, _, cut = server.chat(
            "go", timeout=60, **asked, max_completion_tokens=usage["completion_tokens"] - 9
        )
        assert cut["choices"][0]["message"]["content"] == "", model
        assert "Yes" not in cut["choices"][0]["message"]["reasoning_content"]
