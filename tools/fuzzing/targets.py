"""What is fuzzed: all that reads bytes of strangers. Each target: good inputs, and what reads them.

A reader may refuse with the errors that it documents. Any other exception, a signal, or a hang is a finding.
"""

from __future__ import annotations

import functools
import io
import json
import os
import random
import struct
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parents[2] / "tests"
AUDIO_FILES = ("cases/bare.ac3", "cases/g726.wav", "cases/short.wv", "cases/second-piece.webm",
               "cases/protected.m4p", "cases/torn-start.ts", "formats/chirp.gsm", "formats/chirp.spx",
               "formats/chirp.dts", "speech/seen-00.ogg")  # fmt: skip
SOUND_FILES = ("WAV", "FLAC", "OGG", "AIFF", "CAF", "AU", "W64")
MAX_CORPUS_BYTES = 128 << 10  # of one input
AUDIO_SECONDS, AUDIO_BYTES = 60.0, 64 << 20
NO_DESCRIPTOR = -1


@dataclass(frozen=True)
class Target:
    corpus: Sequence[bytes]
    read: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]


def audio() -> Target:
    from ominix.audio import decode
    from ominix.errors import JobRefused

    sys.path.insert(0, str(TESTS / "audio"))
    import sounds

    chirp = sounds.chirp(16_000, 1)
    files = [(TESTS / "data" / name).read_bytes()[:MAX_CORPUS_BYTES] for name in AUDIO_FILES]
    files += [
        sounds.written(chirp, 16_000, form) for form in ("WAV", "FLAC", "OGG", "AIFF", "CAF", "AU", "W64")
    ]
    wide = sounds.chirp(48_000, 1)
    for container, codec in (("mp4", "aac"), ("mp3", "libmp3lame"), ("webm", "libopus")):
        files.append(sounds.encoded(container, codec, [wide]))

    def read(data: bytes) -> None:
        descriptor = os.memfd_create("fuzz") if hasattr(os, "memfd_create") else NO_DESCRIPTOR
        if descriptor == NO_DESCRIPTOR:
            descriptor, path = tempfile.mkstemp()
            os.unlink(path)  # noqa: PTH108
        os.write(descriptor, data)
        os.lseek(descriptor, 0, os.SEEK_SET)
        for _ in decode.blocks(descriptor, max_seconds=AUDIO_SECONDS, max_bytes=AUDIO_BYTES):
            pass

    return Target(files, read, (JobRefused,))


def multipart() -> Target:
    from ominix.errors import InvalidRequest
    from ominix.http.multipart import Form

    forms = [(TESTS / "data" / "cases" / f"{name}.form").read_bytes()[-2000:] for name in
             ("typed-format", "typed-model", "eight-bit", "granularities")]  # fmt: skip
    head = b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    more = b"\r\nContent-Type: text/plain; charset=%s\r\nContent-Transfer-Encoding: %s"
    forms += [
        head % (b"model", b"", b"m") + head % (b"file", b'; filename="a.wav"', b"RIFF") + b"--b--\r\n",
        head % (b"prompt", more % (b"utf-16", b"base64"), b"aGk=") + b"--b--",
        head % (b"prompt", more % (b"gb18030", b"quoted-printable"), b"a=20=\r\nb") + b"--b--",
    ]

    def read(data: bytes) -> None:
        content_type, _, body = data.partition(b"\n\n")
        for part in Form(io.BytesIO(body), content_type.decode("latin-1"), 100):
            part.text(64 << 10)

    kind = b"multipart/form-data; boundary="
    marks = [form[2 : form.index(b"\r\n")] if form.startswith(b"--") else b"b" for form in forms]
    corpus = [kind + mark + b"\n\n" + form for mark, form in zip(marks, forms, strict=True)]
    return Target(corpus, read, (InvalidRequest,))


def json_body() -> Target:
    from ominix.errors import OminixError
    from ominix.http import answers, bodies, schemas

    chat = {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
            "temperature": 0.5, "stop": ["a"], "logit_bias": {"5": 1}, "n": 2, "stream": True,
            "response_format": {"type": "text"}, "stream_options": {"include_usage": True}}  # fmt: skip
    kinds = ("chat_completion_request", "transcription_request", "download_request")

    def read(data: bytes) -> None:
        value = bodies.parse(data)
        answers.json_bytes(value)
        for kind in kinds:
            try:
                schemas.checked(kind, value)
            except OminixError as error:
                answers.json_bytes(error.message)

    bodies_ = [
        chat,
        {"model": "m", "file_path": "a.wav", "language": "de"},
        {"repo_id": "a/b"},
        [1.5, None, "é\u2028"],
    ]
    return Target([json.dumps(body).encode() for body in bodies_], read, (OminixError,))


