"""What `bundle` writes: the locks of this install or of other Macs, and the files that these name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from provision import __version__
from provision.cli.command import Session
from provision.cli.commands.bundle_models import check_models, with_models
from provision.cli.commands.target_requirements import TOOL_PYTHONS, tool_requirements
from provision.command import Command, Fix, ours, program
from provision.core.bundle import FORMAT, INDEX, KIT, LOCK, WHEELS, About, BundledFile, BundledLock
from provision.core.finding import Verdict
from provision.core.lockfile import Lock, load_lock, write_lock
from provision.core.manifest import load_manifest
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

    def todo(self, before: dict[str, str]) -> list[Wanted]:
        """The files that are not there yet, or not as they are to be; `before` are the hashes of an earlier run."""
        return [each for each in self.wanted if not is_there(self.place, each, before)]

    def about(self, files: Mapping[str, BundledFile]) -> About:
        return About(FORMAT, __version__, self.when, self.rehearsal, self.locks, dict(sorted(files.items())))


def contents_of(at: Session, place: Path, targets: Sequence[str], manifests: Sequence[str]) -> Contents:
    """All that a bundle is to hold; indexes are asked for their wheels, and nothing large is downloaded.

    Raises UsageError, LockError, ManifestError, PackageError, NetworkError, GitError.
    """
    ctx, made = at.ctx, _Made(place)
    chosen = [load_manifest(name, at.request.overrides) for name in manifests] or [ctx.manifest]
    for words in targets or [""]:
        target, base = _for(replace(ctx, manifest=chosen[0]), words) if words else _of_home(ctx)
        made.packages(ctx, target, base)
        for manifest in chosen:
            same = manifest.name == base.manifest
            made.lock(base if same else with_models(base, manifest, ctx.options.precision))
            made.wanted += contents.models_of(ctx, place, made.made[-1], manifest)
    made.wanted += contents.terms_of(chosen)
    files = made.files()
    return Contents(place, files, tuple(made.locks), ctx.options.rehearsal, ctx.machine.timestamp())


@dataclass(slots=True)
class _Made:
    """What is gathered of one target after the other."""

    place: Path
    wanted: list[Wanted] = field(default_factory=list)
    locks: list[BundledLock] = field(default_factory=list)
    made: list[Lock] = field(default_factory=list)
    pythons: list[str] = field(default_factory=list)

    def packages(self, ctx: Context, target: Target | None, lock: Lock) -> None:
        """The packages of one machine, this tool for it, ComfyUI and Python."""
        tool = f"3.{max(int(lock.platform.minor.partition('.')[2]), TOOL_PYTHONS[0])}"
        self.wanted += contents.packages_of(ctx, target, lock)
        kit_target = replace(target, python=tool) if target is not None else None
        self.wanted += contents.kit_of(ctx, kit_target, tool_requirements())
        self.wanted.append(contents.source_of(ctx, lock))
        self.pythons.append(tool)
        for python in dict.fromkeys((lock.platform.python, *([] if tool == lock.platform.minor else [tool]))):
            if not ctx.options.rehearsal:
                self.wanted.append(contents.python_of(ctx, lock.platform, python))

    def lock(self, lock: Lock) -> None:
        """A lock as a file; one of an earlier run that says the same stays as it is."""
        file = LOCK if not self.locks else f"locks/{len(self.locks)}.lock"
        with suppress(LockError):
            before = load_lock(self.place / file)
            lock = before if replace(before, made=lock.made) == lock else lock
        self.made.append(lock)
        self.locks.append(BundledLock(file, lock.manifest, _says(lock)))
        self.wanted.append(of_bytes(file, contents.TERMS, write_lock(lock).encode()))

    def files(self) -> tuple[Wanted, ...]:
        """All files, each once, with the lists of wheels."""
        versions = "".join(f"{each}\n" for each in dict.fromkeys(self.pythons))
        self.wanted.append(of_bytes(f"{KIT}/python-version", contents.TOOL, versions.encode()))
        unique = {each.path: each for each in self.wanted}
        return (*unique.values(), *_pages(unique))


def _for(ctx: Context, words: str) -> tuple[Target, Lock]:
    from provision.cli.commands.bundle_target import lock_for, target_of

    target = target_of(ctx, words)
    return target, lock_for(ctx, target)


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
    check_models(lock.manifest, lock.models)
    if lock.nodes:
        names = ", ".join(node.name for node in lock.nodes)
        ctx.note(f"A bundle holds no custom nodes; these are left out: {names}.")
    lock = replace(lock, nodes=())
    return (here(ctx).target if ctx.machine.system == "Darwin" else None), lock


def _says(lock: Lock) -> str:
    at = lock.platform
    system = at.version if at.system == "Darwin" else at.system
    return f"{system} {at.arch}, Python {at.minor}"


def _pages(files: Mapping[str, Wanted]) -> Iterator[Wanted]:
    """The lists of wheels that uv reads over HTTP."""
    for folder, group in ((WHEELS, contents.PACKAGES), (KIT, contents.TOOL)):
        held = {
            path.rpartition("/")[2]: each.sha256
            for path, each in files.items()
            if path.startswith(f"{folder}/") and path.endswith(".whl")
        }
        yield of_bytes(INDEX.replace(WHEELS, folder, 1), group, page(held).encode())
