from __future__ import annotations

import pytest

from ominix.server import hosts


@pytest.mark.parametrize(
    ("text", "name", "port"),
    [
        ("localhost", "localhost", None),
        ("LocalHost.:8080", "localhost", 8080),
        ("localhost:", "localhost", None),  # RFC 3986: a port may be empty
        ("127.0.0.1:80", "127.0.0.1", 80),
        ("[::1]:8080", "[::1]", 8080),
        ("[0:0:0:0:0:0:0:1]", "[::1]", None),
        ("my_box-2.example:65535", "my_box-2.example", 65535),
        ("", "", None),
    ],
)
def test_names_and_address_literals_parse(text, name, port):
    assert hosts.authority(text) == (name, port)


@pytest.mark.parametrize(
    "text",
    [
        "[::1].evil.example",
        "[::1",
        "::1",
        "[::1]8080",
        "[127.0.0.1]",
        "[fe80::1%25eth0]",
        "[v1.x]",
        "localhost:80@evil.example",
        "user@localhost",
        "localhost:80:80",
        "localhost:99999",
        "localhost:-1",
        "localhost/",
        "localhost#",
        "localhost ",
        "localhost\x00",
        "localhost\n",
        "localhost, evil.example",
        "local..host",
        ".localhost",
        "-a.example",
        "999.0.0.1",
        "1.2.3.4.5",
        "2130706433",
        "0x7f.0x1",
        "loc%61lhost",
        "löcalhost",
        "a" * 64,
        "a." * 200,
    ],
)
def test_all_else_does_not(text):
    assert hosts.authority(text) is None


@pytest.mark.parametrize(
    ("origin", "host", "is_same"),
    [
        ("http://localhost:8080", "localhost:8080", True),
        ("http://localhost", "localhost:80", True),
        ("https://my.box", "my.box:443", True),
        ("https://my.box", "my.box", True),
        ("http://[::1]:8080", "[::1]:8080", True),
        ("http://localhost:8081", "localhost:8080", False),
        ("http://localhost:8080.evil.example", "localhost:8080", False),
        ("HTTP://LOCALHOST:8080", "localhost:8080", False),
        ("ftp://localhost:8080", "localhost:8080", False),
        ("null", "null", False),
        ("", "", False),
        ("http://", "", False),
    ],
)
def test_the_same_origin_is_the_same_name_and_port(origin, host, is_same):
    assert hosts.is_same_origin(origin, host) == is_same


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:3000", "https://localhost", "http://127.0.0.1:5173", "http://[::1]:1", "app://-",
        "app://obsidian.md", "tauri://localhost", "http://tauri.localhost", "capacitor://localhost", "file://",
    ],
)  # fmt: skip
def test_desktop_apps_and_localhost_are_local_pages(origin):
    assert hosts.is_local_page(origin)


@pytest.mark.parametrize(
    "origin",
    [
        "null", "http://localhost.evil.example", "http://evil.example", "http://127.0.0.1.nip.io", "App://x",
        "app://a/b", "chrome-extension://abc", "http://user@localhost", "http://localhost:3000/", "HTTP://localhost",
        "http://notlocalhost", "http://localhost, http://evil.example", "file:///etc/passwd", "",
    ],
)  # fmt: skip
def test_others_are_not(origin):
    assert not hosts.is_local_page(origin)


@pytest.mark.parametrize(
    ("address", "is_loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True), ("10.0.0.5", False),
     ("fe80::1%eth0", False), ("::ffff:10.0.0.5", False), ("", False)],
)  # fmt: skip
def test_who_calls_from_this_machine(address, is_loopback):
    assert hosts.is_loopback(address) == is_loopback


def test_addresses_for_other_machines_are_reachable_ones():
    for found in hosts.network_addresses():
        assert hosts.is_literal(found)
        assert not hosts.is_loopback(found)
    assert hosts.http_address("::1", 80) == "http://[::1]:80"
