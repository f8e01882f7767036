"""Uploads: where their bytes lie, and that they are whole."""

from __future__ import annotations

import os
import random
import tempfile
import time

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
    return Request(environ)


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


def fields(*parts: tuple[str, str]) -> dict:
    found, upload = forms.read(
        request([("file", b"x"), *((name, text.encode()) for name, text in parts)], spooled=False),
        "transcription_form",
        MAX_BYTES,
    )
    upload.close()
    return found


ARRAY = "timestamp_granularities"


@pytest.mark.parametrize(
    "parts",
    [
        [(f"{ARRAY}[]", "word"), (f"{ARRAY}[]", "segment")],
        [(ARRAY, "word"), (ARRAY, "segment")],
        [(f"{ARRAY}[0]", "word"), (f"{ARRAY}[1]", "segment")],
        [(ARRAY, "word,segment")],
        [(f"{ARRAY}[]", "word, segment")],
        [(ARRAY, '["word", "segment"]')],
        [(f"{ARRAY}[]", ' ["word","segment"]')],
        [(f"{ARRAY}[]", "word"), (ARRAY, "segment"), (ARRAY, "")],
    ],
)
def test_arrays_in_every_spelling(parts):
    assert fields(*parts)[ARRAY] == ["word", "segment"]
    keywords = [(name.replace(ARRAY, "keywords"), text) for name, text in parts]
    assert fields(*keywords)["keywords"] == ["word", "segment"]


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ([(ARRAY, "word,letter")], "must be one of"),
        ([(ARRAY, '["word", 3]')], "must be one of"),
        ([("response_format", "json"), ("response_format", "text")], "'response_format' is given twice"),
        ([("model", "a"), ("model", "b")], "'model' is given twice"),
        ([("file", "y")], "two files"),
        ([("stream", "maybe")], "must be a boolean"),
    ],
)
def test_what_would_be_lost_is_refused(parts, sentence):
    with pytest.raises(InvalidRequest, match=sentence):
        fields(*parts)


def test_empty_fields_are_absent_ones_and_equal_ones_are_one():
    names = ("model", "language", "prompt", "response_format", "temperature", "stream", ARRAY, "include[]")
    assert fields(*((name, "") for name in names)) == fields()
    assert fields(("model", "m"), ("model", ""), ("model", "m"))["model"] == "m"
    assert fields(("unknown", "a"), ("unknown", "b"), ("deep[er]", "c")) == fields()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("stream", "True", True),
        ("stream", "1", True),
        ("stream", "off", False),
        ("temperature", " 0.5\n", 0.5),
        ("response_format", "srt\r\n", "srt"),
        ("prompt", " as it is ", " as it is "),
    ],
)
def test_texts_become_what_their_schema_says(name, text, value):
    assert fields((name, text))[name] == value


ZEROS = b"[" + b"0," * 30_000 + b"0]"


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ([("keywords[]", ZEROS)] * 300, "more than 1048576 characters together"),
        ([("keywords", ZEROS)], "more than 1000 values"),
        ([("keywords[]", b"w")] * 400 + [("keywords", b"w," * 601)], "more than 1000 values"),
        ([("include", b"logprobs," * 1001)], "more than 1000 values"),
        ([(f"k{i}", b"x" * 60_000) for i in range(20)], "more than 1048576 characters together"),
        ([("keywords[]", b'["\\ud800"]')], "half a surrogate pair"),
        ([("chunking_strategy", b'{"type": "\\udfff"}')], "half a surrogate pair"),
        ([("chunking_strategy[type]", b"server_vad")] + [(f"a{i}", b"") for i in range(600)], "512 parts"),
    ],
)
def test_what_fields_may_cost_is_bounded(parts, sentence):
    """300 fields of wide JSON took a minute; half a surrogate pair killed the speech worker."""
    made = request([("file", b"x"), *parts], spooled=False)
    begun = time.process_time()
    with pytest.raises(InvalidRequest, match=sentence):
        forms.read(made, "transcription_form", 32 << 20)
    assert time.process_time() - begun < 0.5


def test_brackets_that_are_no_json_stay_text():
    made = request([("file", b"x"), ("chunking_strategy", b"{" * 500)], spooled=False)
    with pytest.raises(InvalidRequest, match="'chunking_strategy' must be"):
        forms.read(made, "transcription_form", MAX_BYTES)
