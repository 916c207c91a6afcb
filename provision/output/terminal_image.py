"""A picture as a terminal takes it: kitty's graphics, iTerm2's inline images, sixel. Pure; half blocks are in `image`.

What a terminal can is told by its environment alone. It is never asked: an answer that does not come would have to be
waited for, and one that comes late is typed into the next prompt. Sources: "Terminal graphics protocol" of kitty,
"Images" in iTerm2's documentation, and the sixel chapter of DEC's "VT330/VT340 Programmer Reference Manual".
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

from provision.core.image import NoPicture, decode

if TYPE_CHECKING:
    from PIL.Image import Image

KITTY_CHUNK = 4096
"""Characters of base64 in one command; kitty takes no more."""
SIXEL_SIDE = 480
"""Pixels of the longer side of what is shown in sixels, which have no size in cells."""
SIXEL_COLOURS = 255
BAND = 6
"""Rows of pixels in one row of sixels."""


class Protocol(StrEnum):
    """How a picture is shown."""

    KITTY = "kitty"
    ITERM2 = "iterm2"
    SIXEL = "sixel"
    BLOCKS = "half blocks"


def protocol_of(environ: Mapping[str, str]) -> Protocol:
    """What the terminal of this environment is known to show; half blocks where nothing is known.

    Within tmux and screen, which pass pictures on only where that was allowed, it is half blocks.
    """
    term, program = environ.get("TERM", ""), environ.get("TERM_PROGRAM", "")
    if environ.get("TMUX") or environ.get("STY") or term.startswith(("screen", "tmux")):
        return Protocol.BLOCKS
    if environ.get("KITTY_WINDOW_ID") or term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
        return Protocol.KITTY
    if program in ("iTerm.app", "WezTerm", "mintty") or environ.get("LC_TERMINAL") == "iTerm2":
        return Protocol.ITERM2
    if term.startswith(("foot", "mlterm", "yaft", "contour")) or "sixel" in term:
        return Protocol.SIXEL
    return Protocol.BLOCKS


def encode(png: bytes, protocol: Protocol, columns: int) -> str:
    """A picture as characters for the terminal, about `columns` cells wide; empty for half blocks or no picture."""
    if protocol is Protocol.KITTY:
        return kitty(png, columns)
    if protocol is Protocol.ITERM2:
        return iterm2(png, columns)
    return sixel(png) if protocol is Protocol.SIXEL else ""


def kitty(png: bytes, columns: int) -> str:
    """kitty: transmit and show (a=T) a PNG (f=100) in chunks, and answer nothing (q=2)."""
    text = b64encode(png).decode("ascii")
    chunks = [text[start : start + KITTY_CHUNK] for start in range(0, len(text), KITTY_CHUNK)]
    parts = []
    for place, chunk in enumerate(chunks):
        more = int(place < len(chunks) - 1)
        first = f"a=T,f=100,q=2,c={columns}," if place == 0 else ""
        parts.append(f"\x1b_G{first}m={more};{chunk}\x1b\\")
    return "".join(parts) + "\n"


def iterm2(png: bytes, columns: int) -> str:
    """iTerm2: OSC 1337 with the whole file."""
    kept = f"inline=1;size={len(png)};width={columns};preserveAspectRatio=1"
    return f"\x1b]1337;File={kept}:{b64encode(png).decode('ascii')}\x07\n"


def sixel(png: bytes) -> str:
    """Sixel: at most 255 colours, shrunk to what a terminal's window holds; empty when it is no picture."""
    from PIL import Image

    try:
        image = decode(png).convert("RGB")
    except NoPicture:
        return ""
    image.thumbnail((SIXEL_SIDE, SIXEL_SIDE), Image.Resampling.LANCZOS)
    drawn = image.quantize(SIXEL_COLOURS)
    return f'\x1bP0;1q"1;1;{drawn.width};{drawn.height}{_palette(drawn)}{"".join(_bands(drawn))}\x1b\\\n'


def _palette(image: Image) -> str:
    """Colours in percent of red, green and blue."""
    levels = image.getpalette() or []
    colours = (levels[place : place + 3] for place in range(0, len(levels), 3))
    return "".join(
        f"#{number};2;{';'.join(str(round(level * 100 / 255)) for level in colour)}"
        for number, colour in enumerate(colours)
    )


def _bands(image: Image) -> Iterator[str]:
    pixels, width, height = image.tobytes(), image.width, image.height
    for top in range(0, height, BAND):
        rows = [pixels[row * width : (row + 1) * width] for row in range(top, min(top + BAND, height))]
        lines = [f"#{colour}{_line(rows, colour)}" for colour in sorted(set(b"".join(rows)))]
        yield "$".join(lines) + "-"


def _line(rows: list[bytes], colour: int) -> str:
    """One colour of a band: a character for each column, whose bits are its rows; runs are shortened."""
    masks = [row.translate(_only(colour, 1 << place)) for place, row in enumerate(rows)]
    return _shortened(bytes(63 + sum(column) for column in zip(*masks, strict=True)).decode("ascii"))


def _only(colour: int, bit: int) -> bytes:
    return bytes(bit if value == colour else 0 for value in range(256))


def _shortened(text: str) -> str:
    """`!9x` for nine of a character; what is empty at the end of a line is left out."""
    from itertools import groupby

    runs = [(sign, len(list(same))) for sign, same in groupby(text.rstrip("?"))]
    return "".join(f"!{count}{sign}" if count > 3 else sign * count for sign, count in runs)
