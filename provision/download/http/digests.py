"""What a server says of the bytes of one answer, so that damaged bytes are found and only they are fetched again.

`Content-Digest` of RFC 9530: the sha256 of what one response carries, a range of the file where a range was asked
for. The Hugging Face hub tells none today; some mirrors and proxies do, and `Want-Content-Digest` asks for it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from provision.download.http.segments import Span

WANTED = {"Want-Content-Digest": "sha-256=1"}
MEMBER = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]+):")
PIECE_BYTES = 1 << 20


def content_sha256(headers: Mapping[str, str]) -> str:
    """The sha256, in hex, that a response tells of its content; empty where it tells none that is understood."""
    found = MEMBER.search(headers.get("Content-Digest", ""))
    try:
        digest = base64.b64decode(found[1], validate=True) if found else b""
    except binascii.Error:
        return ""
    return digest.hex() if len(digest) == hashlib.sha256().digest_size else ""


def damaged(path: Path, told: Mapping[Span, str]) -> list[Span]:
    """Which parts of a file are not what the server said they are. Raises OSError."""
    with path.open("rb", buffering=0) as stream:
        found = []
        for (start, stop), sha256 in sorted(told.items()):
            digest, left = hashlib.sha256(), stop - start
            stream.seek(start)
            while left and (piece := stream.read(min(left, PIECE_BYTES))):
                digest.update(piece)
                left -= len(piece)
            if digest.hexdigest() != sha256:
                found.append((start, stop))
        return found
