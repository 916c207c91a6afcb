"""Custom nodes that are added, updated and removed, each time in a generation that is tested before it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from provision.comfyui import added_nodes, git_checkout, git_remote
from provision.comfyui.git_remote import LATEST, REF, Revision, explained
from provision.comfyui.git_stand_in import stand_in
from provision.comfyui.switching import nodes_of
from provision.command import as_fix, ours
from provision.core.patience import ride_out
from provision.core.receipt_kinds import AddedNode, ComfyReceipt, NodesReceipt
from provision.core.step import Context
from provision.environment import generations
from provision.errors import GitError
from provision.steps.comfyui.step import follow_fetch
from provision.steps.node_changes import SCRIPT, nodes_of_now
from provision.steps.update import Wanted, update

SCRIPT_MAX_CHARACTERS = 100_000


def newest(ctx: Context, url: str, ref: str) -> Revision:
    """What a node is at on its server: the tip of the default branch, or what `ref` names. Raises GitError."""
    environ, alive = ctx.machine.environ, ctx.machine.check_interrupted
    with _about_nodes():
        if not ref:
            return ride_out(ctx, lambda: git_remote.default_branch(url, alive, environ=environ))
        return ride_out(ctx, lambda: git_remote.find_revision(url, ref, alive, environ=environ))


def newer(ctx: Context, nodes: NodesReceipt, names: tuple[str, ...]) -> dict[str, Revision]:
    """The named nodes (all where none is named) for which there is another commit, by name. Raises GitError."""
    found = {node.name: newest(ctx, node.url, node.ref) for node in nodes.added if not names or node.name in names}
    return {name: revision for name, revision in found.items() if revision.commit != _commit(nodes, name)}


def _commit(nodes: NodesReceipt, name: str) -> str:
    node = nodes.named(name)
    return node.commit if node is not None else ""


def fetch(ctx: Context, node: AddedNode, revision: Revision) -> AddedNode:
    """Bring a revision of a node into its repository, and return the node as it is then. Raises GitError."""
    store, alive, environ = (
        added_nodes.store_of(ctx.home, node.name),
        ctx.machine.check_interrupted,
        ctx.machine.environ,
    )
    ctx.note(f"Fetching {node.name} ...", passing=True)
    on_line = follow_fetch(ctx)
    with _about_nodes():
        commit = ride_out(ctx, lambda: git_checkout.fetch(store, node.url, revision, on_line, alive, environ=environ))
        node = replace(node, commit=commit, date=git_checkout.commit_date(store, commit))
        if _show(ctx, node, ".gitmodules") is not None:
            ctx.note(f"{node.name} has submodules, which are not fetched.")
    return node


def script_of(ctx: Context, node: AddedNode) -> str | None:
    """The text of the node's install script; None where it has none. Raises GitError."""
    return _show(ctx, node, SCRIPT)


def _show(ctx: Context, node: AddedNode, name: str) -> str | None:
    with explained(f"{node.name} cannot be read"), stand_in(added_nodes.store_of(ctx.home, node.name)) as seen:
        if not seen.git("ls-tree", "--name-only", node.commit, "--", name).strip():
            return None
        return seen.git("cat-file", "blob", f"{node.commit}:{name}")[:SCRIPT_MAX_CHARACTERS]


def change(ctx: Context, nodes: NodesReceipt, reason: str, scripts: tuple[str, ...] = ()) -> None:
    """Put these custom nodes in use, in a generation that was tested; ends the server. Raises as `update`."""
    here = ctx.receipts.read("comfyui", ComfyReceipt)
    revision = Revision(here.name, "tag" if here.name != here.commit else "commit", here.commit)
    update(ctx, Wanted(here.ref, revision, nodes=nodes, scripts=scripts, reason=reason))


@contextmanager
def tidy(ctx: Context) -> Iterator[None]:
    """Remove the repositories that were fetched for nothing, whatever happens in this block."""
    try:
        yield
    finally:
        added_nodes.forget_unused(ctx.home, held(ctx))


def held(ctx: Context) -> Mapping[int, NodesReceipt]:
    """The custom nodes of each generation that is kept, by its number."""
    active, kept = generations.active(ctx.home), generations.kept(ctx.home)
    return {each.number: nodes_of_now(ctx) if each.env == active else nodes_of(each.env) for each in kept}


@contextmanager
def _about_nodes() -> Iterator[None]:
    """Have git's errors be about a node, not about ComfyUI."""
    try:
        yield
    except GitError as error:
        if error.hint in (as_fix(LATEST), as_fix(REF)):
            raise GitError(error.message, hint=ours("nodes", "list"), passing=error.passing) from error
        raise
