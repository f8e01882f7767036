"""Broken inputs for everything that reads bytes of strangers.

    tools/fuzz                            all targets, 1,000 inputs each
    tools/fuzz audio --count 100000       more of one
    tools/fuzz gguf --seed 7 --only 4711  one input again
    tools/fuzz http --guided 600          ten minutes of Atheris, which looks for inputs that reach new lines

Each target runs in a child, so that a crash is a finding too. Prints a line a target: inputs a second,
how many were read and how many refused, the slowest, the peak of memory. Exits with 1 if there is a finding.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import resource
import struct
import sys
import tempfile
import time
import traceback

from tools.fuzzing import guided, mutator
from tools.fuzzing.targets import TARGETS

HANG_SECONDS = 60
SHOWN_FINDINGS = 5


def fuzz(name: str, numbers: range, seed: int, progress: int) -> int:
    """How many findings. `progress`: a descriptor to which the number of the next input is written."""
    target = TARGETS[name]()
    read = refused = findings = 0
    slowest = (0.0, 0)
    begun = time.monotonic()
    for number in numbers:
        os.pwrite(progress, struct.pack("<Q", number), 0)
        data = mutator.made(target.corpus, number, seed)
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        at = time.monotonic()
        try:
            target.read(data)
            read += 1
        except target.refusals:
            refused += 1
        except Exception:
            findings += 1
            if findings <= SHOWN_FINDINGS:
                print(f"{name}: input {number} of seed {seed}: {data[:80]!r}\n{traceback.format_exc()}")
        slowest = max(slowest, (time.monotonic() - at, number))
    faulthandler.cancel_dump_traceback_later()
    seconds = time.monotonic() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (20 if sys.platform == "darwin" else 10)
    print(
        f"{name:12} {len(numbers):7} inputs {len(numbers) / seconds:8.0f}/s  read {read}  refused {refused}  "
        f"exceptions {findings}  slowest {slowest[0]:.2f} s (input {slowest[1]})  peak {peak} MiB",
        flush=True,
    )
    return findings


def in_child(name: str, numbers: range, seed: int) -> bool:
    """Whether nothing was found."""
    progress = os.memfd_create("progress")
    child = os.fork()  # before the target has imported anything
    if child == 0:
        logging.disable(logging.CRITICAL)  # what is refused is counted, not logged
        status = 1
        try:
            status = 1 if fuzz(name, numbers, seed, progress) else 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        (number,) = struct.unpack("<Q", os.pread(progress, 8, 0))
        print(f"{name}: input {number} of seed {seed}: the process died of signal {os.WTERMSIG(status)}")
    os.close(progress)
    return status == 0


def guided_child(name: str, seconds: int, seed: int) -> bool:
    """Whether nothing was found."""
    with tempfile.TemporaryDirectory(prefix="ominix-fuzz-") as folder:
        print(f"{name}, {seconds} seconds:", flush=True)
        child = os.fork()
        if child == 0:
            logging.disable(logging.CRITICAL)
            guided.fuzz(name, seconds, seed, folder)
        return os.waitpid(child, 0)[1] == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--count", type=int, default=1000, help="inputs for each target (default 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="N", help="the input of this number alone")
    parser.add_argument("--guided", type=int, metavar="SECONDS", help="Atheris makes the inputs, for so long")
    given = parser.parse_args()
    unknown = set(given.targets) - TARGETS.keys()
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    names = given.targets or TARGETS
    if given.guided:
        results = [guided_child(name, given.guided, given.seed) for name in names]
    else:
        numbers = range(given.count) if given.only is None else range(given.only, given.only + 1)
        results = [in_child(name, numbers, given.seed) for name in names]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
