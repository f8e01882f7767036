"""Uploads: where their bytes lie, and that they are whole."""

from __future__ import annotations

import os
import random
import tempfile

import pytest
from falcon import Request, testing

from ominix.errors import InvalidRequest, TooLarge
from ominix.http import forms

MAX_BYTES = 1 << 20


def request(parts: list[tuple[str, bytes]], *, spooled: bool) -> Request:
    """A form as waitress hands it on: a large body in a file without a name, a small one in memory."""
    head = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n'
    body = b"".join(head % name.encode() + value + b"\r\n" for name, value in parts) + b"--b--\r\n"
    environ = testing.create_environ(
        method="POST", headers={"Content-Type": "multipart/form-data; boundary=b"}, body=body
    )
    if spooled:
        environ["wsgi.input"] = file = tempfile.TemporaryFile("w+b")  # noqa: SIM115  (closed by forms)
        file.write(body)
        file.seek(0)
    made = Request(environ)
    made.options.media_handlers["multipart/form-data"] = forms.handler()
    return made


def content(upload: forms.Upload) -> bytes:
    return os.pread(upload.descriptor, 2 * MAX_BYTES, 0)


@pytest.mark.parametrize("spooled", [False, True])
@pytest.mark.parametrize("size", [0, 1, 40_000, 700_000])
@pytest.mark.parametrize("before", [0, 4_000])
def test_a_file_arrives_whole_with_the_fields_around_it(spooled, size, before):
    data = random.Random(size).randbytes(size)
    parts = [("model", b"m"), ("prompt", b"p" * before), ("file", data), ("language", b"en")]
    fields, upload = forms.read(request(parts, spooled=spooled), "transcription_form", MAX_BYTES)
    assert content(upload) == data
    assert os.lseek(upload.descriptor, 0, os.SEEK_CUR) == 0
    assert (fields["model"], fields["language"], len(fields.get("prompt", ""))) == ("m", "en", before)
    assert not os.fstat(upload.descriptor).st_nlink  # no name: it goes with its last descriptor
    upload.close()


def test_a_spooled_body_becomes_the_upload_s_file():
    made = request([("model", b"m"), ("file", b"x" * 700_000)], spooled=True)
    inode = os.fstat(made.env["wsgi.input"].fileno()).st_ino
    _, upload = forms.read(made, "transcription_form", MAX_BYTES)
    assert os.fstat(upload.descriptor).st_ino == inode
    assert made.env["wsgi.input"].closed  # its position is the upload's, too
    upload.close()


def test_a_body_in_a_file_with_a_name_is_copied(tmp_path):
    made = request([("model", b"m"), ("file", b"x" * 700_000)], spooled=True)
    named = (tmp_path / "body").open("w+b")
    named.write(made.env["wsgi.input"].read())
    named.seek(0)
    made.env["wsgi.input"] = named
    _, upload = forms.read(made, "transcription_form", MAX_BYTES)
    assert content(upload) == b"x" * 700_000
    assert len((tmp_path / "body").read_bytes()) > 700_000
    upload.close()


@pytest.mark.parametrize("spooled", [False, True])
def test_what_is_refused_leaves_no_descriptor_open(spooled):
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208
    for parts, error in (
        ([("model", b"m"), ("file", b"x" * (MAX_BYTES + 1))], TooLarge),
        ([("model", b"m")], InvalidRequest),
        ([("model", b"m"), ("file", b"x"), ("temperature", b"hot")], InvalidRequest),
    ):
        made = request(parts, spooled=spooled)
        with pytest.raises(error):
            forms.read(made, "transcription_form", MAX_BYTES)
        made.env["wsgi.input"].close()  # as waitress does
    assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208
