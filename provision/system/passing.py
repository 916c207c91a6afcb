"""What may be over in a while, by an HTTP status or by the words of a program that uses the network. Pure."""

from __future__ import annotations

import re

from provision.errors import Passing

TOO_MANY = 429
BUSY = frozenset({408, 425, 500, 502, 503, 504, *range(520, 528), 529})
"""Statuses that may be another in a moment (RFC 9110, 15.5 and 15.6; 52x are Cloudflare's, 529 is a busy server's)."""
STATUS = re.compile(
    r"""(?: returned\ error:\ | from\ HTTP\ | status\ (?:server|client)\ error\ \( | status(?:\ code)?:?\ | \bHTTP\ )
    (\d{3})\b""",
    re.VERBOSE | re.IGNORECASE,
)
"""As git (curl), git-lfs and uv (reqwest) name it."""
LIMITED = re.compile(r"rate limit exceeded", re.IGNORECASE)
LASTING = re.compile(r"certificate|UnknownIssuer|network connectivity is disabled", re.IGNORECASE)
OUTAGE = re.compile(
    r"""could\ not\ resolve\ host | dns\ error | failed\ to\ lookup | no\ such\ host | name\ resolution
    | timed?[\ -]?out | was\ silent\ for | too\ slow | network\ is\ unreachable | no\ route\ to\ host | host\ is\ down
    | connection\ (?:reset|refused|closed|aborted|error|broken|timed) | (?:failed|couldn't)\ (?:to\ )?connect
    | error\ sending\ request | error\ decoding\ response | request\ or\ response\ body\ error | recv\ failure
    | broken\ pipe | unexpected\ (?:eof|disconnect) | early\ eof | hung\ up | rpc\ failed | ssl_error_syscall
    | tls\ handshake | gnutls_handshake | incomplete\ (?:read|message) | :\ EOF\b | server\ error:""",
    re.VERBOSE | re.IGNORECASE,
)


def passing_of(status: int) -> Passing | None:
    """Whether what a status says may be over in a while."""
    return Passing.RATE_LIMIT if status == TOO_MANY else Passing.BUSY if status in BUSY else None


def passing_in(said: str) -> Passing | None:
    """Whether what git, git-lfs or uv ended with may be over in a while."""
    if LIMITED.search(said):
        return Passing.RATE_LIMIT
    if LASTING.search(said):
        return None
    if found := STATUS.search(said):
        return passing_of(int(found[1]))
    return Passing.NETWORK if OUTAGE.search(said) else None
