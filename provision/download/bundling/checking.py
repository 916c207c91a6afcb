"""`bundle --check`: every file of a bundle against its hash, and its locks against its files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from provision.core.bundle import Bundle, lacks
from provision.core.events import Work
from provision.core.step import Context
from provision.download.bundle_source import read_lock, size_at
from provision.download.bundling.writing import blocks, digest_of
from provision.system.strict import Unreadable


@dataclass(frozen=True, slots=True)
class Checked:
    """A bundle on a disk: how many files, their bytes, and those that are missing, damaged, or in no lock's reach."""

    path: str
    files: int
    bytes: int
    digest: str
    missing: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()


def check(ctx: Context, bundle: Bundle) -> Checked:
    """Read all of a bundle on a disk. Raises BundleError, LockError, Interrupted."""
    folder, listed = bundle.folder, bundle.about.files
    assert folder is not None
    missing: list[str] = []
    damaged: list[str] = []
    total, done = sum(file.size for file in listed.values()), 0
    for path, file in listed.items():
        ctx.machine.check_interrupted()
        size, digest = size_at(folder / path), hashlib.sha256()
        if size < 0:
            missing.append(path)
            continue
        try:
            for block in blocks(folder / path) if size == file.size else ():
                ctx.machine.check_interrupted()
                digest.update(block)
                done += len(block)
                ctx.progress("bundle", done, total, kind=Work.VERIFY)
        except (OSError, Unreadable):
            damaged.append(path)
            continue
        if size != file.size or digest.hexdigest() != file.sha256:
            damaged.append(path)
    for each in bundle.about.locks:
        if each.file in listed and each.file not in (*missing, *damaged):
            missing += [path for path in lacks(bundle.about, read_lock(ctx, bundle, each.file)) if path not in missing]
    return Checked(str(folder), len(listed) + 2, total, digest_of(folder), tuple(missing), tuple(damaged))
