"""What clients send, usual and unusual, line by line; a live server with models that obey their prompts."""

from __future__ import annotations

import gzip
import json
import re
import time

import pytest
from serving import eventually

from ominix.api.chat_completions import chat_job
from ominix.http import schemas
from ominix.wire.jobs import ChatJob

CHAT = "/v1/chat/completions"
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
# half a character, in a request that is right otherwise
SURROGATE = b'{"model": "scripted", "messages": [{"role": "user", "content": "say \\ud800"}]}'
IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}


def said(answer) -> str:
    status, _, body = answer
    assert status == 200, body
    return body["choices"][0]["message"]["content"]


def refusal(answer) -> tuple[int, str | None, str | None]:
    status, headers, body = answer
    assert headers.get_content_type() == "application/json"
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return status, body["error"]["param"], body["error"]["code"]


def turns(server, messages: list[dict], **fields):
    body = {"model": "scripted", "messages": messages, "max_tokens": 2, **fields}
    return server.request("POST", CHAT, body)


@pytest.mark.contract("chat.null")
def test_null_is_absent(shared_server):
    names = shared_server.request("GET", "/openapi.json")[2]["components"]["schemas"]
    optional = set(names["chat_completion_request"]["properties"]) - {"model", "messages"}
    assert len(optional) > 15
    for fields in (dict.fromkeys(optional), *({name: None} for name in optional)):
        assert said(shared_server.chat("say yes", **fields)) == "yes"


@pytest.mark.contract("chat.harmless")
@pytest.mark.parametrize(
    "fields",
    [
        {"store": True, "metadata": {"a": "b"}, "user": "me", "service_tier": "auto"},
        {"verbosity": "low", "prompt_cache_key": "k", "safety_identifier": "s"},
        {"parallel_tool_calls": True, "tools": [], "tool_choice": "auto", "functions": []},
        {"tools": [TOOL], "tool_choice": "none", "functions": [TOOL["function"]], "function_call": "none"},
        {"max_tokens": 10**30, "max_completion_tokens": -1, "top_k": 10**30},
        {"stream_options": {"include_usage": True}},
        {"response_format": {"type": "text"}, "modalities": ["text"]},
        {"prediction": None, "web_search_options": None, "something_new": {"deep": [1]}},
        {"reasoning_effort": None, "logit_bias": {}, "stop": []},
    ],
)
def test_harmless_fields_are_ignored(shared_server, fields):
    assert said(shared_server.chat("say yes", **fields)) == "yes"


@pytest.mark.contract("chat.unsupported", "chat.tools.choice")
@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"modalities": ["text", "audio"]}, "modalities[1]", "unsupported_parameter"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0].type", "unsupported_parameter"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "custom", "custom": {"name": "f"}}},
            "tool_choice.type",
            "unsupported_parameter",
        ),
        ({"response_format": {"type": "yaml"}}, "response_format.type", "invalid_value"),
        (
            {"response_format": {"type": "json_schema"}},
            "response_format.json_schema",
            "missing_required_parameter",
        ),
        ({"n": 9}, "n", "unsupported_value"),
        ({"max_tokens": -2}, "max_tokens", "invalid_value"),
        ({"top_k": -2}, "top_k", "invalid_value"),
    ],
)
def test_what_would_change_the_answer_is_refused_by_name(shared_server, fields, param, code):
    assert refusal(shared_server.chat("hello", **fields)) == (400, param, code)


@pytest.mark.contract("chat.roles")
def test_roles(shared_server):
    messages = [
        {"role": "system", "content": "one"},
        {"role": "user", "content": "two"},
        {"role": "developer", "content": "three"},
        {"role": "assistant", "content": "four"},
        {"role": "tool", "tool_call_id": "1", "content": "say five"},
    ]
    answer = turns(shared_server, messages)
    assert said(answer) == "five"
    assert answer[2]["usage"]["prompt_tokens"] == 6
    assert refusal(turns(shared_server, [{"role": "bot", "content": "x"}]))[:2] == (400, "messages[0].role")
    given = [(each["role"], each["content"]) for each in messages]
    assert [(message.role, message.content) for message in job(messages=messages).messages] == given
    assert job(messages=messages).messages[-1].tool_call_id == "1"


def job(**fields) -> ChatJob:
    """What the model's process is told."""
    hello = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    return chat_job(schemas.checked("chat_completion_request", {**hello, **fields}))


