"""The main job on a fresh machine: models, a server, one real request of each kind. See tools/quickstart."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx2

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parent / "ominix" / "embedded" / "samples"
ANSWER_SECONDS = 300.0  # the first request of a model waits for it to load
QUESTION = {"role": "user", "content": "What is the capital of France?"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="stop after the requests")
    parser.add_argument("--port", default="8080", help="0 takes a free one")
    options = parser.parse_args()
    fetched = subprocess.run([HERE / "fetch_smollm2"], env={**os.environ, "PYTHON": sys.executable})
    if fetched.returncode:
        print("The chat model could not be fetched; going on without it.", file=sys.stderr)
    command = [sys.executable, "-m", "ominix", "serve", "--port", options.port]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    try:
        banner = server.stdout.readline()
        if "/v1" not in banner:
            return server.wait() or 1
        print(banner, end="", flush=True)
        address = banner.split("serves ")[1].split("/v1")[0]
        with httpx2.Client(base_url=address, timeout=ANSWER_SECONDS, trust_env=False) as client:
            show(client, chat=fetched.returncode == 0)
        if not options.once:
            print(f"\nServing {address}/v1 until Ctrl-C.", flush=True)
            server.wait()
    except KeyboardInterrupt:
        print("\nStopping.")
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
    return 0


def show(server: httpx2.Client, *, chat: bool) -> None:
    models = server.get("/v1/models").raise_for_status().json()["data"]
    print(f"\nGET /v1/models: {', '.join(m['id'] for m in models)}")
    for sample in json.loads((SAMPLES / "samples.json").read_text("utf-8")):
        heard = transcribe(server, SAMPLES / sample["file"])
        print(f"\nPOST /v1/audio/transcriptions: {sample['file']} ({sample['seconds']} s)")
        print(f"  said:  {sample['text']}\n  heard: {heard['text']}  [{heard['language']}]")
    if chat:
        body = {"model": "SmolLM2-135M-Instruct", "messages": [QUESTION], "temperature": 0, "max_tokens": 40}
        print(f"\nPOST /v1/chat/completions: {QUESTION['content']}")
        answer = server.post("/v1/chat/completions", json=body).raise_for_status().json()
        print(f"  {answer['choices'][0]['message']['content']}  {answer['usage']}")
        print("\nThe same, streamed:\n  ", end="")
        stream(server, {**body, "stream": True})


def transcribe(server: httpx2.Client, file: Path) -> dict:
    fields = {"model": "tiny-asr", "response_format": "verbose_json"}
    with file.open("rb") as opened:
        answer = server.post("/v1/audio/transcriptions", data=fields, files={"file": opened})
    return answer.raise_for_status().json()


def stream(server: httpx2.Client, body: dict) -> None:
    with server.stream("POST", "/v1/chat/completions", json=body) as answer:
        for line in answer.raise_for_status().iter_lines():
            data = line.removeprefix("data: ")
            if data.startswith("{"):
                for choice in json.loads(data)["choices"]:
                    print(choice["delta"].get("content", ""), end="", flush=True)
    print()


if __name__ == "__main__":
    sys.exit(main())
