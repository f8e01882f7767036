"""Chat through HTTP, side by side with mlx_lm.server on the same weights, in one run.

    python tools/bench_chat.py [--model FOLDER] [--rounds N]

FOLDER: default OMINIX_HOME/models/SmolLM2-135M-Instruct (tools/fetch_smollm2). Each server runs alone, one
after the other. Peers: mlx_lm.server as it is installed, on the folder and on a float32 copy of it; and with
the same OpenBLAS preloaded, on the float32 copy. Prints the figures, and the ratios to each peer.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

WORDS = ("river", "stone", "cloud", "market", "winter", "garden", "engine", "letter", "window", "silver")
DECODE_TOKENS = 96
CLIENTS = 8
CLIENT_TOKENS = 64
PROMPT_WORDS = 480  # about 500 tokens with the template


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    home = Path(os.environ.get("OMINIX_HOME", "~/.ominix")).expanduser()
    parser.add_argument("--model", type=Path, default=home / "models" / "SmolLM2-135M-Instruct")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temp:
        float32 = dequantized(options.model, Path(temp) / "float32")
        blas = _blas()
        runs = {
            "ominix": (ominix(options.model), options.model.name),
            "mlx_lm.server, as installed": (peer(options.model, None), str(options.model)),
            "mlx_lm.server, as installed, float32": (peer(float32, None), str(float32)),
            "mlx_lm.server, OpenBLAS, float32": (peer(float32, blas), str(float32)),
        }
        figures = {name: measured(start, model, options.rounds) for name, (start, model) in runs.items()}
        direct = batch_generator_alone(float32, blas, options.rounds)
    report(figures, direct)


def report(figures: dict[str, dict[str, float]], direct: float) -> None:
    columns = ("decode tok/s", "TTFT 500 s", f"{CLIENTS} clients tok/s", "2nd turn TTFT s", "cold TTFT s")
    print(f"{'':40}" + "".join(f"{c:>18}" for c in columns))
    for name, row in figures.items():
        print(f"{name:40}" + "".join(f"{row[c]:18.3f}" for c in columns))
    ours = figures["ominix"]
    for name, row in figures.items():
        if name != "ominix":
            decode, first, total = (ours[c] / row[c] for c in columns[:3])
            print(f"ominix / {name}: decode {decode:.2f}x, TTFT {1 / first:.1f}x shorter, total {total:.2f}x")
    share = ours["2nd turn TTFT s"] / ours["cold TTFT s"]
    print(f"second turn with 1,000 tokens of history: {share:.0%} of the cold time to first token")
    lost = 1 - ours[columns[2]] / direct
    print(f"BatchGenerator alone, same batch: {direct:.1f} tok/s; HTTP, pipe and engine cost {lost:.1%}")


def dequantized(folder: Path, target: Path) -> Path:
    from mlx_lm import convert

    convert(str(folder), str(target), dequantize=True, dtype="float32")
    return target


def _blas() -> str:
    """What the workers use; a peer gets it by LD_PRELOAD, so it must carry plain names."""
    for name in ("libopenblas.so.0", "libopenblasp.so.0"):
        for root in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"):
            if (Path(root) / name).exists():
                return str(Path(root) / name)
    sys.exit("bench_chat needs Debian's libopenblas0 for the peer: apt-get install libopenblas0")


@contextlib.contextmanager
def serving(command: list[str], port: int, env: dict[str, str]) -> Iterator[int]:
    server = subprocess.Popen(
        command, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ominix(folder: Path):
    port = _free_port()
    home = str(folder.parents[1])
    return serving([sys.executable, "-m", "ominix", "--home", home, "serve", "--port", str(port)], port, {})


def peer(folder: Path, blas: str | None):
    port = _free_port()
    command = [sys.executable, "-m", "mlx_lm", "server", "--model", str(folder), "--port", str(port)]
    return serving(command, port, {"LD_PRELOAD": blas} if blas else {})


def measured(start, model: str, rounds: int) -> dict[str, float]:
    with start as port:
        ask(port, model, [user("Say hello.")], 8)
        decode = [decode_speed(ask(port, model, [user(f"Tell a long story, number {i}.")], DECODE_TOKENS))
                  for i in range(rounds)]  # fmt: skip
        first = [ask(port, model, [user(prompt(i, PROMPT_WORDS))], 4)[0] for i in range(rounds)]
        total = [batch(port, model, i) for i in range(rounds)]
        cold, warm = zip(*(second_turn(port, model, i) for i in range(rounds)), strict=True)
    return {
        "decode tok/s": statistics.median(decode),
        "TTFT 500 s": statistics.median(first),
        f"{CLIENTS} clients tok/s": statistics.median(total),
        "cold TTFT s": statistics.median(cold),
        "2nd turn TTFT s": statistics.median(warm),
    }


def user(text: str) -> dict:
    return {"role": "user", "content": text}


def prompt(seed: int, words: int) -> str:
    """Never the same beginning twice, so that no cache helps."""
    return f"{seed * 7919 + os.getpid()} " + " ".join(
        WORDS[(i * (seed + 3)) % len(WORDS)] for i in range(words)
    )


def ask(port: int, model: str, messages: list[dict], max_tokens: int) -> list[float]:
    """Seconds from sending to each token's arrival."""
    body = {"model": model, "messages": messages, "max_tokens": max_tokens, "stream": True, "temperature": 0}
    body["logit_bias"] = {"2": -100}  # <|im_end|>: the same number of tokens from everyone
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    begun = time.perf_counter()
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    arrivals, ends = [], set()
    for line in answer:
        if line.startswith(b"data: {") and (choices := json.loads(line[6:])["choices"]):
            ends.add(choices[0]["finish_reason"])
            if choices[0]["delta"].get("content"):
                arrivals.append(time.perf_counter() - begun)
    assert "length" in ends, ends  # as many tokens as were asked for
    return arrivals


