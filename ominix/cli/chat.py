"""`ominix chat`: a conversation in the terminal, streamed. Ctrl-C stops an answer, not the program.

Without a terminal at standard input each line of it is a message, and only the answers are printed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
import termios
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ominix.cli import client, flags, offer, terminal
from ominix.cli.client import Address, Client, ModelState, connected
from ominix.cli.progress import Spinner
from ominix.errors import ServerError

DIM, PLAIN = "\033[2m", "\033[0m"
HINT = "/help shows the commands, Ctrl-D ends."
HELP = '''  /clear     forget what was said
  /exit      end, as Ctrl-D does; /quit and /bye, too
  /help      show this
  """        begins a message of several lines, and ends it
  Ctrl-C     stop an answer'''
ENDS = ("/exit", "/quit", "/bye")
COMMAND = re.compile(r"/[a-z?]+")  # /etc/hosts is a message
LOCAL_FLAGS = 3  # in what tcgetattr returns
QUOTES = '"""'
EXAMPLES = """
  ominix chat                            the first chat model there is
  ominix chat qwen3-0.6b --system "Answer in one sentence."
  echo "What is a kelvin?" | ominix chat
"""


def add_flags(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    parser.add_argument("model", nargs="?", metavar="MODEL", help="default: the first chat model there is")
    parser.add_argument("--system", metavar="TEXT", help="how the model is to behave")
    parser.add_argument(
        "--temperature", type=flags.between(0, 2), metavar="NUMBER", help="0 to 2; default: the server's"
    )
    parser.add_argument(
        "--max-tokens",
        type=flags.count(1, 1 << 20),
        metavar="COUNT",
        help="of the longest answer",
    )
    client.add_flags(parser, environ)


def run(
    *,
    home: Path,
    model: str | None,
    system: str | None,
    temperature: float | None,
    max_tokens: int | None,
    **address: Any,
) -> int:
    """`address`: the fields of client.Address."""
    fields = {"temperature": temperature, "max_tokens": max_tokens}
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        with connected(home, Address(**address)) as server:
            agree = offer.nobody if address.get("url") else offer.person
            wanted = model or _first_chat_model(server)
            found = _checked(offer.ensured(server, home, wanted, "chat", agree))
            conversation = Conversation(server, {"model": found.id, **given}, system, loaded=found.loaded)
            if not sys.stdin.isatty():
                return conversation.run()
            terminal.say(f"Chatting with {found.id}. {HINT}")
            with _line_editor():
                return conversation.run()
    except ServerError as error:
        terminal.complain(error.message)
        return 1


@contextlib.contextmanager
def _line_editor() -> Iterator[None]:
    """Lines can be edited and called back, where Python has readline.

    What is typed while an answer comes waits for the next prompt. The terminal must not gather it into lines
    by itself meanwhile: of a Ctrl-D readline would see nothing then.
    """
    try:
        import readline  # noqa: F401
    except ImportError:
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    changed = termios.tcgetattr(sys.stdin)
    changed[LOCAL_FLAGS] &= ~termios.ICANON
    try:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, changed)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, before)


def _first_chat_model(server: Client) -> str | None:
    return next((str(model["id"]) for model in server.get("/v1/models?task=chat")["data"]), None)


def _checked(found: ModelState) -> ModelState:
    """Raises ServerError, before anybody is greeted, if it is none to talk with."""
    if found.task != "chat":
        raise ServerError(f"{found.id} is no chat model ({found.task}); 'ominix list' shows which are")
    return found


class Conversation:
    """The messages so far and the loop that adds to them."""

    def __init__(
        self, server: Client, fields: Mapping[str, Any], system: str | None, *, loaded: bool = True
    ) -> None:
        """`fields`: of each request, beside its messages. `loaded`: whether the model is in memory."""
        self._server = server
        self._fields = {**fields, "stream": True}
        self._opening = [{"role": "system", "content": system}] if system else []
        self._messages = list(self._opening)
        self._is_loaded = loaded
        self._prompt = "> " if sys.stdin.isatty() else ""
        self._status = 0

    def run(self) -> int:
        """The exit status: 1 if the last message was not answered."""
        while True:
            try:
                text = self._message()
            except EOFError:
                print(end="\n" if self._prompt else "")
                return self._status
            except KeyboardInterrupt:
                terminal.say("\n(Ctrl-D ends)")
                continue
            if text in ENDS:
                return self._status
            if COMMAND.fullmatch(text):
                self._obey(text)
            elif text:
                self._exchange(text)

    def _message(self) -> str:
        """One line, or what stands between two lines with three quotes. Raises EOFError."""
        text = input(self._prompt).strip()
        if not text.startswith(QUOTES):
            return text
        lines = [text.removeprefix(QUOTES)]
        while QUOTES not in lines[-1]:
            lines.append(input(self._prompt and ". "))
        return "\n".join(lines).partition(QUOTES)[0].strip()

    def _obey(self, command: str) -> None:
        if command == "/clear":
            self._messages = list(self._opening)
        elif command in ("/help", "/?"):
            terminal.say(HELP)
        else:
            terminal.notice(f"There is no {command}. {HINT}")

    def _exchange(self, text: str) -> None:
        self._messages.append({"role": "user", "content": text})
        answer = ""
        self._status = 0
        try:
            for piece, reasoning in self._pieces():
                answer += "" if reasoning else piece
                shown = terminal.printable(piece)
                sys.stdout.write(f"{DIM}{shown}{PLAIN}" if reasoning and sys.stdout.isatty() else shown)
                sys.stdout.flush()
        except KeyboardInterrupt:
            terminal.say(" [stopped]", end="")
        except ServerError as error:
            self._messages.pop()
            self._status = 1
            terminal.complain(error.message)
            return
        terminal.say("")
        self._messages.append({"role": "assistant", "content": answer})

    def _pieces(self) -> Iterator[tuple[str, bool]]:
        """Text as it comes, and whether it is reasoning."""
        body = json.dumps({**self._fields, "messages": self._messages})
        headers = {"Content-Type": "application/json"}
        waiting = "waiting" if self._is_loaded else f"loading {self._fields['model']}"
        with Spinner(waiting) as spinner:
            for event in self._server.events("/v1/chat/completions", content=body, headers=headers):
                if isinstance(event, str):  # a comment
                    continue
                self._is_loaded = True
                for piece in _texts(event):
                    spinner.stop()
                    yield piece


def _texts(event: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    for choice in event["choices"]:
        delta = choice["delta"]
        if delta.get("reasoning_content"):
            yield delta["reasoning_content"], True
        elif delta.get("content"):
            yield delta["content"], False
