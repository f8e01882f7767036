"""What the operator decides: one frozen dataclass, built by `ominix serve` from its flags."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

MIB = 1 << 20


@dataclass(frozen=True)
class Config:
    """Settings of `ominix serve`, a flag each. Times in seconds, sizes in bytes."""

    home: Path
    host: str = "127.0.0.1"
    port: int = 8080
    preload: tuple[str, ...] = ()
    jobs_per_worker: int = 16
    memory_bytes: int | None = None  # for all models together; None: a share of the machine's
    keep_alive_seconds: float | None = None  # an idle model is unloaded after it; None: never
    pinned: tuple[str, ...] = ()  # models that stay once they are loaded
    stall_seconds: float = 60.0  # a worker silent for longer with jobs aboard is killed
    drain_seconds: float = 30.0  # how long running jobs may go on after SIGTERM
    send_timeout_seconds: float = 60.0  # a client that takes nothing of its answer for longer is closed
    max_upload_bytes: int = 16384 * MIB  # as it comes to the disk: a long film; OpenAI takes 25 MiB
    max_audio_hours: float = 6.0  # of a recording: more is not heard, since one job would hold a row for days
    max_chat_bytes: int = 8 * MIB  # of a conversation: some two million tokens
    api_keys: tuple[str, ...] = ()
    api_key_files: tuple[Path, ...] = ()  # more of them, one a line
    admin_keys: tuple[str, ...] = ()  # with one, models are managed with it alone
    admin_key_files: tuple[Path, ...] = ()
    allowed_hosts: tuple[str, ...] = ()  # beside loopback names and `host`; "*" allows any
    allowed_origins: tuple[str, ...] = ()  # browsers' origins that may call; none: CORS is off
    aliases: dict[str, str] = field(default_factory=dict)  # name -> model id or repository
    audio_roots: tuple[Path, ...] = ()  # folders whose files may be named by file_path
    ignore_unsupported: bool = False  # leave out what is not there, such as tools, instead of a 400
    raw_prompts: bool = False  # control tokens that clients write in chats, such as <|im_end|>, are tokens
    cpu: str = "fast"  # on a CPU: ominix's own layers; "plain": mlx-lm's, on the weights as they are
    scripted: bool = False  # serve the model "scripted", which obeys its prompt; for tests
    strict: bool = False  # a response that breaks its schema is a 500 instead of a log line
    log_json: bool = False

    @property
    def models_folder(self) -> Path:
        return self.home / "models"
