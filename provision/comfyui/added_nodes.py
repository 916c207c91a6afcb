"""Custom nodes that were added: their repositories, their folders, and how both follow a generation.

The repository of a node lies in `state/nodes/NAME`, where every commit that can be gone back to is kept; the folder
`custom_nodes/NAME` has a file `.git` that leads there, and by that is known as ours. Folders of others are never
written to. A node that a generation lacks is moved to `moved-aside/custom_nodes/NAME.COMMIT`, and comes back from there
with all that is in it; where that is gone, its commit and the person's edits of it are written out again.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from provision.comfyui import git_checkout
from provision.comfyui.git_remote import Revision, explained
from provision.comfyui.git_revisions import GitRevisions
from provision.comfyui.git_stand_in import git_dir, stand_in
from provision.core.home import Home
from provision.core.receipt_kinds import AddedNode, NodesReceipt
from provision.core.receipts import write_bytes, write_text
from provision.system.disk_errors import unusable
from provision.system.strict import read_file

OFF = ".disabled"
"""ComfyUI passes over custom nodes of such a name (nodes.py, init_external_custom_nodes)."""
RECEIPT = "nodes"
EDITS = "node-edits"
"""The folder of a generation's set that has a person's edits of added nodes, as patches by the nodes' names."""
MADE = "node-files"
"""The folder of a generation's set that has what the nodes' install scripts wrote, by the nodes' names."""
EDITS_MAX_BYTES = 100_000_000
COMMIT_DIGITS = 12
"""As many of a commit are in the name of a folder that was moved aside."""
SetAside = Callable[[Path], None]


def store_of(home: Home, name: str) -> Path:
    """The folder whose `.git` is the repository of an added node."""
    return home.nodes / name


def folder_of(home: Home, name: str) -> Path | None:
    """The folder of an added node, enabled or not; None where there is none of ours."""
    places = (home.custom_nodes / name, home.custom_nodes / f"{name}{OFF}")
    return next((place for place in places if is_ours(home, place)), None)


def is_ours(home: Home, folder: Path) -> bool:
    """Whether a folder of `custom_nodes` was made by adding a node."""
    if folder.is_symlink() or not (folder / ".git").is_file():
        return False
    return os.path.realpath(git_dir(folder)) == os.path.realpath(store_of(home, folder.name.removesuffix(OFF)) / ".git")


def edits_of(home: Home, name: str) -> bytes:
    """What a person changed in the files of an added node, as a patch; empty where nothing. Raises GitError."""
    folder = folder_of(home, name)
    return GitRevisions(folder).edits() if folder is not None else b""


# -- before a switch ----------------------------------------------------------------------------------------------


def lay_out(home: Home, place: Path, now: NodesReceipt, then: NodesReceipt) -> dict[str, bytes | None]:
    """Make a folder for a trial in which ComfyUI finds the models of now and the custom nodes of `then`.

    What stays as it is, is linked to; another commit is written out, with a person's edits where git can merge them.
    Returns the merged edits by node; None where they cannot be merged. Raises GitError, HomeError, DiskFull.
    """
    other = {node.name for node in then.added if now.named(node.name) is None or _moves(now, node)}
    left = {node.name for node in now.added if then.named(node.name) is None}
    passed = {*other, *left, *then.disabled, "__pycache__"}
    here = [path.name for path in home.custom_nodes.iterdir()] if home.custom_nodes.is_dir() else []
    link_data(home, place, [name for name in here if name not in passed])
    carried: dict[str, bytes | None] = {}
    for node in then.added:
        if node.name in other and node.name not in then.disabled:
            edits = edits_of(home, node.name)
            store = GitRevisions(store_of(home, node.name))
            written = store.write_out(node.commit, place / "custom_nodes" / node.name, edits)
            carried |= {node.name: written.edits} if edits else {}
    return carried


def link_data(home: Home, place: Path, names: Iterable[str]) -> None:
    """Make a folder with links to the models and to some custom nodes. Raises HomeError, DiskFull."""
    try:
        (place / "custom_nodes").mkdir(parents=True)
        if home.models.exists():
            (place / "models").symlink_to(home.models)
        for name in names:
            (place / "custom_nodes" / name).symlink_to(home.custom_nodes / name)
    except OSError as error:
        raise unusable(place, error) from error


