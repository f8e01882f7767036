"""Parts of forms as clients type and code them: read, or refused in a sentence; never passed over."""

from __future__ import annotations

import base64
import io
import quopri

import pytest

from ominix.errors import InvalidRequest
from ominix.http.multipart import Form

KIND = "multipart/form-data; boundary=b"


def form(*parts: bytes) -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


def part(value: bytes, *headers: str) -> bytes:
    lines = ['Content-Disposition: form-data; name="x"', *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + value


class OneByteAtATime(io.BytesIO):
    def read(self, size=-1):
        return super().read(min(size, 1))


def read(body: bytes, kind: str = KIND, stream=io.BytesIO) -> list[tuple[str, str]]:
    return [(found.name, found.text(100_000)) for found in Form(stream(body), kind, 10)]


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "text/plain; charset=utf-8",
        "text/plain;charset=US-ASCII",
        'text/plain; charset="UTF-8"',
        "application/json",
        "application/json; charset=utf-8",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "multipart/form-data; charset=utf-8",
        "text/html",
        "TEXT/PLAIN",
        "audio/wav",
        "*/*",
        "nonsense",
        "",
    ],
)
def test_a_text_of_any_type_is_read(media_type):
    assert read(form(part("größe".encode(), f"Content-Type: {media_type}"))) == [("x", "größe")]


@pytest.mark.parametrize(
    ("charset", "codec"),
    [
        ("iso-8859-1", "latin-1"),
        ("ISO-8859-15", "iso8859-15"),
        ("windows-1252", "cp1252"),
        ("utf-16", "utf-16"),
        ("UTF-16LE", "utf-16-le"),
        ("utf-8", "utf-8-sig"),
        ("us-ascii", "utf-8"),
    ],
)
def test_a_text_is_read_in_the_charset_it_names(charset, codec):
    found = read(form(part("größe".encode(codec), f"Content-Type: text/plain; charset={charset}")))
    assert found == [("x", "größe")]


@pytest.mark.parametrize(
    ("charset", "text"), [("gb18030", "你好"), ("shift_jis", "日本"), ("euc-kr", "한국"), ("big5", "你好")]
)
def test_charsets_of_asia(charset, text):
    value = part(text.encode(charset), f"Content-Type: text/plain; charset={charset}")
    assert read(form(value)) == [("x", text)]


@pytest.mark.parametrize(
    ("coding", "code"),
    [
        ("7bit", bytes),
        ("8bit", bytes),
        ("binary", bytes),
        ("8BIT", bytes),
        ("base64", base64.encodebytes),
        ("Base64", base64.b64encode),
        ("quoted-printable", quopri.encodestring),
    ],
)
@pytest.mark.parametrize("stream", [io.BytesIO, OneByteAtATime])
def test_transfer_encodings_are_undone(coding, code, stream):
    text = "größe = 1\r\n" * 40
    value = part(code(text.encode()), f"Content-Transfer-Encoding: {coding}")
    assert [text.split() for _, text in read(form(value), stream=stream)] == [text.split()]


