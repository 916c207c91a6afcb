"""Tell what this tool made in a home from what a person added, by name, and where needed by content.

ComfyUI's files are ours while they are as in the commit that was checked out, a model while it is the file that was
downloaded. In doubt a file is the person's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from provision.comfyui.added_nodes import is_ours
from provision.comfyui.git_checkout import blobs_of, commits_of_its_own, has_commit_of
from provision.comfyui.source_tree import is_archived, read_listing
from provision.core.home import AdoptedJson
from provision.core.ownership import LOG_NAME, SYSTEMS_OWN, is_at_the_top, is_state, owned_state
from provision.core.receipt_kinds import ComfyReceipt, WorkflowReceipt
from provision.core.step import Context
from provision.download.model_files import model_receipts
from provision.system.git_objects import blob_at

COMFYUIS_OWN = ("comfyui.db", "comfyui.db.bkp", "comfyui.db.lock", "comfyui.db-wal", "comfyui.db-shm")
"""Files that ComfyUI writes into `user/` by itself, beside its logs."""
CACHE = "__pycache__"


@dataclass(frozen=True, slots=True)
class WouldRemove:
    """What `uninstall --yes` would remove, and what it would keep."""

    would_remove: tuple[str, ...]
    would_keep: tuple[str, ...]
    adopted: AdoptedJson | None


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed, and where what you added is now; what could not be moved has stayed."""

    removed: tuple[str, ...]
    kept_in: str | None
    stayed: tuple[str, ...]
    adopted: AdoptedJson | None


@dataclass(slots=True)
class Sorted:
    """The paths of a home, each with all below it: `ours` in the order of removal, and `theirs`."""

    ours: list[Path] = field(default_factory=list)
    theirs: list[Path] = field(default_factory=list)
    elsewhere: list[Path] = field(default_factory=list)
    """Our models that a person's link leads to, on another disk."""


def sort_home(ctx: Context) -> Sorted:
    """Sort everything in a home. Changes nothing."""
    home, found = ctx.home, Sorted()
    for name in _names(home.root):
        path = home.root / name
        if name == "ComfyUI" and path.is_dir() and not path.is_symlink():
            _sort_checkout(ctx, path, found)
        elif name in ("envs", "logs", "moved-aside", "state") and path.is_dir() and not path.is_symlink():
            for inner in _names(path):
                _put(found, path / inner, ours=_is_ours_in(name, inner))
        else:
            _put(found, path, ours=is_at_the_top(name))
    kept = [store for store in home.nodes.glob("*") if commits_of_its_own(store, has_commit_of(store, "HEAD") or "")]
    found.theirs += kept
    if kept:
        found.ours += [store for store in home.nodes.glob("*") if store not in kept]
    owned = owned_state(home.root) if home.state.is_dir() else ()
    found.ours += [path for path in owned if path != home.nodes or not kept]
    return found


def _is_ours_in(folder: str, name: str) -> bool | None:
    """Whether an entry of a folder of the home is ours; None for state, which is removed last."""
    if folder == "state":
        return None if is_state(name) else False
    return {"envs": name.isdigit(), "logs": LOG_NAME.fullmatch(name) is not None}.get(folder, False)


def _put(found: Sorted, path: Path, *, ours: bool | None) -> None:
    if ours:
        found.ours.append(path)
    elif ours is not None and _holds_something(path):
        found.theirs.append(path)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name not in SYSTEMS_OWN)


def _holds_something(path: Path) -> bool:
    """Whether a path is more than empty folders."""
    if path.is_symlink() or not path.is_dir():
        return True
    for folder, folders, files in os.walk(path):
        if set(files) - SYSTEMS_OWN or any(Path(folder, name).is_symlink() for name in folders):
            return True
    return False


