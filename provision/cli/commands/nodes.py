"""`provision nodes`: custom nodes, pinned to a commit and tested before they are used."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from provision.cli.app import Flagged, Manual
from provision.cli.command import Session, function_of
from provision.cli.request import ASKING, USUAL
from provision.command import Fix, ours
from provision.errors import UsageError
from provision.output.result import Pairs, Result, answer, ran

if TYPE_CHECKING:
    from pathlib import Path

    from provision.core.receipt_kinds import AddedNode, NodesReceipt
    from provision.core.step import Context


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A custom node. `added`: by `nodes add`; all others are listed as they are. `changed` are files of its commit."""

    name: str
    added: bool
    enabled: bool
    url: str
    ref: str
    commit: str
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeList:
    """All custom nodes."""

    nodes: tuple[NodeFacts, ...]


@dataclass(frozen=True, slots=True)
class ChangedNode:
    """A custom node's commit before and after; null where it was not there."""

    name: str
    before: str | None
    now: str | None


@dataclass(frozen=True, slots=True)
class ChangedNodes:
    """The custom nodes that changed, or with `--dry-run` would."""

    changed_nodes: tuple[ChangedNode, ...]


Name = Annotated[str, Argument(metavar="NAME", help="The custom node's folder, as `nodes list` shows it.")]


def listed(at: Session) -> Result:
    """All custom nodes with commit and address."""
    from provision.comfyui.node_folders import changed_files, find_nodes
    from provision.steps.node_changes import nodes_of_now

    found = find_nodes(at.ctx.home, nodes_of_now(at.ctx))
    facts = tuple(
        NodeFacts(
            node.name,
            node.added is not None,
            node.enabled,
            node.url,
            node.added.ref if node.added else "",
            node.commit,
            changed_files(node),
        )
        for node in found
    )
    rows = [(each.name, each.commit[:10], each.url, _about(each)) for each in facts]
    closing = Fix("To add one:", ours("nodes", "add", "URL"))
    return answer(NodeList(facts), *([Pairs(rows)] if rows else ["There are no custom nodes."]), closing)


def _about(node: NodeFacts) -> str:
    how = f"follows {node.ref or 'the default branch'}" if node.added else "not added by provision"
    changed = f"{len(node.changed)} files changed" if node.changed else ""
    return ", ".join(filter(None, (how, "" if node.enabled else "disabled", changed)))


def add(
    at: Session,
    *,
    address: Annotated[str, Argument(metavar="URL[@REF]", help="Its git repository; a tag, branch or commit.")],
) -> Result:
    """Fetch a node, install what it asks for, test it, and put it in use.

    Raises UsageError, ConsentNeeded, GitError and what an update raises; nothing was changed then.
    """
    from dataclasses import replace

    from provision.cli.session import hold_home
    from provision.core.receipt_kinds import AddedNode
    from provision.steps import nodes as steps
    from provision.steps.node_changes import nodes_of_now
    from provision.steps.node_fetch import fetch

    ctx = at.ctx
    _check_can(ctx)
    url, ref = parse_address(address)
    now = nodes_of_now(ctx)
    name = _name_for(ctx, url, now)
    revision = steps.newest(ctx, url, ref)
    here = now.named(name)
    if here is not None and (here.commit, here.ref) == (revision.commit, ref):
        return answer(ChangedNodes(()), f"{name} is at {here.commit[:10]} already.")
    with hold_home(at), steps.tidy(ctx):
        known = here or AddedNode(name, url, "0" * 40)
        node = fetch(ctx, replace(known, ref=ref), revision)
        scripts = _agreed(at, [node])
        return _carry_out(at, now, now.has(node), f"add {name}", scripts)


def remove(at: Session, *, name: Name) -> Result:
    """Move a node to moved-aside/, and its packages out of the environment; tested before it is done.

    Raises UsageError and what an update raises; nothing was changed then.
    """
    from provision.cli.session import hold_home
    from provision.steps import nodes as steps
    from provision.steps.node_changes import nodes_of_now

    ctx = at.ctx
    _check_can(ctx)
    now = nodes_of_now(ctx)
    _must_know(ctx, now, name)
    with hold_home(at), steps.tidy(ctx):
        return _carry_out(at, now, now.lacks(name), f"remove {name}", ())


