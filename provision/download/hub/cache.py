"""The Hugging Face cache as a second owner of the same bytes, so that diffusers and `hf` find the model too.

Its layout: `models--<owner>--<name>/` with `blobs/<sha256>`, `snapshots/<commit>/<path>` as links to blobs, and
`refs/<branch>` with a commit; see "Manage the cache" in huggingface_hub's guides.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from provision.core.step import Context
from provision.download.known_folders import hub_cache
from provision.download.local_copies import clone_file, link_file

COMMIT = re.compile(r"[0-9a-f]{40}")


def share_with_cache(ctx: Context, place: Path, *, repo: str, commit: str, path: str, sha256: str) -> None:
    """Put a verified file into the cache too, cloned or hard-linked, never as a second copy.

    What keeps it from that is said and is no error: the model itself is in place.
    """
    cache = hub_cache(ctx.machine.environ)
    if ctx.options.rehearsal:
        ctx.note("A rehearsal does not use the Hugging Face cache.")
        return
    if not COMMIT.fullmatch(commit):
        ctx.note(f"{place.name} is not shared with the Hugging Face cache: its commit is unknown.")
        return
    folder = cache / f"models--{repo.replace('/', '--')}"
    try:
        shared = _blob(place, folder / "blobs" / sha256)
        if shared:
            _entries(folder, commit, path, sha256)
    except OSError as error:
        ctx.note(f"{place.name} could not be shared with the Hugging Face cache {cache} ({error.strerror or error}).")
        return
    if shared:
        ctx.note(f"The Hugging Face cache has {place.name} too ({folder}), without a second copy.")
    else:
        ctx.note(f"{place.name} is not shared with the Hugging Face cache {cache}: it is on another volume.")


def _blob(place: Path, blob: Path) -> bool:
    """The blob, made where it is missing; False where that would take a second copy. Raises OSError."""
    if blob.is_file() and blob.stat().st_size == place.stat().st_size:
        return True
    blob.parent.mkdir(parents=True, exist_ok=True)
    aside = blob.with_name(f".{blob.name[:16]}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    if not (clone_file(place, aside) or link_file(place, aside)):
        return False
    aside.replace(blob)
    # A rename of one hard link onto another of the same file does nothing (POSIX), and leaves the first.
    aside.unlink(missing_ok=True)
    return True


def _entries(folder: Path, commit: str, path: str, sha256: str) -> None:
    """What leads to the blob: the snapshot's link, and the branch where none is known yet. Raises OSError."""
    link = folder / "snapshots" / commit / path
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(folder / "blobs" / sha256, link.parent))
    branch = folder / "refs" / "main"
    if not branch.exists():
        branch.parent.mkdir(parents=True, exist_ok=True)
        branch.write_text(commit, encoding="utf-8")