def _sort_checkout(ctx: Context, code: Path, found: Sorted) -> None:
    models = set(_downloaded(ctx))
    found.elsewhere = sorted(path for path in models if not path.resolve().is_relative_to(code.resolve()))
    nodes = [path for path in (code / "custom_nodes").glob("*") if is_ours(ctx.home, path)]
    links = {node / ".git" for node in nodes}
    ours = _Ours(code, {**_blobs(ctx, code), **_blobs_of_nodes(code, nodes)}, models | links | set(_written(ctx)))
    here = _sort_folder(code, ours)
    commit = ctx.receipts.read("comfyui", ComfyReceipt).commit
    git = code / ".git"
    if git.is_dir() and not commits_of_its_own(code, commit):
        here.ours.append(git)  # last: a repeated removal still needs it
    elif os.path.lexists(git):
        here.theirs.append(git)
    found.ours += here.ours
    found.theirs += here.theirs


def _blobs_of_nodes(code: Path, nodes: list[Path]) -> dict[str, str]:
    """The files that added custom nodes came with, by their path in the checkout."""
    return {(node / name).relative_to(code).as_posix(): blob for node in nodes for name, blob in blobs_of(node).items()}


def _blobs(ctx: Context, code: Path) -> dict[str, str]:
    """The files that ComfyUI came with, by path, as git or the listing of an archive has them."""
    if not is_archived(ctx):
        return blobs_of(code)
    listing = read_listing(ctx.home.state)
    return listing.blobs if listing is not None else {}


@dataclass(frozen=True, slots=True)
class _Ours:
    """What is ours in a checkout: git's `blobs` by path, and `files` that were written or downloaded."""

    code: Path
    blobs: dict[str, str]
    files: set[Path]

    def has(self, path: Path) -> bool:
        """Whether a file is ours, and unchanged."""
        name = path.relative_to(self.code).as_posix()
        is_log = path.name.startswith("comfyui") and ".log" in path.name
        if path in self.files or (path.parent == self.code / "user" and (is_log or path.name in COMFYUIS_OWN)):
            return True
        return name in self.blobs and blob_at(path) == self.blobs[name]


def _sort_folder(folder: Path, ours: _Ours) -> Sorted:
    found = Sorted()
    for name in _names(folder):
        path = folder / name
        if path == ours.code / ".git":
            continue
        if path.is_symlink() or not path.is_dir():
            (found.ours if ours.has(path) else found.theirs).append(path)
        elif name == CACHE or path == ours.code / "temp":
            found.ours.append(path)
        else:
            inner = _sort_folder(path, ours)
            alone = inner.theirs and all(each.name == CACHE for each in inner.ours)
            found.ours += [] if alone else inner.ours
            found.theirs += [path] if alone else inner.theirs
    return found


def _downloaded(ctx: Context) -> Iterator[Path]:
    """The models that were downloaded and are unchanged."""
    for receipt in model_receipts(ctx):
        place = Path(os.path.normpath(ctx.home.root / receipt.place))
        with suppress(OSError, ValueError):  # ValueError: a NUL in a name
            about = place.stat()
            same = (about.st_size, about.st_mtime_ns) == (receipt.size, receipt.mtime_ns)
            # A receipt could have been written by anybody: a place elsewhere is not believed.
            ours = receipt.downloaded is not False and place.is_relative_to(ctx.home.models)
            if same and ours and not place.is_symlink():
                yield place


def _written(ctx: Context) -> Iterator[Path]:
    """The workflow and the custom node, unless somebody has edited them."""
    from provision.steps.workflow.first_page import wanted_files
    from provision.steps.workflow.step import ours as workflow_digests
    from provision.steps.workflow.step import read_digest

    path = Path(os.path.normpath(ctx.home.root / ctx.receipts.read("workflow", WorkflowReceipt).path))
    here = read_digest(path) if "\0" not in str(path) else None
    if here and here in workflow_digests(ctx) and path.is_relative_to(ctx.home.base):
        yield path
    for file, text in wanted_files(ctx).items():
        with suppress(OSError, ValueError):
            if file.is_file() and file.read_text(encoding="utf-8") == text:
                yield file