@pytest.mark.contract("chat.stop", "chat.seed", "chat.penalties")
def test_what_shapes_the_answer_reaches_the_model():
    assert job(stop="a").stop == ("a",)
    assert job(stop=["a"] * 64).stop == ("a",) * 64
    assert job().stop == job(stop="").stop == job(stop=[""]).stop == ()
    penalties = {"frequency_penalty": 0.5, "presence_penalty": -0.5}
    sampling = job(temperature=0, top_p=0.9, seed=7, logit_bias={"12": -100}, **penalties).sampling
    assert (sampling.temperature, sampling.top_p, sampling.seed) == (0.0, 0.9, 7)
    assert (sampling.frequency_penalty, sampling.presence_penalty) == (0.5, -0.5)
    assert sampling.logit_bias == {12: -100.0}
    assert job().sampling.seed is None


@pytest.mark.contract("chat.content")
def test_content_in_every_form(shared_server):
    parts = [{"type": "text", "text": "say two"}, {"type": "text", "text": "fold"}]
    assert said(turns(shared_server, [{"role": "user", "content": parts}])) == "twofold"
    before = [{"role": "assistant"}, {"role": "assistant", "content": None}, {"role": "user", "content": ""}]
    assert said(turns(shared_server, [*before, {"role": "user", "content": "say x"}])) == "x"
    assert [message.content for message in job(messages=before).messages] == ["", "", ""]
    for part in (IMAGE, {"type": "input_audio", "input_audio": {}}, {"type": "file", "file": {}}):
        found = refusal(turns(shared_server, [{"role": "user", "content": [parts[0], part]}]))
        assert found[:2] == (400, "messages[0].content[1].type")


@pytest.mark.contract("chat.tool-turns")
@pytest.mark.parametrize("arguments", ['{"x": 1}', {"x": 1}])
def test_earlier_tool_calls_are_taken(shared_server, arguments):
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    messages = [
        {"role": "user", "content": "use it"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "say done"},
    ]
    assert said(turns(shared_server, messages)) == "done"
    assert [message.tool_calls for message in job(messages=messages).messages] == [None, (call,), None]


@pytest.mark.contract("chat.max-tokens", "chat.answer.finish")
def test_the_newer_name_wins(shared_server):
    for fields, count in (({"max_tokens": 3}, 3), ({"max_tokens": 9, "max_completion_tokens": 2}, 2)):
        answer = shared_server.chat("hello", **fields)
        assert answer[2]["usage"]["completion_tokens"] == count
        assert answer[2]["choices"][0]["finish_reason"] == "length"
    assert shared_server.chat("say a b")[2]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.contract("chat.answer.head")
def test_each_answer_has_an_id_of_its_own(shared_server):
    ids = [shared_server.chat("say x")[2]["id"] for _ in range(3)]
    assert len(set(ids)) == 3


@pytest.mark.contract("chat.choices")
@pytest.mark.parametrize("n", [1, 8])
def test_so_many_choices(shared_server, n):
    body = shared_server.chat("hello", n=n, max_tokens=2)[2]
    assert [choice["index"] for choice in body["choices"]] == list(range(n))
    assert body["usage"]["completion_tokens"] == 2 * n
    for wrong in (0, 9):
        assert refusal(shared_server.chat("hello", n=wrong))[:2] == (400, "n")


