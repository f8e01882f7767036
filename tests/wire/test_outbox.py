"""Sending without waiting: real sockets, a reader that does not read."""

from __future__ import annotations

import os
import select
import time

import pytest
from test_transport import MESSAGES, Number, Text

from ominix.wire import transport
from ominix.wire.outbox import Outbox, OutboxFull
from ominix.wire.transport import Transport


@pytest.fixture
def outbox_and_inlet():
    near, far = transport.pair()
    outbox = Outbox(near, max_waiting_bytes=3_000_000)
    inlet = Transport(far, MESSAGES)
    yield outbox, inlet
    outbox.close()
    inlet.close()
    near.close()


def is_readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


def test_what_fits_leaves_at_once(outbox_and_inlet):
    outbox, inlet = outbox_and_inlet
    outbox.send(Text("hello"))
    assert not outbox.waiting
    assert not is_readable(outbox.wakeup)
    assert inlet.receive(1.0)[0].message == Text("hello")


def test_a_send_never_waits_and_the_rest_leaves_with_flush(outbox_and_inlet):
    outbox, inlet = outbox_and_inlet
    sent = [Text("x" * 1_000_000), Number(1), Text("end")]
    begun = time.monotonic()
    for message in sent:
        outbox.send(message)
    assert time.monotonic() - begun < 0.5
    assert outbox.waiting
    assert is_readable(outbox.wakeup)
    found = []
    while len(found) < len(sent):
        outbox.flush()
        found += [r.message for r in inlet.receive(1.0)]
    assert found == sent
    assert not outbox.waiting
    assert not is_readable(outbox.wakeup)


def test_the_buffer_is_bounded_but_for_what_is_urgent(outbox_and_inlet):
    outbox, _ = outbox_and_inlet
    outbox.send(Text("x" * 2_900_000))
    with pytest.raises(OutboxFull):
        outbox.send(Text("x" * 1_000_000))
    outbox.send(Number(1), urgent=True)


def test_descriptors_of_a_message_that_waits_stay_open_until_it_has_left(outbox_and_inlet, tmp_path):
    outbox, inlet = outbox_and_inlet
    (tmp_path / "file").write_text("content")
    outbox.send(Text("x" * 1_000_000))
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    outbox.send(Text("file"), [descriptor])
    os.close(descriptor)
    found = []
    while len(found) < 2:
        outbox.flush()
        found += inlet.receive(1.0)
    assert os.pread(found[1].descriptors.take(), 99, 0) == b"content"


def test_closing_closes_the_descriptors_that_still_wait(outbox_and_inlet):
    outbox, _ = outbox_and_inlet
    outbox.send(Text("x" * 1_000_000))
    reading, writing = os.pipe()
    outbox.send(Text("pipe"), [writing])
    os.close(writing)
    outbox.close()
    assert os.read(reading, 1) == b""
    with pytest.raises(BrokenPipeError):
        outbox.send(Text("late"))
    os.close(reading)


def test_a_reader_that_has_gone_is_an_error(outbox_and_inlet):
    outbox, inlet = outbox_and_inlet
    inlet.close()
    with pytest.raises(BrokenPipeError):
        outbox.send(Text("hello"))