def http() -> Target:
    sys.path.insert(0, str(TESTS / "server"))
    import test_parser

    chat = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
    corpus = [
        b"GET /health HTTP/1.1\r\nHost: [::1]:80\r\nOrigin: http://localhost\r\n\r\n",
        chat + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
        chat + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0;a=b\r\nX: y\r\n\r\n",
        b"POST http://localhost/v1/audio/transcriptions HTTP/1.0\r\nHost: localhost\r\n\r\n",
    ]

    def read(data: bytes) -> None:
        parser = test_parser.parsed(data, 1 + len(data) % 97, ("key",) if len(data) % 2 else ())
        if parser.completed:
            parser.close()

    return Target(corpus, read, ())


def hosts() -> Target:
    from ominix.errors import OminixError
    from ominix.server import hosts
    from ominix.server.gate import Call, Gate, Origins

    gate = Gate((), (), Origins(()))
    lines = [
        b"localhost:8080",
        b"[::1]:80",
        b"127.0.0.1",
        b"http://localhost:3000",
        b"app://obsidian.md",
        b"null",
    ]
    good = hosts.own_names()

    def read(data: bytes) -> None:
        text = data.decode("latin-1")
        host, _, origin = text.partition(" ")
        found = hosts.authority(host)
        assert found is None or found.port is None or 0 <= found.port <= 65535
        hosts.is_same_origin(origin, host)
        hosts.is_local_page(origin)
        gate.check(Call("POST", "/v1/chat/completions", {"HOST": host, "ORIGIN": origin}, "127.0.0.1"))
        own = found is not None and (found.name in good or hosts.is_literal(found.name))
        assert own or not host, f"{host!r} passes the gate"

    return Target([*lines, b"localhost http://localhost"], read, (OminixError,))


def gguf() -> Target:
    from ominix.convert.gguf import container
    from ominix.errors import InvalidRequest

    def string(text: bytes) -> bytes:
        return struct.pack("<Q", len(text)) + text

    words = struct.pack("<IIQ", 9, 8, 2) + string(b"a") + string(b"b")
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 3) + string(b"general.architecture")
    head += struct.pack("<I", 8) + string(b"llama") + string(b"tokens") + words + string(b"n")
    head += struct.pack("<If", 6, 1.5) + string(b"w") + struct.pack("<IQQIQ", 2, 32, 2, 8, 0)
    whole = head + b"\0" * (-len(head) % 32) + bytes(68)
    return Target([whole], _of_file("model.gguf", container.read), (InvalidRequest,))


def ct2() -> Target:
    from ominix.models.whisper import ct2

    sys.path.insert(0, str(TESTS))
    import whisper_folders

    whole = whisper_folders.ct2_file(whisper_folders.ct2_variables())
    small = whisper_folders.ct2_file(dict(list(whisper_folders.ct2_variables().items())[:3]))
    return Target([whole, small], _of_file("model.bin", ct2.read), (ValueError,))


def safetensors() -> Target:
    from ominix.library.fetch import whole
    from ominix.models import weights

    def file(header: dict[str, object], size: int) -> bytes:
        head = json.dumps(header).encode()
        return struct.pack("<Q", len(head)) + head + bytes(size)

    def read(path: Path) -> None:
        whole.is_whole(path.name, path)
        weights.read([path])

    one = {"w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}
    two = {
        "__metadata__": {"format": "mlx"},
        **one,
        "v": {"dtype": "BF16", "shape": [], "data_offsets": [16, 18]},
    }
    corpus = [file(one, 16), file(two, 18)]
    return Target(corpus, _of_file("model.safetensors", read), (ValueError,))


def config() -> Target:
    """A model's folder: whatever its config.json says, it is listed, and its answer can be written."""
    from ominix.api.models import model_object
    from ominix.http import answers, schemas
    from ominix.library.catalog import Catalog

    folder = Path(tempfile.mkdtemp(prefix="ominix-fuzz-"))
    model = folder / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"12345")
    catalog = Catalog(folder)

    def read(data: bytes) -> None:
        (model / "config.json").write_bytes(data)
        (found,) = catalog.models()
        body = model_object(found, loaded=False)
        wrong = schemas.mismatch("model", body)
        assert wrong is None, wrong
        answers.json_bytes(body)

    configs = [{"model_type": "llama", "quantization": {"bits": 4, "group_size": 64}},
               {"model_type": "qwen3_asr", "thinker_config": {"classify_num": 5000}},
               {"model_type": "whisper", "n_vocab": 51865, "architectures": ["Whisper"]}]  # fmt: skip
    return Target([json.dumps(each).encode() for each in configs], read, ())


