"""How chat models write an answer: what marks the borders between thought, answer and tool call.

Facts only. A format is a table of states and of the marks that lead from one to the next; the text engine's
parser (engines/text/channels.py) obeys it. A mark is written as text here; where its parts are special tokens
of a tokenizer, those tokens are meant, and the same letters spelled out are plain text.

mlx-lm knows some formats (tokenizer_utils.py: thinking tokens, structural markers, response transitions). It
is asked first; the rows here are those that it lacks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mlx_lm.chat_templates.muse_spark import RESPONSE_FORMAT

# States of an answer. The first three are channels: their text leaves.
ANSWER = "answer"
REASONING = "reasoning"
TOOL_CALL = "tool_call"
HEADER = "header"  # what stands before a message and says where it goes
BY_HEADER = "by header"  # behind a header: the state that its text names

Edges = tuple[tuple[str, str], ...]  # (mark, the state behind it)
Transitions = Mapping[str, Sequence[tuple[str, str]]]  # mlx-lm's edges
Tags = tuple[str, str]  # what opens reasoning and what closes it


@dataclass(frozen=True)
class AnswerFormat:
    edges: Mapping[str, Edges] = field(default_factory=dict)  # by the state they leave
    begins: str = ANSWER  # the state behind a prompt that does not end in a mark
    tags: Tags | None = None  # of formats that know nothing but a pair around reasoning
    header: str = ""  # how a header begins, as a pattern: what does not is text
    closing: str = ""  # what a model writes between thought and answer
    headers: Edges = ()  # (what is found in a header, as a pattern; the state behind it): the first counts

    def behind_header(self, header: str) -> str:
        return next(state for pattern, state in self.headers if re.search(pattern, header))


PLAIN = AnswerFormat()  # of models that only answer


def tagged(tags: Tags, wrappers: Sequence[str] = ()) -> AnswerFormat:
    """Reasoning between two marks; `wrappers` stand around other parts and say nothing."""
    opening, closing = tags
    edges = {
        ANSWER: ((opening, REASONING), *((wrapper, ANSWER) for wrapper in wrappers)),
        REASONING: ((closing, ANSWER),),
    }
    # Qwen3 and R1 were trained on these line breaks; without them the answer goes on thinking.
    return AnswerFormat(edges, tags=tags, closing="\n</think>\n\n" if closing == "</think>" else closing)


# OpenAI's gpt-oss: https://cookbook.openai.com/articles/openai-harmony. A recipient stands before or behind
# the channel's name; a commentary to one that is no function of the request's is a call all the same.
_MESSAGE_ENDS = tuple(
    (mark, HEADER) for mark in ("<|end|>", "<|call|>", "<|return|>", "<|start|>", "<|channel|>")
)
HARMONY = AnswerFormat(
    edges={
        HEADER: (("<|message|>", BY_HEADER),),
        ANSWER: _MESSAGE_ENDS,
        REASONING: _MESSAGE_ENDS,
        TOOL_CALL: _MESSAGE_ENDS,
    },
    begins=HEADER,
    header=r"\s*(<\|start\|>)?(assistant)?\s*(<\||to=)",
    closing="<|end|><|start|>assistant<|channel|>final<|message|>",
    headers=(
        (r"\bto=functions\.", TOOL_CALL),
        (r"<\|channel\|>\s*analysis", REASONING),
        (r"\bto=(?!assistant|user|all\b)", TOOL_CALL),
        ("", ANSWER),
    ),
)

# Solar Open: a message's kind stands in the place of its channel; a prompt may give an empty thought.
_SOLAR_ENDS = tuple((mark, HEADER) for mark in ("<|end|>", "<|begin|>", "<|flush|>", "<|calls|>"))
SOLAR = AnswerFormat(
    edges={
        HEADER: (("<|think|>", REASONING), ("<|content|>", ANSWER), ("<|tool_calls|>", ANSWER)),
        ANSWER: _SOLAR_ENDS,
        REASONING: _SOLAR_ENDS,
        TOOL_CALL: _SOLAR_ENDS,
    },
    begins=HEADER,
    header=r"\s*(<\|begin\|>|assistant)",
    closing="<|end|><|begin|>assistant<|content|>",
)

# Marks around reasoning that mlx-lm does not know, as tokens or in letters of a template.
TAGS: tuple[Tags, ...] = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),  # Magistral, Ministral
    ("<seed:think>", "</seed:think>"),  # Seed-OSS
    ("<|inner_prefix|>", "<|inner_suffix|>"),  # Apertus
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Command A
    ("◁think▷", "◁/think▷"),  # Kimi-VL
    ("<thought>", "</thought>"),  # EXAONE Deep
    ("<|begin_of_thought|>", "<|end_of_thought|>"),  # OpenThinker
    ("<mm:think>", "</mm:think>"),  # MiniMax-M3
    ("<|plamo:begin_think:plamo|>", "<|plamo:end_think:plamo|>"),  # PLaMo 3
    ("<unused94>thought", "<unused95>"),  # MedGemma
    ("Here is my thought process:", "Here is my response:"),  # Granite 3.2
    ("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"),  # Apriel
)

# Around the answer proper: Hunyuan, ERNIE 4.5, OpenThinker, Command A, Apriel.
WRAPPERS: tuple[tuple[str, ...], ...] = (
    ("<answer>", "</answer>"),
    ("<response>", "</response>"),
    ("<|begin_of_solution|>", "<|end_of_solution|>"),
    ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    ("[END FINAL RESPONSE]",),
)

# Names of tokens that open or close reasoning in families without a row
_OPENS = re.compile(r"[<\[]\|?/?[\w:.-]*(think|thought|reasoning)[\w:.-]*\|?[>\]]", re.IGNORECASE)
_OPPOSITES = (("start", "end"), ("begin", "end"), ("open", "close"), ("START", "END"), ("BEGIN", "END"))
MOST_NAME = 48  # letters

# mlx-lm's names of states
_STATES = {"normal": ANSWER, "reasoning": REASONING, "tool": TOOL_CALL, "header": HEADER}
_HEADER_END = "<|message|>"


class Tokenizer(Protocol):
    """What is asked of mlx-lm's wrapper around a tokenizer."""

    @property
    def has_thinking(self) -> bool: ...
    @property
    def think_start(self) -> str | None: ...
    @property
    def think_end(self) -> str | None: ...
    @property
    def structural_markers(self) -> tuple[str, ...]: ...
    @property
    def response_transitions(self) -> Transitions: ...
    @property
    def response_initial_state(self) -> str | None: ...
    @property
    def chat_template(self) -> str | None: ...
    def get_vocab(self) -> dict[str, int]: ...


