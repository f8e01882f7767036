from __future__ import annotations

import errno
import socket

import pytest

from ominix.server import port


@pytest.mark.parametrize("ours", ["127.0.0.1", "::1", "0.0.0.0", "localhost"])
@pytest.mark.parametrize("theirs", ["127.0.0.1", "::1"])
def test_a_port_that_somebody_answers_on_either_loopback_address_is_taken(ours, theirs):
    family = socket.AF_INET6 if ":" in theirs else socket.AF_INET
    with socket.create_server((theirs, 0), family=family) as other, pytest.raises(OSError) as refused:
        port.listener(ours, other.getsockname()[1])
    assert refused.value.errno == errno.EADDRINUSE


def test_a_free_port_is_had():
    with port.listener("127.0.0.1", 0) as first:
        number = first.getsockname()[1]
    with port.listener("127.0.0.1", number) as again, socket.create_connection(("127.0.0.1", number)):
        assert again.getsockname()[1] == number
