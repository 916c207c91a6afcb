"""Text of any kind as pieces of UTF-8: plain, UTF-16 with and without a mark, gzip; from a file or standard input.

What is not text is refused by its first bytes. At most one piece is in memory.
"""

from __future__ import annotations

import codecs
import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from provision.system.strict import Unreadable, open_file

PIECE_BYTES = 1 << 20
HEAD_BYTES = 4096
STANDARD_INPUT = (Path("-"), Path("/dev/stdin"))
GZIP = b"\x1f\x8b"
UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
CONTROLS = bytes(set(range(32)) - set(b"\b\t\n\f\r\x1b"))
CONTROLS_MAX = 0.03
"""The largest share of control characters in a text."""


def pieces(path: Path) -> Iterator[bytes]:
    """The text as UTF-8, in pieces that may end within a line; a truncated gzip gives what it has.

    Raises OSError, and Unreadable for what is not text.
    """
    with open_file(path) if path not in STANDARD_INPUT else os.fdopen(os.dup(0), "rb") as plain:
        stream = gzip.GzipFile(fileobj=plain) if plain.peek(2)[:2] == GZIP else plain
        came = False
        try:
            encoding = _encoding(stream.peek(HEAD_BYTES)[:HEAD_BYTES])
            for piece in iter(lambda: stream.read1(PIECE_BYTES), b""):
                came = True
                yield piece if encoding is None else encoding.decode(piece).encode("utf-8", "replace")
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            if not came:
                raise Unreadable("its gzip is damaged") from error


def _encoding(head: bytes) -> codecs.IncrementalDecoder | None:
    """The decoder for a text with this beginning, None for UTF-8 and ASCII. Raises Unreadable for what is not text."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    marked = next((name for mark, name in UTF16.items() if head.startswith(mark)), "")
    if marked or (max(even, odd) * 3 > len(head) and min(even, odd) * 20 < len(head)):
        return codecs.getincrementaldecoder(marked or ("utf-16-be" if even > odd else "utf-16-le"))("replace")
    if len(head) - len(head.translate(None, CONTROLS)) > len(head) * CONTROLS_MAX:
        raise Unreadable("it is not text")
    return None
