from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waitress.buffers import OverflowableBuffer

from ominix.server.chunks import MAX_FRAMING_BYTES, MAX_LINE_BYTES, MAX_TRAILER_BYTES, ChunkedReceiver

MIB = 1 << 20


def receiver() -> ChunkedReceiver:
    return ChunkedReceiver(OverflowableBuffer(MIB))


def feed(data: bytes, piece: int = 8192) -> tuple[ChunkedReceiver, int]:
    """The receiver after `data` in pieces, and how many bytes it took."""
    made, taken = receiver(), 0
    for at in range(0, len(data), piece):
        taken += made.received(data[at : at + piece])
        if made.completed or made.error:
            break
    return made, taken


def body(made: ChunkedReceiver) -> bytes:
    file = made.getfile()
    file.seek(0)
    return file.read()


@given(
    st.lists(st.binary(min_size=1, max_size=50)),
    st.sampled_from([b"", b";a=b", b' ;a="b;c"']),
    st.sampled_from([b"", b"A: b\r\n", b"A: b\r\nC: d\r\n"]),
    st.integers(1, 30),
)
@settings(max_examples=200, deadline=None)
def test_chunks_come_together_however_they_are_cut(chunks, extension, trailer, piece):
    framed = b"".join(b"%x%s\r\n%s\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    data = framed + b"0\r\n" + trailer + b"\r\n"
    made, taken = feed(data + b"GET / HTTP/1.1\r\n", piece)
    assert (made.completed, made.error, taken) == (True, None, len(data))
    assert body(made) == b"".join(chunks)
    assert len(made) == len(b"".join(chunks))


@pytest.mark.parametrize(
    "data",
    [
        b"zz\r\n", b"-1\r\n", b"+1\r\n", b"0x1\r\n", b"1_0\r\n", b"\r\n", b" 1\r\n", b"1\n", b"1\r\nab\r\n",
        b"1\r\na\n", b"1\r\na0\r\n", b"f" * 17 + b"\r\n", b"1 a\r\n", b"1;\x00\r\n", b"0\r\nA: b\n\r\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("piece", [1, 8192])
def test_what_is_no_chunk_is_refused(data, piece):
    assert feed(data, piece)[0].error


@pytest.mark.parametrize(
    ("prefix", "endless", "most"),
    [
        (b"", b"1", MAX_LINE_BYTES),
        (b"1;", b"a", MAX_LINE_BYTES),
        (b"1;", b"a=b;", MAX_LINE_BYTES),
        (b"0\r\n", b"a", MAX_LINE_BYTES),
        (b"0\r\n", b"A: b\r\n", 2 * MAX_TRAILER_BYTES),
        (b"", b"1\r\nx\r\n", 2 * MAX_FRAMING_BYTES),
    ],
)
def test_endless_framing_ends_soon(prefix, endless, most):
    """8 MiB of it took 8 s of the thread that reads all sockets."""
    made, taken = feed(prefix + endless * (MIB // len(endless)))
    assert made.error
    assert taken <= most + 2 * 8192


@pytest.mark.parametrize("size", [48, 1000])
def test_small_chunks_are_read_in_linear_time(size):
    chunk = b"%x\r\n%s\r\n" % (size, b"x" * size)

    def seconds(mib: int) -> float:
        data = chunk * (mib * MIB // size) + b"0\r\n\r\n"
        begun = time.thread_time()
        made, _ = feed(data)
        assert made.completed
        return time.thread_time() - begun

    seconds(1)
    once, fourfold = seconds(1), seconds(4)
    assert fourfold < 4 * once * 2.5 + 0.05  # quadratic: 16 times
