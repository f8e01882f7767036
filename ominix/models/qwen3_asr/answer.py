"""How an answer of Qwen3-ASR reads. In: draws. Out: text, language, whether anybody speaks.

    language English<asr_text>One two three.<|im_end|>      the language was not given
    language None<asr_text>                                 and nobody speaks
    One two three.<|im_end|>                                the language was given

With the language given the model cannot say "None". Then the probability that it would have, asked for in the
middle of the prompt, decides.

On noise, or where the language changes, models break these rules: no tag at all, a second one, a head in the
middle, half a tag at the limit. What belongs to the grammar is never the user's: tags, the heads in front of
them, and the opening word of an answer without a tag. What is sent cannot be taken back, so text that may
turn out to be grammar is held back until it is decided:

    drawn -> held -> settled: released as text, or dropped as grammar; its tokens with it
"""

from __future__ import annotations

import codecs
import math
import re
from collections import deque
from dataclasses import dataclass

from ominix.models.qwen3_asr.prompt import NOTHING, TAG, Grammar
from ominix.models.recogniser import Draw, Verdict
from ominix.text import joining, languages

_NO_SPEECH = 0.5  # more likely than not, the model itself would say "language None"
_OPENING = "language"
# A head in front of a tag, and what may become one. Heads are written just so; speech is capitalised.
_HEAD = re.compile(rf"(?<![A-Za-z]){_OPENING}\s+([A-Z][\w-]*)\s*$")
_BEGUN_HEAD = re.compile(
    rf"(?<![A-Za-z])({'|'.join(_OPENING[:n] for n in range(1, len(_OPENING)))}"
    rf"|{_OPENING}(\s+([A-Z][\w-]*)?\s*)?)$"
)
_UNTAGGED = re.compile(rf"\s*{_OPENING}(?![A-Za-z])\s*(\S*)")


@dataclass(frozen=True)
class _Held:
    """A token whose text is not settled. Places in characters of the whole answer; a part of one has none."""

    start: int
    end: int
    token: int
    logprob: float


