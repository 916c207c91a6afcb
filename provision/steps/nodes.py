"""Custom nodes that are added, updated and removed, each time in a generation that is tested before it is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from provision.comfyui import added_nodes, git_remote
from provision.comfyui.git_remote import Revision
from provision.comfyui.switching import held_nodes
from provision.core.patience import ride_out
from provision.core.receipt_kinds import AddedNode, ComfyReceipt, NodesReceipt
from provision.core.step import Context
from provision.steps.node_changes import SCRIPT
from provision.steps.node_fetch import about_nodes, show_file
from provision.steps.update import Wanted, update


def newest(ctx: Context, url: str, ref: str) -> Revision:
    """What a node is at on its server: the tip of the default branch, or what `ref` names. Raises GitError."""
    environ, alive = ctx.machine.environ, ctx.machine.check_interrupted
    with about_nodes():
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


def script_of(ctx: Context, node: AddedNode) -> str | None:
    """The text of the node's install script; None where it has none. Raises GitError."""
    return show_file(ctx, node, SCRIPT)


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
        added_nodes.forget_unused(ctx.home, held_nodes(ctx.home))
