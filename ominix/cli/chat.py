"""`ominix chat`: a conversation in the terminal, streamed. Ctrl-C stops an answer, not the program."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from ominix.cli.client import Client, ServerError, connected
from ominix.config import Config

DIM, PLAIN = "\033[2m", "\033[0m"
HELP = "Type a message. /clear starts over, /quit or Ctrl-D ends, Ctrl-C stops an answer."


def run(config: Config, options: argparse.Namespace) -> int:
    try:
        with connected(config, options.url) as client:
            model = options.model or _first_chat_model(client)
            print(f"Chatting with {model}. {HELP}")
            Conversation(client, model, options).run()
    except ServerError as error:
        print(f"ominix: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print()
    return 0


def _first_chat_model(client: Client) -> str:
    models = client.get("/v1/models")["data"]
    name = next((m["id"] for m in models if m.get("task") == "chat" and "trouble" not in m), None)
    if name is None:
        raise ServerError("there is no chat model yet; put one into the models folder")
    return str(name)


class Conversation:
    """The turns so far and the loop that adds to them."""

    def __init__(self, client: Client, model: str, options: argparse.Namespace) -> None:
        self._client = client
        self._fields = {"model": model, "stream": True}
        if options.temperature is not None:
            self._fields["temperature"] = options.temperature
        if options.max_tokens is not None:
            self._fields["max_tokens"] = options.max_tokens
        self._opening = [{"role": "system", "content": options.system}] if options.system else []
        self._messages: list[dict[str, Any]] = list(self._opening)

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
                self._turn(text)

    def _turn(self, text: str) -> None:
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

    def _pieces(self) -> Any:
        body = json.dumps({**self._fields, "messages": self._messages})
        headers = {"Content-Type": "application/json"}
        for event in self._client.events("/v1/chat/completions", body, headers):
            if isinstance(event, str):
                continue
            for choice in event["choices"]:
                delta = choice["delta"]
                if delta.get("reasoning_content"):
                    yield delta["reasoning_content"], True
                elif delta.get("content"):
                    yield delta["content"], False
