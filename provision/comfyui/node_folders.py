"""Which custom nodes there are, whoever put them there, as far as their files tell it without git."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from provision.comfyui.added_nodes import OFF, is_ours
from provision.comfyui.git_checkout import read_state
from provision.comfyui.git_stand_in import git_dir
from provision.core.home import Home
from provision.core.manifest import COMMIT, GIT_ADDRESS
from provision.core.receipt_kinds import AddedNode, NodesReceipt
from provision.system.strict import Unreadable, read_text

NOT_A_PERSONS = frozenset({"__pycache__", "websocket_image_save.py", "provision_first_page"})
"""Names in `custom_nodes` that are ComfyUI's own or this tool's."""
ENDINGS = (".example", ".pyc")
ORIGIN = re.compile(r'^\[remote "origin"\]\s*$(?:\n(?!\[).*)*?\n\s*url\s*=\s*(\S+)\s*$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Node:
    """A custom node: its name as ComfyUI has it when it is enabled, the address and commit that its repository names.

    `added` is what is known of one that this tool added.
    """

    name: str
    path: Path
    enabled: bool
    url: str = ""
    commit: str = ""
    added: AddedNode | None = None


def find_nodes(home: Home, known: NodesReceipt) -> list[Node]:
    """All custom nodes by name, without ComfyUI's own."""
    try:
        paths = sorted(home.custom_nodes.iterdir())
    except OSError:
        return []
    return [_read(home, path, known) for path in paths if _is_node(path)]


def _is_node(path: Path) -> bool:
    name = path.name.removesuffix(OFF)
    is_code = path.is_dir() or name.endswith(".py")
    return is_code and not name.startswith(".") and not name.endswith(ENDINGS) and name not in NOT_A_PERSONS


def _read(home: Home, path: Path, known: NodesReceipt) -> Node:
    name, enabled = path.name.removesuffix(OFF), not path.name.endswith(OFF)
    place = git_dir(path)
    commit = _head(place)
    if (added := known.named(name)) is not None and is_ours(home, path):
        return Node(name, path, enabled, added.url, commit, added)
    found = ORIGIN.search(_text(place / "config"))
    url = found[1] if found is not None and GIT_ADDRESS.fullmatch(found[1]) else ""
    return Node(name, path, enabled, url, commit)


def _head(place: Path) -> str:
    """The commit that a repository is at; empty where its files do not tell."""
    head = _text(place / "HEAD").strip()
    if (ref := head.removeprefix("ref: ")) != head:
        packed = re.search(rf"^([0-9a-f]{{40}}) {re.escape(ref)}$", _text(place / "packed-refs"), re.MULTILINE)
        head = _text(place / ref).strip() or (packed[1] if packed else "")
    return head if COMMIT.fullmatch(head) else ""


def _text(path: Path) -> str:
    with suppress(OSError, Unreadable, ValueError):
        return read_text(path)
    return ""


def changed_files(node: Node) -> tuple[str, ...]:
    """The files of a node's commit that were changed or deleted, by git; none where it has no repository."""
    if not node.commit:
        return ()
    state = read_state(node.path)
    return tuple(sorted((*state.modified, *state.deleted)))
