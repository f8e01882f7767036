"""The trial of a grammar: `python -P -m ominix.grammars.trial MEMORY_BYTES CPU_SECONDS`.

In: a grammar on the standard input. Out: why it cannot be obeyed, or nothing. It is compiled for a vocabulary
of bytes, then a text is walked along it, as an answer would be.

What its bounds miss, such as a regex with a million repetitions, costs this process and one request; the
model, and all who speak with it, live in another. Imports neither mlx nor transformers.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence

import msgspec
from llguidance import LLTokenizer
from llguidance._tokenizer import TokenizerWrapper

from ominix import limits
from ominix.errors import JobRefused
from ominix.grammars import compiler
from ominix.wire.jobs import Grammar

STEPS = 64  # tokens of the walk
ERROR = 2  # the highest descriptor
STOP = 256


class ByteVocabulary:
    """Its tokens are the 256 bytes, and one that ends a text."""

    eos_token_id = STOP
    bos_token_id = None
    tokens: Sequence[bytes] = (*(bytes([byte]) for byte in range(256)), b"<stop>")
    special_token_ids = (STOP,)

    def __call__(self, text: bytes) -> list[int]:
        return list(text)


def main() -> None:
    memory_bytes, cpu_seconds = map(int, sys.argv[1:])
    grammar = msgspec.json.decode(sys.stdin.buffer.read(), type=Grammar)
    limits.confine(memory_bytes, ERROR)
    limits.allow_seconds(cpu_seconds)
    try:
        walk(grammar)
    except JobRefused as error:
        sys.stdout.buffer.write(error.message.encode())


def walk(grammar: Grammar) -> None:
    """Raises JobRefused."""
    matcher = compiler.compiled(LLTokenizer(TokenizerWrapper(ByteVocabulary())), grammar)
    for step in itertools.takewhile(lambda _: not matcher.is_stopped(), range(STEPS)):
        mask = matcher.compute_bitmask()
        allowed = [byte for byte in range(STOP) if mask[byte >> 3] >> (byte & 7) & 1]
        if not allowed:
            return
        matcher.consume_token(allowed[(step * 7) % len(allowed)])
    if matcher.is_error():
        raise compiler.refusal(grammar, matcher.get_error().partition("<state>")[0])


if __name__ == "__main__":
    main()
