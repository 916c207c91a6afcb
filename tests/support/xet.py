"""A miniature of Xet, the hub's chunked storage: the token, the reconstruction of a file, and its xorbs.

The protocol is https://huggingface.co/docs/xet; the names are those of xet-core's `cas_types` and `xorb_chunk_format`.
A file is told as a row of terms, each a range of chunks of a xorb; the bytes of a xorb lie at signed addresses, each
chunk behind a header of eight bytes. Here a chunk is `CHUNK_BYTES` of the file, uncompressed, and a xorb holds
`xorb_chunks` of them in the file's order; real chunks are cut by content and mostly compressed. Hashes are made up
from the file's own: who downloads is told them and computes none.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provision.rehearsal.git_http import byte_range
from provision.rehearsal.model_repo import REPO_ID, model_folder
from provision.rehearsal.replies import Reply, Request, json_reply, refusal
from provision.rehearsal.signed_urls import SignedAddresses

TOKEN_ROUTE = re.compile(rf"/api/models/(?P<repo>{REPO_ID})/xet-read-token/(?P<rev>[^/]+)")
ACCESS = "xet_"
"""How the storage's own tokens begin."""
HEADER_BYTES = 8
CHUNK_BYTES = 1 << 16
XORB_CHUNKS = 16
FRAMED_BYTES = HEADER_BYTES + CHUNK_BYTES
LAST_CHUNK = (XORB_CHUNKS - 1) * FRAMED_BYTES + HEADER_BYTES
"""Where in a xorb the bytes of its last chunk begin: flipped from there on, it is still a xorb."""
_RECONSTRUCTION = re.compile(r"/v(?P<version>[12])/reconstructions/(?P<file>[0-9a-f]{64})")
_XORB = re.compile(r"/xorbs/default/(?P<file>[0-9a-f]{64})/(?P<place>\d+)")


