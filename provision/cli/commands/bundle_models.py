"""The models of a manifest as a lock has them: by revision and hash, so that a bundle can hold them."""

from __future__ import annotations

from dataclasses import replace

from provision.command import ours
from provision.core.lockfile import Lock, LockedModel
from provision.core.manifest import COMMIT, Manifest
from provision.errors import LockError


def locked_models(manifest: Manifest, precision: str) -> tuple[LockedModel, ...]:
    """The files of that precision, else of the usual one. Raises LockError where the manifest leaves one open."""
    chosen = manifest.chosen(precision) or manifest.chosen(manifest.usual_precision)
    models = tuple(
        LockedModel(model.repo, model.revision, file.path, file.precision, file.size or 0, file.sha256 or "")
        for model, file in chosen
    )
    check_models(manifest.name, models)
    return models


def check_models(name: str, models: tuple[LockedModel, ...]) -> None:
    """Refuse models that are not pinned: nobody could verify them without the hub. Raises LockError."""
    if bare := next((each for each in models if not (each.sha256 and COMMIT.fullmatch(each.revision))), None):
        raise LockError(
            f"The manifest {name} does not pin {bare.path} by a commit and a sha256: a bundle needs both.",
            hint=ours("manifests", "show", name),
        )


def with_models(lock: Lock, manifest: Manifest, precision: str) -> Lock:
    """A lock with the models and flags of another manifest. Raises LockError."""
    flags = replace(lock.comfyui, flags=manifest.comfyui.args)
    return replace(lock, manifest=manifest.name, models=locked_models(manifest, precision), comfyui=flags)
