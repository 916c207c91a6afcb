"""The files that a manifest wants, where they belong, and the receipts that prove them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from provision.comfyui.extra_model_paths import checkpoint_folders
from provision.core.manifest import Model, ModelFile
from provision.core.receipt_kinds import ModelReceipt
from provision.core.receipts import file_identity, same_facts
from provision.core.step import Context
from provision.download.local_copies import Sought


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file of the manifest, where it belongs, and what is known of it: `size`, `sha256` may be the hub's to tell."""

    model: Model
    file: ModelFile
    place: Path
    size: int | None
    sha256: str
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


def wanted_files(ctx: Context) -> list[Wanted]:
    """The manifest's files of the chosen precision. Raises ManifestError when there is none."""
    chosen = ctx.manifest.chosen(ctx.options.precision)
    return [_wanted(ctx, model, file) for model, file in chosen or [ctx.manifest.checkpoint(ctx.options.precision)]]


def _wanted(ctx: Context, model: Model, file: ModelFile) -> Wanted:
    place = _place(ctx, model.folder, file.name)
    receipt = _receipt(ctx, model, file, place)
    return Wanted(model, file, place, file.size or receipt.wanted_size, file.sha256 or receipt.wanted_sha256, receipt)


def _place(ctx: Context, folder: str, name: str) -> Path:
    """Where a file belongs; for an adopted install where it is, in a folder of its `extra_model_paths.yaml`."""
    place = ctx.home.models / folder / name
    if ctx.home.adopted is None or folder != "checkpoints" or os.path.lexists(place):
        return place
    settings = ctx.machine.read_text(ctx.home.comfyui / "extra_model_paths.yaml") or ""
    others = (each / name for each in checkpoint_folders(settings, ctx.home.comfyui))
    return next((other for other in others if other.is_file()), place)


def _receipt(ctx: Context, model: Model, file: ModelFile, place: Path) -> ModelReceipt:
    """The proof of a file at its place: named after its hash, or, where the manifest has none, found by where it came
    from."""
    if file.sha256:
        return ctx.receipts.read(_receipt_name(ctx, file.sha256, place), ModelReceipt)
    origin = {
        "repo": model.repo, "asked_revision": model.revision, "path": file.path, "place": ctx.home.shown(place),
    }  # fmt: skip
    return next((receipt for receipt in model_receipts(ctx) if same_facts(receipt, origin)), ModelReceipt())


def model_receipts(ctx: Context) -> list[ModelReceipt]:
    """All that tell of a file."""
    names = sorted(path.stem for path in ctx.receipts.folder.glob("model-*.json"))
    return [receipt for name in names if (receipt := ctx.receipts.read(name, ModelReceipt)).sha256]


def _receipt_name(ctx: Context, sha256: str, place: Path) -> str:
    """A content may belong at several places, each with a proof of its own: the first free name, or the place's."""
    for number in count(1):
        name = f"model-{sha256[:12]}" + (f"-{number}" if number > 1 else "")
        if ctx.receipts.read(name, ModelReceipt).place in ("", ctx.home.shown(place)):
            return name
    raise AssertionError  # a count has no end


def subject_of(ctx: Context, wanted: Wanted) -> str:
    """How findings name the file."""
    return ctx.home.shown(wanted.place)


def keep_receipt(ctx: Context, wanted: Wanted, found: str, *, downloaded: bool) -> None:
    """Keep that a file was hashed, and to what: the next check believes it while the file stays the same.

    `downloaded`: we put it there; what was found there is a person's, and stays theirs.
    """
    receipt = ModelReceipt(
        **file_identity(wanted.place),
        sha256=found,
        downloaded=downloaded,
        wanted_sha256=wanted.sha256,
        wanted_size=wanted.size,
        repo=wanted.model.repo,
        asked_revision=wanted.model.revision,
        path=wanted.file.path,
        precision=wanted.file.precision,
        place=ctx.home.shown(wanted.place),
        verified_at=datetime.fromtimestamp(ctx.machine.now(), UTC).isoformat(timespec="seconds"),
    )
    ctx.receipts.write(_receipt_name(ctx, wanted.sha256, wanted.place), receipt)
