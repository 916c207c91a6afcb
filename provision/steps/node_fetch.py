"""Bringing a revision of a custom node into its repository."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from provision.comfyui import added_nodes, git_checkout
from provision.comfyui.git_remote import LATEST, REF, Revision, explained
from provision.comfyui.git_stand_in import stand_in
from provision.command import as_fix, ours
from provision.core.patience import ride_out
from provision.core.receipt_kinds import AddedNode
from provision.core.step import Context
from provision.errors import GitError
from provision.steps.comfyui.step import follow_fetch

FILE_MAX_CHARACTERS = 100_000


def fetch(ctx: Context, node: AddedNode, revision: Revision) -> AddedNode:
    """Bring a revision of a node into its repository, and return the node as it is then. Raises GitError."""
    store, alive, environ = (
        added_nodes.store_of(ctx.home, node.name),
        ctx.machine.check_interrupted,
        ctx.machine.environ,
    )
    ctx.note(f"Fetching {node.name} ...", passing=True)
    on_line = follow_fetch(ctx)
    with about_nodes():
        commit = ride_out(ctx, lambda: git_checkout.fetch(store, node.url, revision, on_line, alive, environ=environ))
        node = replace(node, commit=commit, date=git_checkout.commit_date(store, commit))
        if show_file(ctx, node, ".gitmodules") is not None:
            ctx.note(f"{node.name} has submodules, which are not fetched.")
    return node


def show_file(ctx: Context, node: AddedNode, name: str) -> str | None:
    """A file of a node's commit, by its repository; None where it has none. Raises GitError."""
    with explained(f"{node.name} cannot be read"), stand_in(added_nodes.store_of(ctx.home, node.name)) as seen:
        if not seen.git("ls-tree", "--name-only", node.commit, "--", name).strip():
            return None
        return seen.git("cat-file", "blob", f"{node.commit}:{name}")[:FILE_MAX_CHARACTERS]


@contextmanager
def about_nodes() -> Iterator[None]:
    """Have git's errors be about a node, not about ComfyUI."""
    try:
        yield
    except GitError as error:
        if error.hint in (as_fix(LATEST), as_fix(REF)):
            raise GitError(error.message, hint=ours("nodes", "list"), passing=error.passing) from error
        raise
