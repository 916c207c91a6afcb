"""Text that is an address, or is none; and where a server may send us on to."""

from __future__ import annotations

import pytest

from provision.download.web import host_of
from provision.system.address import NoAddress, file_name_of, natural, quoted, read_address, read_redirect
from tests.storms.evil_hub import BAD_PLACES

HARMLESS = {"http://999999999999/x": "999999999999", "http:///x": "hub.example", "://localhost/x": "hub.example"}
"""A name that nobody has, and two that stay where they came from."""


@pytest.mark.parametrize(
    ("text", "origin", "target"),
    [
        ("https://huggingface.co/a/b?x=1#y", ("https", "huggingface.co", 443), "/a/b?x=1"),
        ("HTTP://Hub.Example:8080", ("http", "hub.example", 8080), "/"),
        ("http://[::1]:9/x", ("http", "::1", 9), "/x"),
        ("http://127.0.0.1:80//x", ("http", "127.0.0.1", 80), "//x"),
        ("https://b\u00fccher.example/", ("https", "xn--bcher-kva.example", 443), "/"),
        ("https://under_score.example./", ("https", "under_score.example.", 443), "/"),
    ],
)
def test_an_address_in_its_parts(text: str, origin: tuple[str, str, int], target: str) -> None:
    found = read_address(text)
    assert (found.origin, found.target) == (origin, target)
    assert read_address(found.url) == found


@pytest.mark.parametrize("text", BAD_PLACES.values(), ids=BAD_PLACES)
def test_what_is_no_address_is_refused(text: str | bytes) -> None:
    sent = text if isinstance(text, str) else text.decode("latin-1")
    if sent in HARMLESS:
        assert read_redirect("http://hub.example/x", sent).host == HARMLESS[sent]
        return
    with pytest.raises(NoAddress) as refused:
        read_redirect("http://hub.example/x", sent)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("base", "sent", "leads_to"),
    [
        ("https://hub.example/a/b", "/c?d", "https://hub.example/c?d"),
        ("https://hub.example/a/b", "c", "https://hub.example/a/c"),
        ("https://hub.example/a", "//cdn.example/x", "https://cdn.example/x"),
        ("https://hub.example/a", "https://cdn.example:8443/x", "https://cdn.example:8443/x"),
        ("http://hub.example/a", "https://cdn.example/x", "https://cdn.example/x"),
        ("https://me:secret@hub.example/a", "/c", "https://hub.example/c"),
        ("https://127.0.0.1:9/a", "http://localhost:8/x", "http://localhost:8/x"),
    ],
)
def test_a_redirect_is_read_against_where_it_came_from(base: str, sent: str, leads_to: str) -> None:
    assert read_redirect(base, sent).url == leads_to


@pytest.mark.parametrize("base", ["https://hub.example/a", "https://127.0.0.1/a"])
def test_https_does_not_become_http(base: str) -> None:
    with pytest.raises(NoAddress, match="goes from https to http"):
        read_redirect(base, "http://cdn.example/x")


def test_https_of_a_stranger_does_not_become_http_of_this_machine() -> None:
    with pytest.raises(NoAddress, match="goes from https to http"):
        read_redirect("https://hub.example/a", "http://127.0.0.1/x")


def test_a_number_is_one_that_a_file_can_have() -> None:
    assert [natural(text) for text in ("0", "12", "", "-5", "\u00b2", "1_0", "+1", " 1", "9" * 19, "9" * 5000)] == [
        0,
        12,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
    ]


def test_what_is_quoted_does_nothing_to_a_terminal() -> None:
    assert quoted("a\x1b[31m\u202eb\ud800\u00fc") == "a\\x1b[31m\\u202eb\\ud800\u00fc"
    assert quoted("Failed to parse: http://me:secret@host:x, me:@b") == "Failed to parse: http://...@host:x, ...@b"
    assert quoted("a" * 100) == "a" * 80 + "..."


def test_a_host_is_named_without_what_is_secret() -> None:
    assert host_of("https://me:secret@hub.example/x?Signature=y") == "hub.example"
    assert host_of("socks5://me:secret@proxy.example:1080") == "proxy.example:1080"
    assert host_of("http://[::1/x") == "[::1"


def test_the_name_of_a_link() -> None:
    assert file_name_of("../x/torch-2.0%2Bcpu-py3-none-any.whl#sha256=5") == "torch-2.0+cpu-py3-none-any.whl"
    assert file_name_of("http://[::1/x.whl") == ""