@pytest.mark.parametrize(
    ("headers", "value", "sentence"),
    [
        (["Content-Transfer-Encoding: x-uuencode"], b"x", "'x' is encoded as 'x-uuencode'"),
        (["Content-Encoding: gzip"], b"x", "'x' is encoded as 'gzip'"),
        (["Content-Transfer-Encoding: base64"], b"no!base64", "not in the transfer encoding"),
        (["Content-Transfer-Encoding: base64"], b"abc", "not in the transfer encoding"),
        (["Content-Type: text/plain; charset=klingon"], b"x", "'klingon' is not known"),
        (["Content-Type: text/plain; charset=utf-7"], b"x", "'utf-7' is not known"),
        (["Content-Type: text/plain; charset=unicode_escape"], b"x", "'unicode_escape' is not known"),
        (["Content-Type: text/plain; charset=zlib"], b"x", "'zlib' is not known"),
        (["Content-Type: text/plain; charset=a\x00"], b"x", "is not known"),
        ([], b"\xff\xfe", "'x' is not text in utf-8"),
        ([], b"x" * 100_001, "'x' has more than 100000 bytes"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(headers, value, sentence):
    with pytest.raises(InvalidRequest, match=sentence) as caught:
        read(form(part(value, *headers)))
    assert caught.value.code == "invalid_multipart"


@pytest.mark.parametrize(
    "header",
    [
        'Content-Disposition: form-data; name="x"; filename="a.txt"',
        "Content-Disposition: form-data; name=x",
        'content-disposition:form-data;name="x"',
        "Content-Disposition: form-data; name=\"x\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.wav",
        "Content-Disposition: form-data; name=\"x\"; filename*=klingon''%ff",
        'Content-Disposition: form-data; name="x"; filename="gr\xf6\xdfe.wav"',
        'Content-Disposition: form-data;\r\n name="x";\r\n\tfilename="a.wav"',
        'Content-Length: 1\r\nContent-Disposition: form-data; name="x"\r\nX-Other: 1',
        'Content-Disposition: attachment; name="x"',
        'Content-Disposition: form-data; name="x"; name="x"',
    ],
)
def test_headers_as_clients_write_them(header):
    assert read(form(header.encode("latin-1") + b"\r\n\r\n1")) == [("x", "1")]


@pytest.mark.parametrize("stream", [io.BytesIO, OneByteAtATime])
def test_an_empty_field_may_lack_its_line_break(stream):
    head = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n'
    body = head % b"x" + head % b"y" + b"1\r\n" + head % b"z" + b"--b--"
    assert read(body, stream=stream) == [("x", ""), ("y", "1"), ("z", "")]


@pytest.mark.parametrize("stream", [io.BytesIO, OneByteAtATime])
def test_what_surrounds_the_parts_and_looks_like_a_boundary_is_not_lost(stream):
    value = b"x--b\r\n--\r\n-\r\n--"
    body = b"preamble\r\n--b \t\r\n" + part(value) + b"\r\n--b--epilogue --b\r\n"
    assert read(body, stream=stream) == [("x", value.decode())]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "ends before"),
        (b"--c\r\n\r\n", "ends before"),
        (form(part(b"1"))[:-8], "ends before"),
        (b"--b\r\n" + part(b"1")[:20], "ends before"),
        (b"--b-\r\n", "follows a boundary"),
        (b"--bc\r\n" + part(b"1"), "follows a boundary"),
        (b"--b\r\n" + b"x" * 10_000, "more than 8192 bytes"),
        (form(b"X: " + b"x" * 10_000 + b"\r\n" + part(b"1")), "more than 8192 bytes"),
        (b"--b" + b" " * 10_000, "follows a boundary"),
        (form(b"\r\n1"), "has no name"),
        (form(b"Content-Disposition: form-data\r\n\r\n1"), "has no name"),
        (form(*[part(b"1")] * 11), "more than 10 parts"),
    ],
)
def test_a_torn_form_is_refused(body, sentence):
    with pytest.raises(InvalidRequest, match=sentence):
        read(body)


@pytest.mark.parametrize("kind", ["multipart/form-data", f"{KIND[:-1]}{'b' * 71}", 'x/y; boundary=""'])
def test_a_form_needs_a_boundary(kind):
    with pytest.raises(InvalidRequest, match="needs a boundary"):
        read(form(part(b"1")), kind)


def test_a_name_may_be_any_text():
    """A field without a known name is an unknown field, which does no harm."""
    for name in ("", "0\x8e³'ÿöá", "a b", "x;y", "你好"):
        assert read(form(f'Content-Disposition: form-data; name="{name}"\r\n\r\n1'.encode())) == [(name, "1")]


def test_parts_that_nobody_reads_are_passed_over():
    assert [found.name for found in Form(io.BytesIO(form(part(b"1"), part(b"2"))), KIND, 10)] == ["x", "x"]
