"""A real chat model (SmolLM2-135M) through openai-python."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import openai
import pytest
from serving import Clients, RunningServer, eventually

ROOT = Path(__file__).parents[2]
CASES = ROOT / "tests" / "data" / "cases"
MODEL = "SmolLM2-135M-Instruct"
FRANCE = [{"role": "user", "content": "What is the capital of France?"}]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("smollm2")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The model is fetched once and kept beside the virtual environment."""
    kept = ROOT / ".venv" / "demo"
    env = {**os.environ, "OMINIX_HOME": str(kept), "PYTHON": sys.executable}
    with (ROOT / ".venv" / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test process may be fetching it
        subprocess.run([ROOT / "tools" / "fetch_smollm2"], env=env, check=True)
    home = tmp_path_factory.mktemp("home")
    (home / "models").symlink_to(kept / "models")
    running = RunningServer(home, "--strict", "--preload", MODEL)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def client(server: RunningServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", timeout=300, max_retries=0)


def ask(client: openai.OpenAI, messages=FRANCE, **fields):
    return client.chat.completions.create(model=MODEL, messages=messages, **{"temperature": 0, **fields})


def text(answer) -> str:
    return answer.choices[0].message.content


def test_paris_plain(client):
    answer = ask(client)
    assert "Paris" in text(answer)
    assert answer.choices[0].finish_reason == "stop"
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_tokens > 30


def test_paris_streamed_is_the_same_text(client):
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    streamed = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert streamed == text(ask(client))
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.completion_tokens > 3


def test_max_tokens_cuts_with_length(client):
    answer = ask(client, max_tokens=3)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 3


@pytest.mark.contract("chat.stop", "clients.openai-python")
def test_a_stop_string_split_over_tokens_is_not_in_the_answer(client):
    whole = text(ask(client))
    at = whole.index("Paris")
    stop = whole[at - 3 : at + 2]  # from the middle of one word into another
    answer = ask(client, stop=[stop])
    assert text(answer) == whole[: at - 3]
    assert answer.choices[0].finish_reason == "stop"
    streamed = "".join(c.choices[0].delta.content or "" for c in ask(client, stop=stop, stream=True))
    assert streamed == whole[: at - 3]


@pytest.mark.contract("chat.stream.utf8")
def test_unicode_comes_whole(client):
    messages = [{"role": "user", "content": "Repeat exactly: Grüße, 東京, 😀"}]
    answer = text(ask(client, messages, max_tokens=40))
    assert answer
    assert "\ufffd" not in answer


def test_eight_clients_get_what_each_gets_alone(client):
    prompts = [f"Say the number {i} and then tell me about {t}." for i, t in enumerate("abcdefgh")]
    asked = [([{"role": "user", "content": p * (i + 1)}], 8 + 4 * i) for i, p in enumerate(prompts)]
    alone = [text(ask(client, m, max_tokens=n)) for m, n in asked]
    together = Clients(8, lambda i: text(ask(client, asked[i][0], max_tokens=asked[i][1]))).join(300)
    assert together == alone


@pytest.mark.contract("chat.seed")
def test_a_seed_reproduces_and_differs_without(client):
    def sampled(**fields):
        return text(ask(client, temperature=1.2, max_tokens=20, **fields))

    assert sampled(seed=7) == sampled(seed=7)
    assert len({sampled() for _ in range(4)}) > 1


@pytest.mark.contract("chat.logprobs")
def test_logprobs_in_openai_s_shape(client):
    answer = ask(client, logprobs=True, top_logprobs=2, max_tokens=4)
    entries = answer.choices[0].logprobs.content
    assert "".join(entry.token for entry in entries) == text(answer)
    assert all(entry.logprob == max(t.logprob for t in entry.top_logprobs) <= 0 for entry in entries)
    assert bytes(entries[0].bytes).decode() == entries[0].token


def test_a_second_turn_reads_only_what_is_new(client):
    history = [{"role": "user", "content": "Remember: " + "the sky is blue. " * 30}]
    first = ask(client, history, max_tokens=8)
    history += [{"role": "assistant", "content": text(first)}, {"role": "user", "content": "And now?"}]
    second = ask(client, history, max_tokens=4)
    cached = second.usage.prompt_tokens_details.cached_tokens
    assert cached >= first.usage.prompt_tokens - 8
    assert second.usage.prompt_tokens - cached < 60


def test_the_context_limit_is_told_with_both_numbers(client):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, [{"role": "user", "content": "word " * 9000}])
    assert caught.value.code == "context_length_exceeded"
    assert "8192" in caught.value.message


@pytest.mark.parametrize("case", ["chat-large-limit.json", "chat-eight-stops.json"])
def test_requests_as_agents_and_editors_send_them(server, case):
    status, _, body = server.request(
        "POST", "/v1/chat/completions", (CASES / case).read_bytes(), {"Content-Type": "application/json"}
    )
    assert status == 200
    said, stops = body["choices"][0]["message"]["content"], json.loads((CASES / case).read_text())["stop"]
    assert not [stop for stop in stops if stop in said]
    assert body["choices"][0]["finish_reason"] == "stop"


def test_an_aborted_stream_frees_its_slot(client, server):
    stream = ask(client, [{"role": "user", "content": "Count to a thousand."}], max_tokens=2000, stream=True)
    next(iter(stream))
    assert server.jobs(MODEL) == 1
    stream.close()
    assert eventually(lambda: server.jobs(MODEL) == 0, 10)


def test_a_schema_is_filled(client):
    place = {
        "type": "object",
        "properties": {
            "city": {"type": "string", "maxLength": 40},
            "country": {"enum": ["France", "Germany", "Spain"]},
            "inhabitants": {"type": "integer", "minimum": 0, "maximum": 100000000},
        },
        "required": ["city", "country", "inhabitants"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": place, "strict": True}}
    question = [{"role": "user", "content": "Describe Paris, the capital of France, in JSON."}]
    answer = ask(client, question, response_format=form, max_tokens=120).choices[0]
    assert answer.finish_reason == "stop"
    jsonschema.validate(json.loads(answer.message.content), place)


def test_a_keyword_that_cannot_be_obeyed_is_named(client):
    schema = {"type": "array", "uniqueItems": True}
    with pytest.raises(openai.BadRequestError, match="uniqueItems") as caught:
        ask(client, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    assert caught.value.param == "response_format"
