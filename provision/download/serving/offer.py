"""What is served: the files of a bundle, or of an install folder those that are the same on every Mac.

A bundle's files are those that its `SHA256SUMS` lists; what else lies in its folder is no part of it, nor is what
leads out of it. Both have the names of a bundle, in which a model lies where a hub has it.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from provision.command import ours, program
from provision.core.bundle import ABOUT, KIT, LOCK, SUMS, SUMS_BYTES, WHEELS, About, model_path, parse_sums, write_sums
from provision.core.receipts import file_identity, same_facts
from provision.core.step import Context
from provision.download.model_files import WantedFile, wanted_files
from provision.download.verify import sha256_of
from provision.errors import BundleError, HomeError
from provision.system.strict import Unreadable, read_file, read_json_file, why_not

ON_A_HUB = re.compile(r"[^/]+/[^/]+/resolve/(?P<commit>[0-9a-f]{40})/.+")
MODEL = "model"
PARTS = {WHEELS: "packages", "comfyui": "ComfyUI", "python": "Python", KIT: "provision"}
"""What the folders of a bundle hold, beside models."""


@dataclass(frozen=True, slots=True)
class OfferedFile:
    """A file, as it was when serving began; `content` is its place, or all of it where it was made for this."""

    content: Path | bytes
    size: int
    mtime_ns: int = 0
    sha256: str = ""

    def look(self) -> os.stat_result | None:
        """What the disk says of it now; None where it is not the same file any more."""
        assert isinstance(self.content, Path)
        try:
            now = self.content.stat()
        except OSError:
            return None
        same = stat.S_ISREG(now.st_mode) and (now.st_size, now.st_mtime_ns) == (self.size, self.mtime_ns)
        return now if same else None


@dataclass(frozen=True, slots=True)
class Offer:
    """Files by their names in a bundle.

    `digest` is the sha256 of a bundle's list, as `--from-sha256` takes it, and empty for an install folder;
    `rehearsal`: the bundle holds the small stand-ins of one.
    """

    files: Mapping[str, OfferedFile]
    digest: str = ""
    rehearsal: bool = False

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.size for file in self.files.values())

    @property
    def parts(self) -> dict[str, int]:
        """Bytes by part: `model`, `packages`; without the parts that it lacks."""
        sizes: Counter[str] = Counter()
        for path, file in self.files.items():
            if part := MODEL if ON_A_HUB.fullmatch(path) else PARTS.get(path.split("/")[0]):
                sizes[part] += file.size
        return {part: sizes[part] for part in (MODEL, *PARTS.values()) if part in sizes}

    @property
    def lacks(self) -> list[str]:
        """Parts of a whole bundle that are not in it."""
        return [part for part in (MODEL, *PARTS.values()) if part not in self.parts]


def commit_of(path: str) -> str:
    """The commit that a model's file is of, by its name; empty for another file."""
    found = ON_A_HUB.fullmatch(path)
    return found["commit"] if found else ""


def is_bundle(folder: Path) -> bool:
    """Whether a folder holds a bundle."""
    return (folder / SUMS).is_file()


def bundle_offer(folder: Path) -> Offer:
    """All that a bundle's list names. Raises BundleError where a file is missing, or is none that may be served."""
    again = ours("bundle", str(folder), "--check")
    try:
        listed = read_file(folder / SUMS, max_bytes=SUMS_BYTES)
        sums = parse_sums(listed.decode())
        about = read_json_file(folder / ABOUT, About)
    except (Unreadable, UnicodeDecodeError) as error:
        raise BundleError(f"The lists of {folder} are not usable: {error}.", hint=again) from error
    except OSError as error:
        raise BundleError(
            f"The lists of {folder} cannot be read ({why_not(error)}).", hint=program("ls", "-l", str(folder))
        ) from error
    files, top = {}, folder.resolve()
    for path, sha256 in {SUMS: "", ABOUT: "", **sums}.items():
        if (file := _file(top, path, sha256)) is not None:
            files[path] = file
        elif path in sums:
            raise BundleError(f"{folder / path} is missing, or is not a file of this bundle.", hint=again)
    return Offer(files, hashlib.sha256(listed).hexdigest(), about.rehearsal)


def _file(top: Path, path: str, sha256: str) -> OfferedFile | None:
    """A regular file below `top` that can be read, its links followed; None for anything else."""
    try:
        real = (top / path).resolve(strict=True)
        seen = real.stat()
    except (OSError, RuntimeError):
        return None
    if not (real.is_relative_to(top) and stat.S_ISREG(seen.st_mode) and os.access(real, os.R_OK)):
        return None
    return OfferedFile(real, seen.st_size, seen.st_mtime_ns, sha256)


def _is_verified(ctx: Context, wanted: WantedFile) -> bool:
    """Whether a model is the one that it should be, by its receipt, or by its hash where that is of another file."""
    receipt = wanted.receipt
    if receipt.sha256 and same_facts(receipt, file_identity(wanted.place)):
        return receipt.sha256 == wanted.sha256
    return wanted.place.stat().st_size == wanted.size and sha256_of(ctx, wanted.place, "model") == wanted.sha256


def home_offer(ctx: Context) -> Offer:
    """The verified models of an install folder, with its lock. Raises HomeError without any, ManifestError."""
    files: dict[str, OfferedFile] = {}
    for wanted in wanted_files(ctx):
        if wanted.place.is_file() and wanted.sha256 and _is_verified(ctx, wanted):
            path, seen = model_path(wanted.model.repo, wanted.model.revision, wanted.file.path), wanted.place.stat()
            files[path] = OfferedFile(wanted.place, seen.st_size, seen.st_mtime_ns, wanted.sha256)
    if not files:
        raise HomeError(f"The install folder {ctx.home.root} has no verified model to serve.", hint=ours("all"))
    made = {SUMS: write_sums({path: file.sha256 for path, file in files.items()}).encode()}
    if ctx.home.lock_file.is_file():
        made[LOCK] = read_file(ctx.home.lock_file)
    return Offer({**files, **{path: OfferedFile(text, len(text)) for path, text in made.items()}})
