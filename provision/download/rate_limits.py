"""For how long a server asks to be left alone, by its headers, and whose limit it is.

The hub answers 429 with `RateLimit: "resolvers";r=0;t=243` and
`RateLimit-Policy: "fixed window";"resolvers";q=3000;w=300` (https://huggingface.co/docs/hub/rate-limits, after
draft-ietf-httpapi-ratelimit-headers); whoever asks sooner is kept out for longer. Others say `Retry-After`
(RFC 9110, 10.2.3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LEFT = re.compile(r'"([\w-]{1,60})"\s{0,9};\s{0,9}r\s{0,9}=\s{0,9}(\d{1,12})\s{0,9};\s{0,9}t\s{0,9}=\s{0,9}(\d{1,12})')
POLICY = re.compile(r"q\s{0,9}=\s{0,9}(\d{1,12})[^\n]{0,200}?w\s{0,9}=\s{0,9}(\d{1,12})")
ROUNDED_S = 1.0
"""`t` is in whole seconds: the limit is lifted within the last one."""
NONSENSE_S = 7 * 86_400.0
"""What asks for more is no wait that anybody means."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of a server that is used up: what it counts, seconds until it is lifted, requests in how many seconds."""

    what: str
    left_s: float
    quota: int | None = None
    window_s: float | None = None

    @property
    def says(self) -> str:
        """The limit in words; empty where the server does not tell it."""
        return f"{self.quota:,} requests in {self.window_s:.0f} s" if self.quota and self.window_s else ""


def limit_of(headers: Mapping[str, str]) -> Limit | None:
    """The limit that is used up; None where there is none."""
    found = LEFT.search(headers.get("RateLimit", ""))
    if found is None or int(found[2]) > 0:
        return None
    policy = POLICY.search(headers.get("RateLimit-Policy", ""))
    return Limit(found[1], float(found[3]), *((int(policy[1]), float(policy[2])) if policy else ()))


def asked_wait_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that a server asks to wait, until its limit is lifted; None where it asks for nothing that is clear."""
    limit, after_s = limit_of(headers), _retry_after_s(headers.get("Retry-After", "").strip(), now or datetime.now(UTC))
    lifted_s = limit.left_s + ROUNDED_S if limit else None
    seconds = max((each for each in (lifted_s, after_s) if each is not None), default=None)
    return seconds if seconds is not None and seconds <= NONSENSE_S else None


def _retry_after_s(text: str, now: datetime) -> float | None:
    """`Retry-After` in its two forms: seconds, or a date."""
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        until = parsedate_to_datetime(text)
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
        return max(0.0, (until - now).total_seconds())
    except (ValueError, OverflowError):
        return None