def _moves(before: NodesReceipt, node: AddedNode) -> bool:
    here = before.named(node.name)
    return here is not None and here.commit != node.commit


def keep_edits(home: Home, kept: Path, now: NodesReceipt, then: NodesReceipt) -> None:
    """Keep a person's edits of the nodes that change or go, in the set of the generation that is left.

    Raises GitError, HomeError, DiskFull.
    """
    shutil.rmtree(kept / EDITS, ignore_errors=True)
    for node in now.added:
        if then.named(node.name) is None or _moves(then, node):
            write_edits(kept, node.name, edits_of(home, node.name))


def write_edits(kept: Path, name: str, edits: bytes) -> None:
    """Keep edits of a node in a generation's set. Raises HomeError, DiskFull."""
    if edits:
        write_bytes(kept / EDITS / f"{name}.patch", edits)


def keep_made(home: Home, node: AddedNode, tree: Path, kept: Path) -> None:
    """Keep the files below `tree` that the commit lacks, in a generation's set. Raises GitError, HomeError."""
    with explained(f"{node.name} cannot be read"), stand_in(store_of(home, node.name)) as seen:
        known = set(seen.git("ls-tree", "-r", "-z", "--name-only", "--full-tree", node.commit).split("\0"))
    try:
        for folder, folders, files in os.walk(tree):
            folders[:] = [name for name in folders if name != "__pycache__"]
            for path in (Path(folder, name) for name in files):
                if (inside := path.relative_to(tree).as_posix()) not in known:
                    _copy_where_none(path, kept / MADE / node.name / inside)
    except OSError as error:
        raise unusable(kept, error) from error


def _put_made(kept: Path, folder: Path) -> None:
    """Put what an install script wrote into a node's folder, where it has nothing of that name."""
    for parent, _, files in os.walk(kept):
        for path in (Path(parent, name) for name in files):
            _copy_where_none(path, folder / path.relative_to(kept))


def _copy_where_none(path: Path, to: Path) -> None:
    if not os.path.lexists(to):
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, to, follow_symlinks=False)


def _kept_edits(kept: Path, name: str) -> bytes:
    try:
        return read_file(kept / EDITS / f"{name}.patch", max_bytes=EDITS_MAX_BYTES)
    except FileNotFoundError:
        return b""


# -- the switch ---------------------------------------------------------------------------------------------------


def settle(home: Home, kept: Path, before: NodesReceipt, after: NodesReceipt, set_aside: SetAside) -> None:
    """Have `custom_nodes` be as a generation has it, whose set is `kept`.

    `set_aside` moves a file away that stands where a commit has another. Can be killed anywhere and done again.
    Raises GitError, HomeError, DiskFull.
    """
    try:
        for folder in sorted(home.custom_nodes.iterdir()) if home.custom_nodes.is_dir() else ():
            if is_ours(home, folder) and after.named(folder.name.removesuffix(OFF)) is None:
                name = folder.name.removesuffix(OFF)
                _move(folder, home.aside / "custom_nodes" / f"{name}.{_head(store_of(home, name))[:COMMIT_DIGITS]}")
        for node in after.added:
            _put(home, node, _kept_edits(kept, node.name), moves=_moves(before, node), set_aside=set_aside)
            if (there := folder_of(home, node.name)) is not None:
                _put_made(kept / MADE / node.name, there)
        for name in before.disabled:
            if name not in after.disabled:
                _rename(home.custom_nodes / f"{name}{OFF}", home.custom_nodes / name)
        for name in set(after.disabled) - set(before.disabled):  # what a person enabled since stays so
            _rename(home.custom_nodes / name, home.custom_nodes / f"{name}{OFF}")
    except OSError as error:
        raise unusable(home.custom_nodes, error) from error


def hold(home: Home, number: int, nodes: Iterable[AddedNode]) -> None:
    """Have git keep the nodes' commits for as long as a generation has them. Raises GitError."""
    for node in nodes:
        if (store_of(home, node.name) / ".git").is_dir():
            GitRevisions(store_of(home, node.name)).hold(number, node.commit)


