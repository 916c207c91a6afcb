"""ComfyUI at login, and open to the network: whether both are as they were wanted."""

from __future__ import annotations

from collections.abc import Iterable

from provision.comfyui import at_login
from provision.comfyui.server_process import lan_page
from provision.command import Fix, ours
from provision.core.finding import Finding
from provision.core.ownership import read_marker
from provision.core.step import Context, Look
from provision.steps.server import kinds
from provision.system.login_item import LoginItem


def check_always_on(ctx: Context) -> Iterable[Finding]:
    """Does what starts ComfyUI at login start this home, and nothing that is gone? Is it open to the network?"""
    item = at_login.item_of(ctx.home, ctx.machine)
    left = at_login.left_behind(ctx.machine)
    moved = next((each for each in left if _was_ours(ctx, each)), None) if item is None else None
    write = Fix("Write it again, for this install folder.")
    if moved is not None:
        says = f"ComfyUI is started at login from {moved.home}, where this install folder was before it was moved."
        yield kinds.LOGIN_STALE.fixable(moved.name, says, fix=write)
    elif item is not None and (why := at_login.why_stale(item, ctx.home, ctx.machine)):
        yield kinds.LOGIN_STALE.fixable(item.name, f"{item.name} starts ComfyUI at login. {why}", fix=write)
    elif item is not None:
        yield kinds.LOGIN_ON.ok(item.name, "ComfyUI starts when you log in")
    for each in left:
        if each is not moved:
            says = f"{each.name} starts ComfyUI at login from {each.home}, which is gone."
            fix = Fix("Remove it.", ours("launch", "--no-login", "--home", each.home))
            yield kinds.LOGIN_LEFT.warn(each.name, says, fix=fix)
    if (page := lan_page(ctx)) is not None:
        yield kinds.LAN_OPEN.ok(page, f"open to your network: {page}")


def _was_ours(ctx: Context, item: LoginItem) -> bool:
    marker = read_marker(ctx.home.root)
    return marker is not None and item.id == marker.id


def apply_always_on(ctx: Context, finding: Finding) -> None:
    """Write what starts this home's ComfyUI at login again. Raises CommandFailed, CommandMissing, HomeError."""
    at_login.install(ctx.home, ctx.machine)
    for each in at_login.left_behind(ctx.machine):
        if _was_ours(ctx, each):
            at_login.remove(each, ctx.machine)


ALWAYS_ON = Look(check_always_on, (kinds.LOGIN_STALE,), apply_always_on)
