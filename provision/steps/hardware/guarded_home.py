"""Where things lie: a home that macOS guards, other ComfyUIs of this machine."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from pathlib import Path

from provision.comfyui.desktop import managed_installs
from provision.command import Fix, ours
from provision.core.finding import Finding
from provision.core.step import Context, Look
from provision.steps.comfyui import kinds as comfyui_kinds
from provision.steps.hardware import kinds
from provision.system.guarded import BY_HAND, closed_on

APPS = (
    "/Applications/Comfy Desktop.app",
    "~/Applications/Comfy Desktop.app",
    "/Applications/ComfyUI.app",
    "~/Applications/ComfyUI.app",
)
CHECKOUTS = ("~/ComfyUI/main.py", "~/comfy/ComfyUI/main.py")
"""None below Documents: to look there alone makes macOS ask the person."""


def check_guarded(ctx: Context) -> Iterable[Finding]:
    """Does macOS let this program read its own home? EPERM, not EACCES, is how it refuses."""
    if ctx.machine.system != "Darwin":
        return
    for path in (ctx.home.root, ctx.home.venv / "pyvenv.cfg", ctx.home.comfyui / "main.py"):
        if ctx.machine.refusal(path) == errno.EPERM:
            guarded = next((name for name in BY_HAND if name in path.parts), "a protected folder")
            says = f"macOS denies this terminal access to {path}, in {guarded}: `Operation not permitted`."
            fix = Fix(
                "Allow your terminal in System Settings, Privacy & Security, Files and Folders (or Full Disk Access);"
                " or use another folder.",
                ours("all", "--home", "~/provision"),
            )
            yield kinds.TCC_FOLDER.blocked(str(path), says, fix=fix)
            return


def check_other_installs(ctx: Context) -> Iterable[Finding]:
    """Which other ComfyUIs are on this machine: they do no harm, and explain what a person sees."""
    if ctx.options.rehearsal:
        return
    person = Path(ctx.machine.environ.get("HOME", "/"))
    places = [Path(place.replace("~", str(person), 1)) for place in (*APPS, *CHECKOUTS)]
    others = [place if place.suffix == ".app" else place.parent for place in places if place.exists()]
    others = [place for place in others if place.resolve() != ctx.home.comfyui.resolve()]
    closed = closed_on(ctx.machine.system, person)
    others += [each.code for each in managed_installs(ctx.machine.environ, closed) if each.code != ctx.home.comfyui]
    if others:
        shown = " and ".join(map(str, dict.fromkeys(others)))
        says = f"Another ComfyUI is installed too: {shown}. It has its own models, nodes and port."
        yield comfyui_kinds.TWO_INSTALLS.ok(str(others[0]), says)


GUARDED_HOME = Look(check_guarded)
OTHER_INSTALLS = Look(check_other_installs)
