"""Calls of tools of three families through a real server: plain, streamed, broken, cut."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.slow

TOOL = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
CITY = "Orléans " * 20
ARGUMENTS = json.dumps({"city": CITY}, ensure_ascii=False)
SAYS = {
    "shows-no-tools": (
        f'So:\n<tool_call>\n{{"name": "f", "arguments": {ARGUMENTS}}}\n</tool_call>\n'
        '<tool_call>{"name": "f", "arguments": {}}</tool_call>',
        {},
    ),
    "gpt-oss": (
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>So:<|end|>"
        f"<|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{ARGUMENTS}",
        {"ask": "<|start|>user<|message|>%s<|end|><|start|>assistant", "tool": "f"},
    ),
    "qwen3-coder": (
        f"So:\n<tool_call>\n<function=f>\n<parameter=city>\n{CITY}\n</parameter>\n</function>\n</tool_call>",
        {"tool": "f", "template": "<tool_call>\n<function="},
    ),
    "broken": ('So: <tool_call>{"name": "f", "arguments": {"city": }}</tool_call>', {}),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    from engines.text import parrot  # brings mlx
    from serving import RunningServer

    home = tmp_path_factory.mktemp("home")
    for name, (says, options) in SAYS.items():
        parrot.parrot(home / "models" / name, says, **options)
    running = RunningServer(home, "--strict")
    yield running
    running.stop()


def asked(server, model: str, **fields) -> dict:
    status, _, body = server.chat("go", model=model, temperature=0, tools=[TOOL], timeout=60, **fields)
    assert status == 200, body
    return body["choices"][0]


def streamed(server, model: str) -> list[dict]:
    body = server.chat("go", model=model, temperature=0, tools=[TOOL], stream=True, timeout=60)[2]
    messages = [m.removeprefix("data: ") for m in body.decode().split("\n\n") if m.startswith("data: ")]
    return [json.loads(text)["choices"][0] for text in messages if text != "[DONE]"]


@pytest.mark.contract("chat.tools.answer", "chat.tools.stream")
@pytest.mark.parametrize("model", [model for model in SAYS if model != "broken"])
def test_calls_leave_as_calls_and_text_as_text(server, model):
    choice = asked(server, model)
    message, first = choice["message"], choice["message"]["tool_calls"][0]
    assert (message["content"], choice["finish_reason"]) == ("So:", "tool_calls")
    assert (first["function"]["name"], json.loads(first["function"]["arguments"])["city"].strip()) == (
        "f",
        CITY.strip(),
    )
    chunks = streamed(server, model)
    content = "".join(chunk["delta"].get("content") or "" for chunk in chunks)
    assert (content, chunks[-1]["finish_reason"]) == ("So:", "tool_calls")
    begin, *pieces = [chunk["delta"]["tool_calls"][0] for chunk in chunks if "tool_calls" in chunk["delta"]]
    assert begin == {
        "index": 0,
        "id": begin["id"],
        "type": "function",
        "function": {"name": "f", "arguments": ""},
    }
    of_first = [piece["function"]["arguments"] for piece in pieces if piece["index"] == 0]
    assert "".join(of_first) == first["function"]["arguments"]
    assert len(of_first) > 20 or model == "qwen3-coder"  # values in its form are known when all is there


def test_one_call_ends_the_answer_if_no_more_may_be(server):
    assert len(asked(server, "shows-no-tools")["message"]["tool_calls"]) == 2
    choice = asked(server, "shows-no-tools", parallel_tool_calls=False)
    assert (len(choice["message"]["tool_calls"]), choice["finish_reason"]) == (1, "tool_calls")


def test_what_is_no_call_is_text_and_the_log_says_so(server):
    choice = asked(server, "broken")
    assert choice["message"]["content"] == SAYS["broken"][0]
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "stop"
    assert "a call that cannot be read" in server.log


def test_a_call_that_is_cut_ends_in_length(server):
    choice = asked(server, "shows-no-tools", max_tokens=20)
    assert (choice["message"]["content"][:3], choice["finish_reason"]) == ("So:", "length")
    assert "tool_calls" not in choice["message"]


def test_without_tools_a_call_is_text(server):
    body = server.chat("go", model="shows-no-tools", temperature=0, tools=[TOOL], tool_choice="none")[2]
    assert '{"name": "f"' in body["choices"][0]["message"]["content"]
