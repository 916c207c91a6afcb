"""What ComfyUI's log says of its last run: why it did not start, what it could not load, why a picture failed.

Only warnings: whether the server runs and whether an image is proven is known without the log.
"""

from __future__ import annotations

from collections.abc import Iterable

from provision.engine import our_process, record_path, stop_server
from provision.explain import SMALLER, explain
from provision.finding import Finding, Fix, fixable, warn
from provision.home import unusable
from provision.log_reading import Sign, is_cut_off, last_prompt, last_run, prompt_signs, start_signs
from provision.step import Context, Look

TAIL_BYTES = 1 << 20
DISABLED = ".disabled"
"""ComfyUI passes over custom nodes of such a name (nodes.py, init_external_custom_nodes)."""


def read_last_run(ctx: Context) -> str:
    """What the last run wrote, of it the last MiB; empty where there is no log."""
    try:
        with ctx.home.engine_log.open("rb") as stream:
            stream.seek(max(0, ctx.home.engine_log.stat().st_size - TAIL_BYTES))
            return last_run(stream.read().decode("utf-8", "replace"))
    except OSError:
        return ""


def check_start(ctx: Context) -> Iterable[Finding]:
    """What went wrong while ComfyUI came up."""
    run = read_last_run(ctx)
    if not run or ("Starting server" not in run and our_process(ctx) is not None):  # it is still on its way
        return
    for sign in start_signs(run):
        if sign.id == "node-failed":
            yield from _failed_node(ctx, sign)
        else:
            yield _told(ctx, sign, "When ComfyUI started last")


def check_last_prompt(ctx: Context) -> Iterable[Finding]:
    """What went wrong with the last picture, of whoever asked for it."""
    prompt = last_prompt(read_last_run(ctx))
    if is_cut_off(prompt) and record_path(ctx).exists() and our_process(ctx) is None:
        meaning = explain(prompt)
        id, says = (meaning.id, meaning.says) if meaning else ("mem-killed", "most often because the memory was full")
        yield warn(
            id, "last picture", f"ComfyUI ended in the middle of the last picture: {says}.",
            fix=Fix(meaning.hint if meaning else SMALLER),
        )  # fmt: skip
    for sign in prompt_signs(prompt):
        yield _told(ctx, sign, "ComfyUI's last picture")


def _told(ctx: Context, sign: Sign, when: str) -> Finding:
    return warn(
        sign.id, ctx.home.shown(ctx.home.engine_log), f"{when}: {sign.says}.", fix=Fix(sign.hint), line=sign.text
    )


def _failed_node(ctx: Context, sign: Sign) -> Iterable[Finding]:
    """A custom node that failed, while it is still there."""
    name = sign.node
    folder = ctx.home.comfyui / "custom_nodes" / name
    if not name or not folder.exists():
        return
    says = f"{sign.says[0].upper()}{sign.says[1:]}; its nodes are missing in ComfyUI."
    if sign.id in ctx.options.agreed:
        fix = Fix(f"It is renamed to {name}{DISABLED}, and ComfyUI is started again.")
        yield fixable(sign.id, name, says, fix=fix)
    else:
        fix = Fix("Install what it asks for, or disable it.", ("mv", str(folder), f"{folder}{DISABLED}"))
        yield warn(sign.id, name, says, fix=fix, asks=f"Rename it to {name}{DISABLED}?")


def disable_node(ctx: Context, finding: Finding) -> None:
    """Rename a custom node so that ComfyUI passes over it, and end the server. Raises HomeError."""
    folder = ctx.home.comfyui / "custom_nodes" / finding.subject
    try:
        folder.rename(folder.with_name(folder.name + DISABLED))
    except OSError as error:
        raise unusable(folder, error) from error
    ctx.note(f"{ctx.home.shown(folder)} is now {folder.name}{DISABLED}.")
    stop_server(ctx)


START_LOG = Look(check_start, frozenset({"node-failed"}), disable_node)
PROMPT_LOG = Look(check_last_prompt)
