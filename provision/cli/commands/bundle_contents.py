"""What `bundle` writes: the locks of this install or of other Macs, and the files that these name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from provision import __version__
from provision.cli.command import Session
from provision.cli.commands.target_requirements import tool_requirements
from provision.command import Command, Fix, ours, program
from provision.core.bundle import FORMAT, INDEX, KIT, LOCK, WHEELS, About, BundledFile, BundledLock
from provision.core.finding import Verdict
from provision.core.lockfile import Lock, LockedModel, load_lock, write_lock
from provision.core.manifest import Manifest, load_manifest
from provision.core.step import Context
from provision.download.bundling import contents
from provision.download.bundling.wheels import page
from provision.download.bundling.writing import Wanted, is_there, of_bytes
from provision.errors import LockError
from provision.steps.lock.rebuild import check_whole
from provision.steps.lock.step import check_lock
from provision.steps.torch.place import here
from provision.system.target import Target


@dataclass(frozen=True, slots=True)
class Contents:
    """A bundle as it is to be: its files and locks."""

    place: Path
    wanted: tuple[Wanted, ...]
    locks: tuple[BundledLock, ...]
    rehearsal: bool
    when: str

    @property
    def targets(self) -> tuple[str, ...]:
        """The machines that it is for, in words."""
        return tuple(dict.fromkeys(each.target for each in self.locks))

    @property
    def install(self) -> Command:
        """What installs this tool from it."""
        return program("sh", str(self.place / KIT / "install.sh"))

    @property
    def use(self) -> Command:
        """What installs everything from it."""
        return program("provision", "all", *(["--rehearse"] if self.rehearsal else []), "--from", str(self.place))

    def todo(self, before: Mapping[str, str]) -> list[Wanted]:
        """The files that are not there yet, or not as they are to be; `before` are the hashes of an earlier run."""
        return [each for each in self.wanted if not is_there(self.place, each, before)]

    def about(self, files: Mapping[str, BundledFile]) -> About:
        return About(FORMAT, __version__, self.when, self.rehearsal, self.locks, dict(sorted(files.items())))


def contents_of(at: Session, place: Path, targets: Sequence[str], manifests: Sequence[str]) -> Contents:
    """All that a bundle is to hold; indexes are asked for their wheels, and nothing large is downloaded.

    Raises UsageError, LockError, ManifestError, PackageError, NetworkError, GitError.
    """
    ctx = at.ctx
    wanted: list[Wanted] = []
    locks: list[BundledLock] = []
    packed = [_of_home(ctx)]
    chosen = [load_manifest(name) for name in manifests] or [ctx.manifest]
    for target, base in packed:
        wanted += contents.packages_of(ctx, target, base)
        wanted += contents.kit_of(ctx, target, tool_requirements())
        wanted.append(contents.source_of(ctx, base))
        if not ctx.options.rehearsal:
            wanted.append(contents.python_of(ctx, base))
        for manifest in chosen:
            lock = base if manifest.name == base.manifest else _with_models(ctx, base, manifest)
            wanted += contents.models_of(ctx, place, lock, manifest)
            file = LOCK if not locks else f"locks/{len(locks)}.lock"
            locks.append(BundledLock(file, manifest.name, _says(lock)))
            text = ctx.home.lock_file.read_text(encoding="utf-8") if lock is base else write_lock(lock)
            wanted.append(of_bytes(file, contents.TERMS, text.encode()))
    wanted += contents.terms_of(chosen)
    unique = {each.path: each for each in wanted}
    files = (*unique.values(), *_pages(unique))
    return Contents(place, files, tuple(locks), ctx.options.rehearsal, ctx.machine.timestamp())


def _of_home(ctx: Context) -> tuple[Target | None, Lock]:
    """This machine, and the lock of what is installed. Raises LockError."""
    found = next(iter(check_lock(ctx)))
    if not ctx.home.lock_file.is_file() or found.verdict is Verdict.FIXABLE:
        raise LockError(
            f"{ctx.home.root} holds no complete install to bundle: {found.says}",
            hint=Fix("Install first, or name the Macs that the bundle is for:", ours("all")),
        )
    lock = load_lock(ctx.home.lock_file)
    check_whole(lock)
    return (here(ctx).target if ctx.machine.system == "Darwin" else None), lock


def _with_models(ctx: Context, lock: Lock, manifest: Manifest) -> Lock:
    """A lock with the models and flags of another manifest."""
    chosen = manifest.chosen(ctx.options.precision) or [manifest.checkpoint(manifest.usual_precision)]
    models = [
        LockedModel(model.repo, model.revision, file.path, file.precision, file.size or 0, file.sha256 or "")
        for model, file in chosen
    ]
    if bare := next((each for each in models if not each.sha256), None):
        raise LockError(
            f"The manifest {manifest.name} has no sha256 of {bare.path}: a bundle needs it.",
            hint=ours("manifests", "show", manifest.name),
        )
    flags = replace(lock.comfyui, flags=manifest.comfyui.args)
    return replace(lock, manifest=manifest.name, models=tuple(models), comfyui=flags)


def _says(lock: Lock) -> str:
    at = lock.platform
    minor = ".".join(at.python.split(".")[:2])
    system = f"macOS {at.version}" if at.system == "Darwin" else at.system
    return f"{system} {at.arch}, Python {minor}"


def _pages(files: Mapping[str, Wanted]) -> Iterator[Wanted]:
    """The lists of wheels that uv reads over HTTP."""
    for folder, group in ((WHEELS, contents.PACKAGES), (KIT, contents.TOOL)):
        held = {
            path.rpartition("/")[2]: each.sha256
            for path, each in files.items()
            if path.startswith(f"{folder}/") and path.endswith(".whl")
        }
        yield of_bytes(INDEX.replace(WHEELS, folder, 1), group, page(held).encode())