def let_go(home: Home, held: Mapping[int, NodesReceipt]) -> None:
    """Let git forget the commits of all generations but these, and remove repositories that none has.

    Raises GitError, HomeError.
    """
    for store in sorted(home.nodes.iterdir()) if home.nodes.is_dir() else ():
        if (store / ".git").is_dir():
            found = {number: nodes.named(store.name) for number, nodes in held.items()}
            GitRevisions(store).let_go({number: node.commit for number, node in found.items() if node is not None})
    forget_unused(home, held)


def forget_unused(home: Home, held: Mapping[int, NodesReceipt]) -> None:
    """Remove the repositories of nodes that no generation has; one with commits of a person's is moved aside.

    Raises HomeError.
    """
    for store in sorted(home.nodes.iterdir()) if home.nodes.is_dir() else ():
        known = any(nodes.named(store.name) is not None for nodes in held.values())
        if known or folder_of(home, store.name) is not None:
            continue
        try:
            if git_checkout.commits_of_its_own(store, _head(store)):
                _move(store, home.aside / "custom_nodes" / f"{store.name}.git")
            else:
                shutil.rmtree(store)
        except OSError as error:
            raise unusable(store, error) from error


def _head(store: Path) -> str:
    return git_checkout.has_commit_of(store, "HEAD") or ""


def _rename(path: Path, to: Path) -> None:
    if os.path.lexists(path) and not os.path.lexists(to):
        path.rename(to)


def _move(path: Path, to: Path) -> None:
    """Move a folder, to another disk if need be, under the first free name of its kind."""
    count, name = 1, to.name
    while os.path.lexists(to):
        count += 1
        to = to.with_name(f"{name}.{count}")
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(path, to)


def _put(home: Home, node: AddedNode, edits: bytes, *, moves: bool, set_aside: SetAside) -> None:
    """Have an added node in its folder, at its commit; what another has there stays as it is."""
    folder = home.custom_nodes / node.name
    if (there := folder_of(home, node.name)) is not None:
        if moves:
            GitRevisions(there).move_to(Revision(node.commit, "commit", node.commit), edits, set_aside)
    elif not _is_taken(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # an empty one, which a link to a file would find in its way
            folder.rmdir()
        left = sorted((home.aside / "custom_nodes").glob(f"{node.name}.{node.commit[:COMMIT_DIGITS]}*"))
        _point(home, node)
        if left:
            shutil.move(left[-1], folder)
        else:
            _write_anew(home, node, edits)


def _is_taken(folder: Path) -> bool:
    """Whether something is there that is more than an empty folder."""
    if folder.is_symlink() or not folder.is_dir():
        return os.path.lexists(folder)
    return any(folder.iterdir())


def _point(home: Home, node: AddedNode) -> None:
    """Have a node's repository be at its commit, whatever files there are."""
    with explained(f"{node.name} could not be checked out"), stand_in(store_of(home, node.name), logs=True) as seen:
        seen.git("update-ref", "--no-deref", "HEAD", node.commit)
        seen.git("read-tree", node.commit)
        seen.keep_head()


def _write_anew(home: Home, node: AddedNode, edits: bytes) -> None:
    """Write a node's files beside their place, under a name that ComfyUI passes over, then rename them."""
    store, folder = store_of(home, node.name), home.custom_nodes / node.name
    aside = home.custom_nodes / f".{node.name}.new{OFF}"
    shutil.rmtree(aside, ignore_errors=True)
    GitRevisions(store).write_out(node.commit, aside, edits)
    inside = os.path.relpath(store.resolve() / ".git", home.custom_nodes.resolve() / node.name)
    write_text(aside / ".git", f"gitdir: {inside}\n")
    aside.rename(folder)


def name_for(url: str) -> str:
    """The folder's name for a node of an address: that of its repository, without odd characters; may be empty."""
    last = re.split(r"[/:]", url.rstrip("/").removesuffix(".git"))[-1]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last).lstrip(".-")[:100]
