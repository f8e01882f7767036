"""The errors that a client or a person is told of. Knows no HTTP: `http/answers.py` turns one into a status.

OminixError
├── InvalidRequest          the client can mend it
│   ├── UnsupportedEndpoint
│   └── JobRefused          the same, found inside a worker
│       └── PackageMissing  an optional package is not installed
├── UnknownUrl
├── NotAuthenticated
├── Forbidden
├── ModelNotFound
├── ClientLeft              nobody waits for the answer any more
├── Conflict
├── TooLarge
├── Busy                    again later: too many jobs aboard
├── Unavailable             again later: draining, a model that cannot start
├── ServerError             a command's: the server refuses, or there is none
├── DownloadFailed          `reason` says why, as a word for programs
└── InferenceFailed
    ├── InputFailed         of this input, and would again; the model goes on
    └── WorkerCrashed       the process died or was killed, of this job as far as is known
"""

from __future__ import annotations

import errno

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
# What the machine lacks or does not allow at present: a sentence for a person, no traceback.
LACKS = (
    *FULL_DISK, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO,
    errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN,
)  # fmt: skip


class OminixError(Exception):
    """`message` is for the person who can act on it; `param` and `code` are OpenAI's fields."""

    code: str | None = None

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or self.code


class InvalidRequest(OminixError):
    code = "invalid_request"


class JobRefused(InvalidRequest):
    """Raised by an engine for a job that cannot be served as it is."""


class PackageMissing(JobRefused):
    code = "package_missing"


class UnsupportedEndpoint(InvalidRequest):
    """Of OpenAI's or another server's API; there is something else to use instead."""

    code = "unsupported_endpoint"


class UnknownUrl(OminixError):
    code = "unknown_url"


class NotAuthenticated(OminixError):
    code = "invalid_api_key"


class Forbidden(OminixError):
    code = "forbidden"


class ModelNotFound(OminixError):
    code = "model_not_found"


class ClientLeft(OminixError):
    code = "client_left"


class Conflict(OminixError):
    code = "conflict"


class TooLarge(OminixError):
    code = "request_too_large"


def too_large(
    what: str, limit_bytes: int, flag: str = "", *, size_bytes: int = 0, param: str | None = None
) -> TooLarge:
    """`flag`: of `ominix serve`, which changes the limit. `size_bytes`: 0 if it is not known."""
    size, limit = mebibytes(size_bytes), mebibytes(limit_bytes)
    said = f"has {size}; the limit is" if size_bytes and size != limit else "is larger than the limit of"
    return TooLarge(f"{what} {said} {limit}{f' ({flag})' if flag else ''}.", param=param)


def mebibytes(count: int) -> str:
    """As people read it: 28.6 MiB, 25 MiB, 64 KiB."""
    value, unit = (count / 2**20, "MiB") if count >= 0.09 * 2**20 else (count / 2**10, "KiB")
    return f"{value:.1f}".removesuffix(".0") + f" {unit}"


class Busy(OminixError):
    code = "too_many_requests"


class Unavailable(OminixError):
    code = "unavailable"


class ServerError(OminixError):
    """What a command learns from the server it talks to."""


class DownloadFailed(OminixError):
    code = "download_failed"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class InferenceFailed(OminixError):
    code = "inference_failed"


class InputFailed(InferenceFailed):
    """A retry would fail in the same way."""


class WorkerCrashed(InferenceFailed):
    """A retry might carry the same poison; jobs that only were aboard hear Unavailable."""
