"""The files that a manifest wants, where they belong, and their receipts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from provision.comfyui.model_settings import model_folders
from provision.comfyui.safetensors import HeaderTruncated, NotSafetensors
from provision.core.manifest import Model, ModelFile
from provision.core.receipt_kinds import ModelReceipt
from provision.core.receipts import file_identity, same_facts
from provision.core.step import Context
from provision.download.local_copies import Sought
from provision.download.verify import header_of, misfit


@dataclass(frozen=True, slots=True)
class WantedFile:
    """A file of the manifest, where it belongs, and what is known of it; the hub may have to tell size and hash."""

    model: Model
    file: ModelFile
    place: Path
    size: int | None
    sha256: str | None
    receipt: ModelReceipt

    @property
    def checkpoint(self) -> bool:
        """Whether it must hold a whole model: UNet, text encoders, VAE."""
        return self.model.folder.split("/")[0] == "checkpoints"

    @property
    def sought(self) -> Sought | None:
        """What a copy on this machine must be; None while nobody has told size and hash."""
        if self.size is None or not self.sha256:
            return None
        return Sought(self.place, self.size, self.sha256, self.file.precision, self.checkpoint)


def wanted_files(ctx: Context) -> list[WantedFile]:
    """The manifest's files of the chosen precision. Raises ManifestError when there is none."""
    chosen = ctx.manifest.chosen(ctx.options.precision)
    return [_wanted(ctx, model, file) for model, file in chosen or [ctx.manifest.checkpoint(ctx.options.precision)]]


def _wanted(ctx: Context, model: Model, file: ModelFile) -> WantedFile:
    place = _place(ctx, model.folder, file.name)
    receipt = _receipt(ctx, model, file, place)
    return WantedFile(
        model, file, place, file.size or receipt.wanted_size, file.sha256 or receipt.wanted_sha256 or None, receipt
    )


def _place(ctx: Context, folder: str, name: str) -> Path:
    """Where a file belongs; for an adopted install where it is, in any folder in which its ComfyUI looks."""
    place = ctx.home.models / folder / name
    if ctx.home.adopted is None:
        return place
    kind, _, below = folder.partition("/")
    seen = (each / below / name for each in model_folders(ctx, kind))
    return next((path for path in seen if path.is_file() or (path == place and os.path.lexists(path))), place)


def _receipt(ctx: Context, model: Model, file: ModelFile, place: Path) -> ModelReceipt:
    """The receipt of a file at its place: named after its hash, or, where the manifest has none, found by where it came
    from."""
    if file.sha256:
        return ctx.receipts.read(_receipt_name(ctx, file.sha256, place), ModelReceipt)
    origin = {
        "repo": model.repo,
        "asked_revision": model.revision,
        "path": file.path,
        "place": ctx.home.shown(place),
    }
    return next((receipt for receipt in model_receipts(ctx) if same_facts(receipt, origin)), ModelReceipt())


def model_receipts(ctx: Context) -> list[ModelReceipt]:
    """All that tell of a file."""
    names = sorted(path.stem for path in ctx.receipts.folder.glob("model-*.json"))
    return [receipt for name in names if (receipt := ctx.receipts.read(name, ModelReceipt)).sha256]


def _receipt_name(ctx: Context, sha256: str, place: Path) -> str:
    """A content may belong at several places, each with a receipt of its own: the first free name, or the place's."""
    for number in count(1):
        name = f"model-{sha256[:12]}" + (f"-{number}" if number > 1 else "")
        if ctx.receipts.read(name, ModelReceipt).place in ("", ctx.home.shown(place)):
            return name
    raise AssertionError  # a count has no end


def subject_of(ctx: Context, wanted: WantedFile) -> str:
    """How findings name the file."""
    return ctx.home.shown(wanted.place)


def keep_receipt(ctx: Context, wanted: WantedFile, *, size: int, sha256: str, found: str, downloaded: bool) -> None:
    """Keep that a file that should have this size and sha256 was hashed, and what was found: the next check believes it
    while the file stays the same.

    `downloaded`: we put it there; what was found there is a person's, and stays theirs.
    """
    receipt = ModelReceipt(
        **file_identity(wanted.place),
        sha256=found,
        downloaded=downloaded,
        wanted_sha256=sha256,
        wanted_size=size,
        repo=wanted.model.repo,
        asked_revision=wanted.model.revision,
        path=wanted.file.path,
        precision=wanted.file.precision,
        place=ctx.home.shown(wanted.place),
        verified_at=datetime.fromtimestamp(ctx.machine.now(), UTC).isoformat(timespec="seconds"),
    )
    ctx.receipts.write(_receipt_name(ctx, sha256, wanted.place), receipt)


# -- where else it may lie ------------------------------------------------------------------------------------


def misplaced(ctx: Context, wanted: WantedFile) -> Path | None:
    """Where else under the models' folders a file of exactly its size and kind lies; None when its place is taken.

    Its hash is not verified here.
    """
    place = wanted.place
    if wanted.size is None or place.is_symlink() or _named_alike(place):
        return None
    return next((path for path in _weights(ctx.home.models) if _fits(path, wanted)), None)


def _named_alike(place: Path) -> bool:
    """Whether a file of that name is there, in whatever case."""
    try:
        return any(entry.name.casefold() == place.name.casefold() for entry in place.parent.iterdir())
    except OSError:
        return False


def _weights(models: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(models):
        folders[:] = sorted(name for name in folders if name != ".git")
        yield from (Path(parent, name) for name in sorted(files) if name.lower().endswith((".safetensors", ".sft")))


def _fits(path: Path, wanted: WantedFile) -> bool:
    try:
        if path.is_symlink() or wanted.size is None or path.stat().st_size != wanted.size:
            return False
        return not misfit(header_of(path), wanted.size, precision=wanted.file.precision, checkpoint=wanted.checkpoint)
    except (OSError, NotSafetensors, HeaderTruncated):
        return False
