"""What lies among the models and should not, or not there: the checkpoint in another folder, a clone, leftovers.

Nothing of it is deleted. The checkpoint is linked to its place; what is in the way is moved aside after a yes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from provision.command import Fix, ours, program
from provision.core.finding import Finding, Kind
from provision.core.moved_aside import move_aside
from provision.core.step import Context, Look
from provision.download.known_folders import hub_cache
from provision.download.model_files import WantedFile, misplaced, subject_of, wanted_files
from provision.steps.models import kinds
from provision.system.disk_errors import unusable
from provision.system.strict import read_head

APPLE_DOUBLE = bytes.fromhex("0005160700020000")
"""How macOS's `._` files begin (RFC 1740, version 2)."""
MODEL_SUFFIXES = frozenset({".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf"})
PARTIAL_SUFFIXES = frozenset({".part", ".partial", ".crdownload", ".download", ".incomplete", ".aria2"})
STALE_S = 3600
"""A download that nothing was written to for so long has ended."""
MEND = ours("doctor", "--fix", "--yes")


@dataclass(slots=True)
class _Seen:
    """What a walk through the models' folders met."""

    doubles: list[Path] = field(default_factory=list)
    partials: list[Path] = field(default_factory=list)
    clones: list[Path] = field(default_factory=list)


def check_litter(ctx: Context) -> Iterable[Finding]:
    """Reads names and sizes of the models' folders, and first bytes of what looks suspicious."""
    models = ctx.home.models
    if not models.is_dir():
        return
    ctx.doing("looking through the folders of models")
    seen = _walk(models, ctx.machine.now())
    files = wanted_files(ctx)
    for wanted in files:
        yield from _misplaced(ctx, wanted)
    folders = {wanted.place.parent for wanted in files}
    yield from _clones(ctx, [clone for clone in seen.clones if folders & set(clone.parents)])
    seen.doubles += _doubles_of_nodes(ctx.home.comfyui / "custom_nodes")
    yield from _cached_too(ctx, files)
    if seen.doubles:
        yield _to_move(
            ctx, kinds.FS_APPLEDOUBLE, seen.doubles,
            f"{_first(ctx, seen.doubles)}: left by macOS on a disk that is not a Mac's own; ComfyUI takes such files"
            " for models and nodes.",
        )  # fmt: skip
    if seen.partials:
        size = sum(path.lstat().st_size for path in seen.partials)
        says = f"{_first(ctx, seen.partials)}: unfinished downloads of another program, {size:,} bytes."
        yield _to_move(ctx, kinds.PARTIALS, seen.partials, says)


def _walk(models: Path, now: float) -> _Seen:
    seen = _Seen()
    for parent, folders, files in os.walk(models):
        if ".git" in folders:
            seen.clones.append(Path(parent))
        folders[:] = [name for name in folders if name != ".git"]
        for name in files:
            path, suffix = Path(parent, name), Path(name).suffix.lower()
            if suffix in PARTIAL_SUFFIXES and now - path.lstat().st_mtime > STALE_S:
                seen.partials.append(path)
            elif suffix in MODEL_SUFFIXES and name.startswith("._") and _is_double(path):
                seen.doubles.append(path)
    return seen


def _doubles_of_nodes(folder: Path) -> list[Path]:
    """Of `._x.py` files ComfyUI tries to run those that lie there themselves (nodes.py, init_external_custom_nodes)."""
    return [path for path in sorted(folder.glob("._*.py")) if _is_double(path)]


def _cached_too(ctx: Context, files: Sequence[WantedFile]) -> Iterable[Finding]:
    """A second copy in the Hugging Face cache, which other programs may want: worth knowing, no fault."""
    for wanted in files:
        folder = f"models--{wanted.model.repo.replace('/', '--')}"
        copy = hub_cache(ctx.machine.environ) / folder / "blobs" / (wanted.sha256 or "none")
        if copy.is_file() and wanted.place.is_file() and not copy.samefile(wanted.place):
            size = copy.stat().st_size
            says = (
                f"The Hugging Face cache has {wanted.place.name} too, {size:,} bytes: `hf cache` shows and deletes it."
            )
            yield kinds.HF_DUPES.ok(subject_of(ctx, wanted), says, facts={"copy": str(copy), "size": size})


def _is_double(path: Path) -> bool:
    return read_head(path, len(APPLE_DOUBLE)) == APPLE_DOUBLE


def _first(ctx: Context, paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{ctx.home.shown(paths[0])}{more}"


def _to_move(ctx: Context, kind: Kind, paths: Sequence[Path], says: str) -> Finding:
    """FIXABLE where it was agreed to, else a warning: ComfyUI works all the same."""
    subject = ctx.home.shown(paths[0])
    if kind.id in ctx.options.agreed and all(ctx.home.inside(path.parent) for path in paths):
        fix = Fix("Moved aside, not deleted.")
        return kind.fixable(subject, says, fix=fix, paths=tuple(paths))
    return kind.warn(subject, says, fix=Fix("Have it moved aside.", MEND), paths=tuple(paths), asks="Move it aside?")


# -- the checkpoint elsewhere -------------------------------------------------------------------------------------


def _misplaced(ctx: Context, wanted: WantedFile) -> Iterable[Finding]:
    """The file that is wanted, where its place is empty; its hash is proven once it is there."""
    place, found = wanted.place, misplaced(ctx, wanted)
    if found is None:
        return
    kind, how = kinds.CKPT_WRONG_DIR, "where ComfyUI does not look for checkpoints"
    if found.parent == place.parent:
        kind, how = kinds.CKPT_RENAMED, f"and not {place.name}"
    elif found.is_relative_to(place.parent):
        kind, how = kinds.CKPT_NESTED, "below the folder where it is looked for"
    says = f"{place.name} lies as {ctx.home.shown(found)}, {how}."
    if ctx.home.inside(place.parent):
        fix = Fix("It is linked to its place and verified; nothing is downloaded.")
        yield kind.fixable(subject_of(ctx, wanted), says, fix=fix, paths=(found,))
    else:
        yield kind.warn(subject_of(ctx, wanted), says, fix=Fix("Link it.", program("ln", str(found), str(place))))


def _clones(ctx: Context, clones: Sequence[Path]) -> Iterable[Finding]:
    """A cloned repository below the folder of checkpoints: ComfyUI walks through it and lists its parts."""
    for folder in clones:
        shown = ctx.home.shown(folder)
        says = f"{shown} is a clone of a repository: ComfyUI lists its parts as models, and .git holds them twice."
        yield _to_move(ctx, kinds.CKPT_NESTED, [folder], says)


# -- apply --------------------------------------------------------------------------------------------------------


def apply_litter(ctx: Context, finding: Finding) -> None:
    """Link the checkpoint to its place, or move leftovers aside. Raises HomeError, DiskFull."""
    place = ctx.home.root / finding.subject
    if place not in finding.paths:
        _link(ctx, finding.paths[0], place)
        return
    for path in finding.paths:
        move_aside(ctx, path)


def _link(ctx: Context, found: Path, place: Path) -> None:
    """The same bytes under both names; where the disk knows no links the file itself is moved."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):
            os.link(found, place)
        if not place.exists():
            found.rename(place)
            ctx.note(f"{ctx.home.shown(found)} is now {ctx.home.shown(place)}.")
    except OSError as error:
        raise unusable(place, error) from error


LITTER = Look(
    check_litter,
    (kinds.CKPT_NESTED, kinds.CKPT_WRONG_DIR, kinds.CKPT_RENAMED, kinds.FS_APPLEDOUBLE, kinds.PARTIALS),
    apply_litter,
)