def chosen(tokenizer: Tokenizer, own_tags: Tags | None = None) -> AnswerFormat:
    """The format of a model, by what its tokenizer and template hold. `own_tags`: of a package of ours."""
    vocabulary = tokenizer.get_vocab()
    if tokenizer.response_transitions:
        return _of_transitions(tokenizer.response_transitions, tokenizer.response_initial_state)
    if {"<|channel|>", "<|message|>"} <= vocabulary.keys():
        return HARMONY
    if {"<|start|>", "<|message|>", "<|eom|>", "<|eot|>"} <= vocabulary.keys():  # Muse Glimmer
        spark: dict[str, Any] = RESPONSE_FORMAT  # its own type says nothing
        return _of_transitions(spark["transitions"], spark["initial_state"])
    if {"<|begin|>", "<|think|>", "<|content|>", "<|flush|>"} <= vocabulary.keys():
        return SOLAR
    template = tokenizer.chat_template if isinstance(tokenizer.chat_template, str) else ""
    found = [pair for pair in WRAPPERS if all(mark in template or mark in vocabulary for mark in pair)]
    wrappers = [mark for pair in found for mark in pair]
    tags = _tags(tokenizer, vocabulary, template) or own_tags
    return tagged(tags, (*tokenizer.structural_markers, *wrappers)) if tags else PLAIN


def _tags(tokenizer: Tokenizer, vocabulary: Mapping[str, int], template: str) -> Tags | None:
    """Those that are tokens; else those whose end the template or the vocabulary knows."""
    if tokenizer.think_start and tokenizer.think_end:
        return tokenizer.think_start, tokenizer.think_end
    # MedGemma's opening mark is a token and a word.
    tokens = [tags for tags in TAGS if all(tag.removesuffix("thought") in vocabulary for tag in tags)]
    ends = [tags for tags in TAGS if tags[1] in template or tags[1] in vocabulary]
    return next(iter((*tokens, *ends)), None) or _pair_of_tokens(vocabulary)


def _pair_of_tokens(vocabulary: Iterable[str]) -> Tags | None:
    """Of a family that no row knows: two tokens whose names say it."""
    names = {name for name in vocabulary if len(name) < MOST_NAME and _OPENS.fullmatch(name)}
    pairs = ((name, closing) for name in sorted(names) for closing in _closings(name) if closing in names)
    return next(pairs, None)


def _closings(opening: str) -> Iterable[str]:
    """What the token may be called that closes what this one opens."""
    yield re.sub(r"^([<\[]\|?)", r"\1/", opening)
    for first, last in _OPPOSITES:
        if first in opening:
            yield opening.replace(first, last)


def _of_transitions(transitions: Transitions, begins: str | None) -> AnswerFormat:
    """Where calls begin is left out: that is said with the calls."""
    edges: dict[str, Edges] = {}
    for state, given in transitions.items():
        known = [(mark, _STATES[behind]) for mark, behind in given if _STATES[behind] != TOOL_CALL]
        if _STATES[state] == HEADER:
            known.append((_HEADER_END, BY_HEADER))  # a message to somebody else
        edges[_STATES[state]] = tuple(known)
    first = _STATES[begins or "normal"]
    return AnswerFormat(
        edges,
        begins=first,
        header=r"\s*(<\||to=|assistant)",
        closing="<|eom|><|start|>assistant to=user<|message|>",
        headers=(("", ANSWER),),
    )
