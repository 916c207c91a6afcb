"""What stays on: ComfyUI at login, and ComfyUI open to the network; who said yes, and what is shown of it."""

from __future__ import annotations

import os
from collections.abc import Iterator

from provision.cli.command import Session
from provision.comfyui import at_login
from provision.comfyui.server_process import lan_page
from provision.command import Fix, ours
from provision.core.choices import choices_of
from provision.errors import UsageError
from provision.output.layout import KEPT, Line, line
from provision.output.result import Says

QUIET_ZONE = 4
"""Modules around a QR code (ISO/IEC 18004)."""
BLOCKS = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
"""A character for an upper and a lower module, by whether each is dark."""


def refuse_root(what: str) -> None:
    """Nothing of this is done as root. Raises UsageError."""
    if os.geteuid() == 0:
        raise UsageError(
            f"{what} does not work as root: anyone who reaches ComfyUI could do anything on this computer.",
            hint=Fix("Run it as an ordinary user, without sudo."),
        )


def agree_to_lan(at: Session) -> bool:
    """Ask before ComfyUI is opened to the network, unless it is already. Raises UsageError, ConsentNeeded."""
    refuse_root("--lan")
    if choices_of(at.ctx.home).get("lan"):
        return True
    return at.ctx.consent(
        "Let everyone in your network use ComfyUI? It has no password: they can see and make images, and install and"
        " run code where custom nodes allow it."
    )


def lan_says(at: Session) -> Iterator[Says]:
    """The address for others, as text and as a code to scan; who can use it, and how it is closed."""
    if (page := lan_page(at.ctx)) is None:
        if at.ctx.options.lan and at.ctx.machine.lan_address() is None:
            yield Fix("This computer is in no network now; ComfyUI opens to any that it joins. To close it:", CLOSE)
        return
    yield f"On your network: {page}"
    if at.console.out.is_terminal and not at.console.plain:
        yield from code_lines(page)
    yield Fix(
        "Everyone in this network, and in any that this computer joins, can use it: ComfyUI has no password."
        " To close it:",
        CLOSE,
    )
    if at.ctx.machine.system == "Darwin":
        yield (
            "macOS may ask whether Python may accept incoming connections, and whether it may find devices on your"
            " local network: allow both, or others cannot reach it."
        )


CLOSE = ours("launch", "--no-lan")


def code_lines(text: str) -> list[Line]:
    """A QR code, two rows of modules in each line of characters."""
    import segno

    rows = [[bool(module) for module in row] for row in segno.make_qr(text, error="l").matrix_iter(border=QUIET_ZONE)]
    rows += [[False] * len(rows[0])] * (len(rows) % 2)
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return [line(("".join(BLOCKS[each] for each in zip(*pair, strict=True)), f"{KEPT} paper")) for pair in pairs]


def start_at_login(at: Session) -> Says:
    """Have this home's ComfyUI start at login. Raises CommandFailed, CommandMissing, HomeError, DiskFull."""
    at_login.install(at.ctx.home, at.ctx.machine)
    return Fix("It starts when you log in, and again when it crashes. To undo that:", ours("launch", "--no-login"))


def no_login(at: Session) -> bool:
    """Undo it, also for a folder that is gone; False where there was nothing to undo. Raises HomeError."""
    item = at_login.item_of(at.ctx.home, at.ctx.machine)
    if item is not None:
        at_login.remove(item, at.ctx.machine)
    return item is not None


def still_on(at: Session) -> Iterator[Fix]:
    """What `stop` undoes not."""
    if at_login.item_of(at.ctx.home, at.ctx.machine) is not None:
        yield Fix("It starts again when you log in. To change that:", ours("launch", "--no-login"))
    if at.ctx.options.lan:
        yield Fix("When it starts, it is open to your network. To change that:", CLOSE)
