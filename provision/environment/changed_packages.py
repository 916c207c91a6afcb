"""What a start of ComfyUI changed in the packages of its environment: seen by their records, kept, and said.

Custom nodes may run pip while ComfyUI starts. That is theirs to do, and a person's to know.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from provision.command import ours
from provision.core.step import Context
from provision.environment import packages
from provision.errors import DiskFull, HomeError

RECEIPT = "changed-packages"
BACK = ours("doctor", "--fix", "--only", "packages-changed")
SHOWN = 4
Prints = dict[str, tuple[str, int]]
"""Of each package its version, all of them where it is on record twice, and when its record was written (ns)."""
Changes = dict[str, tuple[str, str]]
"""Of each package that changed its version before and after, empty where it was not there."""


def fingerprint(venv: Path) -> Prints:
    """What tells cheaply which packages are installed, and whether one was written anew."""
    found: dict[str, list[tuple[str, int]]] = {}
    for info in (info for folder in packages.package_folders(venv) for info in folder.glob("*.dist-info")):
        name, _, version = info.name.removesuffix(".dist-info").rpartition("-")
        if name and (info / "METADATA").is_file():
            found.setdefault(packages.normalised(name), []).append((version, _written_ns(info)))
    return {name: (" and ".join(sorted(v for v, _ in seen)), max(t for _, t in seen)) for name, seen in found.items()}


def _written_ns(info: Path) -> int:
    try:
        return (info / "RECORD").stat().st_mtime_ns
    except OSError:
        return 0


def compare(before: Prints, after: Prints) -> Changes:
    """Which packages differ."""
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return {name: (before.get(name, ("", 0))[0], after.get(name, ("", 0))[0]) for name in names}


def says(changes: Changes) -> str:
    """What changed, in words: `2 packages: numpy 2.2.0 -> 1.26.4, tqdm 4.1 is gone`."""
    shown = [_one(name, *versions) for name, versions in list(changes.items())[:SHOWN]]
    more = [f"and {len(changes) - SHOWN} more"] if len(changes) > SHOWN else []
    noun = "1 package" if len(changes) == 1 else f"{len(changes)} packages"
    return f"{noun}: {', '.join([*shown, *more])}"


def _one(name: str, before: str, after: str) -> str:
    if before == after:
        return f"{name} {after} was reinstalled"
    if not before:
        return f"{name} {after} is new"
    return f"{name} {before} -> {after}" if after else f"{name} {before} is gone"


def remember(ctx: Context, before: Prints) -> None:
    """Say what differs from `before`, and keep it with what earlier starts changed; that no disk takes it is said."""
    changes = compare(before, fingerprint(ctx.home.venv))
    if not changes:
        return
    ctx.note(f"Starting ComfyUI changed {says(changes)}. Custom nodes do that. To restore them:", BACK)
    kept = _stored(ctx)
    first = {name: (kept[name][0] if name in kept else old, new) for name, (old, new) in changes.items()}
    try:
        ctx.receipts.write(
            RECEIPT,
            when=ctx.machine.timestamp(),
            changed={
                name: list(versions) for name, versions in {**kept, **first}.items() if versions[0] or versions[1]
            },
        )
    except (HomeError, DiskFull) as error:
        ctx.note(error.message)


def changed(ctx: Context) -> Changes:
    """What starts changed and nobody has changed since."""
    kept = _stored(ctx)
    now = fingerprint(ctx.home.venv) if kept else {}
    return {name: versions for name, versions in kept.items() if now.get(name, ("", 0))[0] == versions[1]}


def when(ctx: Context) -> str:
    """The day of the last start that changed something."""
    return str(ctx.receipts.read(RECEIPT).get("when"))[:10]


def _stored(ctx: Context) -> Changes:
    stored = ctx.receipts.read(RECEIPT).get("changed")
    pairs = stored.items() if isinstance(stored, Mapping) else ()
    return {name: (str(pair[0]), str(pair[1])) for name, pair in pairs if isinstance(pair, list) and len(pair) == 2}
