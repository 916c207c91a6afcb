"""`provision update`: a newer ComfyUI or torch, proven beside the one in use before it takes over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated

from typer import Option

from provision.cli.command import Session, command
from provision.cli.request import ASKING
from provision.command import Fix, ours
from provision.errors import UsageError
from provision.output.result import Pairs, Result, answer, ran

if TYPE_CHECKING:
    from provision.comfyui.git_remote import Revision
    from provision.command import Command
    from provision.core.step import Context
    from provision.steps.update import Wanted
    from provision.steps.update_preview import Preview


@dataclass(frozen=True, slots=True)
class Newer:
    """ComfyUI's release, and a newer one."""

    comfyui: str
    newer: str | None


@dataclass(frozen=True, slots=True)
class WouldUpdate:
    """What `--dry-run` says: releases and the newer one's date, each package's versions before and after.

    `download_bytes` is the most that comes, without `unsized` packages. Of the `edited` files of ComfyUI, it changes
    those in `both` too. `nodes` has the custom nodes, each with the changed packages that it uses.
    """

    comfyui: str
    newer: str
    date: str
    packages: Mapping[str, tuple[str, str]]
    download_bytes: int
    unsized: int
    estimated_seconds: float
    edited: tuple[str, ...]
    both: tuple[str, ...]
    nodes: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Updated:
    """ComfyUI's releases before and now."""

    before: str
    now: str


def update(
    at: Session,
    *,
    comfyui: Annotated[
        str | None, Option("--comfyui", metavar="REF", help="ComfyUI's tag, branch or commit, or latest.")
    ] = None,
    torch: Annotated[
        str | None, Option("--torch", metavar="nightly|stable|VERSION", help="Another torch too (default: the same).")
    ] = None,
    without: Annotated[
        list[str] | None, Option("--without", metavar="NODE", help="Update even if this custom node no longer imports.")
    ] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Say what would change, and change nothing.")] = False,
) -> Result:
    """Make the newer generation beside the one in use, prove it, and switch to it; a running server is restarted.

    Whatever fails leaves what is in use as it is. Raises UsageError and what the proofs raise.
    """
    from provision.cli.session import hold_home
    from provision.steps.update import Wanted, newer

    ctx = at.ctx
    _check_can(ctx, torch)
    ref = comfyui or ctx.manifest.comfyui.ref
    revision = newer(ctx, ref)
    if revision is None and torch is None:
        return _nothing_newer(at, ref, asked=comfyui is not None)
    wanted = Wanted(ref, revision or _same(ctx), torch or "", tuple(without or ()))
    if dry_run:
        return _told(ctx, wanted)
    with hold_home(at):
        return _switch_to(at, wanted)


def _check_can(ctx: Context, torch: str | None) -> None:
    """Refuse what cannot be updated. Raises UsageError."""
    import re

    from provision.comfyui.updaters import updater_of
    from provision.core.manifest import CHANNEL

    if ctx.home.code_of_another is not None:
        own = updater_of(ctx.home.code_of_another, ctx.machine.environ)
        raise UsageError(f"{ctx.home.comfyui} is not provision's: {own.says}.", hint=own.fix)
    check_ready(ctx)
    if torch is not None and not re.fullmatch(CHANNEL, torch):
        raise UsageError(f"--torch {torch}: nightly, stable or a version is wanted.", hint=ours("update", "--help"))


def check_ready(ctx: Context) -> None:
    """Refuse a home in which nothing works yet. Raises UsageError."""
    from provision.core.receipt_kinds import RequirementsReceipt
    from provision.environment import generations

    ready = ctx.receipts.read("requirements", RequirementsReceipt).commit
    if not ready or generations.active(ctx.home).parent != ctx.home.envs:
        raise UsageError("There is nothing to update yet.", hint=ours("all"))


def _same(ctx: Context) -> Revision:
    from provision.comfyui.git_remote import Revision
    from provision.core.receipt_kinds import ComfyReceipt

    here = ctx.receipts.read("comfyui", ComfyReceipt)
    return Revision(here.name, "tag" if here.name != here.commit else "commit", here.commit)


