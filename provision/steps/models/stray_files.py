"""Files that lie in the wrong place among the models: the checkpoint in another folder, a clone, leftovers.

Nothing is deleted. The checkpoint is linked to its place; leftovers are moved aside after a yes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from provision.command import Fix, ours, program
from provision.core.finding import Finding, Kind
from provision.core.moved_aside import move_aside
from provision.core.step import Context, Look, with_looks
from provision.download.known_folders import hub_cache
from provision.download.model_files import WantedFile, misplaced, subject_of, wanted_files
from provision.steps.models import kinds
from provision.steps.models.step import MODELS
from provision.system.disk_errors import unusable
from provision.system.strict import read_head

APPLE_DOUBLE = bytes.fromhex("0005160700020000")
"""How macOS's `._` files begin (RFC 1740, version 2)."""
MODEL_SUFFIXES = frozenset({".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf"})
PARTIAL_SUFFIXES = frozenset({".part", ".partial", ".crdownload", ".download", ".incomplete", ".aria2"})
STALE_S = 3600
"""After so long without a write a download has ended."""
MEND = ours("doctor", "--fix", "--yes")


def check_litter(ctx: Context) -> Iterable[Finding]:
    """Is anything among the models that should not be? Reads names, sizes and the first bytes of suspicious files."""
    models = ctx.home.models
    if not models.is_dir():
        return
    ctx.doing("checking the model folders")
    files, doubles, partials, clones = wanted_files(ctx), list[Path](), list[Path](), list[Path]()
    for wanted in files:
        yield from _misplaced(ctx, wanted)
    for parent, folders, names in os.walk(models):
        if ".git" in folders:
            clones.append(Path(parent))
            folders.remove(".git")
        for path in (Path(parent, name) for name in names):
            suffix = path.suffix.lower()
            if suffix in PARTIAL_SUFFIXES and ctx.machine.now() - path.lstat().st_mtime > STALE_S:
                partials.append(path)
            elif suffix in MODEL_SUFFIXES and path.name.startswith("._") and _is_double(path):
                doubles.append(path)
    for clone in clones:
        if not {wanted.place.parent for wanted in files}.isdisjoint(clone.parents):
            shown = ctx.home.shown(clone)
            says = (
                f"{shown} is a clone of a repository: ComfyUI lists its parts as models, and .git holds a second copy."
            )
            yield _to_move(ctx, kinds.CKPT_NESTED, [clone], says)
    yield from _cached_too(ctx, files)
    # ComfyUI runs the `._x.py` that lie in this very folder (nodes.py, init_external_custom_nodes).
    doubles += filter(_is_double, sorted((ctx.home.comfyui / "custom_nodes").glob("._*.py")))
    if doubles:
        says = "left by macOS on a foreign disk; ComfyUI mistakes them for models and nodes."
        yield _to_move(ctx, kinds.FS_APPLEDOUBLE, doubles, f"{_first(ctx, doubles)}: {says}")
    if partials:
        size = sum(path.lstat().st_size for path in partials)
        says = f"{_first(ctx, partials)}: unfinished downloads of another program, {size:,} bytes."
        yield _to_move(ctx, kinds.PARTIALS, partials, says)


def _cached_too(ctx: Context, files: Sequence[WantedFile]) -> Iterable[Finding]:
    """A second copy in the Hugging Face cache, which other programs may want."""
    for wanted in files:
        folder = f"models--{wanted.model.repo.replace('/', '--')}"
        copy = hub_cache(ctx.machine.environ) / folder / "blobs" / (wanted.sha256 or "none")
        if copy.is_file() and wanted.place.is_file() and not copy.samefile(wanted.place):
            size = copy.stat().st_size
            says = (
                f"The Hugging Face cache has {wanted.place.name} too, {size:,} bytes: `hf cache` lists and deletes it."
            )
            yield kinds.HF_DUPES.ok(subject_of(ctx, wanted), says, facts={"copy": str(copy), "size": size})


def _is_double(path: Path) -> bool:
    return read_head(path, len(APPLE_DOUBLE)) == APPLE_DOUBLE


def _first(ctx: Context, paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{ctx.home.shown(paths[0])}{more}"


def _to_move(ctx: Context, kind: Kind, paths: Sequence[Path], says: str) -> Finding:
    """FIXABLE where it was agreed to, else a warning: ComfyUI works anyway."""
    subject = ctx.home.shown(paths[0])
    if kind.id in ctx.options.agreed and all(ctx.home.inside(path.parent) for path in paths):
        fix = Fix("Move it aside; nothing is deleted.")
        return kind.fixable(subject, says, fix=fix, paths=tuple(paths))
    return kind.warn(subject, says, fix=Fix("Move it aside.", MEND), paths=tuple(paths), asks="Move it aside?")


def _misplaced(ctx: Context, wanted: WantedFile) -> Iterable[Finding]:
    """The wanted file elsewhere, while its place is empty; its hash is verified once it is there."""
    place, found = wanted.place, misplaced(ctx, wanted)
    if found is None:
        return
    kind, how = kinds.CKPT_WRONG_DIR, "where ComfyUI does not look for checkpoints"
    if found.parent == place.parent:
        kind, how = kinds.CKPT_RENAMED, f"and not {place.name}"
    elif found.is_relative_to(place.parent):
        kind, how = kinds.CKPT_NESTED, "below its folder"
    says = f"{place.name} is at {ctx.home.shown(found)}, {how}."
    if ctx.home.inside(place.parent):
        fix = Fix("Link it to its folder and verify it; nothing is downloaded.")
        yield kind.fixable(subject_of(ctx, wanted), says, fix=fix, paths=(found,))
    else:
        yield kind.warn(subject_of(ctx, wanted), says, fix=Fix("Link it.", program("ln", str(found), str(place))))


def apply_litter(ctx: Context, finding: Finding) -> None:
    """Link the checkpoint to its place, or move leftovers aside. Raises HomeError, DiskFull."""
    place = ctx.home.root / finding.subject
    if place not in finding.paths:
        _link(ctx, finding.paths[0], place)
    else:
        for path in finding.paths:
            move_aside(ctx, path)


def _link(ctx: Context, found: Path, place: Path) -> None:
    """Give the file its second name; where the disk knows no hard links, move it."""
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
CHECKPOINTS = with_looks(MODELS, LITTER)
"""The step of the models, with all that it looks at."""
