"""The main job on a fresh machine: models, a server, one real request of each kind. See tools/quickstart."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parent / "ominix" / "embedded" / "samples"
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
        show(address, chat=fetched.returncode == 0)
        if not options.once:
            print(f"\nServing {address}/v1 until Ctrl-C.", flush=True)
            server.wait()
    except KeyboardInterrupt:
        print("\nStopping.")
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
    return 0


def show(address: str, *, chat: bool) -> None:
    models = call(address, "/v1/models")["data"]
    print(f"\nGET /v1/models: {', '.join(m['id'] for m in models)}")
    for sample in json.loads((SAMPLES / "samples.json").read_text("utf-8")):
        heard = transcribe(address, SAMPLES / sample["file"])
        print(f"\nPOST /v1/audio/transcriptions: {sample['file']} ({sample['seconds']} s)")
        print(f"  said:  {sample['text']}\n  heard: {heard['text']}  [{heard['language']}]")
    if chat:
        body = {"model": "SmolLM2-135M-Instruct", "messages": [QUESTION], "temperature": 0, "max_tokens": 40}
        print(f"\nPOST /v1/chat/completions: {QUESTION['content']}")
        answer = call(address, "/v1/chat/completions", body)
        print(f"  {answer['choices'][0]['message']['content']}  {answer['usage']}")
        print("\nThe same, streamed:\n  ", end="")
        stream(address, {**body, "stream": True})


def call(address: str, path: str, body: dict | None = None) -> dict:
    with urllib.request.urlopen(request(address, path, body), timeout=300) as answer:
        return json.load(answer)


def transcribe(address: str, file: Path) -> dict:
    boundary = "ominix-quickstart"
    lead = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in (("model", "tiny-asr"), ("response_format", "verbose_json"))
    )
    lead += f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{file.name}"\r\n\r\n'
    body = lead.encode() + file.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    asked = urllib.request.Request(f"{address}/v1/audio/transcriptions", body, headers)
    with urllib.request.urlopen(asked, timeout=300) as answer:
        return json.load(answer)


def stream(address: str, body: dict) -> None:
    with urllib.request.urlopen(request(address, "/v1/chat/completions", body), timeout=300) as answer:
        for line in answer:
            data = line.decode().strip().removeprefix("data: ")
            if data.startswith("{"):
                for choice in json.loads(data)["choices"]:
                    print(choice["delta"].get("content", ""), end="", flush=True)
    print()


def request(address: str, path: str, body: dict | None) -> urllib.request.Request:
    data = json.dumps(body).encode() if body else None
    return urllib.request.Request(address + path, data, {"Content-Type": "application/json"})


if __name__ == "__main__":
    sys.exit(main())
