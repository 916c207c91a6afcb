"""ComfyUI's last run: why it did not start, what it could not load, why the last image failed.

While our server runs, its history says how the last prompt ended and in which node; otherwise its log does. All of
these are warnings: other checks know whether the server runs and whether an image is proven.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from provision.comfyui.added_nodes import is_ours
from provision.comfyui.api import Comfy
from provision.comfyui.error_explanations import Failure, death, failed_in, failure_of
from provision.comfyui.log_reader import (
    Sign,
    is_cut_off,
    last_prompt,
    last_run,
    picture_signs,
    prompt_signs,
    start_signs,
)
from provision.comfyui.sandbox import can_fence
from provision.comfyui.server_process import client_of, our_process, read_record, record_path, stop_server
from provision.command import Command, Fix, ours, program
from provision.core.finding import Finding
from provision.core.step import Context, Look
from provision.download.model_files import wanted_files
from provision.environment import packages
from provision.errors import EngineError
from provision.steps.catalogue import kind_of
from provision.steps.first_image import kinds as first_image_kinds
from provision.steps.models import kinds as models_kinds
from provision.steps.server import kinds
from provision.system.disk_errors import unusable
from provision.system.strict import Unreadable, read_tail

TAIL_BYTES = 1 << 20
ANSWER_S = 2.0
"""Time-out for the history: an engine that loads a model answers late, and its log is there."""
OF_THE_CHECKPOINT = frozenset({first_image_kinds.CKPT_DAMAGED.id, models_kinds.CKPT_OTHER.id})
"""Faults that end as soon as another checkpoint is in place."""
DISABLED = ".disabled"
"""ComfyUI passes over custom nodes of such a name (nodes.py, init_external_custom_nodes)."""


def read_last_run(ctx: Context) -> str:
    """The last MiB of what the last run wrote; empty where there is no log."""
    try:
        return last_run(read_tail(ctx.home.engine_log, TAIL_BYTES))
    except (OSError, Unreadable):
        return ""


def imports_now(ctx: Context) -> bool:
    """Whether this check imports ComfyUI: `--deep` asks for it, and its packages are on record."""
    files = (ctx.home.comfyui / "requirements.txt", ctx.home.python, ctx.home.main_py)
    return ctx.options.deep and all(file.is_file() for file in files) and not packages.unmet_here(ctx)


def check_start(ctx: Context) -> Iterable[Finding]:
    """Did ComfyUI start well? With `--deep` `imports` sees that again, custom nodes only where they can be fenced."""
    anew = imports_now(ctx)
    if anew and can_fence(ctx.machine):
        return
    run = read_last_run(ctx)
    if not run or ("Starting server" not in run and our_process(ctx) is not None):  # it is still on its way
        return
    for sign in start_signs(run):
        if sign.id == kinds.NODE_FAILED.id:
            yield from failed_node(ctx, sign)
        elif not anew:
            yield _told(ctx, sign, "When ComfyUI last started")


def check_last_prompt(ctx: Context) -> Iterable[Finding]:
    """Did the last image fail, whoever asked for it?

    A picture made since ends the matter; so does another checkpoint, where the one before was at fault.
    """
    prompt = last_prompt(read_last_run(ctx))
    if is_cut_off(prompt) and record_path(ctx).exists() and our_process(ctx) is None:
        meaning = death(prompt)
        yield kind_of(meaning.id).warn("last image", meaning.says, fix=meaning.hint)
    record = read_record(ctx)
    client, ended = client_of(ctx, record.port if record else None), None
    with suppress(EngineError):
        ended = client.newest(ANSWER_S) if record is not None else None
    if ended is not None and (error := failed_in(ended)) is not None:
        failure = _failed(client, error.data)
        stamped_s = float("inf") if failure.stamp_ms is None else failure.stamp_ms / 1000
        if not (failure.id in OF_THE_CHECKPOINT and _put_in_place_s(ctx) > stamped_s):
            yield _failed_finding(ctx, failure)
    for sign in prompt_signs(prompt) if ended is None else picture_signs(prompt):
        if not (sign.id in OF_THE_CHECKPOINT and _put_in_place_s(ctx) > _changed_s(ctx.home.engine_log)):
            yield _told(ctx, sign, "ComfyUI's last image")


def _put_in_place_s(ctx: Context) -> float:
    """When the newest of the wanted checkpoints was put in place or changed; 0 where there is none."""
    return max((_changed_s(wanted.place) for wanted in wanted_files(ctx) if wanted.checkpoint), default=0.0)


def _changed_s(path: Path) -> float:
    """When a file was last written, renamed or linked, in seconds since 1970; 0 where there is none."""
    try:
        return path.stat().st_ctime
    except OSError:
        return 0.0


def _failed(client: Comfy, error: object) -> Failure:
    """The `execution_error` of the last prompt, with the custom node that it comes from."""
    failure = failure_of(error)
    if failure.node:
        with suppress(EngineError):
            return failure_of(error, client.node_module(failure.node, ANSWER_S))
    return failure


def _failed_finding(ctx: Context, failure: Failure) -> Finding:
    folder = ctx.home.custom_nodes / failure.custom_node
    fix, facts = failure.hint, {"node": failure.custom_node}
    if failure.custom_node and folder.exists() and DISABLED in failure.hint.says:
        fix = Fix("Disable or remove that custom node, then start ComfyUI again.", _without(ctx, folder))
    return kind_of(failure.id).warn(failure.node or "last image", failure.says, fix=fix, facts=facts)


def _without(ctx: Context, folder: Path) -> Command:
    """What takes a custom node out of use: removed where it was added, else renamed."""
    if is_ours(ctx.home, folder):
        return ours("nodes", "remove", folder.name)
    return program("mv", str(folder), f"{folder}{DISABLED}")


def _told(ctx: Context, sign: Sign, when: str) -> Finding:
    log, facts = ctx.home.shown(ctx.home.engine_log), {"line": sign.text}
    return kind_of(sign.id).warn(log, f"{when}: {sign.says}.", fix=sign.hint, facts=facts)


def failed_node(ctx: Context, sign: Sign) -> Iterable[Finding]:
    """A custom node that failed, while it is still there."""
    name = sign.node
    folder = ctx.home.custom_nodes / name
    if not name or not folder.exists():
        return
    says = f"{sign.says[0].upper()}{sign.says[1:]}; its nodes are missing in ComfyUI."
    if sign.id in ctx.options.agreed:
        fix = Fix(f"Rename it to {name}{DISABLED} and restart ComfyUI.")
        yield kinds.NODE_FAILED.fixable(name, says, fix=fix)
    else:
        fix = Fix("Install what it requires, or do without it.", _without(ctx, folder))
        yield kinds.NODE_FAILED.warn(name, says, fix=fix, asks=f"Rename it to {name}{DISABLED}?")


def disable_node(ctx: Context, finding: Finding) -> None:
    """Disable the custom node of a finding, and end the server. Raises HomeError."""
    disable(ctx, finding.subject)
    stop_server(ctx)


def disable(ctx: Context, node: str) -> None:
    """Rename a custom node so that ComfyUI passes over it. Raises HomeError."""
    folder = ctx.home.custom_nodes / node
    try:
        folder.rename(folder.with_name(folder.name + DISABLED))
    except OSError as error:
        raise unusable(folder, error) from error
    ctx.note(f"{ctx.home.shown(folder)} is now {folder.name}{DISABLED}.")


START_LOG = Look(check_start, (kinds.NODE_FAILED,), disable_node)
PROMPT_LOG = Look(check_last_prompt)
