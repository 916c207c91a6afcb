"""The few lines of a log that may matter, with their numbers: of a log of any size in bounded memory.

Only lines with a word of trouble are kept, which one search finds in all of the text. Lines are told apart by their
shape: in small letters and without digits, as progress and times make most lines of a log the same. Of each shape the
first lines are kept, and the last lines of the log.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

LINE_MAX_BYTES = 2_000
"""So much of a line is kept, and so much of one without end is held against the words at once."""
PIECE_MAX_BYTES = 1 << 20
ALIKE_MAX, LAST_MAX, SHAPES_MAX, KEPT_MAX_BYTES = 20, 400, 40_000, 1 << 19
DIGITS = b"0123456789"
WORDS = (
    b"[blocked]|[fixable]|[warn]|_array_api|abort|approv|argument|assign|authenticat|authoriz|avx|budget|buffer"
    b"|can't|cannot|certificate|conflict|connect|crash|curl|database|denied|deprecated|device|diverge|endpoint|eof|error"
    b'|exception|exit|expected|expired|fail|fast-forward|fatal|fault|file "|forbidden|gated|hash|head is now'
    b"|header|hung up|implemented|import|in use|incompatible|incomplete|installed|instruction|interpreter|invalid"
    b"|issuer|kill|library|license|limit|link anywhere|loader|lock|lower than|managed|match|memory|merge|metadata"
    b"|mismatch|missing|mkl|mps|multiarray|n't |ndarray|newer than|no |not |numpy|object|offline|omp:|ownership|permi"
    b"|pipe|prompt|provision|proxy|psutil|quota|read-only|redirect|refus|requir|reset|retry|revision|rpc|saved ["
    b"|server|signal|socks|ssl|statistics|symbol|timed out|timeout|tls|to see the gui|too many|traceback|transfer|trap"
    b"|tunnel|typer|unable|unsupported|vram|wheel|xcrun"
).split(b"|")
"""In small letters, without digits. Each sign has one of them: a test feeds every sign through here."""
RARE = b"x'ukpwdlosra"
"""Letters of which each word has one before its end: the fewest and rarest of text, the rarest first.

Words begin with nearly every letter, so that a search for their beginnings would try some at every place. Sought from
one of these letters on, two places in three are passed over.
"""


def _any_of(words: Iterable[bytes]) -> bytes:
    """A pattern for one of the words, from its rarest letter on."""
    sought: dict[int, list[bytes]] = {}
    for word in words:
        rare = next(letter for letter in RARE if letter in word[:-1])
        rest = word[word.index(rare) + 1 :]
        before = b"(?<=%s)" % re.escape(word) if len(rest) + 1 < len(word) else b""
        sought.setdefault(rare, []).append(re.escape(rest) + before)
    return b"|".join(b"%c(?:%s)" % (rare, b"|".join(sought[rare])) for rare in reversed(RARE))


TROUBLE = re.compile(b"(?:%s)[^\n]*" % _any_of(WORDS))
"""To the end of the line, so that each line is found once."""
CODES = re.compile(r"\x1b(?:\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


@dataclass(slots=True)
class Digest:
    """The lines that are kept, each with its number (1 is the first of the log)."""

    lines: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)


def digest(pieces: Iterable[bytes]) -> Digest:
    """What of a log may matter. The pieces are UTF-8, and may end within a line; colours are taken out."""
    kept: list[tuple[int, bytes]] = []
    known: set[bytes] = set()
    """Shapes of which no more lines are kept."""
    alike: dict[bytes, int] = {}
    number, room, recent = 1, KEPT_MAX_BYTES, deque[tuple[int, bytes]](maxlen=2)
    for chunk in _whole_lines(pieces):
        recent.append((number, chunk))
        small, counted = chunk.lower() if room > 0 else b"", 0
        for found in TROUBLE.finditer(small):
            first, end = found.span()
            start = small.rfind(b"\n", 0, first) + 1
            shape = small[start:end].translate(None, DIGITS)
            if shape in known:
                continue
            count = alike.pop(shape, 0) + 1
            if len(alike) + len(known) < SHAPES_MAX and len(shape) < LINE_MAX_BYTES:
                if count < ALIKE_MAX:
                    alike[shape] = count
                else:
                    known.add(shape)
            parts = _troubled(chunk[start:end])
            number, counted = number + chunk.count(b"\n", counted, start), start
            kept += [(number, part) for part in parts]
            room -= sum(map(len, parts))
            if room <= 0:
                break
        number += chunk.count(b"\n", counted)
    kept += _last(recent)
    kept = sorted(dict.fromkeys(kept), key=lambda each: each[0])
    return Digest([_text(line) for _, line in kept], [at for at, _ in kept])


def _last(recent: Iterable[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """The last lines with a word of trouble, of chunks that begin at these lines."""
    lines = [(number + at, line) for number, chunk in recent for at, line in enumerate(chunk.split(b"\n"))]
    return [(number, part) for number, line in lines for part in _troubled(line)][-LAST_MAX:]


def _text(line: bytes) -> str:
    return CODES.sub("", line.decode("utf-8", "replace")).removeprefix("\ufeff").rstrip()


def _whole_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces as large ones of whole lines, which end by newlines alone; a line without end is cut anywhere."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= PIECE_MAX_BYTES:
            data = b"".join(held)
            end = data.rfind(b"\n") + 1 or len(data)
            yield data[:end].replace(b"\r\n", b"\n")
            held, size = [data[end:]], len(data) - end
    yield b"".join(held).replace(b"\r\n", b"\n")


def _troubled(line: bytes) -> list[bytes]:
    """The parts of a line with a word of trouble: cut where it goes back to its beginning, and where it is long."""
    if b"\r" not in line and len(line) <= LINE_MAX_BYTES:
        return [line] if TROUBLE.search(line.lower()) else []
    parts = [part[at : at + LINE_MAX_BYTES] for part in line.split(b"\r") for at in range(0, len(part), LINE_MAX_BYTES)]
    return [part for part in parts if TROUBLE.search(part.lower())]
