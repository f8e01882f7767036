"""Would the contract's tests notice? Breaks of its rules, one at a time, in a copy of the project.

    python tools/mutate_contract.py [word ...]     only breaks whose file or name holds one of them

Every break is a piece of text replaced by another (⏎ stands for a line break). The tests named behind it
have to fail. Prints a table; exits with 1 if a break survives or names text that is not in the source once.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIED = ("ominix", "schemas", "tests", "contract_tests", "setup.cfg", "README.md")
TESTS = {
    "requests": "contract_tests/test_requests.py",
    "python": "contract_tests/test_openai_python.py",
    "shapes": "contract_tests/test_openai_shapes.py",
    "sockets": "contract_tests/test_sockets.py",
    "server": "tests/e2e/test_server.py",
    "transcriptions": "tests/e2e/test_transcriptions.py",
    "store": "tests/e2e/test_store.py",
    "gate": "tests/server/test_gate.py",
    "hosts": "tests/server/test_hosts.py",
    "parser": "tests/server/test_parser.py",
    "threads": "tests/server/test_threads.py",
    "chunks": "tests/server/test_chunks.py",
    "connections": "tests/server/test_connections.py",
    "door": "tests/e2e/test_front_door.py",
    "bodies": "tests/http/test_bodies.py",
    "catalog": "tests/library/test_catalog.py",
    "chat": "tests/api/test_chat_completions.py",
    "tools": "tests/api/test_api_tools.py",
    "prompts": "tests/engines/text/test_prompts.py",
}
# file: name of the break [tests, and words of their names]
#     the text
#     what it becomes
BREAKS = """
http/answers.py: a refusal in plain text [requests every_kind]
    resp.text = None⏎    resp.data = json_bytes(body)
    resp.text = None⏎    resp.data = body["error"]["message"].encode()
http/answers.py: a refusal called text/plain [requests every_kind]
    resp.status = status⏎    resp.content_type = "application/json"⏎    resp.stream
    resp.status = status⏎    resp.content_type = "text/plain"⏎    resp.stream
http/answers.py: a refusal without its code [requests every_kind]
    "param": param, "code": code}}
    "param": param}}
http/answers.py: a refusal without its envelope [requests every_kind]
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return {"message": message, "type": kind, "param": param, "code": code}
http/answers.py: the field is not named [requests would_change]
    return status, error_body(error.message, kind, error.param, error.code)
    return status, error_body(error.message, kind, None, error.code)
http/answers.py: an unknown model is a 400 [requests ids_of]
    (errors.ModelNotFound, 404, "not_found")
    (errors.ModelNotFound, 400, "not_found")
http/answers.py: a conflict is a 400 [requests every_kind]
    (errors.Conflict, 409, "conflict")
    (errors.Conflict, 400, "conflict")
http/answers.py: a busy model is a 503 [python busy]
    (errors.Busy, 429, "rate_limit_error")
    (errors.Busy, 503, "rate_limit_error")
http/answers.py: no Retry-After with 429 [python busy]
    if status in (429, 503):
    if status == 503:
http/answers.py: no Retry-After with 503 [server cannot_start]
    if status in (429, 503):
    if status == 429:
http/answers.py: Retry-After of ten minutes [python busy]
    RETRY_SECONDS = 2
    RETRY_SECONDS = 600
http/answers.py: a killed worker's job is sent again [python killed]
    FINAL = (errors.Conflict, errors.InputFailed, errors.WorkerCrashed)
    FINAL = (errors.Conflict,)
http/answers.py: a conflict is sent again [python killed]
    FINAL = (errors.Conflict, errors.InputFailed, errors.WorkerCrashed)
    FINAL = (errors.InputFailed, errors.WorkerCrashed)
http/answers.py: 405 does not say what is allowed [requests every_kind]
        resp.set_header(name, value)
        pass
http/access.py: no request id [requests every_kind]
    [*headers, ("x-request-id", entry.request_id)]
    headers
http/access.py: any request id is echoed [server request_ids]
    asked if SANE_ID.fullmatch(asked) else
    asked or
