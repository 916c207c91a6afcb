"""The revisions of a home's ComfyUI: the one that is in place, and others to go to without a network.

What a person edited in ComfyUI's files travels as bytes that only its own kind of revisions can read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from provision.comfyui.git_remote import Revision
from provision.core.home import Home


@dataclass(frozen=True, slots=True)
class Written:
    """A revision that was written out: its date (ISO 8601), its tree's id, where it came from (a receipt's word).

    `edits` are a person's, as they are for it; None where they do not fit, and its files are as it has them.
    """

    date: str
    tree: str
    source: str = ""
    edits: bytes | None = b""


class Revisions(Protocol):
    """What can be done with revisions, whichever way they came. Each method raises GitError, HomeError or DiskFull."""

    def head(self) -> str | None:
        """The commit that is in place; None where that cannot be told."""

    def blobs(self) -> Mapping[str, str]:
        """Git's ids of the files of the revision that is in place, by path."""

    def edited(self) -> tuple[str, ...]:
        """The files of ComfyUI that a person changed."""

    def edits(self) -> bytes:
        """What a person changed in them; empty where nothing."""

    def save(self, edits: bytes, place: Path) -> Path:
        """Write edits where a person can use them; returns the file or folder, whose name begins as `place`."""

    def write_out(self, commit: str, destination: Path, edits: bytes = b"") -> Written:
        """Write a commit's files into a new folder, with the edits of another commit."""

    def hold(self, number: int, commit: str) -> None:
        """Keep a commit for as long as generation `number` has it."""

    def let_go(self, kept: Mapping[int, str]) -> None:
        """Let go of the commits of all generations but these."""

    def move_to(self, revision: Revision, edits: bytes, set_aside: Callable[[Path], None]) -> None:
        """Put a commit that is here in place, and edits of it into its files.

        The edits of the commit before are saved by now. `set_aside` moves a file away that stands where the commit has
        another. Can be killed anywhere and done again.
        """


def revisions_of(home: Home) -> Revisions:
    """Those of a home's own ComfyUI, by git or by archives."""
    from provision.comfyui.archived_revisions import ArchivedRevisions
    from provision.comfyui.git_revisions import GitRevisions
    from provision.comfyui.source_tree import came_as_archive
    from provision.core.receipts import Receipts

    return ArchivedRevisions(home) if came_as_archive(home, Receipts(home.receipts)) else GitRevisions(home.comfyui)