def update(
    at: Session,
    *,
    names: Annotated[list[str] | None, Argument(metavar="[NAME]...", help="Only these (default: all).")] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Say what would change, and change nothing.")] = False,
) -> Result:
    """Move nodes to the newest commit of what they follow.

    Raises UsageError, ConsentNeeded, GitError and what an update raises; nothing was changed then.
    """
    from provision.cli.session import hold_home
    from provision.steps import nodes as steps
    from provision.steps.node_changes import nodes_of_now

    ctx = at.ctx
    _check_can(ctx)
    from provision.steps.node_fetch import fetch

    now = nodes_of_now(ctx)
    for name in names or ():
        _must_know(ctx, now, name)
    newer = steps.newer(ctx, now, tuple(names or ()))
    if not newer:
        return answer(ChangedNodes(()), "Custom nodes are up to date." if now.added else "No custom nodes were added.")
    if dry_run:
        changed = tuple(ChangedNode(name, _commit(now, name), revision.commit) for name, revision in newer.items())
        closing = Fix("Nothing was changed. To do it:", ours("nodes", "update", *newer))
        return answer(ChangedNodes(changed), _pairs(changed), closing)
    with hold_home(at), steps.tidy(ctx):
        found = [fetch(ctx, _known(now, name), revision) for name, revision in newer.items()]
        scripts, then = _agreed(at, found, now), now
        for node in found:
            then = then.has(node)
        return _carry_out(at, now, then, f"update {', '.join(newer)}", scripts)


def parse_address(text: str) -> tuple[str, str]:
    """`URL[@REF]` as the address and the ref, which may be empty. Raises UsageError for what git is not given."""
    import os
    import re

    from provision.core.manifest import GIT_ADDRESS
    from provision.core.manifest import REF as REF_RULE

    if os.path.isdir(folder := os.path.expanduser(text)):  # noqa: PTH111, PTH112  (which leave `~nobody` as it is)
        return os.path.abspath(folder), ""  # noqa: PTH100
    server = re.match(r"(?:[a-z]+://[^/]*|[\w.-]+@[\w.-]+:)?", text)
    start = server.end() if server is not None else 0
    path, at, ref = text[start:].rpartition("@")
    url, ref = (text[:start] + path, ref) if at else (text, "")
    if url.startswith(("~", ".", "/")):
        url = os.path.abspath(os.path.expanduser(url)) if url else ""  # noqa: PTH100, PTH111
    if not GIT_ADDRESS.fullmatch(url) or (at and not REF_RULE.fullmatch(ref)):
        raise UsageError(
            f"{text!r} is not the address of a git repository: https, ssh, a file address or a folder.",
            hint=ours("nodes", "add", "https://github.com/OWNER/NAME"),
        )
    return url, ref


def _name_for(ctx: Context, url: str, now: NodesReceipt) -> str:
    """The folder's name for a node. Raises UsageError where it has none, or another has it."""
    from provision.comfyui.added_nodes import OFF, name_for
    from provision.comfyui.node_folders import NOT_A_PERSONS
    from provision.core.receipt_kinds import NODE_NAME

    name = name_for(url)
    if not NODE_NAME.fullmatch(name):
        raise UsageError(f"{url} gives no name for a folder.", hint=ours("nodes", "add", "URL"))
    same = next((node.name for node in now.added if node.name.lower() == name.lower()), None)
    if same is not None:
        if _known(now, same).url.removesuffix(".git") == url.removesuffix(".git"):
            return same
        raise UsageError(f"The custom node {same} is from {_known(now, same).url}.", hint=ours("nodes", "remove", same))
    taken = NOT_A_PERSONS | {path.name.removesuffix(OFF).lower() for path in _entries(ctx)}
    if name.lower() in taken:
        raise UsageError(
            f"custom_nodes has a {name} that provision did not add; it is not touched.", hint=ours("nodes", "list")
        )
    return name


def _entries(ctx: Context) -> list[Path]:
    return list(ctx.home.custom_nodes.iterdir()) if ctx.home.custom_nodes.is_dir() else []


def _known(now: NodesReceipt, name: str) -> AddedNode:
    return next(node for node in now.added if node.name == name)


def _commit(nodes: NodesReceipt, name: str) -> str | None:
    node = nodes.named(name)
    return node.commit if node is not None else None


