"""What the system says of a process: here of this one, and of a real worker."""

from __future__ import annotations

import mmap
import os
import struct
import sys
from pathlib import Path

import pytest
from serving import MIB, chat, drain, scripted

from ominix.workers import usage


def test_moved_bytes_grow_with_what_is_read_and_with_memory_and_hardly_by_themselves(tmp_path):
    (tmp_path / "weights").write_bytes(bytes(8 * MIB))
    before = usage.moved_bytes()
    for _ in range(100):
        usage.moved_bytes()
    looking = usage.moved_bytes() - before
    assert looking < MIB // 2  # what a load that stands still for 100 s must not exceed
    before = usage.moved_bytes()
    data = (tmp_path / "weights").read_bytes()
    assert usage.moved_bytes() - before >= len(data)
    # Not from the allocator, which may hand out memory that has been touched before, nor in huge pages.
    with mmap.mmap(-1, 8 * MIB) as memory:
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            memory.madvise(mmap.MADV_NOHUGEPAGE)
        before = usage.moved_bytes()
        memory.write(b"x" * len(memory))
        assert usage.moved_bytes() - before >= len(memory)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has the score")
def test_the_system_ends_a_worker_before_the_server(pool):
    drain(pool.submit(scripted("a"), chat("hello")))
    pid = pool.load(scripted("a")).pid
    assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == str(usage.OOM_SCORE)


def test_on_macos_memory_is_the_physical_footprint():
    def proc_pid_rusage(pid, flavor, info):
        assert (pid, flavor, len(info)) == (os.getpid(), 0, 96)
        # user, system, idle wakeups, interrupts, pageins, wired, resident, footprint, start, exit
        struct.pack_into("<16s10Q", info, 0, b"u" * 16, *range(1, 8), 5 * MIB, 9, 10)
        return 0

    assert usage.footprint_bytes(proc_pid_rusage) == 5 * MIB
    assert usage.footprint_bytes(lambda *_: -1) > 0


def test_memory_of_this_process_is_told():
    assert 10 * MIB < usage.resident_bytes() < 4096 * MIB
