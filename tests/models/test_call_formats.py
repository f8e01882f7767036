from __future__ import annotations

import importlib
from dataclasses import dataclass, field

import pytest

from ominix.models import call_formats
from ominix.models.call_formats import chosen


@dataclass
class Tokenizer:
    """mlx-lm's wrapper, as far as it is asked."""

    chat_template: str | dict | None = None
    parser: str = ""  # that mlx-lm has chosen
    vocabulary: dict[str, int] = field(default_factory=dict)

    def _fact(self, name):
        return (
            getattr(importlib.import_module(f"mlx_lm.tool_parsers.{self.parser}"), name)
            if self.parser
            else None
        )

    @property
    def has_tool_calling(self):
        return bool(self.parser)

    @property
    def tool_call_start(self):
        return self._fact("tool_call_start")

    @property
    def tool_call_end(self):
        return self._fact("tool_call_end")

    @property
    def tool_parser(self):
        return self._fact("parse_tool_call")

    def get_vocab(self):
        return self.vocabulary


@pytest.mark.parametrize(
    ("parser", "format"),
    [
        ("json_tools", "HERMES"),
        ("kimi_k2", "KIMI"),
        ("mistral", "MISTRAL"),
        ("qwen3_coder", None),
        ("glm47", None),
    ],
)
def test_mlx_lm_is_asked_first(parser, format):
    found = chosen(Tokenizer("<|python_tag|>", parser))
    if format:
        assert found is getattr(call_formats, format)
    else:
        assert found.form == "parsed"
        assert found.parse is Tokenizer(parser=parser).tool_parser
        assert [(mark.start, mark.end) for mark in found.marks] == [("<tool_call>", "</tool_call>")]


def test_every_parser_of_mlx_lm_has_marks_and_a_form():
    folder = importlib.import_module("mlx_lm.tool_parsers").__path__[0]
    names = [path.stem for path in importlib.import_module("pathlib").Path(folder).glob("[a-z]*.py")]
    assert len(names) >= 14
    for name in names:
        assert chosen(Tokenizer(parser=name)).marks[0].start


@pytest.mark.parametrize(
    ("template", "format"),
    [
        ("{{ '<｜tool▁calls▁begin｜>' }}", "DEEPSEEK"),
        ("<|tool_call|>{{ x }}<|/tool_call|>", "PHI"),
        ("<|tool_call|>{{ x }}", "GRANITE"),
        ("<TOOLCALL>", "NEMOTRON"),
        ("<|START_ACTION|>", "COMMAND"),
        ("<|action_start|><|plugin|>", "INTERNLM"),
        ("<tool_calls>", "HUNYUAN"),
        ("<tool_call>", "HERMES"),
        ("<|python_start|><|python_tag|>", "LLAMA_4"),
        ("<|python_tag|>", "LLAMA"),
        ({"default": "", "tool_use": "<TOOLCALL>"}, "NEMOTRON"),
        ("nothing", "HERMES"),
        (None, "HERMES"),
    ],
)
def test_what_mlx_lm_lacks_is_chosen_by_the_template(template, format):
    assert chosen(Tokenizer(template)) is getattr(call_formats, format)


def test_harmony_is_known_by_its_tokens():
    vocabulary = {"<|channel|>": 1, "<|message|>": 2}
    assert chosen(Tokenizer("", vocabulary=vocabulary)) is call_formats.HARMONY
