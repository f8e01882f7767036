"""Descriptors beside jobs."""

from __future__ import annotations

import os

import pytest

from ominix.wire import jobs
from ominix.wire.jobs import ChatJob, TranscriptionJob
from ominix.wire.transport import Descriptors, NotAMessage


def test_the_receiver_s_number_takes_the_place_of_the_sender_s():
    reading, writing = os.pipe()
    os.close(reading)
    job = TranscriptionJob(7, language="English")
    assert jobs.descriptors_of(job) == (7,)
    assert jobs.received(job, Descriptors([writing])) == TranscriptionJob(writing, language="English")
    jobs.close_descriptors_of(TranscriptionJob(writing))
    with pytest.raises(OSError):
        os.fstat(writing)


def test_a_job_that_came_without_its_file_is_no_message():
    with pytest.raises(NotAMessage):
        jobs.received(TranscriptionJob(7), Descriptors())


def test_a_chat_has_no_files():
    job = ChatJob(())
    assert jobs.descriptors_of(job) == ()
    assert jobs.received(job, Descriptors()) is job
