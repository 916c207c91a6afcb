"""The ways in which an answer of a hub can be made to go wrong: a `Fault` turns one reply into another.

Every misbehaviour is a small pure function; who sends what comes of it is `tests.support.hub`.
"""

from __future__ import annotations

import hashlib
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal, get_args
from urllib.parse import urlsplit

from provision.rehearsal.model_repo import pointer_text
from provision.rehearsal.replies import FileSlice, Origin, Reply, Request, json_reply, refusal

Kind = Literal[
    "status",
    "html",
    "json",
    "pointer",
    "truncate",
    "reset",
    "stall",
    "no_length",
    "wrong_length",
    "corrupt",
    "no_range",
    "wrong_range",
    "gzip",
    "etag_changes",
    "redirect_loop",
    "redirect_out",
    "silent",
    "expire",
    "rate_limit",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

# Kinds that need bytes to spoil, and kinds that need a reply about a file (its HEAD and its redirect too).
_ON_BODY = {"truncate", "reset", "stall", "no_length", "corrupt", "no_range", "wrong_range", "gzip", "expire"}
_ON_FILE = {"pointer", "wrong_length", "etag_changes"}
_DEFAULTS: Mapping[str, int | str] = {
    "status": 503,
    "wrong_length": -1,
    "wrong_range": 1,
    "no_length": "chunked",
    "rate_limit": 25,
}
_ERROR_CODES = {401: "GatedRepo", 403: "GatedRepo", 404: "EntryNotFound"}
_ETAGS = ("ETag", "X-Linked-Etag")
_FLIPPED = bytes(byte ^ 0xFF for byte in range(256))


@dataclass(frozen=True, slots=True)
class Fault:
    """One misbehaviour: `kind`, for the next `times` (-1: all) requests whose decoded path fits `match`.

    `value` depends on the kind: `status` an HTTP status, or "429 7" to add `Retry-After: 7`; `rate_limit` the seconds
    until the limit is lifted, as the hub says it; `truncate`,
    `reset`, `stall`, `expire` the body bytes to send first (a float below 1.0 is a share of the body);
    `corrupt` the offset in the file from which bytes are flipped; `wrong_length` and `wrong_range` by how
    many bytes the truth is missed (`wrong_range` also takes a whole `Content-Range`); `no_length` "chunked"
    or "close"; `redirect_out` a URL, or an origin to which the path is kept.
    Faults that spoil a body wait for a request that has one: a HEAD or a redirect does not use them up.
    """

    match: str
    kind: Kind
    times: int = 1
    value: int | str | float = ""
    origin: Origin | Literal["any"] = "any"
    method: str = "*"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault kind {self.kind!r}; the kinds are: {', '.join(KINDS)}")

    @property
    def setting(self) -> int | str | float:
        """`value`, or the kind's default."""
        return _DEFAULTS.get(self.kind, 0) if self.value == "" else self.value


@dataclass(frozen=True, slots=True)
class BentReply(Reply):
    """An answer that goes wrong on its way.

    `stop_after` body bytes, `ending` happens; status 0 sends no head at all. `pad` zero bytes follow the
    content, and bytes of the file from `flip_from` on are inverted.
    """

    stop_after: int | None = None
    ending: Literal["keep", "close", "reset", "stall"] = "keep"
    framing: Literal["length", "chunked", "close"] = "length"
    flip_from: int | None = None
    pad: int = 0
    gzip: bool = False

    @property
    def length(self) -> int:
        """Body bytes before any content coding."""
        return len(self.content) + self.pad

    def pieces(self, size: int) -> Iterator[bytes]:
        return _gzipped(self._plain(size)) if self.gzip else self._plain(size)

    def _plain(self, size: int) -> Iterator[bytes]:
        at = self.content.start if isinstance(self.content, FileSlice) else 0
        for piece in Reply.pieces(self, size):
            yield piece if self.flip_from is None else _flip(piece, max(0, self.flip_from - at))
            at += len(piece)
        if self.pad:
            yield bytes(self.pad)


def as_bent(reply: Reply) -> BentReply:
    """The same answer, as one that can be bent."""
    return reply if isinstance(reply, BentReply) else BentReply(reply.status, reply.headers, reply.content, reply.file)


class ArmedFaults:
    """The faults still to happen; every method may be called from any thread."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._lock = threading.Lock()
        self._faults = list(faults)
        self._taken = 0

    def arm(self, *faults: Fault) -> None:
        """Add faults after those that wait already."""
        with self._lock:
            self._faults.extend(faults)

    def disarm(self) -> None:
        """Forget every fault."""
        with self._lock:
            self._faults.clear()

    def take(self, request: Request, reply: Reply) -> Fault | None:
        """The first fault that fits this exchange, one use of it spent; None when all is well."""
        with self._lock:
            for index, fault in enumerate(self._faults):
                if fault.times and _fits(fault, request, reply):
                    self._taken += 1
                    self._faults[index] = replace(fault, times=max(-1, fault.times - 1))
                    # A changing etag has to differ every time.
                    changing = fault.kind == "etag_changes"
                    return replace(fault, value=f"{fault.value}{self._taken}") if changing else fault
        return None


def bend(fault: Fault, request: Request, reply: Reply) -> Reply:
    """The reply that `fault` makes of `reply`."""
    return _BENDS[fault.kind](fault, request, as_bent(reply))


def _fits(fault: Fault, request: Request, reply: Reply) -> bool:
    if fault.origin not in ("any", request.origin) or fault.method not in ("*", request.method):
        return False
    if not fnmatchcase(request.path, fault.match):
        return False
    if fault.kind == "no_range":
        return "Content-Range" in reply.headers
    if fault.kind == "wrong_range":
        return reply.status == 206
    if fault.kind == "expire" and request.origin != "cdn":
        return False
    if fault.kind in _ON_BODY:
        return request.method != "HEAD" and reply.status in (200, 206) and reply.length > 0
    return fault.kind not in _ON_FILE or not reply.headers.keys().isdisjoint(_ETAGS)


def _status(fault: Fault, request: Request, reply: BentReply) -> Reply:
    code, _, wait_s = str(fault.setting).partition(" ")
    status = int(code)
    error_code = _ERROR_CODES.get(status, "") if request.origin == "hub" else ""
    refused = refusal(status, f"Rehearsed {status}", error_code)
    extra: dict[str, str] = {}
    if wait_s or status == 429:
        extra["Retry-After"] = wait_s or "1"
    if status == 416 and isinstance(reply.content, FileSlice):
        extra["Content-Range"] = f"bytes */{reply.content.size}"
    return replace(refused, headers={**refused.headers, **extra})


def _rate_limit(fault: Fault, request: Request, reply: BentReply) -> Reply:
    """As https://huggingface.co/docs/hub/rate-limits has it, with the limits of somebody without a token."""
    what, quota = ("resolvers", 3000) if "resolve" in request.path else ("api", 500)
    refused = refusal(429, "We had to rate limit your IP. To continue using our service, create a HF account or login.")
    limit = {
        "RateLimit": f'"{what}";r=0;t={int(fault.setting)}',
        "RateLimit-Policy": f'"fixed window";"{what}";q={quota};w=300',
    }
    return replace(refused, headers={**refused.headers, **limit})


def _html(fault: Fault, request: Request, reply: BentReply) -> Reply:
    page = b"<!doctype html><html><head><title>Log in</title></head><body><form>Log in</form></body></html>\n"
    return Reply(200, {"Content-Type": "text/html; charset=utf-8"}, page)


def _json(fault: Fault, request: Request, reply: BentReply) -> Reply:
    return json_reply({"error": "Rehearsed: this is not the file."})


def _pointer(fault: Fault, request: Request, reply: BentReply) -> Reply:
    oid = reply.headers.get("X-Linked-Etag", reply.headers.get("ETag", "")).strip('"')
    content = reply.content
    size = content.size if isinstance(content, FileSlice) else int(reply.headers.get("X-Linked-Size", 0))
    kept = {key: value for key, value in reply.headers.items() if key == "X-Repo-Commit"}
    headers = {"Content-Type": "text/plain; charset=utf-8", "ETag": f'"{oid}"', **kept}
    return Reply(200, headers, pointer_text(oid, size).encode())


def _cut(ending: Literal["close", "reset", "stall"]) -> Callable[[Fault, Request, BentReply], Reply]:
    def cut(fault: Fault, request: Request, reply: BentReply) -> Reply:
        return replace(reply, stop_after=_byte_count(fault.setting, reply.length), ending=ending)

    return cut


def _no_length(fault: Fault, request: Request, reply: BentReply) -> Reply:
    return replace(reply, framing="close" if fault.setting == "close" else "chunked")


def _wrong_length(fault: Fault, request: Request, reply: BentReply) -> Reply:
    missed = int(fault.setting)
    headers = dict(reply.headers)
    if "X-Linked-Size" in headers:
        headers["X-Linked-Size"] = str(int(headers["X-Linked-Size"]) + missed)
    content = reply.content
    if reply.status == 206 and isinstance(content, FileSlice):
        last = content.stop - 1 + missed
        headers["Content-Range"] = f"bytes {content.start}-{last}/{content.size + missed}"
    if missed < 0:
        if isinstance(content, FileSlice):
            content = replace(content, stop=max(content.start, content.stop + missed))
        else:
            content = content[:missed]
    return replace(reply, headers=headers, content=content, pad=max(0, missed) if reply.length else 0)


def _corrupt(fault: Fault, request: Request, reply: BentReply) -> Reply:
    return replace(reply, flip_from=int(fault.setting))


def _no_range(fault: Fault, request: Request, reply: BentReply) -> Reply:
    ranged = ("Content-Range", "Accept-Ranges")
    headers = {key: value for key, value in reply.headers.items() if key not in ranged}
    content = reply.content
    if isinstance(content, FileSlice):
        content = replace(content, start=0, stop=content.size)
    return replace(reply, status=200, headers=headers, content=content)


def _wrong_range(fault: Fault, request: Request, reply: BentReply) -> Reply:
    claim = str(fault.setting)
    if isinstance(fault.setting, int) and isinstance(reply.content, FileSlice):
        part = reply.content
        claim = f"bytes {part.start + fault.setting}-{part.stop - 1 + fault.setting}/{part.size}"
    return replace(reply, headers={**reply.headers, "Content-Range": claim})


def _gzip(fault: Fault, request: Request, reply: BentReply) -> Reply:
    # The coded length is not known beforehand, as with the proxies that do this.
    return replace(reply, gzip=True, framing="chunked", headers={**reply.headers, "Content-Encoding": "gzip"})


def _etag_changes(fault: Fault, request: Request, reply: BentReply) -> Reply:
    stale = reply.status == 206 and "if-range" in request.headers
    kept = _no_range(fault, request, reply) if stale else reply
    etags = {
        key: f'"{hashlib.sha256(f"{value}{fault.value}".encode()).hexdigest()}"'
        for key, value in kept.headers.items()
        if key in _ETAGS
    }
    return replace(kept, headers={**kept.headers, **etags})


def _redirect(location: Callable[[Fault, Request], str]) -> Callable[[Fault, Request, BentReply], Reply]:
    def redirect(fault: Fault, request: Request, reply: BentReply) -> Reply:
        about = {key: value for key, value in reply.headers.items() if key.startswith("X-")}
        return Reply(302, {**about, "Location": location(fault, request)}, file=reply.file)

    return redirect


def _elsewhere(fault: Fault, request: Request) -> str:
    url = str(fault.setting)
    return url.rstrip("/") + request.target if urlsplit(url).path in ("", "/") else url


def _silent(fault: Fault, request: Request, reply: BentReply) -> Reply:
    return BentReply(status=0, ending="stall")


def _expire(fault: Fault, request: Request, reply: BentReply) -> Reply:
    allowed = _byte_count(fault.setting, reply.length)
    if not allowed:
        return refusal(403, "Request has expired")
    return replace(reply, stop_after=allowed, ending="close")


_BENDS: Mapping[Kind, Callable[[Fault, Request, BentReply], Reply]] = {
    "status": _status,
    "rate_limit": _rate_limit,
    "html": _html,
    "json": _json,
    "pointer": _pointer,
    "truncate": _cut("close"),
    "reset": _cut("reset"),
    "stall": _cut("stall"),
    "no_length": _no_length,
    "wrong_length": _wrong_length,
    "corrupt": _corrupt,
    "no_range": _no_range,
    "wrong_range": _wrong_range,
    "gzip": _gzip,
    "etag_changes": _etag_changes,
    "redirect_loop": _redirect(lambda fault, request: request.target),
    "redirect_out": _redirect(_elsewhere),
    "silent": _silent,
    "expire": _expire,
}


def _byte_count(value: int | str | float, length: int) -> int:
    return int(length * value) if isinstance(value, float) and value < 1 else int(value)


def _flip(piece: bytes, since: int) -> bytes:
    return piece[:since] + piece[since:].translate(_FLIPPED)


def _gzipped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    # 31: a gzip header around a 32 KiB window (zlib's wbits).
    coder = zlib.compressobj(wbits=31)
    for piece in pieces:
        if coded := coder.compress(piece):
            yield coded
    yield coder.flush()