http/access.py: doubled slashes count [server paths_are]
    re.sub("//+", "/", environ["PATH_INFO"])
    environ["PATH_INFO"]
http/access.py: HEAD is a method of its own [server paths_are]
    environ["REQUEST_METHOD"] = "GET"
    pass
server/app.py: trailing slashes count [server paths_are]
    strip_url_path_trailing_slash = True
    strip_url_path_trailing_slash = False
server/channels.py: waitress's own refusals are text [server every_refusal]
    ("Content-Type", "application/json")
    ("Content-Type", "text/plain")
server/channels.py: waitress's own refusals have no request id [server every_refusal]
    self.response_headers.append(("x-request-id", request_id))
    pass
server/channels.py: waitress's default error tasks [server every_refusal]
    error_task_class = JsonErrorTask
    pass
server/listen.py: waitress refuses large bodies first [server past_the_limit]
    max_request_body_size=ABSURD_BYTES
    max_request_body_size=10_000
server/listen.py: nobody notices that a client has left [server leaves]
    channel_request_lookahead=MAX_PIPELINED
    channel_request_lookahead=0
http/listener.py: work goes on for a client that has left [server leaves]
    if is_gone(self._req):
    if False:
api/transcriptions.py: an upload outlives its request [requests uploads]
    stack.callback(upload.close)
    pass
server/gate.py: only Authorization holds a key [gate usual_header]
    KEY_HEADERS = ("API_KEY", "X_API_KEY")
    KEY_HEADERS = ()
server/gate.py: keys are not looked at [python keys]
        if is_admin or not self._keys or _is_among(given, self._keys):
        if True:
server/gate.py: CORS is always on [requests cors]
    if origin in self._allowed or "*" in self._allowed:
    if True:
server/gate.py: no answer to a preflight [requests cors]
    if headers and req.method == "OPTIONS" and
    if False and
server/gate.py: any Host is fine [requests every_kind]
    return name in self._hosts or name.endswith(".local") or hosts.is_literal(name)
    return True
