"""How chat models write calls of tools: the marks around them, and the form of what stands between.

Facts only. mlx-lm knows some forms (mlx_lm/tool_parsers), chosen by a model's template and vocabulary; it is
asked first. The rows here are those that it lacks, and those of its forms whose arguments are JSON: these can
be read while they are written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from mlx_lm.tool_parsers import pythonic

Parse = Callable[..., Any]  # (text, tools) -> a call or a list of them; raises anything


@dataclass(frozen=True)
class Mark:
    start: str
    end: str = ""  # "": the end of the answer, or the next call
    first: bool = False  # the beginning of a call without marks; only if nothing is answered before it


@dataclass(frozen=True)
class CallFormat:
    marks: tuple[Mark, ...]
    form: Literal["json", "header", "parsed"] = "json"
    header: str = ""  # of form header: a pattern up to the arguments, with the groups name and perhaps id
    gap: str = r"\s*"  # likewise: what may stand behind the last call
    or_list: bool = False  # likewise: a list in JSON is right as well
    parse: Parse | None = None  # of form parsed
    short_ids: bool = False  # the template takes ids of nine letters alone


class Tokenizer(Protocol):
    """What is asked of mlx-lm's wrapper around a tokenizer."""

    @property
    def has_tool_calling(self) -> bool: ...
    @property
    def tool_call_start(self) -> str | None: ...
    @property
    def tool_call_end(self) -> str | None: ...
    @property
    def tool_parser(self) -> Parse | None: ...
    @property
    def chat_template(self) -> str | Mapping[str, str] | None: ...
    def get_vocab(self) -> dict[str, int]: ...


def _json(start: str, end: str = "") -> CallFormat:
    return CallFormat((Mark(start, end),))


# {"name": ..., "arguments": {...}} as Hermes, Qwen and most others have it; models whose template shows no
# tools are asked for it.
HERMES = _json("<tool_call>", "</tool_call>")

# OpenAI's gpt-oss: the recipient of a message is the function, and the message's header the mark. The one
# here never comes: U+FDD2 is no character.
HARMONY = CallFormat(
    (Mark("\ufdd2"),),
    form="header",
    header=r"[^{]*?\bto=(?:functions\.)?(?P<name>[\w.:/-]+)[^{]*",
)
KIMI = CallFormat(
    (Mark("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"),),
    form="header",
    header=r"\s*(?:<\|tool_call_end\|>)?\s*(?:<\|tool_call_begin\|>)?\s*"
    r"(?P<id>(?:functions\.)?(?P<name>[\w./-]+):\d+)\s*<\|tool_call_argument_begin\|>\s*",
    gap=r"\s*(?:<\|tool_call_end\|>)?\s*",
)
# Its older form is a list in JSON.
MISTRAL = CallFormat(
    (Mark("[TOOL_CALLS]"),),
    form="header",
    header=r"[\s,]*(?P<name>[\w.:/-]+)\s*(?:\[CALL_ID\](?P<id>\w+))?\s*(?:\[ARGS\])?\s*",
    or_list=True,
    short_ids=True,
)
# V3 and R1 write "function", the name and a block of code; V3.1 the name alone.
DEEPSEEK = CallFormat(
    (Mark("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"),),
    form="header",
    header=r"\s*(?:```)?\s*(?:<｜tool▁call▁end｜>)?\s*<｜tool▁call▁begin｜>(?:function<｜tool▁sep｜>)?"
    r"(?P<name>[\w.:/-]+)\s*(?:<｜tool▁sep｜>|```json)\s*",
    gap=r"\s*(?:```)?\s*(?:<｜tool▁call▁end｜>)?\s*",
)
# Llama 3.1 and later: behind a token, or an answer that is nothing but a call.
LLAMA = CallFormat((Mark("<|python_tag|>"), Mark("{", first=True)))
LLAMA_4 = CallFormat(
    (Mark("<|python_start|>", "<|python_end|>"), Mark("[", first=True)),
    form="parsed",
    parse=pythonic.parse_tool_call,
)
# Nemotron's list of calls may stand at once behind the mark; so may Granite's and Phi's.
NEMOTRON = _json("<TOOLCALL>", "</TOOLCALL>")
GRANITE = _json("<|tool_call|>")
PHI = _json("<|tool_call|>", "<|/tool_call|>")
COMMAND = _json("<|START_ACTION|>", "<|END_ACTION|>")
INTERNLM = _json("<|action_start|><|plugin|>", "<|action_end|>")
HUNYUAN = _json("<tool_calls>", "</tool_calls>")

# mlx-lm's forms that are JSON.
KNOWN: Mapping[str, CallFormat] = {"json_tools": HERMES, "kimi_k2": KIMI, "mistral": MISTRAL}

# What a template has -> the format: the first row that fits counts.
BY_TEMPLATE: tuple[tuple[str, CallFormat], ...] = (
    ("<|channel|>commentary", HARMONY),
    ("<｜tool▁calls▁begin｜>", DEEPSEEK),
    ("<|/tool_call|>", PHI),
    ("<|tool_call|>", GRANITE),
    ("<TOOLCALL>", NEMOTRON),
    ("<|START_ACTION|>", COMMAND),
    ("<|action_start|>", INTERNLM),
    ("<tool_calls>", HUNYUAN),
    ("<tool_call>", HERMES),
    ("<|python_start|>", LLAMA_4),
    ("<|python_tag|>", LLAMA),
)


def chosen(tokenizer: Tokenizer) -> CallFormat:
    """The format of a model, by its template and vocabulary."""
    start, end, parse = tokenizer.tool_call_start, tokenizer.tool_call_end, tokenizer.tool_parser
    if start and parse:
        known = KNOWN.get(parse.__module__.rpartition(".")[2])
        return known or CallFormat((Mark(start, end or ""),), form="parsed", parse=parse)
    vocabulary = tokenizer.get_vocab()
    if "<|channel|>" in vocabulary and "<|message|>" in vocabulary:
        return HARMONY
    given = tokenizer.chat_template or ""
    template = given if isinstance(given, str) else "\n".join(given.values())
    return next((format for text, format in BY_TEMPLATE if text in template), HERMES)
