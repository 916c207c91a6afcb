"""For how long servers ask to be left alone, in the headers that they send."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from provision.download.rate_limits import asked_wait_s, limit_of

NOW = datetime(2026, 11, 26, 7, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"RateLimit": '"resolvers";r=0;t=243'}, 244.0),
        ({"RateLimit": '"api" ; r = 0 ; t = 5'}, 6.0),
        ({"RateLimit": '"api";r=12;t=243'}, None),
        ({"RateLimit": '"api";r=12;t=243', "Retry-After": "9"}, 9.0),
        ({"RateLimit": '"resolvers";r=0;t=243', "Retry-After": "9"}, 244.0),
        ({"RateLimit": '"resolvers";r=0;t=3', "Retry-After": "9"}, 9.0),
        ({"RateLimit": "limit=10, remaining=0, reset=50"}, None),
        ({"RateLimit": '"a";r=0;t=' + "9" * 5000}, None),
    ],
)
def test_the_limit_of_the_hub(headers: dict[str, str], seconds: float | None) -> None:
    assert asked_wait_s(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("9" * 5000, None),
        ("\u00b2", None),
        ("-5", None),
        ("", None),
        ("soon", None),
        ("Thu, 26 Nov 2026 07:02:00 GMT", 120.0),
        ("Thu, 26 Nov 2026 08:02:00 +0100", 120.0),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
    ],
)
def test_a_wait_is_one_that_can_be_waited(text: str, seconds: float | None) -> None:
    assert asked_wait_s({"Retry-After": text}, NOW) == seconds


def test_a_limit_in_words() -> None:
    policy = {"RateLimit": '"resolvers";r=0;t=243', "RateLimit-Policy": '"fixed window";"resolvers";q=3000;w=300'}
    limit = limit_of(policy)
    assert limit is not None
    assert (limit.what, limit.says) == ("resolvers", "3,000 requests in 300 s")
