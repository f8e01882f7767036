"""The parent's side of the trial: a grammar in, JobRefused out if it cannot be obeyed within bounds."""

from __future__ import annotations

import signal
import subprocess

import msgspec

from ominix import limits, python_child
from ominix.errors import InferenceFailed, JobRefused
from ominix.grammars import compiler
from ominix.wire.jobs import Grammar

MEMORY_BYTES = 512 << 20
CPU_SECONDS = 4
WAIT_SECONDS = 30.0  # on a machine so busy that these seconds of the processor take longer


def judge(grammar: Grammar, cpu_seconds: int = CPU_SECONDS, wait_seconds: float = WAIT_SECONDS) -> None:
    """Raises JobRefused, or InferenceFailed where the system lets us start no process."""
    arguments = map(str, (MEMORY_BYTES, cpu_seconds))
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    try:
        child = python_child.start("ominix.grammars.trial", *arguments, stdin=pipe, stdout=pipe, stderr=null)
    except OSError as error:
        raise InferenceFailed(f"grammars cannot be tried: {error.strerror}") from None
    with child:
        try:
            found, _ = child.communicate(msgspec.json.encode(grammar), wait_seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            raise compiler.refusal(grammar, f"it takes longer than the limit of {wait_seconds:g} s") from None
    if child.returncode:
        raise compiler.refusal(grammar, _why(child.returncode, cpu_seconds))
    if found:
        raise JobRefused(found.decode(), param="response_format", code="unsupported_value")


def _why(status: int, cpu_seconds: int) -> str:
    if status == -signal.SIGXCPU or status == -signal.SIGKILL:
        return f"it takes longer than the limit of {cpu_seconds} s to compile"
    if status in (limits.OUT_OF_MEMORY, -signal.SIGABRT):
        return f"it takes more memory than the limit of {MEMORY_BYTES >> 20} MiB"
    return "it is nested deeper than can be compiled" if status < 0 else f"its trial fails ({status})"