def records() -> Target:
    """OMINIX_HOME/config.json: damaged or not, the list of downloads can be given."""
    from ominix.api.downloads import download_object
    from ominix.http import answers, schemas
    from ominix.library.downloads import Downloads

    home = Path(tempfile.mkdtemp(prefix="ominix-fuzz-"))
    downloads = Downloads(home)

    def read(data: bytes) -> None:
        (home / "config.json").write_bytes(data)
        for download in downloads.all():
            body = download_object(download)
            wrong = schemas.mismatch("download", body)
            assert wrong is None, wrong
            answers.json_bytes(body)
        for damaged in home.glob("config.json.damaged-*"):
            damaged.unlink()

    entry = {"repo_id": "a/m", "state": "failed", "reason": "gated", "message": "m", "total_bytes": 5}
    ready = {**entry, "state": "ready", "downloaded_at": 1_700_000_000, "revision": "c0ffee"}
    return Target([json.dumps({"models": {"m": entry, "n": ready}}).encode()], read, ())


def languages() -> Target:
    from ominix.text import languages

    names = ["English", "deutsch", "中文", "pt-BR", "zh-Hant", "deu", "auto", "norwegian"]

    def read(data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        languages.means_any(text)
        languages.find(text)

    return Target([name.encode() for name in names], read, ())


def answer_parser() -> Target:
    """However a text is cut into pieces, the same passages come out."""
    from ominix.engines.text.channels import AnswerParser
    from ominix.engines.text.marks import Marks
    from ominix.engines.text.transitions import CallMarks
    from ominix.models.answer_formats import HARMONY, AnswerFormat, tagged

    calls = [CallMarks("[CALL]", "[/CALL]")]

    def passages(format: AnswerFormat, pieces: list[str]) -> str:
        parser = AnswerParser(format, Marks({}), stops=["STOP", "\n\n\n"], calls=calls)
        told, channel = "", ""
        for passage in [passage for piece in pieces for passage in parser.add(piece)] + parser.close():
            told += (
                f"[{passage.channel} {passage.edge}]" if passage.edge or passage.channel != channel else ""
            )
            told, channel = told + passage.text, passage.channel
        return told + str(parser.stopped)

    def read(data: bytes) -> None:
        text = data.decode("utf-8", "replace")[:4096]
        dice = random.Random(len(text))
        cuts = sorted(dice.randint(0, len(text)) for _ in range(5))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        for format in (tagged(("<think>", "</think>")), HARMONY):
            whole, cut = passages(format, [text]), passages(format, pieces)
            assert whole == cut, (whole, cut)
            assert passages(format, list(text)) == whole

    texts = [
        b"<think>why\n</think>\n\nbecause STOP here",
        b"a <thin b </think> STO P",
        b"ST\xe2\x82\xacOP\n\n\n",
        b"<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>final<|message|>Yes",
        b"\n[CALL]{}[/CALL]<|channel|>commentary to=functions.f<|message|>{}<|call|>",
    ]
    return Target(texts, read, ())


def tool_calls() -> Target:
    """Whatever a model writes between the marks of a call: calls that are whole, or its letters."""
    from ominix.engines.text.call_pieces import Arguments, Begin, End, Unread
    from ominix.engines.text.tool_calls import reader
    from ominix.models.call_formats import DEEPSEEK, HERMES, KIMI, LLAMA_4, MISTRAL

    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]

    def read(data: bytes) -> None:
        text = data.decode("utf-8", "replace")[:4096]
        for format in (HERMES, MISTRAL, KIMI, DEEPSEEK, LLAMA_4):
            calls = reader(format, tools, only_known=False)
            pieces = [*calls.add(text), *calls.end(cut=False)]
            arguments = ""
            for piece in pieces:
                if isinstance(piece, Begin):
                    arguments = ""
                elif isinstance(piece, Arguments):
                    arguments += piece.text
                elif isinstance(piece, End):
                    assert isinstance(json.loads(arguments), dict), arguments
            if not any(isinstance(piece, Begin) for piece in pieces):
                assert "".join(p.text for p in pieces if isinstance(p, Unread)) == text

    texts = [
        '{"name": "f", "arguments": {"a": [1, {"b": "\\n"}], "c": "' + "x" * 200 + '"}}',
        '[{"arguments": "{}", "name": "f", "id": "1"}, {"function": {"name": "g", "parameters": null}}]',
        'f[CALL_ID]abc[ARGS]{"a": 1}',
        "<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{}<|tool_call_end|>",
        "<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{}\n```<｜tool▁call▁end｜>",
        "[f(a='x', b=[1, {'c': True}]), g.h(d=-1.5)]",
    ]
    return Target([text.encode() for text in texts], read, ())


def _of_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], None]:
    path = Path(tempfile.mkdtemp(prefix="ominix-fuzz-")) / name

    def of_bytes(data: bytes) -> None:
        path.write_bytes(data)
        read(path)

    return of_bytes


TARGETS: dict[str, Callable[[], Target]] = {
    name: functools.cache(make)
    for name, make in {
        "audio": audio, "multipart": multipart, "json": json_body, "http": http, "hosts": hosts, "gguf": gguf,
        "ct2": ct2, "safetensors": safetensors, "config": config, "records": records, "languages": languages,
        "answers": answer_parser,
        "calls": tool_calls,
    }.items()
}  # fmt: skip
