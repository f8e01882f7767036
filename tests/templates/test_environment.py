"""What templates have to work with is what transformers gives them."""

from __future__ import annotations

import pytest
from jinja2 import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

from ominix.templates.environment import TooLong, render

MESSAGES = [
    {"role": "system", "content": "Be <b>brief</b> & \"kind\".\n"},
    {"role": "user", "content": "  Grüße, 你好 😀 {{ x }}  "},
    {"role": "assistant", "content": "<think>\nhm\n</think>\n\nyes", "tool_calls": [
        {"type": "function", "function": {"name": "f", "arguments": {"a": [1, 2.5, None, True]}}}
    ]},
    {"role": "tool", "content": "5", "name": "f", "tool_call_id": "1"},
    {"role": "user", "content": ""},
]  # fmt: skip
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"ä": "<&>"}}}]
# The idioms of the templates of Qwen, Llama, Mistral, Gemma, SmolLM and those who came after them.
TEMPLATES = {
    "chatml": (
        "{%- if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou.<|im_end|>\\n' }}{% endif %}\n"
        "{% for message in messages %}\n"
        "    {{- '<|im_start|>' + message.role + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}\n"
        "{% endfor %}\n"
        "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{% endif %}"
    ),
    "tools": "{% if tools %}{% for t in tools %}{{ t | tojson }}\n{{ t|tojson(indent=4) }}{% endfor %}"
    "{% endif %}"
    "{% for m in messages if m.tool_calls is defined %}{% for c in m.tool_calls %}"
    "{{ c.function.arguments|tojson(ensure_ascii=True, sort_keys=True) }}{% endfor %}{% endfor %}",
    "namespace": "{% set ns = namespace(last=-1, text='') %}{% for m in messages[::-1] %}"
    "{% set i = (messages|length - 1) - loop.index0 %}"
    "{% if m.role == 'user' and ns.last == -1 %}{% set ns.last = i %}{% endif %}{% endfor %}{{ ns.last }}",
    "thinking": "{% for m in messages %}{% if '</think>' in m.content %}"
    "{% set c = m.content.split('</think>')[-1].lstrip('\\n') %}{{ c }}"
    "{% else %}{{ m.content | trim }}{% endif %}{% endfor %}"
    "{% if enable_thinking is defined and enable_thinking is false %}<think></think>{% endif %}",
    "loops": "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.role|upper }}"
    "{% if loop.index0 == 3 %}{% break %}{% endif %}{% endfor %}",
    "generation": "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
    "variables": "{{ bos_token }}{{ documents is none }}{{ dict(a=1) }}{{ dict.fromkeys(['b']) }}{{ absent }}"
    "{{ strftime_now('%Y') }}{% macro f(x, y=2) %}{{ x }}-{{ y }}{% endmacro %}{{ f(1) }}",
    "filters": "{{ messages|map(attribute='role')|join(', ') }}{{ messages"
    "|selectattr('role', 'equalto', 'user')|list|length }}"
    "{{ messages[0].content|replace('b', 'c')|title }}{{ [3, 1]|sort|first }}",
}


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize(
    "options", [{}, {"tools": TOOLS, "enable_thinking": False}], ids=["plain", "options"]
)
def test_a_template_writes_what_it_writes_in_transformers(name, options):
    (theirs,), _ = render_jinja_template(
        [MESSAGES], chat_template=TEMPLATES[name], add_generation_prompt=True, bos_token="<s>", **options
    )
    variables = {
        "bos_token": "<s>",
        "tools": None,
        "documents": None,
        "add_generation_prompt": True,
        **options,
    }
    assert render(TEMPLATES[name], {**variables, "messages": MESSAGES}, 10_000) == theirs


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('no') }}",
        "{{ ''.__class__.__mro__ }}",
        "{% set ns = namespace(__class__=1) %}",
        "{% set ns = namespace() %}{% set ns._x = 1 %}",
        "{{ messages.append(1) }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ dict.__call__.__globals__ }}",
    ],
)
def test_there_is_no_way_out(source):
    with pytest.raises(TemplateError):
        assert not render(source, {"messages": []}, 1000)


def test_what_it_writes_is_bounded():
    assert len(render("{{ 'a' * 100 }}", {}, 100)) == 100
    with pytest.raises(TooLong, match="more than 99 characters"):
        render("{{ 'a' * 100 }}", {}, 99)
