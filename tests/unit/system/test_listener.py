"""Where a server listens: what can be typed, and what is refused."""

from __future__ import annotations

import socket

import pytest

from provision.errors import PortTaken, UsageError
from provision.system.listener import is_every_address, lan_address, listen, parse_listen, url_host


@pytest.mark.parametrize(
    ("typed", "host", "port"),
    [
        ("192.168.1.20:8765", "192.168.1.20", 8765),
        ("192.168.1.20", "192.168.1.20", None),
        (":80", None, 80),
        ("mac-1.local:8765", "mac-1.local", 8765),
        ("[fe80::1]:8765", "fe80::1", 8765),
        ("[::1]", "::1", None),
    ],
)
def test_what_can_be_typed(typed: str, host: str | None, port: int | None) -> None:
    assert parse_listen(typed) == (host, port)


@pytest.mark.parametrize("typed", ["", "a b", "x:", "x:y", "x:99999", "http://x", "::1", "x:1:2", "x/y", "\n"])
def test_what_cannot(typed: str) -> None:
    with pytest.raises(UsageError):
        parse_listen(typed)


def test_every_address_is_known_in_all_its_spellings() -> None:
    assert [is_every_address(host) for host in ("0.0.0.0", "::", "0::0", "127.0.0.1", "mac.local")] == [
        *(True, True, True),
        *(False, False),
    ]


def test_this_machine_has_an_address_that_can_be_listened_at() -> None:
    with listen(lan_address(), 0) as listener:
        assert listener.getsockname()[1] > 0


def test_a_taken_port_and_an_address_of_another_are_refused() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken) as refused:
            listen("127.0.0.1", port)
        assert f"--listen 127.0.0.1:{port + 1}" in refused.value.hint.says
    for host in ("192.0.2.7", "no-such-host.invalid", "a" * 300):
        with pytest.raises(UsageError):
            listen(host, 0)


def test_an_address_of_ipv6_is_bracketed() -> None:
    assert [url_host(host) for host in ("::1", "10.0.0.1")] == ["[::1]", "10.0.0.1"]
    if socket.has_ipv6:
        listen("::1", 0).close()