@pytest.mark.contract("chat.logprobs")
def test_logprobs(shared_server):
    body = shared_server.chat("hello", max_tokens=1, logprobs=True, top_logprobs=2)[2]
    (entry,) = body["choices"][0]["logprobs"]["content"]
    assert (entry["token"], bytes(entry["bytes"])) == ("hello0 ", b"hello0 ")
    assert entry["logprob"] <= 0
    assert len(entry["top_logprobs"]) == 2
    assert shared_server.chat("hello", max_tokens=1, logprobs=True)[0] == 200
    for fields in ({"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 21}):
        assert refusal(shared_server.chat("hello", **fields))[0] == 400


@pytest.mark.contract("chat.stream.reasoning")
def test_thoughts_are_apart(shared_server):
    message = shared_server.chat("think", max_tokens=3)[2]["choices"][0]["message"]
    assert message["reasoning_content"] == message["reasoning"] == "think0 think1 "
    assert message["content"] == "think2 "
    stream = shared_server.chat("think", max_tokens=3, stream=True)[2].decode()
    messages = [m.removeprefix("data: ") for m in stream.split("\n\n") if m.startswith("data: {")]
    deltas = [json.loads(message)["choices"][0]["delta"] for message in messages]
    assert "".join(d.get("reasoning_content", "") for d in deltas) == "think0 think1 "
    assert "".join(d.get("content", "") for d in deltas) == "think2 "


@pytest.mark.slow
@pytest.mark.contract("chat.stream.ping")
def test_silence_is_filled(shared_server):
    begun = time.monotonic()
    status, _, body = shared_server.chat("sleep 16", stream=True, max_tokens=1)
    assert status == 200
    assert time.monotonic() - begun > 15
    assert body.count(b"\n\n: ping\n\n") == 1
    assert body.endswith(b"data: [DONE]\n\n")


@pytest.mark.contract("transport.hostile-json", "transport.error-shape")
@pytest.mark.parametrize(
    "text",
    [
        b"", b"null", b"[]", b'"x"', b"{", b'{"model": NaN}', b'{"model": 1e999}',
        b'{"model": "a", "model": "b"}',
        b"[" * 100_000, b'{"a":' * 1000 + b"1" + b"}" * 1000, SURROGATE, b'{"model": "\xff"}',
        b'{"model": ' + b"9" * 6000 + b"}", b"\x00", b"\xff\xfe{\x00}\x00",
    ],
)  # fmt: skip
def test_hostile_json_is_a_400(shared_server, text):
    begun = time.monotonic()
    answer = shared_server.request("POST", CHAT, text, {"Content-Type": "application/json"})
    assert refusal(answer)[0] == 400
    assert time.monotonic() - begun < 2


@pytest.mark.contract("transport.hostile-json")
def test_a_byte_order_mark_is_forgiven(shared_server):
    body = {"model": "scripted", "messages": [{"role": "user", "content": "say \N{GRINNING FACE}"}]}
    data = b"\xef\xbb\xbf" + json.dumps(body).encode()
    assert (
        said(shared_server.request("POST", CHAT, data, {"Content-Type": "application/json"})) == "\U0001f600"
    )


@pytest.mark.contract("transport.gzip")
def test_a_compressed_body_is_a_415(shared_server):
    data = gzip.compress(json.dumps({"model": "scripted", "messages": []}).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    for path in (CHAT, "/v1/audio/transcriptions", "/v1/models/download"):
        assert refusal(shared_server.request("POST", path, data, headers))[0] == 415


@pytest.mark.contract("transport.error-shape", "transport.no-server-paths", "transport.should-retry")
def test_every_kind_of_refusal_has_the_one_shape(shared_server):
    asked = [
        ("GET", "/", 405, {"method": "POST"}), ("GET", "/v2", 404, {}), ("PUT", CHAT, 405, {}),
        ("POST", CHAT, 415, {"body": "x", "headers": {"Content-Type": "text/plain"}}),
        ("POST", CHAT, 400, {"body": {}}), ("GET", "/v1/models/none", 404, {}),
        ("DELETE", "/v1/models/tiny-asr", 409, {}), ("GET", "/v1/models/..%2F..%2Fetc", 404, {}),
        ("POST", "/v1/audio/transcriptions", 415, {"body": "x"}),
        ("POST", "/v1/audio/transcriptions", 403, {"body": {"file_path": "/etc/hostname"}}),
        ("GET", "/livez", 403, {"headers": {"Host": "evil.example"}}),
    ]  # fmt: skip
    for method, path, status, options in asked:
        options = dict(options)
        answer = shared_server.request(options.pop("method", method), path, **options)
        assert refusal(answer)[0] == status, (path, answer)
        assert answer[1]["x-request-id"]
        assert ("Allow" in answer[1]) == (status == 405)
        assert (answer[1]["x-should-retry"] == "false") == (status == 409)
        assert str(shared_server.home) not in json.dumps(answer[2])
        assert not re.search(r"Traceback|site-packages|\.py\b", json.dumps(answer[2]))


@pytest.mark.contract("transport.error-shape")
@pytest.mark.parametrize("given", ["", "yes", "1"])
def test_a_flag_is_true_or_false_and_nothing_else(shared_server, given):
    """An empty keep_partial meant false once, and the part was gone."""
    answer = shared_server.request("DELETE", f"/v1/models/downloads/none?keep_partial={given}")
    assert refusal(answer) == (400, "keep_partial", "invalid_value")


@pytest.mark.contract("transport.cors")
def test_cors_is_off_unless_asked_for(shared_server, serve):
    headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    _, found, _ = shared_server.request("OPTIONS", CHAT, headers=headers)
    assert not [name for name in found if name.lower().startswith("access-control")]
    server = serve("--scripted", "--allowed-origin", "https://app.example")
    status, found, _ = server.request("OPTIONS", CHAT, headers=headers)
    assert (status, found["Access-Control-Allow-Origin"]) == (204, "https://app.example")
    assert "POST" in found["Access-Control-Allow-Methods"]


@pytest.mark.slow
@pytest.mark.contract("models.broken-folder", "models.ids", "models.unknown", "transport.model-paths")
def test_ids_of_the_list_work_everywhere_and_others_nowhere(serve):
    server = serve("--scripted", "--strict")
    folder = server.home / "models"
    for name, config in {"good": '{"model_type": "scripted"}', "torn": "{", "deep": "[" * 9999}.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text(config)
        (folder / name / "model.safetensors").write_bytes(b"")
    (folder / "empty").mkdir()
    listed = {m["id"]: m for m in server.request("GET", "/v1/models")[2]["data"]}
    assert {"good", "torn", "deep", "empty", "scripted"} <= listed.keys()
    for model_id in listed:
        assert server.request("GET", f"/v1/models/{model_id}")[2]["id"] == model_id
    assert said(server.chat("say yes", model="good")) == "yes"
    assert refusal(server.chat("hello", model="torn")) == (400, "model", "model_not_servable")
    for name in ("gpt-4o", "Good", "a/good/b", "good/", "../models/good", "a/b/good"):
        assert refusal(server.chat("hello", model=name)) == (404, "model", "model_not_found"), name
    assert server.request("POST", "/v1/models/good/unload")[0] == 200
    for model_id in ("good", "torn", "empty"):
        assert server.request("DELETE", f"/v1/models/{model_id}")[2]["deleted"]
        assert not (folder / model_id).exists()


@pytest.mark.slow
@pytest.mark.contract("models.ids", "transport.model-paths")
def test_models_in_the_folders_of_owners_are_used_and_deleted(serve):
    """LM Studio and oMLX keep them so: the list had one broken model, named after the owner."""
    server = serve("--scripted", "--strict")
    folder = server.home / "models" / "lmstudio-community" / "Good-MLX"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "scripted"}')
    (folder / "model.safetensors").write_bytes(b"")
    name = "lmstudio-community/Good-MLX"
    assert name in {m["id"] for m in server.request("GET", "/v1/models")[2]["data"]}
    assert said(server.chat("say yes", model=name)) == "yes"
    for path in (name, name.replace("/", "%2F")):
        assert server.request("GET", f"/v1/models/{path}")[2]["loaded"]
    assert server.request("DELETE", f"/v1/models/{name}")[0] == 409
    assert server.request("POST", f"/v1/models/{name}/unload")[0] == 200
    assert server.request("DELETE", f"/v1/models/{name}")[2]["deleted"]
    assert not folder.parent.exists()
    assert server.request("GET", f"/v1/models/{name}")[0] == 404


@pytest.mark.slow
@pytest.mark.contract("models.aliases")
def test_the_usual_names_mean_the_speech_model_and_more_can_be_given(serve):
    server = serve("--scripted", "--alias", "mine=scripted")
    usual = ("whisper-1", "gpt-transcribe", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "qwen3-asr")
    for name in usual:  # the demo model is no speech model that somebody means
        assert server.request("GET", f"/v1/models/{name}")[0] == 404
    folder = server.home / "models" / "mine-own"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "qwen3_asr"}')
    (folder / "model.safetensors").write_bytes(b"")
    for name in (*usual, "gpt-4o-transcribe-2025-03-20", "Systran/faster-whisper-large-v3", "large-v3"):
        assert server.request("GET", f"/v1/models/{name}")[2]["id"] == "mine-own"
    assert said(server.chat("say yes", model="mine")) == "yes"


@pytest.mark.contract("leaving.uploads")
def test_uploads_go_whatever_becomes_of_them(shared_server):
    part = '--b\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n{}\r\n'
    for prompt in ("say hello", "refuse", "fail", "raise"):
        fields = (("model", "scripted-speech"), ("prompt", prompt))
        body = "".join(part.format(name, "", value) for name, value in fields)
        body += part.format("file", '; filename="a"', "RIFF" * 99) + "--b--\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        shared_server.request("POST", "/v1/audio/transcriptions", body, headers)
    assert eventually(lambda: not shared_server.uploads(), 2)
