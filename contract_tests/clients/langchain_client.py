"""LangChain's ChatOpenAI against the server whose address is the argument; what it saw as one JSON object."""

from __future__ import annotations

import asyncio
import json
import sys

import openai
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI


def model(**fields) -> ChatOpenAI:
    options = {"model": "scripted", "api_key": "any", "max_retries": 0, "timeout": 30, **fields}
    return ChatOpenAI(base_url=f"{sys.argv[1]}/v1", **options)


def refusal(call) -> list:
    try:
        return [str(call())]
    except openai.APIStatusError as error:
        return [error.status_code, error.code]


async def awaited(chat: ChatOpenAI) -> str:
    return "".join([chunk.text async for chunk in chat.astream("hello")])


def main() -> None:
    chat = model(max_tokens=3)
    answer = chat.invoke("hello")
    turns = [SystemMessage("be brief"), HumanMessage("hi"), AIMessage("yes?"), HumanMessage("hello")]
    streamed = list(model(max_tokens=3, stream_usage=True).stream("hello"))
    total = sum(chunk.usage_metadata["total_tokens"] for chunk in streamed if chunk.usage_metadata)
    seen = {
        "content": answer.content,
        "finish_reason": answer.response_metadata["finish_reason"],
        "usage": answer.usage_metadata["total_tokens"],
        "turns": chat.invoke(turns).content,
        "streamed": "".join(chunk.text for chunk in streamed),
        "streamed_usage": total,
        "awaited": asyncio.run(awaited(chat)),
        "batch": [reply.content for reply in chat.batch(["one", "two", "three"])],
        "bad": refusal(lambda: model(temperature=9).invoke("hello")),
        "unknown": refusal(lambda: model(model="gpt-9").invoke("hello")),
    }
    print(json.dumps(seen))


main()
