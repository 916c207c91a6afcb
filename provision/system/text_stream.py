"""A text of any kind as pieces of UTF-8: plain, UTF-16 with and without a mark, gzip; from a file or standard input.

What is no text is refused by its first bytes. Never more than a piece is held.
"""

from __future__ import annotations

import codecs
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from provision.system.strict import Unreadable, open_file

PIECE_BYTES = 1 << 20
HEAD_BYTES = 4096
STANDARD_INPUT = Path("-")
GZIP = b"\x1f\x8b"
UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
CONTROLS = bytes(set(range(32)) - set(b"\b\t\n\f\r\x1b"))
CONTROLS_MAX = 0.03
"""Of a text, at most this share are control characters."""


def pieces(path: Path) -> Iterator[bytes]:
    """The text as UTF-8, in pieces that may end within a line. Raises OSError, and Unreadable for what is no text."""
    with open_file(path) if path != STANDARD_INPUT else os.fdopen(os.dup(0), "rb") as plain:
        stream = gzip.GzipFile(fileobj=plain) if plain.peek(2)[:2] == GZIP else plain
        try:
            encoding = _encoding(stream.peek(HEAD_BYTES)[:HEAD_BYTES])
            yield from _as_utf8(stream, encoding) if encoding else iter(lambda: stream.read(PIECE_BYTES), b"")
        except EOFError:  # a gzip that was cut off: what is there is read
            return
        except (gzip.BadGzipFile, zlib.error) as error:
            raise Unreadable("its gzip is damaged") from error


def _encoding(head: bytes) -> str:
    """The encoding by the first bytes, empty for UTF-8 and its kin. Raises Unreadable for what is no text."""
    for mark, name in UTF16.items():
        if head.startswith(mark):
            return name
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) * 3 > len(head) and min(even, odd) * 20 < len(head):
        return "utf-16-be" if even > odd else "utf-16-le"
    if len(head) - len(head.translate(None, CONTROLS)) > len(head) * CONTROLS_MAX:
        raise Unreadable("it is no text")
    return ""


def _as_utf8(stream: io.BufferedReader | gzip.GzipFile, encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    while piece := stream.read(PIECE_BYTES):
        yield decoder.decode(piece).removeprefix("\ufeff").encode("utf-8", "replace")