def _nothing_newer(at: Session, ref: str, *, asked: bool) -> Result:
    """Up to date; where a tag is remembered, the newest release is named too."""
    from provision.core.receipt_kinds import ComfyReceipt
    from provision.steps.update import newer

    here = at.ctx.receipts.read("comfyui", ComfyReceipt)
    if not asked and ref != "latest" and (latest := newer(at.ctx, "latest")) is not None:
        says = f"ComfyUI is held at {ref}; the newest release is {latest.name}. To go there:"
        return answer(Newer(here.name, latest.name), Fix(says, ours("update", "--comfyui", "latest")))
    return answer(Newer(here.name, None), f"ComfyUI {here.name} is up to date.")


def _told(ctx: Context, wanted: Wanted) -> Result:
    from provision.core.receipt_kinds import ComfyReceipt
    from provision.output.amounts import size_text, time_text
    from provision.steps.update_preview import preview

    here, found = ctx.receipts.read("comfyui", ComfyReceipt), preview(ctx, wanted)
    seconds = _seconds(ctx, found.download_bytes)
    rows = [(name, " -> ".join(each or "none" for each in versions)) for name, versions in found.packages.items()]
    if here.commit != wanted.revision.commit:
        rows.insert(0, ("ComfyUI", f"{here.name} -> {wanted.revision.name} of {found.date[:10]}"))
    if wanted.torch:
        rows.append(("torch", wanted.torch))
    facts = WouldUpdate(
        comfyui=here.name,
        newer=wanted.revision.name,
        estimated_seconds=round(seconds, 1),
        **{each.name: getattr(found, each.name) for each in fields(found)},
    )
    unsized = f" and {found.unsized} packages of unknown size" if found.unsized else ""
    cost = f"Downloads at most {size_text(found.download_bytes)}{unsized}; takes about {time_text(seconds)}."
    return answer(facts, Pairs(rows), cost, *_touched(found), Fix("Nothing was changed. To do it:", _again(wanted)))


def _seconds(ctx: Context, download_bytes: int) -> float:
    """How long it takes, by what earlier runs have measured."""
    from provision.cli.about import read_pace, usual_seconds
    from provision.core.estimate import ASSUMED_BYTES_PER_S
    from provision.steps.update_preview import WORK

    pace, usual = read_pace(ctx.home), usual_seconds(ctx)
    rate = pace.bytes_per_s or ASSUMED_BYTES_PER_S
    return download_bytes / rate + sum(pace.expected_s(step, usual) for step in WORK)


def _touched(found: Preview) -> list[str]:
    """A person's edits and nodes, and what becomes of them."""
    alone = [name for name in found.edited if name not in found.both]
    says = [f"Your changes to {', '.join(alone)} go with it."] if alone else []
    if found.both:
        says.append(f"It changes {', '.join(found.both)} too: your changes are merged, or kept as a patch.")
    for node, names in found.nodes.items():
        asks = f", which uses {', '.join(names)}" if names else ""
        says.append(f"Custom node {node}{asks}: must still import.")
    return says


def _again(wanted: Wanted) -> Command:
    torch = ("--torch", wanted.torch) if wanted.torch else ()
    return ours("update", "--comfyui", wanted.ref, *torch)


def _switch_to(at: Session, wanted: Wanted) -> Result:
    from dataclasses import replace

    from provision.cli.chosen import told_changes
    from provision.comfyui.server_process import our_process
    from provision.core.receipt_kinds import ComfyReceipt
    from provision.core.runner import run
    from provision.steps import update as steps
    from provision.steps.registry import step_named

    ctx = at.ctx
    left = ctx.receipts.read("comfyui", ComfyReceipt).name
    running = our_process(ctx) is not None
    with told_changes(ctx):
        steps.update(ctx, wanted)
    comfy = replace(ctx.manifest.comfyui, ref=wanted.ref)
    torch = replace(ctx.manifest.torch, channel=wanted.torch or ctx.manifest.torch.channel)
    ctx = replace(ctx, manifest=replace(ctx.manifest, comfyui=comfy, torch=torch))
    report = run([step_named(name) for name in (*(["server"] if running else []), "lock")], ctx, apply=True)
    facts = Updated(left, wanted.revision.name)
    closing = f"ComfyUI {wanted.revision.name} is in use; {left} is kept."
    return replace(ran(report, facts, Fix(f"{closing} Back to it:", ours("rollback"))), changed=True)


app = command("update", update, ASKING)
