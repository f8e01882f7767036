"""Thoughts through HTTP: told apart from the answer, and switched off."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def models(tmp_path):
    from engines.text import tiny_chat  # brings mlx

    home = tmp_path / "home" / "models"
    thought = [tiny_chat.THINK, *b"hm?", tiny_chat.UNTHINK, *b"Yes"]
    tiny_chat.reciter(home / "thinker", thought)
    sala = tiny_chat.folder(home / "minicpm-sala-9b", "minicpm_sala")
    settings = sala / "tokenizer_config.json"
    facts = json.loads(settings.read_text())
    del facts["chat_template"]  # the release's own is then used
    settings.write_text(json.dumps(facts))
    return tmp_path / "home"


def test_thoughts_are_told_apart_and_can_be_switched_off(models, serve):
    server = serve("--strict", home=models)
    status, _, answer = server.chat("Well", model="thinker", temperature=0, timeout=60)
    message = answer["choices"][0]["message"]
    assert (status, message["reasoning_content"], message["content"]) == (200, "hm?", "Yes")

    def prompt_tokens(**fields) -> int:
        status, _, answer = server.chat(
            "Well", model="minicpm-sala-9b", max_tokens=1, temperature=0, timeout=60, **fields
        )
        assert status == 200, answer
        return answer["usage"]["prompt_tokens"]

    on = prompt_tokens()
    empty_thought = 6  # <think>, two line breaks, </think>, two line breaks
    assert prompt_tokens(reasoning_effort="none") == on + empty_thought
    assert prompt_tokens(chat_template_kwargs={"enable_thinking": False}) == on + empty_thought
    assert prompt_tokens(reasoning_effort="high") == on
