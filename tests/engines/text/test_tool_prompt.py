from __future__ import annotations

import json
import re

import pytest
from engines.text import tiny_chat

from ominix.engines.text import prompts
from ominix.engines.text.tool_prompt import NO_ARGUMENTS, ToolSupport, written
from ominix.errors import JobRefused
from ominix.models.call_formats import HERMES, LLAMA, MISTRAL
from ominix.wire.jobs import ChatJob, Message

F = {"type": "function", "function": {"name": "f", "strict": True}}
SHOWN = {"type": "function", "function": {"name": "f", "description": "", "parameters": NO_ARGUMENTS}}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
USER = {"role": "user", "content": "hello"}
ASKED = {"role": "assistant", "content": "", "tool_calls": [CALL]}
RESULT = {"role": "tool", "content": "42", "tool_call_id": "1"}


def support(template: str, own=LLAMA) -> ToolSupport:
    """With a template that has `{tools}` in it or not."""

    def render(messages, **options):
        if template == "refuses":
            raise JobRefused("no")
        return template.format(tools=json.dumps(options.get("tools")))

    return ToolSupport(own, render)


def test_a_template_that_shows_tools_gets_them_and_the_model_writes_as_its_family_does():
    native = support("<tools>{tools}</tools>")
    assert native.format is LLAMA
    asked = {**ASKED, "tool_calls": [{**CALL, "function": {"name": "f", "arguments": {"a": 1}}}]}
    assert native.applied([USER, ASKED, RESULT], [F]) == ([USER, asked, RESULT], {"tools": [SHOWN]})
    assert native.applied([USER, ASKED, RESULT], []) == ([USER, asked, RESULT], {})


def test_a_template_that_wants_arguments_as_text_gets_text():
    def render(messages, **options):
        for message in messages:
            for call in message.get("tool_calls", ()):
                if not isinstance(call["function"]["arguments"], str):
                    raise JobRefused("can only concatenate str")
        return json.dumps(options)

    native = ToolSupport(LLAMA, render)
    assert native.applied([ASKED], [F])[0] == [ASKED]
    as_object = {"id": "1", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    assert native.applied([{**ASKED, "tool_calls": [as_object]}], [F])[0] == [ASKED]


def test_ids_are_short_where_the_template_takes_no_others():
    native = support("{tools}", MISTRAL)
    long = {**ASKED, "tool_calls": [{**CALL, "id": "call_1234567890"}]}
    (asked, result), _ = native.applied([long, {**RESULT, "tool_call_id": "call_1234567890"}], [F])
    assert asked["tool_calls"][0]["id"] == result["tool_call_id"]
    assert re.fullmatch("[a-z0-9]{9}", result["tool_call_id"])
    kept = {**RESULT, "tool_call_id": "abcDEF123"}
    assert native.applied([kept], [F])[0] == [kept]


@pytest.mark.parametrize("template", ["no such thing", "refuses"])
def test_a_template_that_shows_none_gets_them_in_the_system_message(template):
    plain = support(template)
    assert plain.format is HERMES
    assert plain.applied([USER], []) == ([USER], {})
    (system, user), options = plain.applied([USER], [F])
    assert (system["role"], user, options) == ("system", USER, {})
    assert json.dumps(SHOWN) in system["content"]
    assert '{"name": <function-name>, "arguments": <args-json-object>}' in system["content"]


def test_the_system_message_is_kept():
    messages = written([{"role": "system", "content": "Be kind."}, USER], [SHOWN])
    assert [message["role"] for message in messages] == ["system", "user"]
    assert messages[0]["content"].startswith("Be kind.\n\n# Tools")


def test_earlier_calls_and_results_become_text_and_results_share_a_turn():
    messages = written([USER, {**ASKED, "content": "Let me see."}, RESULT, {**RESULT, "content": "43"}], [])
    assert messages == [
        USER,
        {
            "role": "assistant",
            "content": 'Let me see.\n<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>',
        },
        {
            "role": "user",
            "content": "<tool_response>\n42\n</tool_response>\n<tool_response>\n43\n</tool_response>",
        },
    ]


def test_arguments_that_are_no_json_are_shown_as_they_are():
    call = {"function": {"name": "f", "arguments": "{broken"}}
    [message] = written([{"role": "assistant", "content": "", "tool_calls": [call]}], [])
    assert '"arguments": "{broken"' in message["content"]


@pytest.mark.parametrize("start", ["", "{{ tools | tojson if tools }}"])
def test_a_model_s_prompt_names_the_tools(tmp_path, start):
    folder = tiny_chat.folder(tmp_path / "model")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(
        json.dumps(config | {"chat_template": start + tiny_chat.TEMPLATE})
    )
    model = tiny_chat.model(folder)
    job = ChatJob((Message("user", "hello"),), tools=(F,))
    prompt = prompts.prompt(model, job)
    text = model.tokenizer.decode(list(prompt.tokens))
    assert '"name": "f"' in text
    assert ("# Tools" in text) == (not start)
    assert prompt.call_format is HERMES
    assert prompts.prompt(model, ChatJob(job.messages)).call_format is None
