"""Frames and descriptors over real socket pairs."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time

import msgspec
import pytest

from ominix.wire import transport
from ominix.wire.transport import FrameTooLarge, NotAMessage, Transport


class Text(msgspec.Struct, frozen=True, array_like=True, tag=True):
    text: str


class Number(msgspec.Struct, frozen=True, array_like=True, tag=True):
    number: int


MESSAGES: msgspec.msgpack.Decoder[Text | Number] = msgspec.msgpack.Decoder(Text | Number)


@pytest.fixture
def ends():
    made = transport.pair()
    yield made
    for end in made:
        end.close()


def received(inlet: Transport, count: int) -> list:
    found = []
    deadline = time.monotonic() + 10.0
    while len(found) < count:
        assert time.monotonic() < deadline
        found += inlet.receive(1.0)
    return found


def is_open(descriptor: int) -> bool:
    with contextlib.suppress(OSError):
        return bool(os.fstat(descriptor))
    return False


def test_messages_arrive_whole_and_in_order(ends):
    out, inlet = Transport(ends[0], MESSAGES), Transport(ends[1], MESSAGES)
    out.send(Text("a"))
    out.send(Number(7))
    out.send(Text("ü" * 10))
    assert [r.message for r in received(inlet, 3)] == [Text("a"), Number(7), Text("ü" * 10)]
    assert inlet.receive(0.0) == []


def test_a_frame_that_comes_byte_by_byte_is_one_message(ends):
    inlet = Transport(ends[1], MESSAGES)
    frame = transport.frame(Text("hello"))
    for n in range(len(frame)):
        assert inlet.receive(0.0) == []
        ends[0].send(frame[n : n + 1])
    (only,) = inlet.receive(1.0)
    assert only.message == Text("hello")


def test_a_message_larger_than_the_socket_waits_for_its_reader(ends):
    out, inlet = Transport(ends[0], MESSAGES), Transport(ends[1], MESSAGES)
    large = Text("x" * 5_000_000)
    sender = threading.Thread(target=out.send, args=(large,))
    sender.start()
    (only,) = received(inlet, 1)
    sender.join(5.0)
    assert only.message == large


def test_the_other_end_is_gone(ends):
    inlet = Transport(ends[1], MESSAGES)
    ends[0].send(transport.frame(Text("hello"))[:7])
    ends[0].close()
    assert inlet.receive(1.0) == []
    with pytest.raises(EOFError, match="in the middle"):
        inlet.receive(1.0)


def test_sending_to_nobody_is_an_error(ends):
    out = Transport(ends[0], MESSAGES)
    ends[1].close()
    with pytest.raises(BrokenPipeError):
        out.send(Text("hello"))


def test_a_frame_past_the_bound_is_neither_sent_nor_read(ends):
    out = Transport(ends[0], MESSAGES, max_frame_bytes=100)
    with pytest.raises(FrameTooLarge):
        out.send(Text("x" * 200))
    Transport(ends[0], MESSAGES).send(Text("x" * 200))
    with pytest.raises(NotAMessage, match="claims"):
        Transport(ends[1], MESSAGES, max_frame_bytes=100).receive(1.0)


@pytest.mark.parametrize("body", [b"\xc1", b"\x92\xa4Text\x01", b"\x92\xa5Other\x01", b""])
def test_bytes_that_are_no_message_of_ours_are_refused(ends, body):
    ends[0].send(transport.HEADER.pack(len(body), 0) + body)
    with pytest.raises(NotAMessage):
        Transport(ends[1], MESSAGES).receive(1.0)


def test_descriptors_arrive_with_their_own_message(ends, tmp_path):
    out, inlet = Transport(ends[0], MESSAGES), Transport(ends[1], MESSAGES)
    files = []
    for name in "ab":
        (tmp_path / name).write_text(name)
        files.append(os.open(tmp_path / name, os.O_RDONLY))
    out.send(Text("none"))
    out.send(Text("a"), files[:1])
    out.send(Text("none"))
    out.send(Text("b and a"), [files[1], files[0]])
    for descriptor in files:
        os.close(descriptor)
    found = received(inlet, 4)
    assert [len(r.descriptors) for r in found] == [0, 1, 0, 2]
    descriptor = found[3].descriptors.take()
    assert os.pread(descriptor, 9, 0) == b"b"
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_descriptors_that_nobody_takes_are_closed(ends):
    out, inlet = Transport(ends[0], MESSAGES), Transport(ends[1], MESSAGES)
    reading, writing = os.pipe()
    out.send(Text("two"), [writing, writing])
    os.close(writing)
    (only,) = received(inlet, 1)
    mine = only.descriptors.take()
    del only
    os.close(mine)
    assert os.read(reading, 1) == b""  # end of file: no writing end is open any more
    os.close(reading)


def test_descriptors_of_a_message_that_never_comes_whole_are_closed(ends):
    inlet = Transport(ends[1], MESSAGES)
    reading, writing = os.pipe()
    frame = memoryview(transport.frame(Text("half"), [writing]))
    assert transport.send_some(ends[0], frame[:6], [writing]) == 6
    os.close(writing)
    assert inlet.receive(1.0) == []
    inlet.close()
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_a_frame_that_counts_descriptors_it_does_not_have_is_refused(ends):
    ends[0].send(transport.frame(Text("lie"), [0]))
    with pytest.raises(NotAMessage, match="without its descriptors"):
        Transport(ends[1], MESSAGES).receive(1.0)


def test_taking_a_descriptor_that_did_not_come_is_an_error():
    with pytest.raises(NotAMessage):
        transport.Descriptors().take()


def test_an_end_left_open_by_a_parent_is_a_socket_again():
    one, other = transport.pair()
    found = transport.end_of(one.detach())
    assert found.family == socket.AF_UNIX
    Transport(found, MESSAGES).send(Text("here"))
    assert Transport(other, MESSAGES).receive(1.0)[0].message == Text("here")
    found.close()
    other.close()
