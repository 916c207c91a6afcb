"""Images for terminals: kitty's graphics, iTerm2's inline images. Pure; half blocks are in `core/image.py`.

Only the environment says what a terminal can show: one that is asked may answer late, into the next prompt. Sources:
"Terminal graphics protocol" of kitty, and "Images" in iTerm2's documentation.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from enum import StrEnum

KITTY_CHUNK = 4096
"""Characters of base64 in one command; kitty takes no more."""


class Protocol(StrEnum):
    """How a picture is shown."""

    KITTY = "kitty"
    ITERM2 = "iterm2"
    BLOCKS = "half blocks"


def protocol_of(environ: Mapping[str, str]) -> Protocol:
    """What the terminal can show; half blocks where that is unknown, and in tmux and screen, which may drop images."""
    term, program = environ.get("TERM", ""), environ.get("TERM_PROGRAM", "")
    if environ.get("TMUX") or environ.get("STY") or term.startswith(("screen", "tmux")):
        return Protocol.BLOCKS
    if environ.get("KITTY_WINDOW_ID") or term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
        return Protocol.KITTY
    if program in ("iTerm.app", "WezTerm") or environ.get("LC_TERMINAL") == "iTerm2":
        return Protocol.ITERM2
    return Protocol.BLOCKS


def encode(png: bytes, protocol: Protocol, columns: int) -> str:
    """A picture as characters for the terminal, about `columns` cells wide; empty for half blocks."""
    if protocol is Protocol.KITTY:
        return kitty(png, columns)
    if protocol is Protocol.ITERM2:
        return iterm2(png, columns)
    return ""


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
