"""`provision.lock`: exactly what is installed here, written once all of it has been tested.

Each check compares versions, commit, weights and flags. The wheels behind the versions, with hashes and indexes, are
asked of uv only when the lock is written: they are in its cache by then.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

from provision import __version__
from provision.comfyui import added_nodes, fallback_flags
from provision.comfyui.node_folders import Node, changed_files, find_nodes
from provision.command import Fix, ours, program
from provision.core.finding import Finding, Kind
from provision.core.lockfile import (
    SCHEMA,
    Lock,
    LockedEngine,
    LockedModel,
    LockedNode,
    LockedPackage,
    LockedTorch,
    Platform,
    load_lock,
    without_credentials,
    write_lock,
)
from provision.core.manifest import COMMIT, GIT_ADDRESS, HTTP, NODE_FILE, SHA256
from provision.core.pylock import Package, read_pylock
from provision.core.receipt_kinds import ComfyReceipt, NodesReceipt, TorchReceipt
from provision.core.receipts import write_text
from provision.core.step import Context, Step
from provision.core.strict_loader import is_plain
from provision.download.model_files import WantedFile, wanted_files
from provision.environment import packages
from provision.environment.wheel_index import day_of, is_wheel_name
from provision.errors import LockError
from provision.steps.lock import kinds
from provision.steps.torch.proof import system_version
from provision.system.strict import Unreadable, decode

COMPILE_TIMEOUT_S = 300
NIGHTLY_DAYS, SOON_DAYS = 60, 15


def check_lock(ctx: Context) -> Iterable[Finding]:
    """Does the lock say what is here?"""
    path, shown = ctx.home.lock_file, ctx.home.shown(ctx.home.lock_file)
    if not path.is_file():
        yield _to_write(kinds.LOCK_MISSING, shown, "provision.lock does not exist yet.")
        return
    try:
        kept = load_lock(path)
    except LockError as error:
        yield _to_write(kinds.LOCK_STALE, shown, error.message)
        return
    changed = differences(kept, describe(ctx))
    if changed:
        yield _to_write(kinds.LOCK_STALE, shown, f"The lock differs: {'; '.join(changed)}.")
        return
    if unhashed := kept.unhashed:
        says = (
            f"{len(unhashed)} packages have no hash in the lock: they came from no index"
            f" or it could not be asked ({', '.join(unhashed[:3])})."
        )
        fix = Fix("Remove it, so that written again.", program("rm", str(path)))
        yield kinds.LOCK_PARTIAL.warn(shown, says, fix=fix)
    elif not ctx.options.rehearsal and (says := nightly_age(kept, ctx.machine.timestamp())):
        fix = Fix("Releases stay available:", ours("all", "--torch", "stable"))
        yield kinds.LOCK_PARTIAL.warn(shown, f"{says}.", fix=fix)
    else:
        yield kinds.LOCK_READY.ok(shown, f"{shown}: {len(kept.packages)} packages pinned by hash")


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
    return kind.fixable(shown, says, fix=Fix("Write provision.lock."))


def differences(kept: Lock, now: Lock) -> list[str]:
    """What differs from a lock, in words; its date and the packages that came since do not count."""
    had, has = kept.versions, now.versions
    names = [name for name in had if had[name] != has.get(name)]
    words = [f"{name} {had[name]} is {has.get(name, 'not there')} now" for name in sorted(names)[:2]]
    if len(names) > 2:
        words.append(f"{len(names) - 2} more packages")
    pairs = {
        "ComfyUI's commit": (kept.comfyui.commit, now.comfyui.commit),
        "the flags": (kept.comfyui.flags, now.comfyui.flags),
        "the weights": (kept.models, now.models),
        "the custom nodes": (_added(kept), _added(now)),
        "Python": (kept.platform.python, now.platform.python),
        "the channel of torch": (kept.torch, now.torch),
    }
    return [*words, *(name for name, (one, other) in pairs.items() if one != other)]


def _added(lock: Lock) -> list[tuple[str, str]]:
    return [(node.name, node.commit) for node in lock.nodes if node.added]


def describe(ctx: Context) -> Lock:
    """What is here, without the wheels behind the versions."""
    python = packages.configured_python(ctx.machine, ctx.home.venv) or packages.target_python(ctx)
    versions = packages.installed_versions(ctx.home.venv)
    return Lock(
        schema=SCHEMA,
        tool=__version__,
        made=ctx.machine.timestamp(),
        manifest=ctx.manifest.name,
        platform=Platform(ctx.machine.system, ctx.machine.arch, system_version(ctx), python),
        torch=_torch(ctx),
        comfyui=_comfyui(ctx),
        models=tuple(map(_model, wanted_files(ctx))),
        packages=tuple(LockedPackage(name, version) for name, version in sorted(versions.items())),
        nodes=tuple(_node(node) for node in _nodes(ctx)),
    )


def _torch(ctx: Context) -> LockedTorch:
    receipt, index = ctx.receipts.read("torch", TorchReceipt), without_credentials(_torch_index(ctx))
    wanted, got, why, *passed_over = map(_one_line, (receipt.wanted, receipt.got, receipt.why, *receipt.passed_over))
    return LockedTorch(wanted, got, index, why, tuple(passed_over))


def _nodes(ctx: Context) -> list[Node]:
    """The custom nodes that are enabled, and can be named in a lock."""
    known = ctx.receipts.read(added_nodes.RECEIPT, NodesReceipt)
    return [node for node in find_nodes(ctx.home, known) if node.enabled and re.fullmatch(NODE_FILE, node.name)]


def _node(node: Node, changed: tuple[str, ...] = ()) -> LockedNode:
    ref = node.added.ref if node.added is not None else ""
    return LockedNode(node.name, without_credentials(node.url), node.commit, ref, node.added is not None, changed)


def _one_line(text: str) -> str:
    return "".join(character for character in " ".join(text.split()) if is_plain(character))


def _comfyui(ctx: Context) -> LockedEngine:
    receipt, flags = ctx.receipts.read("comfyui", ComfyReceipt), fallback_flags.launch_flags(ctx)
    url = receipt.url if GIT_ADDRESS.fullmatch(receipt.url) else ""
    commit, tree = (each if COMMIT.fullmatch(each) else "" for each in (receipt.commit, receipt.tree))
    return LockedEngine(url, commit, flags, tree)


def _model(wanted: WantedFile) -> LockedModel:
    model, file, sha256 = wanted.model, wanted.file, wanted.receipt.sha256 or wanted.sha256 or ""
    return LockedModel(model.repo, model.revision, file.path, file.precision, wanted.size or 0, sha256)


def _torch_index(ctx: Context) -> str:
    """Where torch came from, by its receipt; the receipts of before there were locks do not say."""
    given = ctx.receipts.read("torch", TorchReceipt).index
    if given is not None:
        return given
    nightly = day_of(packages.torch_version(ctx.home.venv))
    return ctx.manifest.torch.nightly_index if nightly else ctx.manifest.torch.stable_index


def apply_lock(ctx: Context, finding: Finding) -> None:
    """Write the lock. Raises HomeError, DiskFull."""
    lock = describe(ctx)
    nodes = tuple(_node(node, tuple(filter(is_plain, changed_files(node)))) for node in _nodes(ctx))
    lock = replace(lock, nodes=nodes, packages=with_wheels(ctx, lock.packages))
    write_text(ctx.home.lock_file, write_lock(lock))


def with_wheels(ctx: Context, found: tuple[LockedPackage, ...]) -> tuple[LockedPackage, ...]:
    """The packages with index, wheel and hash; as they are where they came from no index, or it cannot be asked."""
    direct = {package.name: url for package in found if (url := _direct_url(ctx, package))}
    asked = [package for package in found if package.name not in direct]
    torch = [package for package in asked if package.name in packages.TORCH_SET]
    others = [package for package in asked if package.name not in packages.TORCH_SET]
    known = _of_lock(ctx, found) or {
        package.name: package for package in (*_ask(ctx, torch, _torch_index(ctx)), *_ask(ctx, others, ""))
    }
    bare = [package.name for package in asked if package.name not in known]
    if bare:
        ctx.note(f"No hashes for {len(bare)} packages ({bare[0]} ...): the lock only has their versions.")
    return tuple(
        known.get(package.name) or replace(package, source=without_credentials(direct.get(package.name, "")))
        for package in found
    )


def _of_lock(ctx: Context, found: tuple[LockedPackage, ...]) -> dict[str, LockedPackage]:
    """The packages as the lock has them that was rebuilt; none where others came since."""
    rebuilt = {each.name: each for each in ctx.options.locked.packages} if ctx.options.locked is not None else {}
    same = all(each.name in rebuilt and rebuilt[each.name].version == each.version for each in found)
    return rebuilt if same else {}


def _ask(ctx: Context, group: list[LockedPackage], index: str) -> list[LockedPackage]:
    """The wheels of exact versions, from uv's cache, else from the index; none where uv does not know one of them."""
    if not group:
        return []
    with tempfile.TemporaryDirectory(prefix="provision-lock-") as folder:
        asked, found = Path(folder) / "asked.in", Path(folder) / "pylock.toml"
        asked.write_text("".join(f"{package.name}=={package.version}\n" for package in group), encoding="utf-8")
        words = ("pip", "compile", "--quiet", "--no-header", "--no-deps", "--python", ctx.home.python, asked)
        source = packages.index_words(ctx, index)
        indexes = ("--no-annotate", "--emit-index-annotation")
        wheels = ("--format", "pylock.toml", "--output-file", found)
        for how in (("--offline",), *([()] if ctx.options.source is None else [])):
            lines: list[str] = []
            runs = [
                packages.run_uv(ctx, *words, *source, *how, *more, on_line=hear, timeout_s=COMPILE_TIMEOUT_S)
                for more, hear in ((indexes, lines.append), (wheels, list[str]().append))
            ]
            if all(ran.ok for ran in runs):
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
    lines, offer = packages.metadata(ctx, package.name, package.version, "WHEEL").splitlines(), offers[package.name]
    tags = {line.removeprefix("Tag:").strip() for line in lines if line.startswith("Tag:")}
    for each in [*offer.wheels, *([offer.sdist] if offer.sdist else [])]:
        file, sha256 = each.filename, each.hashes.get("sha256", "")
        if (not file.endswith(".whl") or tags & file_tags(file)) and SHA256.fullmatch(sha256):
            source = sources.get(package.name, "")
            # A folder of this machine says nothing elsewhere: there the configured index is asked, for the same hash.
            return replace(package, source=source if HTTP.match(source) else "", wheel=file, sha256=sha256)
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


def _direct_url(ctx: Context, package: LockedPackage) -> str:
    """The address of a package that came from no index (PEP 610); empty for all others."""
    try:
        told = decode(packages.metadata(ctx, package.name, package.version, "direct_url.json"), dict[str, object])
    except Unreadable:
        return ""
    return url if isinstance(url := told.get("url"), str) else ""


LOCK = Step(
    "lock",
    needs=("first_image",),
    check=check_lock,
    apply=apply_lock,
    about="provision.lock",
)
