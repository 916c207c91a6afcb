"""`provision.lock`: what is installed here, exactly, written when all of it is proven.

Versions, commit, hashes of weights and flags are compared at each look; the wheels behind the versions, with their
hashes and indexes, are asked of uv once, when the lock is written: from its cache, which has just seen them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

from provision import __version__
from provision.comfyui import fallback_flags
from provision.command import Fix, ours, program
from provision.core.finding import Finding, Kind
from provision.core.lockfile import (
    SCHEMA,
    Lock,
    LockedEngine,
    LockedModel,
    LockedPackage,
    LockedTorch,
    Platform,
    load_lock,
    without_credentials,
    write_lock,
)
from provision.core.manifest import COMMIT, GIT_ADDRESS, SHA256
from provision.core.pylock import Package, read_pylock
from provision.core.receipt_kinds import ComfyReceipt, TorchReceipt
from provision.core.step import Context, Step
from provision.core.strict_loader import is_plain
from provision.download.model_files import wanted_files
from provision.environment import packages
from provision.environment.wheel_index import day_of, is_wheel_name
from provision.errors import LockError
from provision.steps.lock import kinds
from provision.steps.torch.proof import system_version
from provision.system.disk_errors import unusable
from provision.system.strict import Unreadable, decode

COMPILE_TIMEOUT_S = 300
NIGHTLY_DAYS, SOON_DAYS = 60, 15
HELD = ("torch", "torchvision", "torchaudio")


# -- check ------------------------------------------------------------------------------------------------------


def check_lock(ctx: Context) -> Iterable[Finding]:
    """Does the lock say what is here?"""
    path, shown = ctx.home.lock_file, ctx.home.shown(ctx.home.lock_file)
    if not path.is_file():
        yield _to_write(kinds.LOCK_MISSING, shown, "No lock says yet what is installed here, exactly.")
        return
    try:
        kept = load_lock(path)
    except LockError as error:
        yield _to_write(kinds.LOCK_STALE, shown, error.message)
        return
    changed = differences(kept, describe(ctx))
    if changed:
        yield _to_write(kinds.LOCK_STALE, shown, f"The lock says otherwise: {'; '.join(changed)}.")
        return
    bare = [package.name for package in kept.packages if not package.sha256]
    if bare:
        yield kinds.LOCK_PARTIAL.warn(
            shown, f"{len(bare)} packages cannot be had again by the lock, as they came from no index"
            f" or it could not be asked ({', '.join(bare[:3])}).",
            fix=Fix("Remove it and it is written anew.", program("rm", str(path))),
        )  # fmt: skip
    elif not ctx.options.rehearsal and (says := nightly_age(kept, ctx.machine.timestamp())):
        yield kinds.LOCK_PARTIAL.warn(
            shown, f"{says}.", fix=Fix("A release stays on its index:", ours("all", "--torch", "stable"))
        )
    else:
        yield kinds.LOCK_READY.ok(shown, f"{shown}: {len(kept.packages)} packages with their hashes, as they are here")


def nightly_age(lock: Lock, now: str) -> str:
    """Whether a lock's torch is, or soon is, no longer on its index, as a sentence; empty where it stays.

    `now` is a time as ISO 8601 has it. pytorch.org keeps about 60 builds of a nightly, one a day (KEEP_THRESHOLD in
    s3_management/manage.py of pytorch/test-infra).
    """
    torch = lock.versions.get("torch", "")
    if not (day := day_of(torch)):
        return ""
    try:
        days = (datetime.fromisoformat(now).date() - date.fromisoformat(day)).days
    except ValueError:
        return ""
    if days < NIGHTLY_DAYS - SOON_DAYS:
        return ""
    left = NIGHTLY_DAYS - days
    stays = f"will be gone in about {left} days" if left > 0 else "is likely gone"
    return (
        f"torch {torch} is a nightly of {days} days ago, and its index keeps about {NIGHTLY_DAYS} builds: it {stays}, "
        "and the lock can then be rebuilt only from uv's cache"
    )


def _to_write(kind: Kind, shown: str, says: str) -> Finding:
    return kind.fixable(shown, says, fix=Fix("It is written, once all is proven."))


def differences(kept: Lock, now: Lock) -> list[str]:
    """In words, what is not as a lock has it; when and from where does not count, nor packages that came since."""
    had, has = kept.versions, now.versions
    names = [name for name in had if had[name] != has.get(name)]
    words = [f"{name} {had[name]} is {has.get(name, 'not there')} now" for name in sorted(names)[:2]]
    if len(names) > 2:
        words.append(f"{len(names) - 2} packages more")
    pairs = {
        "ComfyUI's commit": (kept.comfyui.commit, now.comfyui.commit),
        "the flags": (kept.comfyui.flags, now.comfyui.flags),
        "the weights": (kept.models, now.models),
        "Python": (kept.platform.python, now.platform.python),
        "the channel of torch": (kept.torch, now.torch),
    }
    return [*words, *(name for name, (one, other) in pairs.items() if one != other)]


def describe(ctx: Context) -> Lock:
    """What is here, but for the wheels behind the versions."""
    versions = packages.installed_versions(ctx.home.venv)
    torch, comfyui = ctx.receipts.read("torch", TorchReceipt), ctx.receipts.read("comfyui", ComfyReceipt)
    return Lock(
        schema=SCHEMA, tool=__version__, made=ctx.machine.timestamp(), manifest=ctx.manifest.name,
        platform=Platform(ctx.machine.system, ctx.machine.arch, system_version(ctx), _python_version(ctx)),
        torch=LockedTorch(
            _one_line(torch.wanted), _one_line(torch.got), without_credentials(_torch_index(ctx)),
            _one_line(torch.why), tuple(map(_one_line, torch.passed_over)),
        ),
        comfyui=LockedEngine(
            comfyui.url if GIT_ADDRESS.fullmatch(comfyui.url) else "",
            comfyui.commit if COMMIT.fullmatch(comfyui.commit) else "", fallback_flags.launch_flags(ctx),
        ),
        models=tuple(_models(ctx)),
        packages=tuple(LockedPackage(name, version) for name, version in sorted(versions.items())),
    )  # fmt: skip


def _one_line(text: str) -> str:
    return "".join(character for character in " ".join(text.split()) if is_plain(character))


def _models(ctx: Context) -> Iterable[LockedModel]:
    for wanted in wanted_files(ctx):
        model, file = wanted.model, wanted.file
        yield LockedModel(
            model.repo, model.revision, file.path, file.precision, wanted.size or 0,
            wanted.receipt.sha256 or wanted.sha256 or "",
        )  # fmt: skip


def _torch_index(ctx: Context) -> str:
    """Where torch came from: as its proof says, which was silent about it before there were locks."""
    given = ctx.receipts.read("torch", TorchReceipt).index
    if given is not None:
        return given
    nightly = day_of(packages.torch_version(ctx.home.venv))
    return ctx.manifest.torch.nightly_index if nightly else ctx.manifest.torch.stable_index


def _python_version(ctx: Context) -> str:
    """The target Python as its environment says it, which costs no start of it."""
    lines = (ctx.machine.read_text(ctx.home.venv / "pyvenv.cfg") or "").splitlines()
    pairs = dict(line.split(" = ", 1) for line in lines if " = " in line)
    return pairs.get("version_info", packages.target_python(ctx))


# -- apply ------------------------------------------------------------------------------------------------------


def apply_lock(ctx: Context, finding: Finding) -> None:
    """Write the lock. Raises HomeError, DiskFull."""
    path = ctx.home.lock_file
    lock = describe(ctx)
    text = write_lock(replace(lock, packages=with_wheels(ctx, lock.packages)))
    aside = path.with_name(f".{path.name}.next")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        raise unusable(path, error) from error


def with_wheels(ctx: Context, found: tuple[LockedPackage, ...]) -> tuple[LockedPackage, ...]:
    """The packages with index, wheel and hash; as they are where they came from no index, or it cannot be asked."""
    direct = {package.name: url for package in found if (url := _direct_url(ctx, package))}
    asked = [package for package in found if package.name not in direct]
    index = _torch_index(ctx)
    groups = (
        ([package for package in asked if package.name in HELD], index),
        ([package for package in asked if package.name not in HELD], ""),
    )
    known = {package.name: package for group, url in groups for package in _ask(ctx, group, url)}
    bare = [package.name for package in asked if package.name not in known]
    if bare:
        ctx.note(f"The hashes of {len(bare)} packages could not be had ({bare[0]} ...): the lock has their versions.")
    return tuple(
        known.get(package.name) or replace(package, source=without_credentials(direct.get(package.name, "")))
        for package in found
    )


def _ask(ctx: Context, group: list[LockedPackage], index: str) -> list[LockedPackage]:
    """What uv knows of exact versions, from its cache, else from the index; nothing where it knows one of them not."""
    if not group:
        return []
    source = ("--index", index, "--index-strategy", "unsafe-best-match") if index else ()
    with tempfile.TemporaryDirectory(prefix="provision-lock-") as folder:
        asked, found = Path(folder) / "asked.in", Path(folder) / "pylock.toml"
        asked.write_text("".join(f"{package.name}=={package.version}\n" for package in group), encoding="utf-8")
        words = ("pip", "compile", "--quiet", "--no-header", "--no-deps", "--python", ctx.home.python, *source, asked)
        for how in (("--offline",), ()):
            lines: list[str] = []
            indexes = packages.run_uv(
                ctx, *words, *how, "--no-annotate", "--emit-index-annotation", on_line=lines.append,
                timeout_s=COMPILE_TIMEOUT_S,
            )  # fmt: skip
            wheels = packages.run_uv(
                ctx, *words, *how, "--format", "pylock.toml", "--output-file", found, on_line=lambda _: None,
                timeout_s=COMPILE_TIMEOUT_S,
            )  # fmt: skip
            if indexes.ok and wheels.ok:
                try:
                    offers = {each.name: each for each in read_pylock(found.read_text(encoding="utf-8"))}
                except ValueError:  # Unreadable is one, and so is what is no text
                    return []
                sources = parse_annotated(lines)
                return [_with_wheel(ctx, package, offers, sources) for package in group if package.name in offers]
    return []


def parse_annotated(lines: Iterable[str]) -> dict[str, str]:
    """The index of each package, from `uv pip compile --emit-index-annotation`."""
    sources: dict[str, str] = {}
    name = ""
    for line in lines:
        text = line.strip()
        if text.startswith("# from "):
            sources[name] = without_credentials(text.removeprefix("# from "))
        elif "==" in text:
            name = packages.normalised(text.partition("==")[0])
    return sources


def _with_wheel(
    ctx: Context, package: LockedPackage, offers: Mapping[str, Package], sources: Mapping[str, str]
) -> LockedPackage:
    """The file that is installed, of those that are offered: the wheel with the tags on record, else the source.

    An index may tell no hash of it: then the package stays without one.
    """
    tags, offer = set(_tags(ctx, package)), offers[package.name]
    for each in [*offer.wheels, *([offer.sdist] if offer.sdist else [])]:
        file, sha256 = each.filename, each.hashes.get("sha256", "")
        if (not file.endswith(".whl") or tags & file_tags(file)) and SHA256.fullmatch(sha256):
            return replace(package, source=sources.get(package.name, ""), wheel=file, sha256=sha256)
    return package


def file_tags(wheel: str) -> set[str]:
    """The tags in a wheel's name, one for each combination; none for a name that is no wheel's."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    if not is_wheel_name(wheel):
        return set()
    try:
        return {str(tag) for tag in parse_wheel_filename(wheel)[3]}
    except InvalidWheelFilename:
        return set()


def _tags(ctx: Context, package: LockedPackage) -> Iterable[str]:
    for line in _metadata(ctx, package, "WHEEL").splitlines():
        if line.startswith("Tag:"):
            yield line.removeprefix("Tag:").strip()


def _direct_url(ctx: Context, package: LockedPackage) -> str:
    """Where a package came from that came from no index (PEP 610); empty for all others."""
    text = _metadata(ctx, package, "direct_url.json")
    try:
        return decode(text, _DirectUrl).url
    except Unreadable:
        return ""


@dataclass(frozen=True, slots=True)
class _DirectUrl:
    """What is read of `direct_url.json`."""

    url: str = ""


def _metadata(ctx: Context, package: LockedPackage, file: str) -> str:
    folder = packages.site_packages(ctx.home.venv)
    ending = f"-{package.version}.dist-info"
    for info in folder.glob(f"*{ending}") if folder else ():
        if packages.normalised(info.name.removesuffix(ending)) == package.name:
            return ctx.machine.read_text(info / file) or ""
    return ""


LOCK = Step(
    "lock", needs=("first_image",), check=check_lock, apply=apply_lock,
    about="what is installed, exactly, in a file from which it can be rebuilt",
)  # fmt: skip
