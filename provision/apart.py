"""What a mere look starts from an adopted install is kept out of its folders."""

from __future__ import annotations

from provision.home import unusable
from provision.step import Context


def apart(ctx: Context) -> tuple[str, ...]:
    """Flags that keep what a mere look starts from writing into an adopted install: its folders lie in the home."""
    if ctx.home.adopted is None:
        return ()
    flags = []
    for name in ("user", "input", "output", "temp"):
        folder = ctx.home.state / "look" / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unusable(folder, error) from error
        flags += [f"--{name}-directory", str(folder)]
    return (*flags, *(("--database-url", "sqlite:///:memory:") if names_database(ctx) else ()))


def look_env(ctx: Context) -> dict[str, str]:
    """Variables for what a look starts: in an adopted install no compiled files are left behind."""
    return {} if ctx.home.adopted is None else {"PYTHONDONTWRITEBYTECODE": "1"}


def names_database(ctx: Context) -> bool:
    """Whether this ComfyUI can be told where its database lies."""
    return "--database-url" in (ctx.machine.read_text(ctx.home.comfyui / "comfy" / "cli_args.py") or "")
