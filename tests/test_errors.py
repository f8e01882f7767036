from __future__ import annotations

import pytest

from ominix.errors import mebibytes, too_large

MIB = 1 << 20


@pytest.mark.parametrize(
    ("count", "shown"),
    [(25 * MIB, "25 MiB"), (29_988_277, "28.6 MiB"), (16384 * MIB, "16384 MiB"), (64 << 10, "64 KiB")],
)
def test_sizes_are_as_people_write_them(count, shown):
    assert mebibytes(count) == shown


@pytest.mark.parametrize(
    ("flag", "size_bytes", "said"),
    [
        ("--max-upload-mib", 29_988_277, "The upload has 28.6 MiB; the limit is 25 MiB (--max-upload-mib)."),
        ("--max-upload-mib", 0, "The upload is larger than the limit of 25 MiB (--max-upload-mib)."),
        ("", 25 * MIB + 1, "The upload is larger than the limit of 25 MiB."),
    ],
)
def test_a_limit_says_which_flag_changes_it(flag, size_bytes, said):
    error = too_large("The upload", 25 * MIB, flag, size_bytes=size_bytes)
    assert (error.message, error.code) == (said, "request_too_large")
