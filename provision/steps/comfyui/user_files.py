"""What ComfyUI reads and writes beside its own source: extra model paths, its database, the folders for pictures.

They are a person's: a file that ComfyUI cannot start with is moved aside only after a yes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from provision.comfyui.extra_model_paths import Section, read_extra_paths
from provision.comfyui.model_settings import settings_files
from provision.command import Fix, ours, program
from provision.core.finding import Finding, Kind
from provision.core.moved_aside import move_aside
from provision.core.step import Context, Look
from provision.steps.comfyui import kinds
from provision.system.disk_errors import WRITABLE
from provision.system.disk_state import is_read_only
from provision.system.strict import read_head, read_text

SQLITE = b"SQLite format 3\0"
"""How a database begins (sqlite.org/fileformat2.html, 1.3); an empty file is one too."""
WRITTEN = ("output", "user", "input", "models")
MEND = ours("doctor", "--fix", "--yes")


def check_engine_files(ctx: Context) -> Iterable[Finding]:
    """Can ComfyUI read its settings and its database, and write its folders?"""
    for path in settings_files(ctx):
        yield from _extra_paths(ctx, path)
    yield from _database(ctx, ctx.home.base / "user" / "comfyui.db")
    for name in WRITTEN:
        yield from _writable(ctx, ctx.home.base / name)


def _to_move(ctx: Context, kind: Kind, path: Path, says: str) -> Finding:
    """FIXABLE after a yes, else BLOCKED: ComfyUI does not start with this file."""
    shown = ctx.home.shown(path)
    if ctx.options.yes or kind.id in ctx.options.agreed:
        return kind.fixable(shown, says, fix=Fix(f"Move {path.name} aside; nothing is deleted."))
    fix = Fix(f"Correct {shown}, or move it aside.", MEND)
    return kind.blocked(shown, says, fix=fix, asks="Move it aside?")


# -- extra model paths ------------------------------------------------------------------------------------------


def _extra_paths(ctx: Context, path: Path) -> Iterable[Finding]:
    if not os.path.lexists(path):
        return
    try:
        sections = read_extra_paths(read_text(path), path.parent)
    except ValueError as error:  # Unreadable is one
        yield _to_move(ctx, kinds.YAML_BAD, path, f"{path.name}: {error}. ComfyUI does not start with it.")
    except OSError as error:
        says = f"{path.name} cannot be read ({error.strerror}); ComfyUI does not start with it."
        yield _to_move(ctx, kinds.YAML_BAD, path, says)
    else:
        for section in sections:
            yield from _dead_paths(ctx, path, section)


def _dead_paths(ctx: Context, path: Path, section: Section) -> Iterable[Finding]:
    """A warning where nothing of a section is there: of a whole list of folders some are always missing."""
    subject = f"{ctx.home.shown(path)}: {section.name}"
    dead = [folder for folder in section.folders if not folder.exists()]
    if section.base is not None and not section.base.exists():
        says = f"{path.name}: the base_path of {section.name}, {section.base}, does not exist."
    elif dead and len(dead) == len(section.folders):
        says = f"{path.name}: no folder of {section.name} is there ({dead[0]} ...)."
    else:
        if dead:
            says = f"{path.name}: {len(dead)} of the {len(section.folders)} folders of {section.name} are not there."
            yield kinds.YAML_DEADPATH.ok(
                subject, says, detail=True, facts={"folders": [str(folder) for folder in dead]}
            )
        return
    fix = Fix(f"Correct the path, or connect the disk: ComfyUI sees none of these models. File: {path}")
    yield kinds.YAML_DEADPATH.warn(subject, says, fix=fix)


# -- database and folders ---------------------------------------------------------------------------------------


def _database(ctx: Context, path: Path) -> Iterable[Finding]:
    start = read_head(path, len(SQLITE))  # none where there is none yet; what is not readable is found by its folder
    if start not in (b"", SQLITE):
        says = (
            f"{ctx.home.shown(path)} is not a database ({start[:8]!r} ...): newer versions of ComfyUI do not "
            "start with it."
        )
        yield _to_move(ctx, kinds.DB_BAD, path, says)


def _writable(ctx: Context, folder: Path) -> Iterable[Finding]:
    if not folder.is_dir():
        return
    owner, me, shown = folder.stat().st_uid, os.getuid(), ctx.home.shown(folder)
    fix = Fix("Make it yours.", program("sudo", "chown", "-R", str(me), str(folder)))
    if is_read_only(folder):
        if not is_read_only(ctx.home.root):  # else the whole home is, which is said of it
            yield kinds.PERMS_ROOT.blocked(shown, f"{shown} is not writable: its disk is read-only.", fix=WRITABLE)
    elif not os.access(folder, os.W_OK | os.X_OK):
        whose = f"it belongs to user {owner}" if owner != me else "its permissions do not allow it"
        if owner == me:
            fix = Fix("Make it writable.", program("chmod", "u+rwx", str(folder)))
        yield kinds.PERMS_ROOT.blocked(shown, f"{shown} cannot be written: {whose}.", fix=fix)
    elif owner != me:
        yield kinds.PERMS_ROOT.warn(shown, f"{shown} belongs to user {owner}, not to you.", fix=fix)


def apply_engine_files(ctx: Context, finding: Finding) -> None:
    """Move what ComfyUI cannot read aside. Raises HomeError, DiskFull."""
    path = ctx.home.root / finding.subject
    for file in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal"))):
        if file.is_symlink() or file.exists():
            move_aside(ctx, file)


ENGINE_FILES = Look(check_engine_files, (kinds.YAML_BAD, kinds.DB_BAD), apply_engine_files)