server/gate.py: null is nobody's origin [gate foreign_page]
        elif not (
        elif origin != "null" and not (
server/gate.py: a request without Origin comes from no page [gate foreign_page]
            if call.headers.get("SEC_FETCH_SITE", "none") not in OWN_SITES:
            if False:
server/gate.py: with a key, names count as well [door another_machine]
        if self._keys or "*" in self._hosts:
        if "*" in self._hosts:
server/hosts.py: a loopback address with something behind it is loopback [hosts all_else]
    matched = AUTHORITY.fullmatch(text)
    matched = AUTHORITY.match(text)
api/health.py: everybody is told what fails [door health_tells]
        if access.rights(req).details:
        if True:
server/parser.py: a body with two lengths is read [parser two_readers]
    if codings and "CONTENT_LENGTH" in self.headers:
    if False:
server/parser.py: a body is stored before the key is looked at [parser stored]
        if not self.is_body_left:
        if True:
server/parser.py: everybody is told to go on [parser limit]
        self.expect_continue = False⏎        return len(data)
        return len(data)
server/chunks.py: a line between chunks may be endless [chunks endless]
        if len(line) > MAX_LINE_BYTES:
        if False:
server/channels.py: a silent connection stays [connections says_nothing]
            if self._is_late(now):
            if False:
server/channels.py: a body may take for ever [connections kib]
        elif now - since > BODY_SECONDS:
        elif False:
server/channels.py: a reader that reads nothing stays [connections takes_nothing]
            if now - self._sent_at > send_timeout_seconds:
            if False:
server/channels.py: a refused client is reset [connections still_sends]
        if not (self.close_when_flushed and self.is_body_left):
        if True:
server/connections.py: at the limit nobody is let in [connections at_the_limit]
                channel.handle_close()⏎                return True
                return False
server/threads.py: questions and work share their threads [threads starve]
        (self._questions if channel.asks else self._work).add_task(channel)
        self._work.add_task(channel)
http/bodies.py: a byte-order mark is refused [requests byte_order]
    body.decode("utf-8-sig")
    body.decode("utf-8")
http/bodies.py: NaN is a number [bodies clean]
    parse_constant=_refuse_constant,
    parse_constant=float,
http/bodies.py: the last of two keys counts [bodies clean]
    object_pairs_hook=_unique,
    object_pairs_hook=dict,
http/bodies.py: deep nesting is a crash [requests hostile]
    except RecursionError:
    except ZeroDivisionError:
http/bodies.py: half a character is a crash [requests hostile]
    json.dumps(value, ensure_ascii=False).encode()
    pass
http/media.py: a compressed body is read as it is [requests compressed]
    if req.get_header("Content-Encoding", default="identity").lower() != "identity":
    if False:
http/media.py: any media type is fine [requests every_kind]
    if given not in media_types:
    if False:
http/forms.py: brackets belong to the name [transcriptions arrays]
    name = INDEXED.sub("", key)
    name = key
http/forms.py: numbers must not be text [transcriptions keywords]
    return float(text) if NUMBER.fullmatch(text) else text
    return text
http/forms.py: uploads stay on the disk [requests uploads]
    with tempfile.TemporaryFile(buffering=0) as file:
    with tempfile.NamedTemporaryFile(buffering=0, delete=False) as file:
http/forms.py: uploads have no limit [transcriptions past_the_limit]
    if upload.size_bytes + len(chunk) > form.max_bytes:
    if False:
http/multipart.py: a torn form is a crash [transcriptions bad_forms]
        raise malformed("it ends before its last boundary")
        raise EOFError
http/sse.py: no [DONE] [server openai_s_shape]
    DONE = b"data: [DONE]\\n\\n"
    DONE = b""
http/sse.py: [DONE] after an error [server dead_worker]
    return message(answers.json_bytes(answers.body_of(error)[1]))
    return message(answers.json_bytes(answers.body_of(error)[1])) + DONE
http/sse.py: silence [requests silence]
    PING_SECONDS = 15.0
    PING_SECONDS = 60.0
http/sse.py: an early error comes in the stream [server early_error]
    while not first:
    while False:
http/sse.py: no charset [server openai_s_shape]
    "text/event-stream; charset=utf-8"
    "text/event-stream"
http/sse.py: proxies may keep the stream [server openai_s_shape]
    resp.set_header("X-Accel-Buffering", "no")
    pass
http/sse.py: caches may keep the stream [server openai_s_shape]
    resp.set_header("Cache-Control", "no-cache")
    pass
api/chat_completions.py: one id for all answers [requests id_of_its_own]
    f"chatcmpl-{uuid.uuid4().hex}"
    "chatcmpl-1"
api/chat_completions.py: created is no integer [python chat_completion]
    "created": int(time.time()),
    "created": time.time(),
api/chat_completions.py: another model's name [python chat_completion]
    "model": model,
    "model": "ominix",
api/chat_completions.py: no refusal field [shapes every_field]
    "refusal": None,⏎            "annotations": [],
    "annotations": [],
api/chat_completions.py: always stop [requests newer_name]
    "finish_reason": self._finish_reason(choice.finish_reason),
    "finish_reason": "stop",
api/chat_completions.py: the total is not the sum [python chat_completion]
    "total_tokens": done.prompt_tokens + done.completion_tokens,
    "total_tokens": done.completion_tokens,
api/chat_completions.py: no cached tokens [shapes every_field]
    "prompt_tokens_details": {"cached_tokens": done.cached_tokens},
    "prompt_tokens_details": {},
api/conversation.py: thoughts in the answer [requests thoughts]
    (choice.reasoning if event.reasoning else choice.content).append(event.text)
    choice.content.append(event.text)
api/chat_completions.py: thoughts in the stream [requests thoughts]
    if event.reasoning else {"content": text}
    if False else {"content": text}
api/chat_completions.py: no role [server openai_s_shape]
    opening = {"role": "assistant", "content": "", "refusal": None}
    opening = {"content": "", "refusal": None}
api/chat_completions.py: text in the last chunk [python a_stream]
    return [self._chunk(event.index, {}, finish_reason=self._finish_reason(event.reason))]
    return [self._chunk(event.index, {"content": ""}, finish_reason=self._finish_reason(event.reason))]
api/chat_completions.py: the stream never says why it ends [python a_stream]
    return [self._chunk(event.index, {}, finish_reason=self._finish_reason(event.reason))]
    return [self._chunk(event.index, {})]
api/chat_completions.py: every call is the first [chat streamed_call]
    "index": self._calls[event.index] - 1, **piece
    "index": 0, **piece
api/chat_completions.py: calls beside an empty text [chat calls_are_collected]
    "content": content if content or not choice.calls else None,
    "content": content,
api/tools.py: tools that are not allowed are shown [tools which_tools]
    return tuple(tool for tool in tools if tool["function"]["name"] in names)
    return tools
api/chat_completions.py: usage unasked [chat without_include]
    return {**chunk, "usage": usage} if self._include_usage else chunk
    return {**chunk, "usage": usage}
api/chat_completions.py: usage asked for and missing in most chunks [server openai_s_shape]
    return {**chunk, "usage": usage} if self._include_usage else chunk
    return {**chunk, "usage": usage} if usage else chunk
api/chat_completions.py: no bytes of a token [requests logprobs]
    "logprob": entry.logprob,⏎        "bytes": list(entry.token_bytes),
    "logprob": entry.logprob,⏎        "bytes": None,
api/transcriptions.py: text in quotes [python every_format]
    return done.text + "\\n"
    return repr(done.text)
text/subtitles.py: points in SRT times [python every_format]
    _clock(cue.start, ',')
    _clock(cue.start, '.')
api/transcriptions.py: duration as text [python every_format]
        "duration": done.duration_seconds,
        "duration": str(done.duration_seconds),
api/transcriptions.py: a segment without its seek [shapes every_field]
        "seek": round(_seek_seconds(segment) * SEEK_HZ),
        ⠀
api/transcriptions.py: the stream's end has another name [python transcription_s_stream]
    "type": "transcript.text.done"
    "type": "transcript.done"
api/transcriptions.py: plain text called JSON [transcriptions json_text]
    resp.content_type = "text/plain; charset=utf-8"
    resp.content_type = "application/json"
api/transcriptions.py: an unknown language has no code [python transcription_requests]
    code="invalid_language",
    code=None,
api/transcriptions.py: [DONE] after a transcript [transcriptions sums_up]
    last=b""
    last=sse.DONE
api/chat_completions.py: max_tokens wins [requests newer_name]
    (fields.get("max_completion_tokens"), fields.get("max_tokens"), settings.max_tokens)
    (fields.get("max_tokens"), fields.get("max_completion_tokens"), settings.max_tokens)
engines/text/prompts.py: system turns are lost [prompts one_system]
    .join(system)}] if system else []
    .join(system)}] if False else []
