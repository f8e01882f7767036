"""LiteLLM against the server whose address is the argument; what it saw goes out as one JSON object."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import litellm

HELLO = [{"role": "user", "content": "hello"}]
ADDRESS = {"api_base": f"{sys.argv[1]}/v1", "api_key": "any", "max_retries": 0}


def chat(content: str = "hello", model: str = "openai/scripted", **fields):
    messages = [{"role": "user", "content": content}]
    return litellm.completion(model=model, messages=messages, **ADDRESS, **fields)


def refusal(call) -> str:
    try:
        return str(call())
    except Exception as error:  # which class it is, is the question
        return type(error).__name__


async def awaited():
    return await litellm.acompletion(model="openai/scripted", messages=HELLO, max_tokens=2, **ADDRESS)


def main() -> None:
    answer = chat(max_tokens=3)
    chunks = list(chat(max_tokens=3, stream=True, stream_options={"include_usage": True}))
    with Path(sys.argv[2]).open("rb") as file:
        heard = litellm.transcription(
            model="openai/scripted-speech", file=file, prompt="say hello there", **ADDRESS
        )
    seen = {
        "content": answer.choices[0].message.content,
        "finish_reason": answer.choices[0].finish_reason,
        "usage": answer.usage.total_tokens,
        "streamed": "".join(c.choices[0].delta.content or "" for c in chunks if c.choices),
        "streamed_usage": [c.usage.total_tokens for c in chunks if getattr(c, "usage", None)],
        "awaited": asyncio.run(awaited()).choices[0].message.content,
        "reasoning": chat("think", max_tokens=4).choices[0].message.reasoning_content,
        "heard": heard.text,
        "bad": refusal(lambda: chat(frequency_penalty=9)),
        "unknown": refusal(lambda: chat(model="openai/gpt-9")),
        "crash": refusal(lambda: chat("segfault")),
    }
    print(json.dumps(seen))


main()
