"""Two clients with a key each, through HTTP: neither learns of the other, or is held up."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from serving import eventually

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


def test_a_flood_of_one_key_keeps_nobody_else_out(serve):
    server = serve(
        "--scripted", "--strict", "--jobs-per-worker", "4", "--api-key", "alice", "--api-key", "bob"
    )
    keys = {name: {"Authorization": f"Bearer {name}"} for name in ("alice", "bob")}

    def ask(name: str, content: str) -> int:
        asked = {"model": "scripted", "messages": [{"role": "user", "content": content}]}
        return server.request("POST", "/v1/chat/completions", asked, keys[name])[0]

    with ThreadPoolExecutor(100) as clients:
        flood = [clients.submit(ask, "alice", "sleep 3") for _ in range(100)]
        assert eventually(lambda: sum(asked.done() for asked in flood) >= 90)  # refused
        begun = time.monotonic()
        assert ask("bob", "hello") == 200
        waited_seconds = time.monotonic() - begun
        answers = Counter(asked.result() for asked in flood)

    assert waited_seconds < 2
    assert answers.keys() == {200, 429}
    assert answers[200] >= 4
