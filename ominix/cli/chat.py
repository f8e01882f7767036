"""`ominix chat`: a conversation in the terminal, streamed. Ctrl-C stops an answer, not the program."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ominix.cli import client, flags
from ominix.cli.client import Address, Client, connected
from ominix.errors import ServerError

DIM, PLAIN = "\033[2m", "\033[0m"
HELP = "Type a message. /clear starts over, /quit or Ctrl-D ends, Ctrl-C stops an answer."


def add_flags(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    parser.add_argument("model", nargs="?", help="a chat model; default: the first there is")
    parser.add_argument("--system", help="how the model is to behave")
    parser.add_argument("--temperature", type=flags.between(0, 2))
    parser.add_argument("--max-tokens", type=flags.count(1, 1 << 20))
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
            model = model or _first_chat_model(server)
            print(f"Chatting with {model}. {HELP}")
            Conversation(server, {"model": model, **given}, system).run()
    except ServerError as error:
        print(f"ominix: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print()
    return 0


def _first_chat_model(server: Client) -> str:
    models = server.get("/v1/models")["data"]
    name = next((m["id"] for m in models if m.get("task") == "chat" and "trouble" not in m), None)
    if name is None:
        raise ServerError("there is no chat model yet; put one into the models folder")
    return str(name)


class Conversation:
    """The messages so far and the loop that adds to them."""

    def __init__(self, server: Client, fields: Mapping[str, Any], system: str | None) -> None:
        """`fields`: of each request, beside its messages."""
        self._server = server
        self._fields = {**fields, "stream": True}
        self._opening = [{"role": "system", "content": system}] if system else []
        self._messages = list(self._opening)

    def run(self) -> None:
        while True:
            try:
                text = input("> ").strip()
            except EOFError:
                print()
                return
            except KeyboardInterrupt:
                print("\n(Ctrl-D ends)")
                continue
            if text == "/quit":
                return
            if text == "/clear":
                self._messages = list(self._opening)
            elif text:
                self._exchange(text)

    def _exchange(self, text: str) -> None:
        self._messages.append({"role": "user", "content": text})
        answer = ""
        try:
            for piece, reasoning in self._pieces():
                answer += "" if reasoning else piece
                sys.stdout.write(f"{DIM}{piece}{PLAIN}" if reasoning else piece)
                sys.stdout.flush()
        except KeyboardInterrupt:
            print(" [stopped]", end="")
        except ServerError as error:
            self._messages.pop()
            print(f"ominix: {error}", file=sys.stderr)
            return
        print()
        self._messages.append({"role": "assistant", "content": answer})

    def _pieces(self) -> Iterator[tuple[str, bool]]:
        """Text as it comes, and whether it is reasoning."""
        body = json.dumps({**self._fields, "messages": self._messages})
        headers = {"Content-Type": "application/json"}
        for event in self._server.events("/v1/chat/completions", content=body, headers=headers):
            if isinstance(event, str):  # a comment
                continue
            for choice in event["choices"]:
                delta = choice["delta"]
                if delta.get("reasoning_content"):
                    yield delta["reasoning_content"], True
                elif delta.get("content"):
                    yield delta["content"], False
