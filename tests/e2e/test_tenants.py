"""Two clients with a key each, through HTTP: neither learns what the other has asked."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path):
    from engines.text import tiny_chat  # brings mlx

    tiny_chat.folder(tmp_path / "home" / "models" / "tiny-llama")
    return tmp_path / "home"


def cached_tokens(server, key: str | None, prompt: str) -> int:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    body = {"model": "tiny-llama", "max_tokens": 1, "messages": [{"role": "user", "content": prompt}]}
    status, _, answer = server.request("POST", "/v1/chat/completions", body, headers, timeout=60)
    assert status == 200, answer
    return answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def test_cached_tokens_tell_nothing_of_another_key(home, serve):
    server = serve("--strict", "--api-key", "alice", "--api-key", "bob", home=home)
    secret = "the password of the cellar is 'swordfish'"

    assert cached_tokens(server, "alice", secret) == 0
    guesses = [cached_tokens(server, "bob", guess) for guess in ("the password", secret)]
    alone = [cached_tokens(server, "bob", guess) for guess in ("the password", secret)]

    assert guesses[0] == 0
    assert guesses[1] < alone[1]  # it found its own first guess and no more
    assert cached_tokens(server, "alice", secret) > guesses[1]


def test_without_keys_all_share_what_is_kept(home, serve):
    server = serve("--strict", home=home)
    assert cached_tokens(server, None, "Well") == 0
    assert cached_tokens(server, "any", "Well") > 0
