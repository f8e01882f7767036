"""Files of this machine that a request names, below folders that the operator has named. Opened once.

Whoever can write into such a folder may swap a file for a link or a pipe between the check and the open. So
the file that was opened is compared with the one that was checked, and opening a pipe does not wait for its
other end.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from ominix.errors import Forbidden, InvalidRequest

FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


def open_below(roots: Sequence[Path], given: str) -> int:
    """The open file, the caller's to close. Raises Forbidden without roots, InvalidRequest."""
    if not roots:
        raise Forbidden(
            "file_path needs a folder that the operator has named with --audio-root; "
            "upload the file as multipart/form-data instead.",
            param="file_path",
            code="file_path_not_allowed",
        )
    try:
        path = Path(given).resolve(strict=True)
        expected = path.stat()
    except (OSError, ValueError, RuntimeError):
        raise _outside() from None
    if not stat.S_ISREG(expected.st_mode) or not any(path.is_relative_to(root) for root in roots):
        raise _outside()
    try:
        return _opened(path, expected)
    except OSError as error:
        raise InvalidRequest(
            f"The file cannot be read: {error.strerror}.", param="file_path", code="file_not_readable"
        ) from None


def _opened(path: Path, expected: os.stat_result) -> int:
    descriptor = os.open(path, FLAGS)
    if os.path.samestat(os.fstat(descriptor), expected):
        return descriptor
    os.close(descriptor)
    raise _outside()


def _outside() -> InvalidRequest:
    return InvalidRequest(
        "file_path is not a file inside a folder named with --audio-root.",
        param="file_path",
        code="file_path_not_allowed",
    )