class Qwen3Answer:
    """An answer as it grows, token by token. Text is whole characters without space at its ends."""

    def __init__(self, grammar: Grammar, language: str | None) -> None:
        self.language = language
        self.language_prob: float | None = None  # the language is a part of the text
        self.no_speech_prob = 0.0
        self.finished = False
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self.verdict: Verdict | None = None  # its answers are not judged
        self._grammar = grammar
        self._is_forced = language is not None
        self._drawn = 0
        self._in_text = self._is_forced
        self._silent = False  # the model has said that there is nothing to write down
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._waiting: deque[_Held] = deque()
        self._settled = 0  # characters
        self._end_logprob: float | None = None
        self._spaces = ""  # held back: they may be the last
        self._last = ""  # the last character released; "" before the first
        self._is_joint = False  # grammar was dropped behind it

    def feed(self, draw: Draw) -> str:
        """The text that this draw adds."""
        if self._could_say_nothing():
            self.no_speech_prob = math.exp(draw.no_speech_logprob)
        self._drawn += 1
        is_silent = self._is_forced and self._drawn == 1 and self.no_speech_prob > _NO_SPEECH
        if is_silent or draw.token in self._grammar.ends:
            self._end_logprob = draw.logprob
            self.finished = True
            return ""
        self._hold(draw)
        return self._advance()

    def _could_say_nothing(self) -> bool:
        """Whether this draw stands where "None" may follow upon "language"."""
        if self._is_forced:
            return self._drawn == 0
        opening = self._grammar.opening
        return self._drawn == len(opening) and [held.token for held in self._waiting] == opening

    def _hold(self, draw: Draw) -> None:
        start = self._settled + len(self._held)
        if draw.token == self._grammar.tag:
            self._characters.reset()
            self._held += TAG
        elif not self._grammar.is_added(draw.token):
            self._held += self._characters.decode(self._grammar.bytes_of(draw.token))
        self._waiting.append(_Held(start, self._settled + len(self._held), draw.token, draw.logprob))

    def _advance(self) -> str:
        """What is decided by now."""
        text = ""
        while (tag := self._held.find(TAG)) >= 0:
            if not self._in_text:
                self._read_head(self._held[:tag])
            elif head := _HEAD.search(self._held, 0, tag):
                text += self._release(head.start())
                self._silent = not self._last and head[1] == NOTHING
            else:
                text += self._release(tag)
            self._drop(self._held.index(TAG) + len(TAG))
            self.finished = self._silent
        return text + self._release(len(self._held) - _undecided(self._held)) if self._in_text else text

    def end(self) -> str:
        """What was held back, but for its grammar."""
        self._held += self._characters.decode(b"", final=True)
        half_tag = _half_tag(self._held)
        self._held = self._held[: len(self._held) - half_tag]
        if half_tag and (head := _HEAD.search(self._held)):
            self._held = self._held[: head.start()]
        if not self._last:
            self._drop(self._untagged())
        text = "" if self._silent else self._release(len(self._held))
        if self._end_logprob is not None:
            self.logprobs.append(self._end_logprob)
        return text

    def _read_head(self, head: str) -> None:
        """ "language English" has been said; other first lines are taken for a name, as in the reference."""
        lines = [line.strip() for line in head.splitlines() if line.strip()]
        said = lines[0] if lines else ""
        if said.lower().startswith(f"{_OPENING} "):
            said = said[len(_OPENING) :].strip()
        self._silent = said.lower() == NOTHING.lower()
        self.language = None if self._silent or not said else languages.find(said) or said
        self._in_text = True

    def _untagged(self) -> int:
        """The characters of a head that no tag follows: it opens every answer whose language is not given."""
        found = _UNTAGGED.match(self._held)
        if found is None:
            return 0
        name, is_all = found[1].rstrip(".,"), found.end() == len(self._held.rstrip())
        is_name = name == NOTHING or bool(languages.find(name)) or (is_all and name[:1].isupper())
        if self._is_forced:
            return len(self._held) if is_all and (is_name or not name) else 0  # else somebody says so
        self._silent = name == NOTHING
        if is_name and not self._silent:
            self.language = languages.find(name) or name
        return found.end() if is_name else found.start(1)

    def _release(self, size: int) -> str:
        """The first `size` characters that are held, as text."""
        self._settled += size
        while self._waiting and self._waiting[0].start < self._settled:
            token = self._waiting.popleft()
            self.tokens.append(token.token)
            self.logprobs.append(token.logprob)
        released, self._held = self._held[:size], self._held[size:]
        return self._text(released)

    def _drop(self, size: int) -> None:
        """The first `size` characters that are held. A token that ends behind them is kept."""
        self._settled += size
        while self._waiting and self._waiting[0].start < self._settled >= self._waiting[0].end:
            self._waiting.popleft()
        self._held = self._held[size:]
        self._is_joint = True

    def _text(self, piece: str) -> str:
        piece = self._spaces + piece
        bare = piece.lstrip()
        if not self._last:
            piece = bare
        elif self._is_joint and bare:
            piece = (joining.between(self._last, bare) if bare == piece else " ") + bare
        self._is_joint = self._is_joint and not bare
        kept = piece.rstrip()
        self._spaces = piece[len(kept) :]
        self._last = kept[-1:] or self._last
        return kept


def _undecided(held: str) -> int:
    """How many of the last characters may be the beginning of a tag, or of a head in front of one."""
    half_tag = _half_tag(held)
    head = _BEGUN_HEAD.search(held, 0, len(held) - half_tag)
    return len(held) - head.start() if head else half_tag


def _half_tag(text: str) -> int:
    """Characters at its end with which a tag begins."""
    return next((n for n in range(len(TAG) - 1, 0, -1) if text.endswith(TAG[:n])), 0)
