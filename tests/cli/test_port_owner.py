from __future__ import annotations

import os
import socket
import sys

import pytest

from ominix.cli import port_owner


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells without another program")
def test_a_program_is_named_with_its_number():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = port_owner.of("127.0.0.1", taken.getsockname()[1])
    assert said.endswith(f" (pid {os.getpid()}) has it")


def test_of_a_free_port_nobody_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert port_owner.of("127.0.0.1", port) == ""
