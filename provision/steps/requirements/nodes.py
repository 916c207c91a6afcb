"""Custom nodes that were added, or that a lock has, and are not in their folder: put there again."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from provision.comfyui import added_nodes, git_checkout
from provision.comfyui.git_remote import Revision
from provision.comfyui.switching import held_nodes, set_aside
from provision.command import Fix
from provision.core.finding import Finding
from provision.core.receipt_kinds import NODE_NAME, AddedNode, ComfyReceipt, NodesReceipt
from provision.core.step import Context, Look
from provision.environment import generations, packages
from provision.steps.node_fetch import fetch
from provision.steps.requirements import kinds
from provision.steps.requirements.install import requirements_of, resolved_until


def check_nodes(ctx: Context) -> Iterable[Finding]:
    """Is each custom node there that was added, or with a lock those that it has?"""
    if ctx.home.adopted is not None or not ctx.home.main_py.is_file():
        return
    now, wanted = _now(ctx), wanted_nodes(ctx)
    missing = [node.name for node in wanted.added if _is_missing(ctx, node)]
    other = [node.name for node in wanted.added if _commit(now, node.name) not in ("", node.commit)]
    extra = [node.name for node in now.added if wanted.named(node.name) is None]
    if missing or other or extra:
        parts = (("missing", missing), ("at another commit", other), ("not in the lock", extra))
        says = "; ".join(f"{', '.join(names)}: {what}" for what, names in parts if names)
        fix = Fix("Put custom nodes where they were.")
        yield kinds.NODE_MISSING.fixable("custom nodes", f"Custom nodes differ ({says}).", fix=fix)


def wanted_nodes(ctx: Context) -> NodesReceipt:
    """The added custom nodes that there should be: a lock's, else those of the generation in use; no bundle has any."""
    now, lock = _now(ctx), ctx.options.locked
    if lock is None or ctx.options.source is not None:
        return now
    found = [each for each in lock.nodes if each.url and each.commit and NODE_NAME.fullmatch(each.name)]
    ours = [each for each in found if now.named(each.name) is not None or not _is_anothers(ctx, each.name)]
    known = {node.name: node for node in now.added}
    added = (
        replace(known.get(each.name, AddedNode(each.name, each.url, each.commit)), commit=each.commit, ref=each.ref)
        for each in ours
    )
    return NodesReceipt(tuple(added), now.disabled)


def _is_anothers(ctx: Context, name: str) -> bool:
    """Whether a person's own folder has the name of a node."""
    return added_nodes.folder_of(ctx.home, name) is None and os.path.lexists(ctx.home.custom_nodes / name)


def _is_missing(ctx: Context, node: AddedNode) -> bool:
    return added_nodes.folder_of(ctx.home, node.name) is None and not _is_anothers(ctx, node.name)


def _commit(nodes: NodesReceipt, name: str) -> str:
    node = nodes.named(name)
    return node.commit if node is not None else ""


def _now(ctx: Context) -> NodesReceipt:
    return ctx.receipts.read(added_nodes.RECEIPT, NodesReceipt)


def unmet_of_nodes(ctx: Context) -> list[tuple[str, str | None]]:
    """As `packages.unmet_here`, of the custom nodes that were added."""
    return packages.unmet(lines_of_nodes(ctx), packages.installed_versions(ctx.home.venv), packages.target_python(ctx))


def lines_of_nodes(ctx: Context) -> list[str]:
    """What the custom nodes ask for that were added and are enabled."""
    found = [ctx.home.custom_nodes / node.name for node in _now(ctx).added]
    return [line for folder in found for line in requirements_of(folder / "requirements.txt")]


def until_of(ctx: Context, nodes: NodesReceipt) -> str:
    """The last day from which packages are taken: by ComfyUI's revision or the newest node, whichever is later."""
    dates = [ctx.receipts.read("comfyui", ComfyReceipt).date, *(node.date for node in nodes.added)]
    return resolved_until(ctx, max(filter(_is_date, dates), key=datetime.fromisoformat, default=""))


def _is_date(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def put_nodes(ctx: Context, finding: Finding) -> None:
    """Put them into their folders, fetched where their commit is not here. Raises GitError, HomeError, DiskFull."""
    env, before, after = generations.active(ctx.home), _now(ctx), wanted_nodes(ctx)
    for node in after.added:
        store = added_nodes.store_of(ctx.home, node.name)
        if not (store / ".git").is_dir() or git_checkout.has_commit_of(store, node.commit) != node.commit:
            after = after.has(fetch(ctx, node, Revision(node.commit, "commit", node.commit)))
    if before != after:
        added_nodes.keep_edits(ctx.home, env / "set", before, after)
        ctx.receipts.write(added_nodes.RECEIPT, after)
    added_nodes.settle(ctx.home, env / "set", before, after, lambda path: set_aside(ctx.home, path))
    added_nodes.hold(ctx.home, int(env.name), after.added)
    added_nodes.forget_unused(ctx.home, held_nodes(ctx.home))


NODES = Look(check_nodes, (kinds.NODE_MISSING,), put_nodes)
