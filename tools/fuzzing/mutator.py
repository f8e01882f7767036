"""Inputs for a fuzz target: one of its good inputs, broken in a few places. One number, one input."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

MAX_BYTES = 256 << 10
NUMBERS = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 62,
    (1 << 64) - 1,
)
SIZES = (1, 2, 4, 8)  # bytes of a number in a file
# What text formats trip over: separators, quotes, half characters, ends of lines, numbers without end.
WORDS = (
    *(bytes([c]) for c in b"\"'\\\0\n :;,[]{}<>/@"),
    *(b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"\\ud800", b"\xe2\x80\xa8", b"\xf0\x9f\x98\x80"),
    *(
        b"NaN",
        b"-1",
        b"1e400",
        b"null",
        b"true",
        b"9" * 400,
        b"--",
        b"..",
        b"%00",
        b"%2e",
        b"\r\n",
        b"[::1]",
        b"localhost",
    ),
)
MOST_CHANGES = 8


def made(corpus: Sequence[bytes], number: int, seed: int) -> bytes:
    """The input of this number: of each seed another one."""
    dice = random.Random(f"{seed} {number}")
    data = bytearray(dice.choice(corpus))
    for _ in range(dice.randint(0, MOST_CHANGES)):
        dice.choice(CHANGES)(data, dice, corpus)
        del data[MAX_BYTES:]
    return bytes(data)


def _place(data: bytearray, dice: random.Random) -> int:
    """Mostly near the beginning, where headers are."""
    end = len(data) if dice.random() < 0.5 else min(len(data), 256)
    return dice.randint(0, end)


def _flip(data: bytearray, dice: random.Random, corpus: object) -> None:
    at = _place(data, dice)
    if at < len(data):
        data[at] ^= 1 << dice.randrange(8)


def _byte(data: bytearray, dice: random.Random, corpus: object) -> None:
    at = _place(data, dice)
    data[at : at + 1] = bytes([dice.randrange(256)])


def _number(data: bytearray, dice: random.Random, corpus: object) -> None:
    at, size = _place(data, dice), dice.choice(SIZES)
    number = (dice.choice(NUMBERS) + dice.randint(-1, 1)) & ((1 << 8 * size) - 1)
    data[at : at + size] = number.to_bytes(size, dice.choice(("little", "big")))


def _word(data: bytearray, dice: random.Random, corpus: object) -> None:
    at = _place(data, dice)
    data[at:at] = dice.choice(WORDS) * dice.choice((1, 1, 1, 2, 100))


def _delete(data: bytearray, dice: random.Random, corpus: object) -> None:
    at = _place(data, dice)
    del data[at : at + dice.choice((1, 2, 4, 16, 256))]


def _repeat(data: bytearray, dice: random.Random, corpus: object) -> None:
    at = _place(data, dice)
    piece = data[at : at + dice.choice((1, 4, 16, 64, 512))]
    data[at:at] = piece * dice.choice((1, 2, 10, 100))


def _cut(data: bytearray, dice: random.Random, corpus: object) -> None:
    del data[_place(data, dice) :]


def _splice(data: bytearray, dice: random.Random, corpus: Sequence[bytes]) -> None:
    other = dice.choice(corpus)
    data[_place(data, dice) :] = other[dice.randint(0, len(other)) :]


CHANGES: tuple[Callable[[bytearray, random.Random, Sequence[bytes]], None], ...] = (
    *(_flip, _byte, _number, _word),
    *(_delete, _repeat, _cut, _splice),
)
