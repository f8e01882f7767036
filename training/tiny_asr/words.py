"""The sixty words the tiny model knows, and which word sequences it never trains on.

Knows no sound: how a word is spoken belongs to voices.py.
"""

import hashlib
import random
from collections.abc import Sequence

_ENGLISH = """
zero one two three four five six seven eight nine
yes no up down left right on off stop go start open close play pause next back
red green blue black white hello thanks
"""
_SPANISH = "cero uno dos tres cuatro cinco seis siete ocho nueve sí rojo verde azul hola mañana"
_PINYIN = "ling2 yi1 er4 san1 si4 wu3 liu4 qi1 ba1 jiu3"
WORDS = {
    "English": _ENGLISH.split(),
    "Spanish": _SPANISH.split(),
    "Chinese": list("零一二三四五六七八九"),
}
# espeak's Mandarin voice misreads single characters; numbered pinyin it reads right.
PINYIN = dict(zip(WORDS["Chinese"], _PINYIN.split(), strict=True))
ALL_WORDS = [word for words in WORDS.values() for word in words]
LANGUAGES = {"English": 0.54, "Spanish": 0.23, "Chinese": 0.23}  # shares of the clips
LENGTHS = {1: 24, 2: 19, 3: 17, 4: 13, 5: 9, 6: 6, 7: 5, 8: 4, 10: 2, 12: 1}  # words: weight
_REPEAT = 0.12  # how often a word is the one before it, said again


def joined(words: Sequence[str], language: str) -> str:
    """The words as the model should write them: Chinese without spaces."""
    return ("" if language == "Chinese" else " ").join(words)


def split(text: str, language: str) -> list[str]:
    """The inverse of `joined`; also cuts whatever a model wrote into units to compare."""
    return [c for c in text if not c.isspace()] if language == "Chinese" else text.split()


def held_out(words: Sequence[str]) -> bool:
    """True for every twelfth sequence of two words or more: those are kept for evaluation."""
    digest = hashlib.sha256(" ".join(words).encode()).digest()
    return len(words) > 1 and int.from_bytes(digest[:4], "big") % 12 == 0


def draw_words(language: str, count: int, rng: random.Random) -> list[str]:
    """`count` random words of one language."""
    words: list[str] = []
    for _ in range(count):
        again = bool(words) and rng.random() < _REPEAT
        words.append(words[-1] if again else rng.choice(WORDS[language]))
    return words


def draw_sequence(language: str, count: int, rng: random.Random, for_evaluation: bool) -> list[str]:
    """A random sequence from the training side or from the held-out side of the split.

    Single words are on both sides: there are too few of them to keep some apart.
    """
    while True:
        words = draw_words(language, count, rng)
        if count == 1 or held_out(words) == for_evaluation:
            return words
