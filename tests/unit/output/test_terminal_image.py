"""Pictures for terminals: each encoding is decoded again, as a terminal would."""

from __future__ import annotations

import base64
import io
import re

import pytest
from PIL import Image

from provision.output.terminal_image import KITTY_CHUNK, Protocol, encode, iterm2, kitty, protocol_of


def png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def photograph(width: int = 96, height: int = 64) -> Image.Image:
    """Soft colours and an edge."""
    red = Image.linear_gradient("L").resize((width, height))
    green = Image.radial_gradient("L").resize((width, height))
    blue = Image.new("L", (width, height), 40)
    blue.paste(220, (width // 2, 0, width, height))
    return Image.merge("RGB", (red, green, blue))


def test_kitty_gets_the_file_in_chunks_and_is_asked_nothing() -> None:
    data = png(photograph(400, 300)) + bytes(9_000)
    commands = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", kitty(data, 40))
    assert base64.b64decode("".join(payload for _, payload in commands)) == data
    assert len(commands) > 2
    assert all(len(payload) <= KITTY_CHUNK for _, payload in commands)
    assert commands[0][0] == "a=T,f=100,q=2,c=40,m=1"
    assert [keys for keys, _ in commands[1:]] == ["m=1"] * (len(commands) - 2) + ["m=0"]


def test_iterm2_gets_the_file() -> None:
    data = png(photograph())
    found = re.fullmatch(r"\x1b\]1337;File=([^:]*):([^\x07]*)\x07\n", iterm2(data, 40))
    assert found
    assert base64.b64decode(found[2]) == data
    assert f"size={len(data)}" in found[1].split(";")


@pytest.mark.parametrize(
    ("environ", "protocol"),
    [
        ({"TERM": "xterm-kitty", "KITTY_WINDOW_ID": "1"}, Protocol.KITTY),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, Protocol.KITTY),
        ({"TERM": "xterm-ghostty", "TERM_PROGRAM": "ghostty"}, Protocol.KITTY),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, Protocol.ITERM2),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, Protocol.ITERM2),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, Protocol.ITERM2),
        ({"TERM": "xterm-sixel"}, Protocol.BLOCKS),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"}, Protocol.BLOCKS),
        ({"TERM": "xterm-256color"}, Protocol.BLOCKS),
        ({"TERM": "screen-256color", "KITTY_WINDOW_ID": "1"}, Protocol.BLOCKS),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux", "KITTY_WINDOW_ID": "1"}, Protocol.BLOCKS),
        ({}, Protocol.BLOCKS),
    ],
)
def test_the_environment_tells_what_the_terminal_shows(environ: dict[str, str], protocol: Protocol) -> None:
    assert protocol_of(environ) is protocol


def test_half_blocks_have_no_encoding() -> None:
    assert encode(png(photograph()), Protocol.BLOCKS, 40) == ""
