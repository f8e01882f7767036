from __future__ import annotations

import json

import pytest
from engines.text import tiny_chat

from ominix.engines.text import prompts
from ominix.engines.text.tool_prompt import NO_ARGUMENTS, ToolSupport, written
from ominix.errors import JobRefused
from ominix.models.call_formats import HERMES, LLAMA
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
    assert native.applied([USER, ASKED, RESULT], [F]) == ([USER, ASKED, RESULT], {"tools": [SHOWN]})
    assert native.applied([USER, ASKED, RESULT], []) == ([USER, ASKED, RESULT], {})


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
