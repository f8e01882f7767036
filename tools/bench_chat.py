"""Chat through HTTP, side by side with mlx_lm.server on the same weights, in one run.

    python tools/bench_chat.py [--model FOLDER] [--rounds N] [--skip-installed]

FOLDER: default OMINIX_HOME/models/SmolLM2-135M-Instruct (tools/fetch_smollm2). Peers: mlx_lm.server as it is
installed, on the folder and on a float32 copy of it; and with the same OpenBLAS preloaded, on the float32
copy; ominix runs on that library too. Prints the figures, and the ratios to each peer.
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
from collections.abc import Callable, Iterator
from pathlib import Path

WORDS = ("river", "stone", "cloud", "market", "winter", "garden", "engine", "letter", "window", "silver")
DECODE_TOKENS = 96
CLIENTS = 8
CLIENT_TOKENS = 64
PAIRS = 3  # a round: a batch through us and the same through BatchGenerator
BIAS = {2: -100.0}  # <|im_end|>: the same number of tokens from everyone
PROMPT_WORDS = 480  # about 500 tokens with the template


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    home = Path(os.environ.get("OMINIX_HOME", "~/.ominix")).expanduser()
    parser.add_argument("--model", type=Path, default=home / "models" / "SmolLM2-135M-Instruct")
    parser.add_argument("--rounds", type=int, default=3, help="the slow ones get one")
    parser.add_argument("--skip-installed", action="store_true", help="not the slow ones without OpenBLAS")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temp, contextlib.ExitStack() as running:
        float32 = dequantized(options.model, Path(temp) / "float32")
        blas = _blas()
        slow = {} if options.skip_installed else {
            "mlx_lm.server, as installed": (peer(options.model, None), str(options.model)),
            "mlx_lm.server, as installed, float32": (peer(float32, None), str(float32)),
        }  # fmt: skip
        figures = {}
        for name, (start, model) in slow.items():
            with start as port:
                figures[name] = median([measured(port, model, 0)])
        ours = running.enter_context(ominix(options.model, blas)), options.model.name
        theirs = running.enter_context(peer(float32, blas)), str(float32)
        alone = running.enter_context(batch_generator(float32, blas))
        rounds: dict[str, list[dict[str, float]]] = {"ominix": [], "mlx_lm.server, OpenBLAS, float32": []}
        alone(0)
        shares = []  # of BatchGenerator's tokens a second
        for i in range(options.rounds):  # in turns, so that a busy machine hurts all
            for name, (port, model) in zip(rounds, (ours, theirs), strict=True):
                rounds[name].append(measured(port, model, i))
            seeds = range(options.rounds + PAIRS * i, options.rounds + PAIRS * (i + 1))
            shares += [batch(*ours, seed) / alone(seed) for seed in seeds]
    figures |= {name: median(found) for name, found in rounds.items()}
    report(figures, shares)


def median(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {column: statistics.median(found[column] for found in rounds) for column in rounds[0]}


def report(figures: dict[str, dict[str, float]], shares: list[float]) -> None:
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
    lost = 1 - statistics.median(shares)
    print(f"of what BatchGenerator alone does with the same batch, HTTP, pipe and engine cost {lost:.1%}")
    print("  pair by pair: " + ", ".join(f"{1 - share:.1%}" for share in shares))


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


def ominix(folder: Path, blas: str):
    port = _free_port()
    home = str(folder.parents[1])
    command = [sys.executable, "-m", "ominix", "--home", home, "serve", "--port", str(port)]
    return serving(command, port, {"LD_PRELOAD": blas})


def peer(folder: Path, blas: str | None):
    port = _free_port()
    command = [sys.executable, "-m", "mlx_lm", "server", "--model", str(folder), "--port", str(port)]
    return serving(command, port, {"LD_PRELOAD": blas} if blas else {})


def measured(port: int, model: str, turn: int) -> dict[str, float]:
    ask(port, model, [user("Say hello.")], 8)
    story = ask(port, model, [user(f"Tell a long story, number {turn}.")], DECODE_TOKENS)
    first = ask(port, model, [user(prompt(turn, PROMPT_WORDS))], 4)[0]
    total = batch(port, model, turn)
    cold, warm = second_turn(port, model, turn)
    return {
        "decode tok/s": decode_speed(story),
        "TTFT 500 s": first,
        f"{CLIENTS} clients tok/s": total,
        "cold TTFT s": cold,
        "2nd turn TTFT s": warm,
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
    body["logit_bias"] = BIAS
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


@contextlib.contextmanager
def batch_generator(folder: Path, blas: str) -> Iterator[Callable[[int], float]]:
    """The same batches on the model as a worker loads it, through BatchGenerator, without a server:
    tokens a second, by the batch's seed."""
    script = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
import bench_chat as b
from ominix.cpu import backend
backend.prepare()
from pathlib import Path
from mlx_lm.generate import BatchGenerator
from mlx_lm.sample_utils import make_logits_processors
from ominix.engines.text import text_model
loaded = text_model.load(Path({str(folder)!r}), backend.prepare())
model, tokenizer = loaded.model, loaded.tokenizer
for line in sys.stdin:
    seeds = [int(line) * b.CLIENTS + i + 1000 for i in range(b.CLIENTS)]
    texts = [b.prompt(seed, 20 + 10 * i) for i, seed in enumerate(seeds)]
    generator = BatchGenerator(model, max_tokens=b.CLIENT_TOKENS)
    begun = time.perf_counter()
    prompts = [tokenizer.apply_chat_template([b.user(t)], add_generation_prompt=True) for t in texts]
    generator.insert(prompts, logits_processors=[make_logits_processors(b.BIAS)] * len(prompts))
    count = 0
    while count < b.CLIENTS * b.CLIENT_TOKENS:
        count += len(generator.next()[1])
    print(count / (time.perf_counter() - begun), flush=True)
"""
    env = {**os.environ, "LD_PRELOAD": blas}
    pipe = subprocess.PIPE
    child = subprocess.Popen([sys.executable, "-c", script], env=env, stdin=pipe, stdout=pipe, text=True)

    def alone(seed: int) -> float:
        assert child.stdin and child.stdout
        child.stdin.write(f"{seed}\n")
        child.stdin.flush()
        return float(child.stdout.readline())

    try:
        yield alone
    finally:
        child.kill()
        child.wait()


if __name__ == "__main__":
    main()
