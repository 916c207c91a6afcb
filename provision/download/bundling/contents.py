"""What a bundle holds for one lock: models, wheels, ComfyUI's source, Python, this tool, and the terms of use."""

from __future__ import annotations

import gzip
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from provision import __version__
from provision.comfyui.archived_revisions import archive_of
from provision.comfyui.git_checkout import has_commit_of
from provision.comfyui.git_remote import Revision, explained, fetch_into, new_repository
from provision.comfyui.git_stand_in import stand_in
from provision.comfyui.source_tree import BadArchive, unpack
from provision.command import Fix, ours
from provision.core.bundle import KIT, LICENSES, model_path, source_path, wheel_path
from provision.core.home import Home
from provision.core.lockfile import Lock, LockedModel, Platform
from provision.core.manifest import Manifest, Model, ModelFile
from provision.core.step import Context
from provision.download.bundle_source import PIECE_BYTES
from provision.download.bundling.tool_wheel import WHEEL, installer, tool_wheel
from provision.download.bundling.wheels import Found, bring, locked_wheels, offered
from provision.download.bundling.writing import WORK, Wanted, blocks, of_bytes
from provision.download.obtain import obtain_at
from provision.download.source_archive import fetch_archive, has_archives
from provision.environment.python_builds import Build, check_build, find_build
from provision.errors import GitError
from provision.system.git_program import environment, run_git
from provision.system.target import Target

MODEL, PACKAGES, SOURCE, PYTHON, TOOL, TERMS = "models", "packages", "ComfyUI", "Python", "provision", "licences"
PYTHON_BYTES, SOURCE_BYTES = 25_000_000, 5_000_000
"""What these come to where nobody tells."""


def models_of(ctx: Context, folder: Path, lock: Lock, manifest: Manifest) -> list[Wanted]:
    """The models: from the home or another place on this machine, else from the hub."""
    return [_model(ctx, folder, each, manifest) for each in lock.models]


def _model(ctx: Context, folder: Path, locked: LockedModel, manifest: Manifest) -> Wanted:
    model = next(each for each in manifest.models if each.repo == locked.repo)
    file = ModelFile(locked.path, locked.precision, locked.size, locked.sha256)
    model = replace(model, revision=locked.revision, files=(file,))
    here = ctx.home.models / model.folder
    options = replace(ctx.options, look_in=(*ctx.options.look_in, here), copy=True, share_cache=False)
    at = replace(ctx, home=Home(folder / WORK), options=options)
    path = model_path(locked.repo, locked.revision, locked.path)
    return Wanted(path, MODEL, locked.size, locked.sha256, place=partial(_bring_model, at, model, file))


def _bring_model(at: Context, model: Model, file: ModelFile, ctx: Context, target: Path) -> None:
    at.home.parts.mkdir(parents=True, exist_ok=True)
    obtain_at(replace(at, emit=ctx.emit), model, file, target)


def packages_of(ctx: Context, target: Target | None, lock: Lock) -> list[Wanted]:
    """The wheels of a lock. Raises PackageError, NetworkError."""
    return [_wheel(wheel_path(each.name), PACKAGES, each) for each in locked_wheels(ctx, target, lock)]


def _wheel(path: str, group: str, found: Found) -> Wanted:
    return Wanted(path, group, found.size, found.sha256, lambda ctx: bring(ctx, found))


def kit_of(ctx: Context, target: Target | None, requirements: Sequence[str]) -> list[Wanted]:
    """This tool for a machine: its wheel, those that it needs, install.sh and the uv that this takes.

    Raises PackageError, NetworkError.
    """
    script = installer().read_bytes()
    pinned = re.findall(rb"^uv_version=(\S+)$", script, re.MULTILINE)[0].decode()
    found = offered(ctx, target, [*requirements, f"uv=={pinned}"], deps=True)
    wheels = [_wheel(f"{KIT}/{each.name}", TOOL, each) for each in found]
    own = {"install.sh": script, WHEEL: tool_wheel()}
    return [*(of_bytes(f"{KIT}/{name}", TOOL, data) for name, data in own.items()), *wheels]


