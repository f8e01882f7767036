"""Grammars, compiled by llguidance: a JSON Schema, a regex or a Lark grammar in, a matcher out.

The text is a client's: it may be deep, huge or ambiguous on purpose. Bounds on its size are checked here,
before llguidance reads it; llguidance counts its own work and gives up at its limits. Where both are not
enough, the trial (trial.py) finds out in a process of its own.

Knows tokenizers as llguidance has them, and nothing of models, logits or jobs.
"""

from __future__ import annotations

import re
from typing import Any

from llguidance import LLMatcher, LLTokenizer
from llguidance._lib import LLParserLimits

from ominix.errors import JobRefused
from ominix.wire.jobs import Grammar

MOST_CHARS = 256 << 10  # an enum of 5,000 values has 90 thousand
# llguidance reads brackets, references and rules by recursion. A chain of 1,000 references between objects is
# more than a stack of 8 MiB holds.
MOST_DEPTH = 100
MOST_REFERENCES = 400
MOST_LINES = 1000  # of a Lark grammar: a rule has one at least
# A line break with indentation, or one space: without a bound a weak model writes spaces to the end.
SPACES = r"(\n[ \t]{0,40}|[ ])"
LIMITS = LLParserLimits(
    initial_lexer_fuel=1_000_000,
    step_lexer_fuel=200_000,
    step_max_items=50_000,
    max_lexer_states=50_000,
    max_grammar_size=200_000,
    precompute_large_lexemes=False,
    verbose_errors=False,
)
JSON_OPTIONS: Any = {  # a TypedDict that the package does not export
    "lenient": False,
    "coerce_one_of": False,
    "whitespace_flexible": True,
    "whitespace_pattern": SPACES,
    "item_separator": ",",
    "key_separator": ":",
}
WHAT = {"json_schema": "The JSON Schema", "regex": "The regex", "lark": "The grammar"}
BRACKETS = re.compile(r'"(?:[^"\\\n]|\\.)*"|[\[{(\]})]')
OUT_OF_BOUNDS = re.compile(r"too (big|large|complex|many|deep)|limit|fuel", re.IGNORECASE)
NO_TEXT = re.compile(r"NoExtension|Unsatisfiable")
MOST_REASON_CHARS = 300


def compiled(tokenizer: LLTokenizer, grammar: Grammar) -> LLMatcher:
    """At the beginning of an answer, its first mask made: some texts only cost time there.

    Raises JobRefused for a grammar that cannot be obeyed.
    """
    _check_bounds(grammar)
    matcher = LLMatcher(tokenizer, _source(grammar), log_level=0, limits=LIMITS)
    first = b"" if matcher.is_error() else matcher.compute_bitmask()
    if matcher.is_error():
        raise refusal(grammar, matcher.get_error().partition("<state>")[0])
    if not any(first):
        raise refusal(grammar, "no text fits it")
    return matcher


def refusal(grammar: Grammar, reason: str) -> JobRefused:
    line = " ".join(reason.split())
    if NO_TEXT.match(line):
        line = f"no text fits it ({line})"
    elif OUT_OF_BOUNDS.search(line) and "the limit" not in line:  # which are ours
        line = f"it takes more than the bounds allow ({line})"
    line = line if len(line) <= MOST_REASON_CHARS else f"{line[:MOST_REASON_CHARS]}..."
    message = f"{WHAT[grammar.kind]} cannot be obeyed: {line}."
    return JobRefused(message, param="response_format", code="unsupported_value")


def _check_bounds(grammar: Grammar) -> None:
    """Raises JobRefused."""
    text = grammar.text
    if len(text) > MOST_CHARS:
        raise refusal(grammar, f"it has {len(text)} characters; the limit is {MOST_CHARS}")
    depth = 0
    for found in BRACKETS.findall(text) if grammar.kind != "regex" else ():
        depth += (found in "[{(") - (found in "]})")
        if depth > MOST_DEPTH:
            raise refusal(grammar, f"it is nested deeper than the limit of {MOST_DEPTH} levels")
    if text.count('"$ref"') > MOST_REFERENCES:
        raise refusal(grammar, f"it has more references ($ref) than the limit of {MOST_REFERENCES}")
    if grammar.kind == "lark" and text.count("\n") >= MOST_LINES:
        raise refusal(grammar, f"it has more lines than the limit of {MOST_LINES}")


def _source(grammar: Grammar) -> str:
    """As llguidance takes it. The options win over what a client writes under x-guidance in its schema."""
    if grammar.kind == "regex":
        return LLMatcher.grammar_from_regex(grammar.text)
    if grammar.kind == "lark":
        return LLMatcher.grammar_from_lark(grammar.text)
    try:
        return LLMatcher.grammar_from_json_schema(grammar.text, overrides=JSON_OPTIONS)
    except ValueError as error:
        raise refusal(grammar, str(error)) from None