@dataclass(frozen=True, slots=True)
class _Stored:
    """A file that was offered."""

    source: Path
    path: str
    size: int

    @property
    def chunks(self) -> int:
        return -(-self.size // CHUNK_BYTES)

    def framed_bytes(self, first: int, end: int) -> int:
        """How long the chunks `first` to `end` (exclusive) of the file are in a xorb."""
        return min(end * CHUNK_BYTES, self.size) - first * CHUNK_BYTES + (end - first) * HEADER_BYTES

    def framed(self, first: int, end: int) -> bytes:
        """These chunks, each behind its header: version, length as stored, scheme (0: none), length; little-endian."""
        pieces = []
        with self.source.open("rb") as stream:
            stream.seek(first * CHUNK_BYTES)
            for _ in range(first, end):
                piece = stream.read(CHUNK_BYTES)
                length = len(piece).to_bytes(3, "little")
                pieces += [b"\0", length, b"\0", length, piece]
        return b"".join(pieces)


class XetStorage:
    """Offers files under `root` by Xet; `origin` is where it answers, and where its xorbs lie."""

    def __init__(self, root: Path, origin: str, *, url_ttl_s: float, xorb_chunks: int = XORB_CHUNKS) -> None:
        self._root, self._origin, self._xorb_chunks = root, origin, xorb_chunks
        self._addresses = SignedAddresses(origin, ttl_s=url_ttl_s)
        self._token = ACCESS + secrets.token_hex(16)
        self._stored: dict[str, _Stored] = {}

    def offer(self, hub: str, repo: str, commit: str, path: str, described: tuple[int, str]) -> dict[str, str]:
        """The headers with which the hub offers a file of (size, sha256) `described` by Xet."""
        size, sha256 = described
        name = _made_up(sha256)
        self._stored[name] = _Stored(model_folder(self._root, repo) / path, path, size)
        route = f"{hub}/api/models/{repo}/xet-read-token/{commit}"
        info = f"{self._origin}/v1/reconstructions/{name}"
        links = f'<{route}>; rel="xet-auth", <{info}>; rel="xet-reconstruction-info"'
        return {"X-Xet-Hash": name, "X-Xet-Refresh-Route": route, "Link": links}

    def token(self) -> Reply:
        """The answer of the token's route, to whom the hub has let in."""
        expires = int(time.time()) + 3600
        said = {"accessToken": self._token, "exp": expires, "casUrl": self._origin}
        headers = {
            "X-Xet-Cas-Url": self._origin,
            "X-Xet-Access-Token": self._token,
            "X-Xet-Token-Expiration": str(expires),
        }
        reply = json_reply(said)
        return Reply(200, {**reply.headers, **headers}, reply.content)

    def answers(self, request: Request) -> bool:
        """Whether the path is one of the storage's."""
        return bool(_RECONSTRUCTION.fullmatch(request.path) or _XORB.fullmatch(request.path))

    def answer(self, request: Request) -> Reply:
        """The reply to a request that `answers`."""
        if found := _XORB.fullmatch(request.path):
            return self._addresses.refused(request) or self._xorb(request, found["file"], int(found["place"]))
        if request.headers.get("authorization", "") != f"Bearer {self._token}":
            return refusal(401, "Unauthorized")
        found = _RECONSTRUCTION.fullmatch(request.path)
        stored = self._stored.get(found["file"]) if found else None
        if found is None or stored is None:
            return refusal(404, "File not found")
        return self._reconstruction(request, found["file"], stored, version=int(found["version"]))

    def _reconstruction(self, request: Request, name: str, stored: _Stored, *, version: int) -> Reply:
        """The terms of the file, or of the range of it that is asked for, and where their bytes lie."""
        asked = byte_range(request.headers.get("range", ""), stored.size) or (0, stored.size)
        start, stop = asked
        if start >= stop:
            return refusal(416, "Range not satisfiable")
        first, end = start // CHUNK_BYTES, -(-stop // CHUNK_BYTES)
        terms: list[dict[str, Any]] = []
        fetches: dict[str, list[dict[str, Any]]] = {}
        while first < end:
            place = first // self._xorb_chunks
            base = place * self._xorb_chunks
            until = min(end, base + self._xorb_chunks)
            xorb, chunks = _made_up(f"{name}/{place}"), {"start": first - base, "end": until - base}
            begin = stored.framed_bytes(base, first)
            there = {"start": begin, "end": begin + stored.framed_bytes(first, until) - 1}
            length = stored.framed_bytes(first, until) - (until - first) * HEADER_BYTES
            url = self._addresses.sign(f"/xorbs/default/{name}/{place}")
            terms.append({"hash": xorb, "unpacked_length": length, "range": chunks})
            if version == 1:
                fetches[xorb] = [{"range": chunks, "url": url, "url_range": there}]
            else:
                fetches[xorb] = [{"url": url, "ranges": [{"chunks": chunks, "bytes": there}]}]
            first = until
        said = {"offset_into_first_range": start % CHUNK_BYTES, "terms": terms}
        return json_reply({**said, "fetch_info" if version == 1 else "xorbs": fetches})

    def _xorb(self, request: Request, name: str, place: int) -> Reply:
        """The part of a xorb that Range asks for."""
        stored = self._stored.get(name)
        base = place * self._xorb_chunks
        if stored is None or base >= stored.chunks:
            return refusal(404, "NoSuchKey")
        end = min(base + self._xorb_chunks, stored.chunks)
        size = stored.framed_bytes(base, end)
        wanted = byte_range(request.headers.get("range", ""), size)
        start, stop = wanted or (0, size)
        if start >= stop:
            return Reply(416, {"Content-Range": f"bytes */{size}"})
        first, last = base + start // FRAMED_BYTES, base + (stop - 1) // FRAMED_BYTES
        skipped = start - stored.framed_bytes(base, first)
        body = stored.framed(first, last + 1)[skipped : skipped + stop - start]
        headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
        if wanted is None:
            return Reply(200, headers, body, stored.path)
        return Reply(206, {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{size}"}, body, stored.path)


def _made_up(text: str) -> str:
    return hashlib.sha256(f"xet {text}".encode()).hexdigest()