engines/text/prompts.py: developer is a role of its own [prompts one_system]
    "system" if message.role == "developer" else message.role
    message.role
engines/text/prompts.py: parts are joined by spaces [prompts one_text]
    "".join(message.content)
    " ".join(message.content)
api/conversation.py: missing content stays missing [requests content_in]
    content = given.get("content") or given.get("refusal") or ""
    content = given.get("content")
api/chat_completions.py: one choice, whatever n says [requests so_many]
    n=int(fields["n"]),
    n=1,
api/chat_completions.py: the seed is lost [requests shapes_the_answer]
    seed=int(fields["seed"]) if "seed" in fields else None,
    seed=None,
api/chat_completions.py: stop texts are lost [requests shapes_the_answer]
    stop=tuple(text for text in stops if text),
    stop=(),
api/chat_completions.py: logprobs are lost [requests logprobs]
    if fields["logprobs"] else None,
    if False else None,
api/models.py: a deletion that was none [store from_the_hub]
    "object": "model", "deleted": True}
    "object": "model", "deleted": False}
api/models.py: no owner [shapes every_field]
        "owned_by": model.owned_by,
        ⠀
api/downloads.py: 200 for what has only begun [store from_the_hub]
    status=202
    status=200
library/catalog.py: any model takes an unknown one's place [requests ids_of]
    model = lookup.find(name, ability)
    model = lookup.find(name, ability) or self.models()[-1]
