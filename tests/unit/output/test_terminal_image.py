"""Pictures for terminals: each encoding is decoded again, as a terminal would."""

from __future__ import annotations

import base64
import io
import re

import pytest
from PIL import Image, ImageChops

from provision.output.terminal_image import KITTY_CHUNK, Protocol, encode, iterm2, kitty, protocol_of, sixel


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


def read_sixel(text: str) -> Image.Image:
    """What a terminal draws."""
    found = re.fullmatch(r'\x1bP0;1q"1;1;(\d+);(\d+)((?:#\d+;2;\d+;\d+;\d+)*)(.*)\x1b\\\n', text, re.DOTALL)
    assert found
    width, height = int(found[1]), int(found[2])
    told = re.findall(r"#(\d+);2;(\d+);(\d+);(\d+)", found[3])
    colours = {int(number): tuple(round(int(level) * 255 / 100) for level in levels) for number, *levels in told}
    image = Image.new("RGB", (width, height))
    top, x, colour = 0, 0, (0, 0, 0)
    for number, count, run, sign in re.findall(r"#(\d+)|!(\d+)([?-~])|([?-~$-])", found[4]):
        if number:
            colour = colours[int(number)]
        elif sign == "$":
            x = 0
        elif sign == "-":
            top, x = top + 6, 0
        else:
            bits, many = ord(run or sign) - 63, int(count or 1)
            for row in (row for row in range(6) if bits >> row & 1):
                image.paste(colour, (x, top + row, x + many, top + row + 1))
            x += many
    return image


@pytest.mark.parametrize(("width", "height"), [(96, 64), (7, 5), (33, 13), (1, 1)])
def test_sixels_are_the_picture(width: int, height: int) -> None:
    picture = photograph(width, height)
    drawn = read_sixel(sixel(png(picture)))
    assert drawn.size == (width, height)
    off = ImageChops.difference(drawn, picture).convert("L").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    assert isinstance(off, int)
    assert off <= 6


def test_a_large_picture_is_shrunk_for_sixels() -> None:
    assert read_sixel(sixel(png(photograph(1024, 512)))).size == (480, 240)


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
        ({"TERM": "foot-extra"}, Protocol.SIXEL),
        ({"TERM": "xterm-sixel"}, Protocol.SIXEL),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"}, Protocol.BLOCKS),
        ({"TERM": "xterm-256color"}, Protocol.BLOCKS),
        ({"TERM": "screen-256color", "KITTY_WINDOW_ID": "1"}, Protocol.BLOCKS),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux", "KITTY_WINDOW_ID": "1"}, Protocol.BLOCKS),
        ({}, Protocol.BLOCKS),
    ],
)
def test_the_environment_tells_what_the_terminal_shows(environ: dict[str, str], protocol: Protocol) -> None:
    assert protocol_of(environ) is protocol


def test_what_is_no_picture_is_nothing() -> None:
    assert encode(b"no picture", Protocol.SIXEL, 40) == ""
    assert encode(png(photograph()), Protocol.BLOCKS, 40) == ""