def decode_speed(arrivals: list[float]) -> float:
    return (len(arrivals) - 1) / (arrivals[-1] - arrivals[0])


def batch(port: int, model: str, seed: int) -> float:
    """Tokens a second of CLIENTS requests at once, prefill included."""

    def one(index: int) -> None:
        text = prompt(seed * CLIENTS + index + 1000, 20 + 10 * index)
        ask(port, model, [user(text)], CLIENT_TOKENS)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(CLIENTS)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return CLIENTS * CLIENT_TOKENS / (time.perf_counter() - begun)


def second_turn(port: int, model: str, seed: int) -> tuple[float, float]:
    """Time to first token of a conversation with 1,000 tokens, cold and with one more turn."""
    history = [user(prompt(seed + 5000, 2 * PROMPT_WORDS))]
    cold = ask(port, model, history, 8)[0]
    answered = [*history, {"role": "assistant", "content": "Yes."}, user("And what else?")]
    return cold, ask(port, model, answered, 8)[0]


def batch_generator_alone(folder: Path, blas: str, rounds: int) -> float:
    """The same batches through mlx_lm's BatchGenerator, without a server."""
    script = f"""
import statistics, sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
import bench_chat as b
from mlx_lm import load
from mlx_lm.generate import BatchGenerator
model, tokenizer = load({str(folder)!r})
def run(seed):
    texts = [b.prompt(seed * b.CLIENTS + i + 1000, 20 + 10 * i) for i in range(b.CLIENTS)]
    prompts = [tokenizer.apply_chat_template([b.user(t)], add_generation_prompt=True) for t in texts]
    generator = BatchGenerator(model, max_tokens=b.CLIENT_TOKENS)
    begun = time.perf_counter()
    generator.insert(prompts)
    count = 0
    while count < b.CLIENTS * b.CLIENT_TOKENS:
        responses = generator.next()
        count += sum(1 for part in responses if isinstance(part, list) for r in part if hasattr(r, "token"))
    return count / (time.perf_counter() - begun)
run(77)
print(statistics.median(run(i) for i in range({rounds})))
"""
    env = {**os.environ, "LD_PRELOAD": blas}
    shown = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True
    )
    return float(shown.stdout.split()[-1])


if __name__ == "__main__":
    main()
