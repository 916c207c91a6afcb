"""Putting a generation in use: its environment, its revision of ComfyUI, and what a person had edited with it.

The link to the environment is replaced by one rename, and from then on that generation is in use. Whatever is killed
before leaves the one before; whatever is killed after is finished by the next command, before it reads anything else.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from provision.comfyui import added_nodes, database, fallback_flags
from provision.comfyui.git_remote import Revision
from provision.comfyui.revisions import revisions_of
from provision.core.choices import choices_of, write_choices
from provision.core.home import Home
from provision.core.receipt_kinds import ComfyReceipt, NodesReceipt
from provision.core.receipts import Receipts, forget, read_state, write_bytes, write_json, write_text
from provision.environment import generations
from provision.environment.kept_edits import EDITS, edits_of, same_changes
from provision.system.disk_errors import unusable

USUAL = {"comfyui.ref": "latest", "torch.channel": "nightly"}
"""What holds where nothing is remembered."""


@dataclass(frozen=True, slots=True)
class _Switch:
    """`state/switching.json`: the generation that is being put in use, and whether it has another revision."""

    to: str = ""
    moves: bool = False


def switch(home: Home, env: Path, when: str) -> Path | None:
    """Put a whole, proven generation in use; the one that is left can be gone back to. No network is used.

    Returns where the database is now, if its ComfyUI cannot use the one that was in place. Raises GitError, HomeError,
    DiskFull.
    """
    old, commit = generations.active(home), generations.left_with(env).comfyui.commit
    here = Receipts(home.receipts).read(generations.REVISION, ComfyReceipt).commit
    moves = home.code_of_another is None and commit not in ("", here)
    if moves:
        revisions = revisions_of(home)
        write_bytes(old / "set" / EDITS, revisions.edits())
        revisions.hold(int(old.name), here)
        database.keep(home, old)
    now = Receipts(home.receipts).read(added_nodes.RECEIPT, NodesReceipt)
    added_nodes.keep_edits(home, old / "set", now, nodes_of(env))
    generations.leave(home, when)
    begun = _Switch(env.name, moves)
    write_json(home.switching, asdict(begun))
    generations.enter(home, env, old)
    return _finish(home, begun)


def finish(home: Home) -> bool:
    """Do the rest of a switch that was begun; False where none was.

    Raises GitError, HomeError, DiskFull, UsageError.
    """
    begun = read_state(home.switching, _Switch)
    if begun is None:
        return False
    _finish(home, begun)
    return True


def _finish(home: Home, begun: _Switch) -> Path | None:
    env, aside = generations.active(home), None
    if env.name == begun.to:  # else it was killed before the rename, and nothing had changed
        made = generations.left_with(env)
        if begun.moves:
            _move(home, made)
            aside = database.put_back(home, env)
        _settle_nodes(home, made)
        _choose(home, {"comfyui.ref": made.comfyui.ref if begun.moves else "", "torch.channel": made.torch.wanted})
        generations.restore(home, (*generations.SET_RECEIPTS, *([generations.REVISION] if begun.moves else [])))
        for name in (fallback_flags.WISH, fallback_flags.TRIED):  # recorded for what was left
            Receipts(home.receipts).drop(name)
    forget(home.switching)
    return aside


def take_along(home: Home, env: Path) -> Path | None:
    """Before a return to a generation: see to the edits of now that it does not have.

    It gets them where it had none and they fit; else they are written to `moved-aside`, which is returned.
    Raises GitError, HomeError, DiskFull.
    """
    commit, revisions = generations.left_with(env).comfyui.commit, revisions_of(home)
    mine, its = revisions.edits(), edits_of(env)
    head = revisions.head()
    if not commit or head is None or head == commit or not mine or same_changes(mine, its):
        return None
    if not its and (carried := _carried(home, commit, mine)):
        write_bytes(env / "set" / EDITS, carried)
        return None
    return revisions.save(mine, place_of_edits(home, head, mine))


def go_back(home: Home, to: ComfyReceipt) -> Path | None:
    """Bring a checkout that somebody moved back to the revision that is recorded, with a person's edits. No network.

    Returns where the edits are, if they do not fit it. Raises GitError, HomeError, DiskFull.
    """
    revisions = revisions_of(home)
    mine, head = revisions.edits(), revisions.head() or ""
    kept = revisions.save(mine, place_of_edits(home, head, mine)) if mine else None
    carried = _carried(home, to.commit, mine) if mine else b""
    revisions.move_to(Revision(to.name, "commit", to.commit), carried or b"", partial(set_aside, home))
    if kept is None or carried is None:
        return kept
    shutil.rmtree(kept) if kept.is_dir() else kept.unlink()
    return None


def _carried(home: Home, commit: str, edits: bytes) -> bytes | None:
    """Edits as they are for another commit; None where they do not fit it."""
    try:
        home.trial.mkdir(parents=True, exist_ok=True)
        return revisions_of(home).write_out(commit, home.trial / "ComfyUI", edits).edits
    finally:
        shutil.rmtree(home.trial, ignore_errors=True)


def place_of_edits(home: Home, commit: str, edits: bytes) -> Path:
    """Where edits of a commit are kept that do not fit another, without the ending; other edits have another place."""
    return home.aside / f"ComfyUI edits of {commit[:8]}, {hashlib.sha256(edits).hexdigest()[:6]}"


def _move(home: Home, made: generations.Generation) -> None:
    """Bring ComfyUI to a generation's revision; what no generation needs is let go."""
    commit, revisions = made.comfyui.commit, revisions_of(home)
    revision = Revision(made.comfyui.name, "commit" if made.comfyui.name == commit else "tag", commit)
    revisions.move_to(revision, edits_of(made.env), partial(set_aside, home))
    revisions.hold(made.number, commit)
    let_go(home, commit)


def let_go(home: Home, commit: str) -> None:
    """Let go of the revisions of ComfyUI that are neither `commit`, which is in use, nor a kept generation's.

    Raises GitError, HomeError.
    """
    kept = {each.number: each.comfyui.commit for each in generations.kept(home)}
    revisions_of(home).let_go({0: commit, **kept})


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
    added_nodes.settle(home, made.env / "set", before, after, partial(set_aside, home))
    if home.nodes.is_dir():
        added_nodes.hold(home, made.number, after.added)
        added_nodes.let_go(home, {**held_nodes(home), made.number: after})


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
