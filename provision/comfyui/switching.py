"""Putting a generation in use: its environment, its revision of ComfyUI, and what a person had edited with it.

The link to the environment is replaced by one rename, and from then on that generation is in use. Whatever is killed
before leaves the one before; whatever is killed after is finished by the next command, before it reads anything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from provision.comfyui import added_nodes, archived_revisions, fallback_flags, revisions
from provision.comfyui.archived_revisions import is_by_archives
from provision.comfyui.git_remote import Revision
from provision.core.choices import choices_of, write_choices
from provision.core.home import Home
from provision.core.receipt_kinds import ComfyReceipt, NodesReceipt
from provision.core.receipts import Receipts, forget, read_state, write_bytes, write_json, write_text
from provision.environment import generations
from provision.system.disk_errors import unusable
from provision.system.strict import read_file

EDITS = "edits.patch"
EDITS_MAX_BYTES = 100_000_000
USUAL = {"comfyui.ref": "latest", "torch.channel": "nightly"}
"""What holds where nothing is remembered."""


@dataclass(frozen=True, slots=True)
class _Switch:
    """`state/switching.json`: the generation that is being put in use, and whether it has another revision."""

    to: str = ""
    moves: bool = False


def edits_of(env: Path) -> bytes:
    """The edits of ComfyUI's files that belong to a generation that is not in use. Raises OSError for an odd file."""
    try:
        return read_file(env / "set" / EDITS, max_bytes=EDITS_MAX_BYTES)
    except FileNotFoundError:
        return b""


def switch(home: Home, env: Path, when: str) -> None:
    """Put a whole, proven generation in use; the one that is left can be gone back to. No network is used.

    Raises GitError, HomeError, DiskFull.
    """
    old, commit = generations.active(home), _commit(env)
    here = Receipts(home.receipts).read(generations.REVISION, ComfyReceipt).commit
    moves = home.code_of_another is None and commit not in ("", here)
    if moves:
        by_archives = is_by_archives(home)
        write_bytes(
            old / "set" / EDITS, archived_revisions.edits(home) if by_archives else revisions.edits(home.comfyui)
        )
        if not by_archives:
            revisions.hold(home.comfyui, int(old.name), here)
    now = Receipts(home.receipts).read(added_nodes.RECEIPT, NodesReceipt)
    added_nodes.keep_edits(home, old / "set", now, nodes_of(env))
    generations.leave(home, when)
    write_json(home.switching, asdict(_Switch(env.name, moves)))
    generations.enter(home, env, old)
    finish(home)


def finish(home: Home) -> bool:
    """Do the rest of a switch that was begun; False where none was.

    Raises GitError, HomeError, DiskFull, UsageError.
    """
    begun = read_state(home.switching, _Switch)
    if begun is None:
        return False
    env = generations.active(home)
    if env.name == begun.to:  # else it was killed before the rename, and nothing had changed
        made = generations.left_with(env)
        if begun.moves:
            _move(home, made)
        _settle_nodes(home, made)
        _choose(home, {"comfyui.ref": made.comfyui.ref if begun.moves else "", "torch.channel": made.torch.wanted})
        generations.restore(home, (*generations.SET_RECEIPTS, *([generations.REVISION] if begun.moves else [])))
        for name in (fallback_flags.WISH, fallback_flags.TRIED):  # recorded for what was left
            Receipts(home.receipts).drop(name)
    forget(home.switching)
    return True


def _move(home: Home, made: generations.Generation) -> None:
    """Bring ComfyUI to a generation's revision; what no generation needs is let go."""
    commit, edits = made.comfyui.commit, edits_of(made.env)

    def out_of_the_way(path: Path) -> None:
        set_aside(home, path)

    if is_by_archives(home):
        archived_revisions.move_to(home, commit, edits, out_of_the_way)
    else:
        revision = Revision(made.comfyui.name, "commit" if made.comfyui.name == commit else "tag", commit)
        revisions.move_to(home.comfyui, revision, edits, out_of_the_way)
        revisions.hold(home.comfyui, made.number, commit)
    let_go(home, commit)


def let_go(home: Home, commit: str) -> None:
    """Let go of the revisions of ComfyUI that are neither `commit` nor a kept generation's.

    Raises GitError, HomeError.
    """
    kept = generations.kept(home)
    if is_by_archives(home):
        archived_revisions.let_go(home, {each.comfyui.commit for each in kept} | {commit})
    else:
        revisions.let_go(home.comfyui, {each.number for each in kept})


def nodes_of(env: Path) -> NodesReceipt:
    """The custom nodes of a generation that is not in use."""
    return Receipts(env / "set" / "receipts").read(added_nodes.RECEIPT, NodesReceipt)


def held_nodes(home: Home) -> dict[int, NodesReceipt]:
    """The custom nodes of each generation that is kept, by its number."""
    now, active = Receipts(home.receipts).read(added_nodes.RECEIPT, NodesReceipt), generations.active(home)
    return {each.number: now if each.env == active else nodes_of(each.env) for each in generations.kept(home)}


def _settle_nodes(home: Home, made: generations.Generation) -> None:
    """Bring the custom nodes to a generation's; the receipt says so only after it."""
    before, after = Receipts(home.receipts).read(added_nodes.RECEIPT, NodesReceipt), nodes_of(made.env)
    added_nodes.settle(home, made.env / "set", before, after, lambda path: set_aside(home, path))
    if home.nodes.is_dir():
        added_nodes.hold(home, made.number, after.added)
        added_nodes.let_go(home, {**held_nodes(home), made.number: after})


def _commit(env: Path) -> str:
    return generations.left_with(env).comfyui.commit


def _choose(home: Home, told: Mapping[str, str]) -> None:
    """Let the home remember what its generation was made for."""
    before = choices_of(home)
    other = {key: value for key, value in told.items() if value and before.get(key, USUAL[key]) != value}
    if other:
        write_text(home.choices, write_choices({**before, **other}))


def set_aside(home: Home, path: Path) -> None:
    place = home.aside / "in ComfyUI's way" / path.relative_to(home.comfyui)
    number = 1
    while place.exists() or place.is_symlink():
        number += 1
        place = place.with_name(f"{path.name}.{number}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
    except OSError as error:
        raise unusable(path, error) from error