def _must_know(ctx: Context, now: NodesReceipt, name: str) -> None:
    """Refuse a node that was not added by us. Raises UsageError."""
    from provision.comfyui.node_folders import find_nodes
    from provision.command import program

    if now.named(name) is not None:
        return
    for node in find_nodes(ctx.home, now):
        if node.name == name:
            says = f"{name} was not added by provision, which does not change it."
            move = program("mv", str(node.path), f"{node.path}.disabled")
            raise UsageError(says, hint=Fix("To disable it:", move) if node.enabled else ours("nodes", "list"))
    raise UsageError(f"{name!r} is not one of the custom nodes.", hint=ours("nodes", "list"))


def _agreed(at: Session, nodes: list[AddedNode], now: NodesReceipt | None = None) -> tuple[str, ...]:
    """The nodes whose install script may be run: each is shown first. Raises ConsentNeeded."""
    from provision.steps import nodes as steps
    from provision.steps.node_changes import SCRIPT

    agreed = []
    for node in nodes:
        text, known = steps.script_of(at.ctx, node), now.named(node.name) if now else None
        if text is None or (known is not None and text == steps.script_of(at.ctx, known)):
            continue
        at.console.page(f"--- {node.name}/{SCRIPT}\n{text.rstrip()}\n---")
        if at.ctx.consent(f"Run {node.name}/{SCRIPT}?"):
            agreed.append(node.name)
        else:
            at.ctx.note(f"{node.name}/{SCRIPT} is not run.")
    return tuple(agreed)


def _check_can(ctx: Context) -> None:
    """Refuse where nodes are another's to change. Raises UsageError."""
    from provision.cli.commands.update import check_ready

    if ctx.home.adopted is not None:
        raise UsageError(
            f"{ctx.home.comfyui} is not provision's: change its custom nodes the way they were installed.",
            hint=ours("nodes", "list"),
        )
    check_ready(ctx)


def _carry_out(at: Session, now: NodesReceipt, then: NodesReceipt, reason: str, scripts: tuple[str, ...]) -> Result:
    from dataclasses import replace

    from provision.comfyui.server_process import our_process
    from provision.core.runner import run
    from provision.steps import nodes as steps
    from provision.steps.node_changes import Change
    from provision.steps.registry import step_named

    ctx, running = at.ctx, our_process(at.ctx) is not None
    steps.change(ctx, then, reason, scripts)
    change = Change(now, then)
    names = sorted({node.name for node in (*change.came, *change.went)})
    changed = tuple(ChangedNode(name, _commit(now, name), _commit(then, name)) for name in names)
    report = run([step_named(name) for name in (*(["server"] if running else []), "lock")], ctx, apply=True)
    closing = Fix("Back to how it was:", ours("rollback"))
    return replace(ran(report, ChangedNodes(changed), closing, before=(_pairs(changed),)), changed=True)


def _pairs(changed: tuple[ChangedNode, ...]) -> Pairs:
    return Pairs([(each.name, f"{_short(each.before)} -> {_short(each.now)}") for each in changed])


def _short(commit: str | None) -> str:
    return commit[:10] if commit else "none"


app = typer.Typer(add_completion=False, rich_markup_mode=None, invoke_without_command=True, cls=Flagged)


_list = function_of("nodes", listed, USUAL)


def nodes(ctx: typer.Context, **given: Any) -> None:
    """List, add, remove and update custom nodes."""
    if ctx.invoked_subcommand is None:
        _list(**given)


_context = Parameter("ctx", Parameter.KEYWORD_ONLY, annotation=typer.Context)
nodes.__signature__ = Signature([_context, *signature(_list).parameters.values()])  # type: ignore[attr-defined]
nodes.__annotations__ = {**_list.__annotations__, "ctx": typer.Context}
app.callback()(nodes)
for _name, _run, _flags, _help in (
    ("list", listed, USUAL, "List all custom nodes, with commit and address."),
    ("add", add, ASKING, "Add a custom node and the packages it needs, once ComfyUI works with it."),
    ("remove", remove, ASKING, "Move a custom node to moved-aside/, and remove the packages only it needs."),
    ("update", update, ASKING, "Move custom nodes to the newest commit of the branch or tag they follow."),
):
    app.command(_name, cls=Manual, help=_help)(function_of("nodes", _run, _flags))
