"""The scripts of the environment: which Python they start. A moved environment keeps the path of its old place."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from provision.command import Fix, program
from provision.core.finding import Finding
from provision.core.step import Context, Look
from provision.environment.packages import env_kind
from provision.steps.python_env import kinds
from provision.system.strict import read_head

HEAD_BYTES = 1024
# `#!/venv/bin/python`; where that is too long or has a space, a line of sh that starts it (as pip and uv write).
STARTS = re.compile(
    rb"""\A#!(?:(/[^\n]*?/python[\d.]*)[ \t]*\r?\n"""
    rb"""|/bin/sh\r?\n'''exec' ["']?(/[^"'\n]*?/python[\d.]*)["']? )"""
)


def check_scripts(ctx: Context) -> Iterable[Finding]:
    """Do the scripts start this environment's own Python? ComfyUI is started without them."""
    folder = ctx.home.venv / "bin"
    if not folder.is_dir() or (ctx.home.venv_of_another is not None and env_kind(ctx.home.venv) == "system"):
        return
    moved = {path.name: old for path in sorted(folder.iterdir()) if (old := _elsewhere(path, folder.resolve()))}
    if moved:
        name = next((name for name in moved if name.startswith("pip")), next(iter(moved)))
        more = f" and {len(moved) - 1} more" if len(moved) > 1 else ""
        where, says = ctx.home.shown(folder), "the environment was moved. ComfyUI does not use them."
        fix = Fix("Run pip as a module.", program(str(ctx.home.python), "-m", "pip"))
        says = f"{name}{more} in {where} start {moved[name]}: {says}"
        yield kinds.VENV_MOVED.warn(where, says, fix=fix, facts={"scripts": sorted(moved)})


def _elsewhere(script: Path, folder: Path) -> str:
    """The Python of another place that a script starts; empty when there is none."""
    found = None if script.is_symlink() else STARTS.match(read_head(script, HEAD_BYTES))
    if found is None:
        return ""
    python = Path((found[1] or found[2]).decode("utf-8", "replace"))
    return "" if python.parent.resolve() == folder else str(python)


SCRIPTS = Look(check_scripts)