library/lookup.py: an unknown model is not named as param [requests ids_of]
    return ModelNotFound(f"{reason} {self._here(ability)}", param="model")
    return ModelNotFound(f"{reason} {self._here(ability)}")
library/installed.py: a broken folder breaks the list [catalog fails_alone]
    except Exception as error:  # a stranger's files: whatever they hold, they break their own entry alone
    except OSError as error:
library/lookup.py: a path is an owner [catalog unknown_names]
    by_id.get(last) if OWNER.fullmatch(owner) else None
    by_id.get(last)
families/table.py: an alias is missing [requests usual_names]
    qwen3-asr|gpt-
    gpt-
http/schemas.py: null is a value [requests null]
    given = {key: value for key, value in fields.items() if value is not None}
    given = dict(fields)
http/schemas.py: unsupported fields are merely invalid [requests would_change]
    code="unsupported_parameter"
    code="invalid_value"
http/schemas.py: no defaults [requests newer_name]
    return {**defaults, **given}
    return given
"""
ENTRY = re.compile(r"^([\w/]+\.py): (.+) \[(\w+) (\w+)\]\n    (.+)\n    (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Break:
    file: str
    name: str
    tests: str
    words: str
    old: str
    new: str


def breaks() -> list[Break]:
    found = [Break(*entry[:4], *map(_text, entry[4:])) for entry in ENTRY.findall(BREAKS)]
    assert len(found) * 3 == len(BREAKS.strip().splitlines()), "an entry is not understood"
    return found


def listed() -> dict[str, tuple[Path, str]]:
    """Each break's name: the file and the text in it that is replaced."""
    return {f"{b.file}: {b.name}": (ROOT / "ominix" / b.file, b.old) for b in breaks()}


def main(words: list[str]) -> int:
    chosen = [b for b in breaks() if not words or any(word in f"{b.file}: {b.name}" for word in words)]
    for tests in sorted({b.tests for b in chosen}):
        named = " or ".join(sorted({b.words for b in chosen if b.tests == tests}))
        verdict = _verdict(Break("errors.py", "none", tests, named, "", ""))
        if verdict != "NOT caught":
            print(f"{tests} fails without any break: {verdict}")
            return 1
    with ThreadPoolExecutor(2) as pool:
        verdicts = list(pool.map(_told, chosen))
    survivors = sum(verdict.startswith("NOT") for verdict in verdicts)
    print(f"\n{len(chosen)} breaks, {survivors} not caught")
    return 1 if survivors or not chosen else 0


def _text(written: str) -> str:
    return written.replace("⏎", "\n").replace("⠀", "").replace("\\\\n", "\\n")


def _told(broken: Break) -> str:
    verdict = _verdict(broken)
    print(f"{broken.file + ': ' + broken.name:72}  {verdict}", flush=True)
    return verdict


def _verdict(broken: Break) -> str:
    source = (ROOT / "ominix" / broken.file).read_text("utf-8")
    if broken.old and source.count(broken.old) != 1:
        return f"NOT tried: its text occurs {source.count(broken.old)} times"
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            _copied(ROOT / name, copy / name)
        if broken.old:
            (copy / "ominix" / broken.file).write_text(source.replace(broken.old, broken.new), "utf-8")
        command = [sys.executable, "-m", "pytest", TESTS[broken.tests], "-k", broken.words, "-m", ""]
        done = subprocess.run(
            [*command, "-x", "-p", "no:cacheprovider", "--tb=no"],
            cwd=copy,
            capture_output=True,
            text=True,
            timeout=300,
        )
    failed = re.findall(r"^(?:FAILED|ERROR) \S+::(\S+)", done.stdout, re.MULTILINE)
    if done.returncode not in (0, 1) or (done.returncode and not failed):
        return f"NOT tried: {(done.stdout + done.stderr).strip().splitlines()[-1]}"
    return f"caught by {failed[0]}" if failed else "NOT caught"


def _copied(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "golden", "data"))
    else:
        shutil.copy(source, target)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