def source_of(ctx: Context, lock: Lock) -> Wanted:
    """ComfyUI's source as an archive: the home's own, else from its host."""
    return Wanted(source_path(lock.comfyui.commit), SOURCE, pieces=lambda at: _source(at, ctx.home, lock))


def _source(ctx: Context, home: Home, lock: Lock) -> Iterator[bytes]:
    commit = lock.comfyui.commit
    with tempfile.TemporaryDirectory(prefix="provision-bundle-", ignore_cleanup_errors=True) as folder:
        archive = Path(folder) / "source.tar.gz"
        kept = archive_of(home.state, commit)
        if kept.is_file():
            shutil.copyfile(kept, archive)
        elif (home.comfyui / ".git").exists() and has_commit_of(home.comfyui, commit):
            with explained(f"{commit[:8]} could not be packed"), stand_in(home.comfyui) as seen:
                _pack(seen.git, commit, archive)
        else:
            bring_source(ctx, lock.comfyui.url, commit, archive)
        try:
            listing = unpack(archive, Path(folder) / "unpacked", commit)
        except BadArchive as error:
            raise GitError(f"ComfyUI's archive is not usable: {error}.", hint=ours("doctor")) from error
        if lock.comfyui.tree not in ("", listing.tree):
            raise GitError(
                f"ComfyUI's archive of {commit[:8]} is not what the lock has.", hint=Fix("Check it:", ours("doctor"))
            )
        yield from blocks(archive)


def bring_source(ctx: Context, url: str, commit: str, archive: Path) -> None:
    """Download a commit as an archive, or by git from where no archives are. Raises GitError, NetworkError."""
    revision = Revision(commit, "commit", commit)
    if has_archives(url):
        fetch_archive(ctx, url, revision, archive)
        return
    with explained(f"{commit[:8]} could not be fetched"):
        place = archive.with_name("repository")
        place.mkdir()
        new_repository(place, url)
        fetch_into(place, url, revision, environ=ctx.machine.environ)
        _pack(lambda *words: run_git(words, environment(place)), commit, archive)


def _pack(git: Callable[..., str], commit: str, archive: Path) -> None:
    """Write a commit as its host would. Raises GitFailed, OSError."""
    plain = archive.with_suffix("")
    git("archive", "--format=tar", f"--prefix=ComfyUI-{commit}/", f"--output={plain}", commit)
    with plain.open("rb") as stream, archive.open("wb") as out, gzip.GzipFile("", "wb", fileobj=out, mtime=0) as packed:
        shutil.copyfileobj(stream, packed, PIECE_BYTES)


def python_of(ctx: Context, platform: Platform, version: str) -> Wanted:
    """The build of a version of Python for a machine, which uv knows by its hash. Raises PackageError."""
    build = find_build(ctx, version, platform.system, platform.arch)
    day, name = map(unquote, build.url.rsplit("/", 2)[1:])
    return Wanted(f"{PYTHON.lower()}/{day}/{name}", PYTHON, pieces=lambda at: _python(at, build, day, name))


def _python(ctx: Context, build: Build, day: str, name: str) -> Iterator[bytes]:
    with tempfile.TemporaryDirectory(prefix="provision-bundle-", ignore_cleanup_errors=True) as folder:
        place = Path(folder, day, name)
        place.parent.mkdir()
        with place.open("wb") as stream:
            stream.writelines(bring(ctx, Found(name, "", None, build.url)))
        check_build(ctx, build, Path(folder))
        yield from blocks(place)


def terms_of(manifests: Sequence[Manifest]) -> list[Wanted]:
    """The terms of the models, as their pages have them, and of this tool."""
    found = [
        of_bytes(
            f"{LICENSES}/{manifest.name}.txt",
            TERMS,
            f"{manifest.title}\nLicence: {terms.id or 'on its page'}\nText: {terms.url}\n"
            f"Commercial use: {terms.commercial or 'not read here'}\n".encode(),
        )
        for manifest in manifests
        for terms in [manifest.license]
    ]
    return [*found, of_bytes(f"{LICENSES}/provision.txt", TERMS, _own_terms())]


def _own_terms() -> bytes:
    from importlib.metadata import distribution

    text = distribution("comfy-provision").read_text("licenses/LICENSE") or "MIT\n"
    return f"provision {__version__}\n\n{text}".encode()
