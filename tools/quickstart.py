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
EMBEDDED = HERE.parent / "ominix" / "embedded"
SAMPLES = EMBEDDED / "samples"  # synthesised: all that the demo model can hear
RECORDINGS = EMBEDDED / "recordings"  # of people
SUBTITLED, TRANSLATED = "english.flac", "portuguese.flac"
ANSWER_SECONDS = 300.0  # the first request of a model waits for it to load
QUESTION = {"role": "user", "content": "What is the capital of France?"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="stop after the requests")
    parser.add_argument("--port", default="8080", help="0 takes a free one")
    options = parser.parse_args()
    speech = fetched("fetch_whisper", "The speech model could not be fetched; a demo model takes its place.")
    chat = fetched("fetch_smollm2", "The chat model could not be fetched; going on without it.")
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
            models = client.get("/v1/models").raise_for_status().json()["data"]
            print(f"\nGET /v1/models: {', '.join(m['id'] for m in models)}")
            show_whisper(client) if speech else show_demo(client)
            if chat:
                show_chat(client)
        if not options.once:
            print(f"\nServing {address}/v1 until Ctrl-C.", flush=True)
            server.wait()
    except KeyboardInterrupt:
        print("\nStopping.")
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
    return 0


def fetched(tool: str, otherwise: str) -> bool:
    """Run a tool that downloads a model; False, and `otherwise` on standard error, if it cannot."""
    done = subprocess.run([HERE / tool], env={**os.environ, "PYTHON": sys.executable})
    if done.returncode:
        print(otherwise, file=sys.stderr)
    return done.returncode == 0


def show_whisper(server: httpx2.Client) -> None:
    """People in four languages; one of them with subtitles, one translated into English."""
    for sample in samples(RECORDINGS):
        heard = transcribe(server, RECORDINGS / sample["file"], "whisper-base").json()
        show(sample, heard)
    print(f"\nPOST /v1/audio/transcriptions: {SUBTITLED}, response_format srt")
    print(indented(transcribe(server, RECORDINGS / SUBTITLED, "whisper-base", "srt").text))
    print(f"\nPOST /v1/audio/translations: {TRANSLATED}, into English")
    english = ask(server, "translations", RECORDINGS / TRANSLATED, {"model": "whisper-base"}).json()
    print(f"  {english['text']}")


def show_demo(server: httpx2.Client) -> None:
    for sample in samples(SAMPLES):
        show(sample, transcribe(server, SAMPLES / sample["file"], "tiny-asr").json())
    print("\ntiny-asr knows sixty words. For real speech: tools/fetch_whisper, or ominix pull whisper-base")


def show_chat(server: httpx2.Client) -> None:
    body = {"model": "SmolLM2-135M-Instruct", "messages": [QUESTION], "temperature": 0, "max_tokens": 40}
    print(f"\nPOST /v1/chat/completions: {QUESTION['content']}")
    answer = server.post("/v1/chat/completions", json=body).raise_for_status().json()
    print(f"  {answer['choices'][0]['message']['content']}  {answer['usage']}")
    print("\nThe same, streamed:\n  ", end="")
    stream(server, {**body, "stream": True})


def samples(folder: Path) -> list[dict]:
    return json.loads((folder / f"{folder.name}.json").read_text("utf-8"))


def show(sample: dict, heard: dict) -> None:
    print(f"\nPOST /v1/audio/transcriptions: {sample['file']} ({sample['seconds']} s)")
    print(f"  said:  {sample['text']}\n  heard: {heard['text']}  [{heard['language']}]")


def transcribe(server: httpx2.Client, file: Path, model: str, form: str = "verbose_json") -> httpx2.Response:
    return ask(server, "transcriptions", file, {"model": model, "response_format": form})


def ask(server: httpx2.Client, task: str, file: Path, fields: dict) -> httpx2.Response:
    with file.open("rb") as opened:
        answer = server.post(f"/v1/audio/{task}", data=fields, files={"file": opened})
    return answer.raise_for_status()


def indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines())


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
